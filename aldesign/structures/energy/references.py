"""What formation energies are counted from, on which scale, and how far two opinions on one may lie apart."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Literal

from aldesign.chemistry.elements import ELECTRONEGATIVITY, NUMBER
from aldesign.errors import StructureError
from aldesign.records import Crystal

Scale = Literal["mp2019", "mp2020"]
SCALE: Scale = "mp2019"
DISAGREEMENT = 0.10  # eV/atom; see `disagreement`
# Where the Materials Project's schemes of 2011 and 2020 correct: anions, and metals with a Hubbard U in oxides and
# fluorides. Jain et al., Phys. Rev. B 84, 045115 (2011); Wang et al., Sci. Rep. 11, 15496 (2021).
_ANIONS = frozenset(("H", "C", "N", "O", "F", "Si", "P", "S", "Cl", "Ge", "As", "Se", "Br", "Sb", "Te", "I"))
_WITH_U = frozenset(("V", "Cr", "Mn", "Fe", "Co", "Ni", "Mo", "W"))
# eV/atom on the scales of 2019 (the Materials Project's column) and 2020 (the potential, from the elements)
_WITNESSES = {
    "LiBr": (-1.573, -1.829),
    "KBr": (-1.766, -2.050),
    "RbBr": (-1.748, -2.063),
    "CsBr": (-1.790, -2.091),
    "AgBr": (-0.372, -0.594),
    "CaBr2": (-2.046, -2.420),
    "SrBr2": (-2.156, -2.528),
    "CdBr2": (-0.890, -1.237),
    "ZnSe": (-0.711, -0.915),
    "PbSe": (-0.563, -0.777),
    "SrSe": (-2.067, -2.278),
    "Bi2Se3": (-0.384, -0.626),
}
_NEAR = 0.1  # eV/atom; farther off is a witness of neither


def _stored(name: str) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(
        resources.files("aldesign.structures").joinpath(name).read_text(encoding="utf-8")
    )
    return table


@cache
def references() -> Mapping[str, float]:
    """Return the potential's energy of each element in eV/atom, relaxed; the file says how they were made."""
    elements = _stored("chgnet_elements.json")["elements"]
    return {symbol: float(entry["energy"]) for symbol, entry in elements.items()}


@cache
def shifts() -> Mapping[str, float]:
    """Return what an atom of each kind (see `terms`) adds on the scale ``mp2019``, in eV; the file says why and how."""
    return {name: float(value) for name, value in _stored("chgnet_mp2019.json")["terms"].items()}


def terms(amounts: Mapping[str, float]) -> dict[str, float]:
    """Return the shares of atoms that the two scales treat differently.

    Keys are ``"Br"`` for an element, ``"Br anion"`` where it is the most electronegative of a compound, and
    ``"Fe oxide or fluoride"`` for a metal with a Hubbard U beside oxygen or fluorine. An element alone has none.

    Args:
        amounts: Atoms by symbol.

    """
    if len(amounts) < 2:
        return {}
    total = sum(amounts.values())
    shares = {symbol: n / total for symbol, n in amounts.items()}
    # some noble gases have no electronegativity: they are nobody's anion
    pull = {symbol: float(ELECTRONEGATIVITY[NUMBER[symbol]]) for symbol in sorted(amounts)}
    anion = max(pull, key=lambda symbol: -1.0 if math.isnan(pull[symbol]) else pull[symbol])
    found = dict(shares)
    if anion in _ANIONS:
        found[f"{anion} anion"] = shares[anion]
    if amounts.keys() & {"O", "F"}:
        found |= {f"{symbol} oxide or fluoride": shares[symbol] for symbol in sorted(_WITH_U & amounts.keys())}
    return found


def formation_energy(crystal: Crystal, energy_ev_per_atom: float, scale: Scale = SCALE) -> float:
    """Return the formation energy in eV/atom.

    Args:
        crystal: Of which only the composition counts.
        energy_ev_per_atom: The potential's.
        scale: ``mp2020`` is the potential's own, that of the Materials Project since 2021: energies less those of the
            elements, nothing fitted. ``mp2019`` is that of 2019, which the shipped crystal graph network and Matbench
            have: the differences of the two schemes, fitted, are added. Hulls and formation energies must share one.

    Raises:
        StructureError: An element has no reference.

    """
    table = references()
    counts = Counter(crystal.species)
    missing = sorted(set(counts) - set(table))
    if missing:
        raise StructureError(f"no elemental reference for {', '.join(missing)}", "CHGNet knows 89 elements, H to Pu")
    value = energy_ev_per_atom - sum(table[symbol] * n for symbol, n in counts.items()) / len(crystal)
    return rescaled(counts, value, "mp2020", scale)


def rescaled(amounts: Mapping[str, float], formation_energy_ev_per_atom: float, source: Scale, target: Scale) -> float:
    """Return a formation energy on another scale, eV/atom; see `formation_energy`.

    Args:
        amounts: Atoms by symbol.
        formation_energy_ev_per_atom: On the scale `source`.
        source: Where it comes from.
        target: Where it is to go.

    """
    if source == target:
        return formation_energy_ev_per_atom
    shift = sum(shifts().get(term, 0.0) * share for term, share in terms(amounts).items())
    return formation_energy_ev_per_atom + (shift if target == "mp2019" else -shift)


def scale_of(formation_energies_ev_per_atom: Mapping[str, float]) -> Scale | None:
    """Return the scale of a table of formation energies, by canonical formula; None where no witness is among them.

    The witnesses are bromides and selenides, which the scheme of 2019 left uncorrected: 0.2 to 0.4 eV/atom apart.
    Measured enthalpies lie near the scale of 2020.
    """
    votes = [
        value < (then + now) / 2
        for formula, (then, now) in _WITNESSES.items()
        if (value := formation_energies_ev_per_atom.get(formula)) is not None and now - _NEAR < value < then + _NEAR
    ]
    if not votes or sum(votes) * 2 == len(votes):
        return None
    return "mp2020" if sum(votes) * 2 > len(votes) else "mp2019"


def disagreement(
    chgnet_ev_per_atom: float, graph_ev_per_atom: float, graph_std_ev_per_atom: float | None = None
) -> bool:
    """Return whether two formation energies of one crystal, the first on the scale ``mp2019``, contradict each other.

    They do where they differ by more than 0.10 eV/atom, and by more than the network's own uncertainty where that is
    larger. On 1,200 crystals of formulas that neither the network nor the references have seen, that flags 2.0 %;
    of these 46 % have an error above 0.1 eV/atom on either side, of the others 1.5 %. Multiples of the uncertainty
    told them apart less well (2 standard deviations: 9.8 % flagged, 11 % of them wrong).
    """
    return abs(chgnet_ev_per_atom - graph_ev_per_atom) > max(DISAGREEMENT, graph_std_ev_per_atom or 0.0)
