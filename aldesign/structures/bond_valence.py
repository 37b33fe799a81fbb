"""How well a crystal's bonds account for its charges: bond-valence sums and the global instability index."""

from __future__ import annotations

import importlib.util
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from aldesign.chemistry.formula import compositions
from aldesign.chemistry.neutrality import assess
from aldesign.errors import StructureError
from aldesign.records import Crystal
from aldesign.structures.cif import formula_of
from aldesign.structures.graphs import neighbours

# At 6 Å the longest ionic bonds (CsI, 3.95 Å) have faded to 0.004 of a valence unit
CUTOFF = 6.0  # Å

# O'Keeffe and Brese, J. Am. Chem. Soc. 113, 3226 (1991): the decay of a bond with its length, and the elements that
# may be anions of their parameters
DECAY = 0.37  # Å
_ANIONS = frozenset(["H", "B", "C", "Si", "N", "P", "As", "Sb", "O", "S", "Se", "Te", "F", "Cl", "Br", "I"])

IUCR = "IUCr"
OKEEFFE_BRESE = "O'Keeffe-Brese"
_ANY_STATE = 9  # how the IUCr's table spells a parameter that serves every oxidation state

Pair = tuple[str, int, str, int]  # cation, its charge, anion, its charge


@dataclass(frozen=True, eq=False)
class BondValences:
    """The bond-valence sums of a crystal beside the charges that its formula asks for.

    Attributes:
        deviation: Global instability index in valence units: the root mean square over sites of sum less charge
            (Salinas-Sanchez et al., J. Solid State Chem. 100, 201, 1992). Below 0.2 for most well-determined
            crystals; None where it cannot be told.
        sums: Signed bond-valence sum of each site, shape (n,); None without a deviation.
        charges: Oxidation state of each element; empty where none are known.
        parameters: Source of the parameters of each pair, cation first, e.g. ``{("Na", "Cl"): "IUCr"}``.
        reason: Why there is no deviation; empty with one.

    """

    deviation: float | None = None
    sums: np.ndarray | None = None
    charges: Mapping[str, int] = field(default_factory=dict)
    parameters: Mapping[tuple[str, str], str] = field(default_factory=dict)
    reason: str = ""


def deviation(crystal: Crystal, charges: Mapping[str, int | None] | None = None) -> float | None:
    """Return the global instability index of a crystal in valence units, None where `bond_valences` says why."""
    return bond_valences(crystal, charges).deviation


def bond_valences(crystal: Crystal, charges: Mapping[str, int | None] | None = None) -> BondValences:
    """Return the bond-valence sums of a crystal and how far they are from its charges.

    A cation and an anion at a distance d share ``exp((R0 - d) / b)`` valence units (Brown, The Chemical Bond in
    Inorganic Chemistry, 2002); pairs of like charges share none. R0 and b are those of the IUCr's table as matminer
    carries it where it knows the pair, else those of O'Keeffe and Brese as pymatgen carries them, with their b of
    0.37 Å. The latter are coarser: of 1,009 crystals of the Materials Project the index is 0.22 in the median where all
    parameters are the IUCr's, 0.26 over all, and 0.99 where none is, mostly in compounds that are hardly ionic.
    Compare crystals of one formula, to which the same parameters apply.

    Args:
        crystal: The crystal.
        charges: Oxidation state of each element; by default those of `assess`.

    """
    found, why = _charges(formula_of(crystal)) if charges is None else (charges, "none was given")
    symbols = sorted(set(crystal.species))
    if unknown := [symbol for symbol in symbols if found.get(symbol) is None]:
        return BondValences(reason=f"no single oxidation state for {', '.join(unknown)}: {why}")
    states = {symbol: int(state) for symbol in symbols if (state := found[symbol]) is not None}
    pairs = [(a, b) for a in symbols for b in symbols if states[a] > 0 > states[b]]
    if not pairs:
        return BondValences(charges=states, reason="there is no pair of a cation and an anion")
    n = len(symbols)
    length, decay = np.full((n, n), -np.inf), np.ones((n, n))  # no parameters: no valence
    sources: dict[tuple[str, str], str] = {}
    for cation, anion in pairs:
        chosen = parameters(cation, states[cation], anion, states[anion])
        if chosen is None:
            reason = f"no bond-valence parameters for {cation}{states[cation]:+d} and {anion}{states[anion]:+d}"
            return BondValences(charges=states, reason=reason)
        i, j = symbols.index(cation), symbols.index(anion)
        length[i, j] = length[j, i] = chosen[0]
        decay[i, j] = decay[j, i] = chosen[1]
        sources[cation, anion] = chosen[2]
    try:
        target, source, distance, _ = neighbours(crystal, CUTOFF)
    except StructureError as error:
        return BondValences(charges=states, reason=error.message)
    kinds = np.array([symbols.index(symbol) for symbol in crystal.species])
    row, column = kinds[target], kinds[source]
    valence = np.exp((length[row, column] - distance) / decay[row, column])
    charge = np.array([states[symbol] for symbol in crystal.species], dtype=float)
    sums = np.sign(charge) * np.bincount(target, valence, minlength=len(crystal))
    return BondValences(float(np.sqrt(np.mean((sums - charge) ** 2))), sums, states, sources)


def parameters(cation: str, charge: int, anion: str, anion_charge: int) -> tuple[float, float, str] | None:
    """Return R0 and b in Å of a pair of ions and whose they are, None where no table knows the pair."""
    table = _iucr_table()
    for state in (charge, _ANY_STATE):
        if found := table.get((cation, state, anion, anion_charge)):
            return *found, IUCR
    elements = _okeeffe_brese_table()
    if anion not in _ANIONS or cation not in elements or anion not in elements:
        return None
    return okeeffe_brese_length(cation, anion), DECAY, OKEEFFE_BRESE


def okeeffe_brese_length(first: str, second: str) -> float:
    """Return R0 in Å of two elements from their sizes r and electronegativities c (O'Keeffe and Brese 1991)."""
    (r, c), (s, d) = _okeeffe_brese_table()[first], _okeeffe_brese_table()[second]
    return r + s - r * s * (math.sqrt(c) - math.sqrt(d)) ** 2 / (c * r + d * s)


@lru_cache(maxsize=65536)
def _charges(formula: str) -> tuple[Mapping[str, int], str]:
    found = assess(compositions([formula]))[0]
    return found.oxidation_states or {}, found.reason


@cache
def _okeeffe_brese_table() -> Mapping[str, tuple[float, float]]:
    """Return size in Å and electronegativity of each element, as pymatgen carries them."""
    from pymatgen.core.bond_valence import BV_PARAMS

    return {element.symbol: (float(entry["r"]), float(entry["c"])) for element, entry in BV_PARAMS.items()}


@cache
def _iucr_table() -> Mapping[Pair, tuple[float, float]]:
    """Return R0 and b in Å of each pair in I. D. Brown's table for the IUCr, as matminer carries it.

    Of several entries the first counts, for they come in order of reliability; those marked unchecked come last.
    """
    package = importlib.util.find_spec("matminer")
    folder = Path(str(package.origin)).parent / "utils" / "data_files" if package and package.origin else Path()
    path = max(folder.glob("bvparm20??.cif"), default=None)
    if path is None:
        raise StructureError(f"matminer has no bond-valence parameters in {folder}", "install matminer 0.9.3 or later")
    rows: list[tuple[bool, Pair, tuple[float, float]]] = []
    line_of = re.compile(r"([A-Z][a-z]?)\s+(-?\d+)\s+([A-Z][a-z]?)\s+(-?\d+)\s+([\d.]+)\s+([\d.]+)\s+\w+\s+(.*)")
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        if entry := line_of.fullmatch(line.strip()):
            first, state, second, other, length, decay, details = entry.groups()
            unchecked = "unchecked" in details
            rows.append((unchecked, (first, int(state), second, int(other)), (float(length), float(decay))))
    table: dict[Pair, tuple[float, float]] = {}
    for _, pair, values in sorted(rows, key=lambda row: row[0]):
        table.setdefault(pair, values)
    return table
