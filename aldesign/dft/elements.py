"""Reference crystals of the elements, and formation energies counted from them.

Every energy comes from the same code, data sets and cutoff; nothing is fitted or corrected. So formation energies are
those of plain PBE: too high by some 0.1 to 0.2 eV per atom in oxides, since PBE binds O2 by about 0.4 eV too much
(Wang, Maxisch and Ceder, Phys. Rev. B 73, 195107, 2006).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any

from aldesign.dft import setups
from aldesign.dft.laboratory import Laboratory
from aldesign.dft.results import Result, crystal_from_json
from aldesign.dft.settings import Settings
from aldesign.errors import CalculationError, InputError
from aldesign.records import Crystal

CRYSTALS, ENERGIES = "element_crystals.json", "element_energies.json"
_GAMMA_ALONE = 0.1  # k-points per Å⁻¹ that a molecule in a box asks for


@dataclass(frozen=True, eq=False)
class Reference:
    """What an element's formation energy of zero stands for.

    Attributes:
        crystal: The crystal, or the molecule in a box.
        is_molecule: Which of the two.
        geometry: Where its lengths come from.
        note: How far above the ground state it is known to lie, and other things to know; may be empty.

    """

    crystal: Crystal
    is_molecule: bool
    geometry: str
    note: str

    def settings(self, settings: Settings) -> Settings:
        """Return the settings for it under which its energy goes with energies under `settings`."""
        plain = replace(settings, spin="auto")
        if not self.is_molecule:
            return plain
        return replace(plain, kpoint_density=_GAMMA_ALONE, band_density=_GAMMA_ALONE, preset="custom")


@cache
def references() -> Mapping[str, Reference]:
    """Return the reference of every element that GPAW's own data sets cover."""
    found = {}
    for symbol, entry in _shipped(CRYSTALS)["elements"].items():
        crystal = crystal_from_json(entry)
        found[symbol] = Reference(crystal, entry["molecule"], entry["geometry"], entry["note"])
    return found


def reference_energy(element: str, settings: Settings, laboratory: Laboratory) -> float:
    """Return the energy of an element in eV per atom, on the scale of `settings`.

    A shipped one is taken where code, level, cutoff and data set agree; else the laboratory's store is asked, and at
    last the reference is computed.

    Raises:
        InputError: The level has no meaningful energies.
        CalculationError: There is no reference for the element, or its calculation failed.

    """
    if settings.level != "PBE":
        raise InputError(
            f"formation energies were asked for at {settings.level}, whose total energies mean little",
            'take Settings.of("production", level="PBE") for energies',
        )
    shipped = _stored_energy(element, settings)
    if shipped is not None:
        return shipped
    if element not in references():
        raise CalculationError("element", f"there is no reference crystal of {element}", "leave the element out")
    reference = references()[element]
    return laboratory.compute(reference.crystal, reference.settings(settings)).energy_ev_per_atom


def reference_energies(elements: Iterable[str], settings: Settings, laboratory: Laboratory) -> dict[str, float]:
    """Return `reference_energy` of each element, in eV per atom."""
    return {element: reference_energy(element, settings, laboratory) for element in sorted(set(elements))}


def shipped_energies(settings: Settings) -> dict[str, float]:
    """Return the shipped energies of elements that go with energies under `settings`, in eV per atom; maybe none."""
    found = {element: _stored_energy(element, settings) for element in _shipped(ENERGIES)["energies"]}
    return {element: energy for element, energy in found.items() if energy is not None}


def formation_energy_per_atom(result: Result, energies_ev_per_atom: Mapping[str, float]) -> float:
    """Return the energy of formation from the elements in eV per atom.

    Args:
        result: A calculation at the level PBE.
        energies_ev_per_atom: From `reference_energies` with the result's settings.

    Raises:
        InputError: The level has no meaningful energies, or an element has no reference.

    """
    if result.settings.level != "PBE":
        raise InputError(f"{result.formula} was computed at {result.settings.level}", "compute it at the level PBE")
    counts = Counter(result.crystal.species)
    without = sorted(counts.keys() - energies_ev_per_atom.keys())
    if without:
        raise InputError(f"{result.formula}: no reference energy of {', '.join(without)}", "use reference_energies")
    elements = sum(n * energies_ev_per_atom[symbol] for symbol, n in counts.items())
    return (result.energy_ev - elements) / len(result.crystal)


def _stored_energy(element: str, settings: Settings) -> float | None:
    table = _shipped(ENERGIES)
    entry = table["energies"].get(element)
    if entry is None or table["energy_digest"] != settings.energy_digest:
        return None
    return float(entry["ev_per_atom"]) if entry["data_set"] == setups.fingerprint(element) else None


@cache
def _shipped(name: str) -> dict[str, Any]:
    text = resources.files("aldesign.dft").joinpath(name).read_text(encoding="utf-8")
    content: dict[str, Any] = json.loads(text)
    return content
