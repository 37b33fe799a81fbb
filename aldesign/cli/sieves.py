"""The options by which `screen` and `survey` say what may pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from aldesign.survey.sieves import Rules

Elements = Annotated[str | None, typer.Option(help="Only these elements or classes, e.g. Na,K,halogen.")]
Exclude = Annotated[str | None, typer.Option(help="None of these, e.g. radioactive,toxic,Tc.")]
Require = Annotated[str | None, typer.Option(help="All of these, e.g. Li,halogen: Li, and some halogen.")]
MinElements = Annotated[int, typer.Option(min=1, help="At least so many elements in a formula.")]
MaxElements = Annotated[int | None, typer.Option(min=1, help="At most so many elements in a formula.")]
MaxCount = Annotated[int | None, typer.Option(min=1, help="At most so many atoms of one element, reduced.")]
MaxAtoms = Annotated[int | None, typer.Option(min=1, help="At most so many atoms in a reduced formula.")]
Alloys = Annotated[bool, typer.Option(help="Accept formulas of metals only, whatever their charges.")]
Known = Annotated[
    list[str] | None,
    typer.Option("--known", metavar="builtin|FILE", help="Only formulas that this list lacks; repeatable."),
]


def words(text: str | None) -> tuple[str, ...]:
    """Return the words of a list with commas."""
    return tuple(word.strip() for word in (text or "").split(",") if word.strip())


def rules_of(
    elements: str | None,
    exclude: str | None,
    require: str | None,
    min_elements: int,
    max_elements: int | None,
    max_count: int | None,
    max_atoms: int | None,
) -> Rules:
    """Return the rules that the options stand for. Raises InputError where nothing could pass."""
    from aldesign.survey.sieves import Rules

    return Rules(words(elements), words(exclude), words(require), min_elements, max_elements, max_count, max_atoms)
