"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from aldesign.errors import InputError

OracleName = Annotated[str, typer.Option("--oracle", metavar="NAME", help="One of `aldesign list oracles`.")]
LoadOptions = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="Passed to the oracle, e.g. path=table.csv; repeatable."),
]
CrystalFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="JSON lines of crystals, joined to the table by id.")
]
Property = Annotated[str, typer.Option("--property", help="band_gap or formation_energy_per_atom.")]
Target = Annotated[
    str | None,
    typer.Option("--property", help="band_gap or formation_energy_per_atom; default what the oracle predicts."),
]
Level = Annotated[
    str | None, typer.Option(metavar="NAME", help="Level of theory of rows that state none, e.g. experiment [PBE].")
]
Device = Annotated[str, typer.Option(help="Where networks learn: auto, cpu or cuda; auto is CUDA where there is one.")]
Negative = Annotated[Literal["reject", "clip", "keep"], typer.Option(help="What to do with gaps below 0.")]
ValidationFraction = Annotated[float, typer.Option(help="Share of formulas for early stopping.")]
Seed = Annotated[int, typer.Option(help="Equal seeds give equal results.")]
Threads = Annotated[int, typer.Option(min=1, help="Processor threads; results may depend on it in the last digits.")]


def flowing(text: str | None) -> str:
    """Return a docstring's paragraphs without the line ends within them, which a help page would keep."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in (text or "").split("\n\n"))


def parse_options(texts: list[str] | None) -> dict[str, Any]:
    """Return ``KEY=VALUE`` words as a dictionary; values are read as YAML scalars.

    Raises:
        InputError: A word has no ``=``, or its value is not YAML.

    """
    found: dict[str, Any] = {}
    for text in texts or []:
        key, sign, value = text.partition("=")
        if not sign or not key.strip():
            raise InputError(f"--option {text!r} is not KEY=VALUE", "e.g. --option hidden=128")
        import yaml

        try:
            found[key.strip()] = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise InputError(f"--option {text!r}: the value is not YAML: {error}", "quote it") from error
    return found
