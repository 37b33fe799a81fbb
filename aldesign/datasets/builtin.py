"""The compounds that every installation has: those computed for it, and the charge-neutral prototypes of AFLOW."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aldesign.chemistry.formula import canonical, compositions
from aldesign.chemistry.neutrality import Options, valid_mask
from aldesign.datasets.computed import Computed, ComputedSet, load_computed
from aldesign.errors import InputError
from aldesign.records import Crystal, LabelledRow

if TYPE_CHECKING:
    from aldesign.dft.results import Dos

FILES = Path(__file__).with_name("builtin_pbe")
NAME = "builtin"
"""How the data set is called where a gap says who computed it."""


@lru_cache(maxsize=1)
def builtin_set() -> ComputedSet:
    """Return every computed crystal, with the card.

    Raises:
        CheckpointError: The shipped files are missing or damaged.
    """
    return load_computed(FILES)


def builtin_card() -> Mapping[str, Any]:
    """Return what decided the numbers: settings, software, element references, failures, licence and limits."""
    return builtin_set().card


@lru_cache(maxsize=1)
def lowest() -> Mapping[str, Computed]:
    """Return the lowest computed crystal of each formula, by energy, in the order of the formulas."""
    found: dict[str, Computed] = {}
    for row in builtin_set().rows:
        if row.formula not in found or row.energy_ev_per_atom < found[row.formula].energy_ev_per_atom:
            found[row.formula] = row
    return {formula: found[formula] for formula in sorted(found)}


@lru_cache(maxsize=1)
def computed_formulas() -> frozenset[str]:
    """Return the canonical formulas that have a computed gap."""
    return frozenset(lowest())


def builtin_rows() -> list[LabelledRow]:
    """Return a labelled row for each computed formula, by formula: the gap of its lowest crystal, in eV.

    Metals have a gap of 0. Other crystals of a formula are in `builtin_set`.
    """
    level = str(builtin_card()["level"])
    return [LabelledRow(formula, row.gap_ev, None, level, row.crystal) for formula, row in lowest().items()]


def builtin_dos(formula: str) -> Dos:
    """Return the density of states of the lowest crystal of a formula, states per eV and cell.

    Raises:
        FormulaError: The text is no formula.
        InputError: The formula was not computed.
    """
    row = lowest().get(canonical(formula))
    if row is None:
        raise InputError(f"{formula} is not among the computed compounds", "`aldesign data builtin` lists them")
    return row.dos


@lru_cache(maxsize=1)
def _prototypes() -> dict[str, Crystal]:
    from aldesign.structures.templates import TemplateLibrary

    library = TemplateLibrary.from_aflow()
    formulas = list(library.formulas)
    parsed = compositions(formulas)
    # Alloys of metals pass SMACT's test by default; as compounds to learn gaps from they are not wanted.
    wanted = valid_mask(parsed, Options(include_alloys=False)) & (parsed.n_elements() > 1)
    found: dict[str, Crystal] = {}
    for formula, crystal, keep in zip(formulas, library.crystals, wanted.tolist(), strict=True):
        # Of several prototypes with one formula the smallest cell, then the first id.
        if keep and (formula not in found or _rank(crystal) < _rank(found[formula])):
            found[formula] = crystal
    return found


def _rank(crystal: Crystal) -> tuple[int, str]:
    return len(crystal), crystal.id


def builtin_formulas() -> list[str]:
    """Return the canonical formulas of the built-in compounds, sorted; those of `builtin_rows` have a gap.

    The others are the compounds of two or more elements among the AFLOW prototypes (Mehl et al., Comput. Mater.
    Sci. 136, S1, 2017) whose charges balance by SMACT's default states, alloys not counted.
    """
    return list(builtin_crystals())


def builtin_crystals() -> dict[str, Crystal]:
    """Return a crystal for each built-in formula: the lowest that was computed, else the prototype."""
    found = _prototypes() | {formula: row.crystal for formula, row in lowest().items()}
    return {formula: found[formula] for formula in sorted(found)}
