"""Which column of a user's table holds the formula, the label, its uncertainty: guessed and reported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from aldesign.errors import InputError

# Tiers of names, best first. Within a tier two different columns are a tie, and a tie is the user's to break.
FORMULA_NAMES: tuple[tuple[str, ...], ...] = (
    ("formula", "reduced_formula", "pretty_formula", "formula_pretty", "chemical_formula", "canonical_formula"),
    ("composition", "material_composition", "chemical_composition"),
    ("material", "compound", "materials", "compounds"),
)
ID_NAMES = ("id", "material_id", "mp_id", "mbid")
STD_NAMES = ("std", "sigma", "uncertainty", "gap_std", "band_gap_std", "value_std", "standard_deviation", "stdev")
LEVEL_NAMES = ("level", "level_of_theory", "functional")
HULL_NAMES = ("e_above_hull", "energy_above_hull", "ehull", "e_hull")


@dataclass(frozen=True)
class Quantity:
    """A property that a table may hold.

    Attributes:
        name: As in an oracle's card.
        unit: Unit of its labels.
        signed: Whether negative labels make sense.
        limit: No solid's value is larger in size; a label beyond it has another unit or is a slip.
        names: Tiers of column names, best first.

    """

    name: str
    unit: str
    signed: bool
    limit: float
    names: tuple[tuple[str, ...], ...]


_GENERIC = ("target", "value", "y", "label")
QUANTITIES = {
    "band_gap": Quantity(
        "band_gap",
        "eV",
        False,
        25.0,  # solid neon, the widest, has 21.7
        (
            ("band_gap", "bandgap", "gap", "eg", "bg", "e_g", "energy_gap", "gap_pbe", "band_gap_pbe", "egap"),
            ("gap_expt", "expt_gap", "gap_exp", "band_gap_expt", "experimental_gap", "measured_gap"),
            _GENERIC,
        ),
    ),
    "formation_energy_per_atom": Quantity(
        "formation_energy_per_atom",
        "eV/atom",
        True,
        10.0,  # the most stable fluorides have -4.6
        (
            ("formation_energy_per_atom", "e_form", "formation_energy", "ef", "formation_energy_peratom", "eform"),
            _GENERIC,
        ),
    ),
}


def quantity(name: str) -> Quantity:
    """Return the property called `name`; InputError for one that no table here can hold."""
    if name not in QUANTITIES:
        raise InputError(f"no property is called {name!r}", f"allowed: {', '.join(QUANTITIES)}")
    return QUANTITIES[name]


def plain(name: str) -> str:
    """Return a column name in lower case with its unit and punctuation removed: ``Band gap (eV)`` is ``band_gap``."""
    name = re.sub(r"[(\[{].*?[)\]}]", "", name).strip().lower()
    name = re.sub(r"[^a-z0-9]+", "_", name).strip("_")
    return name.removesuffix("_ev").removesuffix("_ev_atom") or name


def find(columns: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the column whose plain name comes first in `names`, or None."""
    by_name = {plain(column): column for column in reversed(columns)}
    return next((by_name[name] for name in names if name in by_name), None)


def named(path: Path, columns: Sequence[str], wanted: str, option: str) -> str:
    """Return the column that the user named: exactly, or else ignoring case.

    Raises:
        InputError: The file has no such column.

    """
    if wanted in columns:
        return wanted
    loose = [column for column in columns if column.lower() == wanted.lower()]
    if len(loose) == 1:
        return loose[0]
    near = get_close_matches(wanted, columns, n=1)
    meant = f"did you mean {near[0]!r}? " if near else ""
    raise InputError(f"{path} has no column {wanted!r}", f"{meant}give {option} one of: {', '.join(columns)}")


def guess(path: Path, columns: Sequence[str], tiers: Sequence[Sequence[str]], what: str, option: str) -> str | None:
    """Return the column of the best tier that matches, or None where no known name is there.

    Raises:
        InputError: Two columns of the same tier match.

    """
    for tier in tiers:
        found = [column for column in columns if plain(column) in tier]
        exact = [column for column in found if column.lower() == tier[0]]
        if len(found) == 1 or len(exact) == 1:
            return (exact or found)[0]
        if found:
            raise InputError(
                f"{path} has {len(found)} columns that may hold the {what}: {', '.join(found)}",
                f"choose with {option}; its columns are: {', '.join(columns)}",
            )
    return None
