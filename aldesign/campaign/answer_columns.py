"""Which column of a table of answers holds what, in which unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aldesign.campaign.units import split_name
from aldesign.errors import InputError
from aldesign.tables import columns as names

HINT = (
    "columns: formula, trial or cif; value in eV, or with its unit as in gap_meV, or a column unit; if wanted std, "
    "level, error, comment, source"
)
_KEYS = {
    "formula": names.FORMULA_NAMES,
    "trial": (("trial", "trial_number"),),
    "cif": (("cif", "cif_file", "cif_name"),),
}
_OTHERS = {
    "unit": (("unit", "units"),),
    "level": (names.LEVEL_NAMES,),
    "error": (("error", "failure", "error_message"),),
}
_VALUES = names.QUANTITIES["band_gap"].names
_EDGES = ("wavelength", "absorption_edge", "edge", "lambda", "onset")  # these need a unit
_STDS = (*names.STD_NAMES, "gap_uncertainty", "uncert", "error_bar", "errorbar", "err")
QUESTION_COLUMNS = (
    "expected_gap_ev",
    "expected_std_ev",
    "score",
    "state",
    "asked_to",
    "asked_at",
    "proposed_by",
    "iteration",
    "screens",
    "crystal",
    "template_id",
    "template_formula",
    "emd",
    "space_group",
    "formation_energy_ev_per_atom",
    "note",
    "campaign",
)
"""Columns that come with the questions: in a table of answers they say nothing."""


@dataclass(frozen=True)
class Layout:
    """The columns of a table of answers.

    Attributes:
        keys: Columns that say whose answer it is, by ``formula``, ``trial`` and ``cif``.
        values: Columns that may hold the gap, with their units, empty where the name has none.
        stds: The same for its standard deviation.
        unit: Column of the unit.
        level: Column of the level of theory.
        error: Column that says why there is no value.
        kept: All other columns.

    """

    keys: Mapping[str, str]
    values: Mapping[str, str]
    stds: Mapping[str, str]
    unit: str | None
    level: str | None
    error: str | None
    kept: tuple[str, ...]


def layout(path: Path, columns: Sequence[str]) -> Layout:
    """Return which column holds what.

    Raises:
        InputError: None holds the material or the gap, or one is in an unknown unit.

    """
    found = {role: column for role, tiers in {**_KEYS, **_OTHERS}.items() if (column := _best(columns, tiers))}
    free = [c for c in columns if c and c not in (*found.values(), *QUESTION_COLUMNS)]
    stds = {column: unit for column in free if (unit := _unit(path, column, _STDS)) is not None}
    values: dict[str, str] = {}
    for tier in _VALUES:
        values = {c: unit for c in free if c not in stds and (unit := _unit(path, c, (*tier, *_EDGES))) is not None}
        if values:
            break
    keys = {key: found[key] for key in _KEYS if key in found}
    for what, present in (("formula, trial or cif", keys), ("value", values)):
        if not present:
            raise InputError(f"{path} has the columns {', '.join(columns)}; one {what} is needed", HINT)
    kept = tuple(column for column in free if column not in stds and column not in values)
    return Layout(keys, values, stds, found.get("unit"), found.get("level"), found.get("error"), kept)


def _best(columns: Sequence[str], tiers: Sequence[Sequence[str]]) -> str | None:
    """Return the column whose name comes first in the best tier."""
    return next((column for tier in tiers if (column := names.find(columns, tier)) is not None), None)


def _unit(path: Path, column: str, wanted: Sequence[str]) -> str | None:
    """Return the unit in a column's name, empty where there is none; None where the column is not one of `wanted`."""
    try:
        base, unit = split_name(column)
        wrong = ""
    except ValueError as error:
        base, unit, wrong = column, "", str(error)
    if names.plain(base) not in wanted:
        return None
    if wrong:
        raise InputError(f"{path}, column {column!r}: {wrong}", HINT)
    if names.plain(base) in _EDGES and not unit:
        raise InputError(f"{path}, column {column!r} has no unit", f"call it {column}_nm, or {column}_ev")
    return unit
