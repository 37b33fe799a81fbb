"""Other structures of binary compounds: rock salt, zinc blende and caesium chloride for each that has one of them.

The three are cubic with two atoms in the cell and no free coordinate, so that a crystal is known by its volume alone,
and a calculation of it is cheap. Together they show how a gap depends on the structure, which one crystal a formula
cannot.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.chemistry.elements import CLASSES, NUMBER
from aldesign.dft.spin import moments_mb
from aldesign.errors import InputError
from aldesign.records import Crystal
from aldesign.structures.geometry import lattice_vectors

ABOVE = 0.25  # eV/atom by CHGNet above the lowest crystal of the formula
RELATIVE_VOLUMES = {"rocksalt": 1.0, "zincblende": 1.22, "caesium chloride": 0.92}
"""Usual volumes per atom beside that of rock salt, where the search for the lowest begins."""
_SECOND_SITE = {"rocksalt": 0.5, "zincblende": 0.25, "caesium chloride": 0.5}
_GROUPS = {"rocksalt": "Fm-3m", "zincblende": "F-43m", "caesium chloride": "Pm-3m"}
_KIN = {**RELATIVE_VOLUMES, "wurtzite": 1.22}
_EDGES = np.array([0.90, 0.94, 0.97, 1.0, 1.03, 1.06, 1.10])


@dataclass(frozen=True, eq=False)
class _Wish:
    formula: str
    prototype: str
    crystal: Crystal


def polymorphs(path: Path) -> list[dict[str, Any]]:
    """Return lines of a plan for the polymorphs that a plan lacks, those of fewest atoms in the periodic table first.

    Left out are compounds without a nonmetal or metalloid, those with open d or f shells, and structures that CHGNet
    puts more than `ABOVE` above the lowest one of the plan.

    Args:
        path: A plan, as `aldesign data plan` writes it.

    Raises:
        InputError: The file cannot be read, or is no plan.
    """
    from aldesign.structures.energy import evaluate_many

    rows = _read(path)
    listed, lowest = {row["id"] for row in rows}, dict[str, float]()
    for row in rows:
        energy = float(row["chgnet_formation_energy"])
        lowest[row["formula"]] = min(energy, lowest.get(row["formula"], energy))
    settled = _at_rest([wish for wish in _wishes(rows) if wish.crystal.id not in listed])
    found = []
    for wish, answer in zip(settled, evaluate_many([wish.crystal for wish in settled], relax=False), strict=True):
        formation = answer.formation_energy_ev_per_atom
        if formation is not None and formation <= lowest[wish.formula] + ABOVE:
            found.append(_line(wish, formation, formation - lowest[wish.formula]))
    return sorted(found, key=lambda line: (_weight(line["species"]), line["id"]))


def _read(path: Path) -> list[dict[str, Any]]:
    needed = {"id", "formula", "prototype", "lattice", "species", "frac", "chgnet_formation_energy"}
    try:
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is no plan: {error}", "give the file of `aldesign data plan`") from error
    if not rows or any(not isinstance(row, dict) or needed - row.keys() for row in rows):
        raise InputError(f"{path} is no plan: a line lacks {', '.join(sorted(needed))}", "see `aldesign data plan`")
    return rows


def _wishes(rows: Sequence[Mapping[str, Any]]) -> list[_Wish]:
    """Return all three structures of each binary compound of a plan, at usual volumes."""
    wishes: dict[str, list[_Wish]] = {}
    for row in rows:
        species, formula = list(row["species"]), str(row["formula"])
        pair = list(dict.fromkeys(species))
        if row["prototype"] not in _KIN or len(pair) != 2 or formula in wishes:
            continue
        if set(pair) <= CLASSES["metal"] or any(moments_mb(dict.fromkeys(pair, 1)).values()):
            continue
        volume = abs(float(np.linalg.det(lattice_vectors(tuple(row["lattice"])))))
        unit = volume / (len(species) / 2) / _KIN[row["prototype"]]  # of two atoms as in rock salt, Å³
        wishes[formula] = [
            _Wish(formula, name, _cubic(f"{formula}/{name}", name, pair, unit * relative))
            for name, relative in RELATIVE_VOLUMES.items()
        ]
    return [wish for formula in wishes for wish in wishes[formula]]


def _cubic(name: str, prototype: str, pair: Sequence[str], volume: float) -> Crystal:
    primitive = prototype == "caesium chloride"
    edge = volume ** (1 / 3) if primitive else (4 * volume) ** (1 / 3) / 2**0.5
    angle = 90.0 if primitive else 60.0
    frac = np.array([[0.0] * 3, [_SECOND_SITE[prototype]] * 3])
    return Crystal(name, (edge, edge, edge, angle, angle, angle), tuple(pair), frac)


def _at_rest(wishes: Sequence[_Wish]) -> list[_Wish]:
    """Return the crystals at the volume where CHGNet's energy is lowest, by a parabola through three of seven edges."""
    from aldesign.structures.energy import evaluate_many

    trials = [_scaled(wish.crystal, float(edge)) for wish in wishes for edge in _EDGES]
    answers = [energy.energy_ev_per_atom for energy in evaluate_many(trials, relax=False)]
    energies = np.array([np.inf if answer is None else answer for answer in answers]).reshape(-1, len(_EDGES))
    found = []
    for wish, values in zip(wishes, energies, strict=True):
        place = int(np.clip(values.argmin(), 1, len(_EDGES) - 2))
        near = slice(place - 1, place + 2)
        if not np.isfinite(values[near]).all():
            continue
        bend, slope, _ = np.polyfit(_EDGES[near], values[near], 2)
        edge = -slope / (2 * bend) if bend > 0 else 0.0
        if _EDGES[0] <= edge <= _EDGES[-1]:  # else there is no rest near a usual volume
            found.append(_Wish(wish.formula, wish.prototype, _scaled(wish.crystal, float(edge))))
    return found


def _scaled(crystal: Crystal, factor: float) -> Crystal:
    a, b, c, *angles = crystal.lattice
    return Crystal(crystal.id, (a * factor, b * factor, c * factor, *angles), crystal.species, crystal.frac)  # type: ignore[arg-type]


def _line(wish: _Wish, formation_energy: float, above: float) -> dict[str, Any]:
    return {
        "id": wish.crystal.id,
        "formula": wish.formula,
        "prototype": wish.prototype,
        "lattice": [round(x, 6) for x in wish.crystal.lattice],
        "species": list(wish.crystal.species),
        "frac": wish.crystal.frac.tolist(),
        "space_group": _GROUPS[wish.prototype],
        "chgnet_formation_energy": round(formation_energy, 4),
        "chgnet_above_hull": round(above, 4),
        "source": "polymorph",
    }


def _weight(species: Sequence[str]) -> int:
    return sum(NUMBER[symbol] for symbol in species)
