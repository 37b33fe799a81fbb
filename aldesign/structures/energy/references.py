"""What formation energies are counted from, and how far two opinions on one may lie apart."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib import resources

from aldesign.errors import StructureError
from aldesign.records import Crystal


@cache
def references() -> Mapping[str, float]:
    """Return the energy of each element in eV/atom that formation energies are counted from.

    The file says how they were made and what formation energies they give.
    """
    text = resources.files("aldesign.structures").joinpath("chgnet_elements.json").read_text(encoding="utf-8")
    return {symbol: float(entry["energy"]) for symbol, entry in json.loads(text)["elements"].items()}


def formation_energy(crystal: Crystal, energy_ev_per_atom: float) -> float:
    """Return the formation energy in eV/atom against `references`.

    Raises:
        StructureError: An element has no reference.

    """
    table = references()
    counts = Counter(crystal.species)
    missing = sorted(set(counts) - set(table))
    if missing:
        raise StructureError(f"no elemental reference for {', '.join(missing)}", "CHGNet knows 89 elements, H to Pu")
    return energy_ev_per_atom - sum(table[symbol] * n for symbol, n in counts.items()) / len(crystal)
