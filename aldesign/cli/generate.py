"""``aldesign generate``: new formulas from the generator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aldesign.cli.options import Seed, Threads
from aldesign.cli.output import Json, note, print_json, print_rows
from aldesign.errors import InputError, OracleError

if TYPE_CHECKING:
    import numpy as np

    from aldesign.chemistry.formula import Compositions

_BATCH = 1024
_EMPTY_BATCHES = 20  # so many batches without anything new mean that the wishes cannot be met


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(generate)


def generate(
    n: Annotated[int, typer.Option("-n", "--number", min=1, help="How many formulas.")],
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="The CSV; default standard output.")] = None,
    model: Annotated[Path | None, typer.Option(metavar="DIR", help="Weights of `train`; default the shipped.")] = None,
    seed: Seed = 0,
    elements: Annotated[str | None, typer.Option(help="Only these, e.g. Na,K,halogen.")] = None,
    exclude: Annotated[str | None, typer.Option(help="None of these, e.g. radioactive,toxic,Tc.")] = None,
    max_elements: Annotated[int | None, typer.Option(min=1, help="At most so many elements in a formula.")] = None,
    max_atoms: Annotated[int | None, typer.Option(min=1, help="At most so many atoms in a formula.")] = None,
    valid_only: Annotated[
        bool, typer.Option("--valid-only", help="Only formulas that pass `aldesign screen`.")
    ] = False,
    repeats: Annotated[bool, typer.Option("--repeats", help="Keep repeats: the raw sample.")] = False,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Draw formulas from the generator; distinct ones unless --repeats."""
    from aldesign.chemistry.elements import resolve
    from aldesign.learning.threads import pin_threads
    from aldesign.models.gan import FormulaGAN
    from aldesign.seeds import stream

    allowed = resolve(_words(elements)) if elements else None
    refused = resolve(_words(exclude)) if exclude else frozenset()
    if allowed is not None and not allowed - refused:
        raise InputError("no element is left to build formulas from", "widen --elements or narrow --exclude")
    pin_threads(threads)
    source = FormulaGAN.load(model)
    rng = stream(seed, 0, "generate")
    found: dict[str, None] = {}
    kept: list[str] = []
    drawn = barren = 0
    while len(kept) < n:
        batch = source.sample(_BATCH, rng)
        drawn += len(batch)
        before = len(kept)
        for formula in _wanted(batch, allowed, refused, max_elements, max_atoms, valid_only):
            if repeats or formula not in found:
                found[formula] = None
                kept.append(formula)
        barren = barren + 1 if len(kept) == before else 0
        if barren == _EMPTY_BATCHES:
            raise OracleError(
                f"{drawn} samples gave only {len(kept)} of the {n} formulas wanted",
                "ask for fewer, or loosen the rules",
            )
    kept = kept[:n]
    if output is None:
        print_json(kept) if as_json else print_rows(("formula",), ([formula] for formula in kept))
        return
    from aldesign.files import write_csv, write_json

    if as_json or output.suffix == ".json":
        write_json(output, kept)
    else:
        write_csv(output, ("formula",), ([formula] for formula in kept))
    note(f"{n} formulas out of {drawn} samples: {output}")


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _wanted(
    formulas: list[str],
    allowed: frozenset[str] | None,
    refused: frozenset[str],
    max_elements: int | None,
    max_atoms: int | None,
    valid_only: bool,
) -> list[str]:
    from aldesign.chemistry.formula import compositions
    from aldesign.chemistry.neutrality import valid_mask

    parsed = compositions(formulas)
    keep = _only(parsed, allowed, refused)
    if max_elements is not None:
        keep &= parsed.n_elements() <= max_elements
    if max_atoms is not None:
        keep &= parsed.n_atoms() <= max_atoms
    if valid_only:
        keep &= valid_mask(parsed)
    return [formula for formula, good in zip(formulas, keep.tolist(), strict=True) if good]


def _only(parsed: Compositions, allowed: frozenset[str] | None, refused: frozenset[str]) -> np.ndarray:
    import numpy as np

    from aldesign.chemistry.elements import SYMBOLS

    good = np.array([not z or ((allowed is None or s in allowed) and s not in refused) for z, s in enumerate(SYMBOLS)])
    kept: np.ndarray = good[parsed.numbers].all(axis=1)
    return kept
