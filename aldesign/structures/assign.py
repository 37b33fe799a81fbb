"""Give a formula the crystals of near templates that accept it, or say why none does."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from aldesign.errors import StructureError
from aldesign.records import Crystal
from aldesign.structures.geometry import space_group
from aldesign.structures.substitution import substitute
from aldesign.structures.templates import TemplateLibrary, amounts_of

SYMPREC = 0.01  # Å


@dataclass(frozen=True)
class Assignment:
    """The crystal given to a formula, or the reason why there is none.

    Attributes:
        formula: The formula as asked.
        crystal: Its crystal, or None.
        template_id: Id of the template, empty without a crystal.
        template_formula: Canonical formula of the template.
        emd: Distance to the template's formula on the modified Pettifor scale; None without a crystal.
        space_group: International symbol, empty without a crystal.
        space_group_number: 1 to 230; 0 without a crystal.
        mapping: Template element to new element.
        volume_per_atom: Å³ per atom; None without a crystal.
        min_distance: Shortest distance of two sites in Å; None without a crystal.
        reason: Why there is no crystal; empty with one.
        warnings: What a careful reader would want to know, e.g. nearer templates that were refused.
        likelihood: How likely this structure type is the right one, 0 to 1; None where nothing can say.
        support: How many near templates share the structure type; 0 without a crystal.
        bond_valence_deviation: Global instability index in valence units; None where it is unknown.

    """

    formula: str
    crystal: Crystal | None = None
    template_id: str = ""
    template_formula: str = ""
    emd: float | None = None
    space_group: str = ""
    space_group_number: int = 0
    mapping: Mapping[str, str] = field(default_factory=dict)
    volume_per_atom: float | None = None
    min_distance: float | None = None
    reason: str = ""
    warnings: tuple[str, ...] = ()
    likelihood: float | None = None
    support: int = 0
    bond_valence_deviation: float | None = None


def assign(formula: str, library: TemplateLibrary, max_emd: float = 10.0, tries: int = 5) -> Assignment:
    """Return the crystal that the best fitting template gives a formula: the first of `candidates`."""
    return candidates(formula, library, max_emd, tries, keep=1)[0]


def candidates(
    formula: str, library: TemplateLibrary, max_emd: float = 10.0, tries: int = 20, keep: int = 3
) -> list[Assignment]:
    """Return the crystals that near templates give a formula, best first, each of another structure type.

    Args:
        formula: Any formula.
        library: Where templates come from.
        max_emd: Largest distance of the two formulas on the modified Pettifor scale.
        tries: How many templates to try.
        keep: How many crystals at most.

    Returns:
        At least one assignment; where there is no crystal the only one says in its `reason` which amounts found no
        template, how far the nearest one is, or what overlapped.

    Raises:
        FormulaError: The text is no formula.

    """
    amounts = amounts_of(formula)
    if not amounts:
        return [Assignment(formula, reason="fractional amounts: a crystal needs whole atoms")]
    matches = library.nearest(formula, k=tries)
    if not matches:
        return [Assignment(formula, reason=f"no template with amounts {':'.join(map(str, amounts))}")]
    near = [match for match in matches if match.emd <= max_emd]
    if not near:
        first = matches[0]
        name = f"{first.template.id} ({first.template_formula})"
        return [Assignment(formula, reason=f"nearest template {name} is EMD {first.emd:.1f} > {max_emd:g}")]
    found: dict[tuple[int, int], Assignment] = {}
    refused: list[str] = []
    for match in near:
        try:
            made = substitute(match.template, formula, match.template_formula)
        except StructureError as error:
            refused.append(error.message)
            continue
        symbol, number = space_group(made.crystal, SYMPREC)
        kind = (number, len(made.crystal))
        if kind in found:
            found[kind] = replace(found[kind], support=found[kind].support + 1)
            continue
        if len(found) == keep:
            continue
        notes = [f"a nearer template was refused: {text}" for text in refused]
        found[kind] = Assignment(
            formula,
            made.crystal,
            match.template.id,
            match.template_formula,
            match.emd,
            symbol,
            number,
            made.mapping,
            made.volume_per_atom,
            made.min_distance,
            warnings=(*made.warnings, *notes),
            support=1,
        )
    if found:
        return list(found.values())
    every = "the only near template was" if len(near) == 1 else f"all {len(near)} near templates were"
    nearest = "" if len(near) == 1 else "nearest: "
    tail = "" if len(matches) == len(near) or math.isinf(max_emd) else f"; the next is beyond EMD {max_emd:g}"
    every_refusal = tuple(f"refused: {text}" for text in dict.fromkeys(refused))
    return [Assignment(formula, reason=f"{every} refused; {nearest}{refused[0]}{tail}", warnings=every_refusal)]
