"""Whether numbers can be formation energies in eV/atom: a slip of units is silent, and a hull of it is nonsense."""

from __future__ import annotations

import math
from collections.abc import Mapping

from aldesign.chemistry.elements import NUMBER

LIMIT = 10.0  # eV/atom; the most stable solids have about -4.6
# eV/atom, enthalpies of formation at 298 K (NIST-JANAF, CRC Handbook); computed ones lie within 20 %
KNOWN = {
    "NaCl": -2.13,
    "LiF": -3.20,
    "CaF2": -4.24,
    "MgO": -3.12,
    "CaO": -3.29,
    "Al2O3": -3.47,
    "TiO2": -3.26,
    "SiO2": -3.15,
}
_TRUST = (0.6, 1.5)  # of the known value; beyond is another unit

ELEMENT_SLACK = 0.05
"""How far below zero an element's energy may lie, in eV/atom: metastable reference phases differ by less."""


def implausible(energy_ev_per_atom: float) -> str:
    """Return why a number cannot be a formation energy in eV/atom; empty where it can."""
    if not math.isfinite(energy_ev_per_atom):
        return f"a formation energy of {energy_ev_per_atom} is not a number"
    if abs(energy_ev_per_atom) > LIMIT:
        return (
            f"a formation energy of {energy_ev_per_atom:g} eV/atom is beyond {LIMIT:g}, more than any solid's; "
            "is it in meV, in kJ/mol or per formula?"
        )
    return ""


def another_unit(energies: Mapping[str, float]) -> str:
    """Return what shows that energies by canonical formula are not in eV/atom; empty where nothing does.

    Two well-known compounds must be there, and all of them must be far off: one alone may be a slip.
    """
    there = {formula: energies[formula] for formula in KNOWN if formula in energies}
    wrong = {f: value for f, value in there.items() if not _TRUST[0] < value / KNOWN[f] < _TRUST[1]}
    if len(wrong) < 2 or len(wrong) < len(there):
        return ""
    formula, value = next(iter(wrong.items()))
    return (
        f"{len(wrong)} well-known compounds are far off: {formula} has {value:g}, known is {KNOWN[formula]:g} eV/atom"
    )


def another_zero(energies: Mapping[str, float]) -> str:
    """Return which element shows that energies by canonical formula, eV/atom, are not counted from the elements."""
    below = {f: value for f, value in energies.items() if f.rstrip("0123456789") in NUMBER and value < -ELEMENT_SLACK}
    if not below:
        return ""
    formula = min(below, key=below.__getitem__)
    return f"the element {formula} has {below[formula]:g} eV/atom, and formation energies count from the elements"
