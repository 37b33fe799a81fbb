"""``aldesign generate``: new formulas from the generator."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aldesign.cli.options import Seed, Threads
from aldesign.cli.output import Json, note, print_json, print_rows
from aldesign.errors import InputError, OracleError

_BATCH = 8192  # at most
_EMPTY_BATCHES = 10  # so many batches without anything new mean that the wishes cannot be met


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
    require: Annotated[str | None, typer.Option(help="All of these, e.g. Li,O.")] = None,
    max_elements: Annotated[int | None, typer.Option(min=1, help="At most so many elements in a formula.")] = None,
    max_atoms: Annotated[int | None, typer.Option(min=1, help="At most so many atoms in a formula.")] = None,
    no_alloys: Annotated[bool, typer.Option("--no-alloys", help="No formulas of metals alone.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="Also formulas that SMACT's test refuses.")] = False,
    repeats: Annotated[bool, typer.Option("--repeats", help="Keep repeats.")] = False,
    threads: Threads = 1,
    as_json: Json = False,
) -> None:
    """Draw formulas from the generator; distinct ones unless --repeats."""
    from aldesign.chemistry.elements import ALPHABET, resolve
    from aldesign.learning.threads import pin_threads
    from aldesign.models.counting import decoded
    from aldesign.models.gan import FormulaGAN
    from aldesign.seeds import stream

    allowed = (resolve(_words(elements)) if elements else frozenset(ALPHABET)) & frozenset(ALPHABET)
    allowed -= resolve(_words(exclude)) if exclude else frozenset()
    if not allowed:
        raise InputError("no element is left to build formulas from", "widen --elements or narrow --exclude")
    pin_threads(threads)
    source = FormulaGAN.load(model)
    rng = stream(seed, 0, "generate")
    kept: list[str] = []
    drawn = barren = 0
    batches = source.stream_tables(
        rng,
        min(_BATCH, max(256, n)),
        max_elements=max_elements,
        allowed=allowed,
        required=_words(require) if require else (),
        alloys=not no_alloys,
        plausible=not raw,
        distinct=not repeats,
    )
    while len(kept) < n:
        batch = decoded(next(batches))
        drawn += len(batch)
        before = len(kept)
        kept += batch if max_atoms is None else _small(batch, max_atoms)
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


def _small(formulas: list[str], max_atoms: int) -> list[str]:
    from aldesign.chemistry.formula import compositions

    few = compositions(formulas).n_atoms() <= max_atoms
    return [formula for formula, good in zip(formulas, few.tolist(), strict=True) if good]
