"""Whether a CIF's text gives back the crystal that was meant, by pymatgen and by ASE alike."""

from __future__ import annotations

import io
import warnings
from collections import Counter

import numpy as np

from aldesign.errors import InputError, StructureError
from aldesign.records import Crystal
from aldesign.structures.cif.reading import parse_cif
from aldesign.structures.cif.records import formula_of, from_record
from aldesign.structures.geometry import closest_contact, lattice_vectors, volume
from aldesign.structures.graphs import neighbours
from aldesign.structures.radii import COVALENT

# Of 13,000 crystals of the Materials Project none has two atoms nearer than 0.61 of the sum of their covalent radii
OVERLAP_FRACTION = 0.5
OVERLAP = 0.5  # Å, where an element has no radius

REACH = 6.0  # Å; how far environments are compared
SAME_PLACE = 0.01  # Å, between the same site of two readers


def overlap(crystal: Crystal) -> str:
    """Return which two sites of a crystal stand on each other, and how near; empty where none do.

    Two atoms overlap below half the sum of their covalent radii, which those of no known crystal are.
    """
    symbols = set(crystal.species)
    allowed = {
        (a, b): OVERLAP_FRACTION * (COVALENT[a] + COVALENT[b]) if a in COVALENT and b in COVALENT else OVERLAP
        for a in symbols
        for b in symbols
    }
    contact, _ = closest_contact(crystal, allowed)
    if contact.ratio >= 1.0:
        return ""
    pair = f"{contact.first} and {contact.second}"
    return f"{pair} overlap: they are {contact.distance:.2f} Å apart, and at least {contact.limit:.2f} Å is wanted"


def fault_of(text: str, crystal: Crystal, tolerance: float) -> str:
    """Return how the crystal that readers find in a CIF's text differs from the one meant; empty where it does not.

    Args:
        text: The CIF.
        crystal: What it should hold, in whatever cell.
        tolerance: Å by which a distance between two sites may change.

    """
    try:
        read = parse_cif(text)
        return difference(crystal, read, tolerance) or overlap(read) or _fault_for_ase(text, read)
    except (InputError, StructureError) as error:
        return error.message


def difference(crystal: Crystal, other: Crystal, tolerance: float) -> str:
    """Return how a crystal differs from another, whatever their cells and origins; empty where it does not.

    They are the same where composition and volume per atom agree and every site of either has its like in the other:
    an atom of the same element with the same sorted distances to the atoms of each element within 6 Å. Mirror images
    are taken for the same.

    Raises:
        StructureError: A cell is impossible, or sites coincide.

    """
    if formula_of(other) != formula_of(crystal):
        return f"composition {formula_of(other)} instead of {formula_of(crystal)}"
    ratio = (volume(other) / len(other)) / (volume(crystal) / len(crystal))
    if abs(ratio - 1.0) > 0.01:
        return f"volume per atom changed by {100 * (ratio - 1):.2f} %"
    ours, theirs = _environments(crystal), _environments(other)
    places = max(ours.shape[2], theirs.shape[2])
    ours, theirs = (_padded(x, places) for x in (ours, theirs))
    first, second = np.array(crystal.species), np.array(other.species)
    worst = 0.0
    for symbol in sorted(set(crystal.species)):
        mine, yours = ours[first == symbol], theirs[second == symbol]
        apart = np.array([np.abs(yours - row).max(axis=(1, 2)) for row in mine])
        worst = max(worst, float(apart.min(axis=1).max()), float(apart.min(axis=0).max()))
        if worst > tolerance:
            return f"a site of {symbol} has distances to its neighbours that differ by {worst:.3f} Å"
    return ""


def _environments(crystal: Crystal) -> np.ndarray:
    """Return the sorted distances of each site to those of each element, Å, `REACH` for none, shape (n, s, m)."""
    target, source, distance, _ = neighbours(crystal, REACH)
    symbols = sorted(set(crystal.species))
    kinds = np.array([symbols.index(symbol) for symbol in crystal.species])
    group = target * len(symbols) + kinds[source]
    order = np.lexsort((distance, group))
    group, distance = group[order], distance[order]
    place = np.arange(len(group)) - np.searchsorted(group, group)
    table = np.full((len(crystal) * len(symbols), int(place.max(initial=0)) + 1), REACH)
    table[group, place] = distance
    return table.reshape(len(crystal), len(symbols), -1)


def _padded(table: np.ndarray, places: int) -> np.ndarray:
    missing = places - table.shape[2]
    return np.pad(table, ((0, 0), (0, 0), (0, missing)), constant_values=REACH)


def _fault_for_ase(text: str, read: Crystal) -> str:
    """Return how ASE reads a text otherwise than pymatgen did; empty where it does not."""
    import ase.io

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            atoms = ase.io.read(io.StringIO(text), format="cif")
    except Exception as error:  # ASE raises many kinds
        return f"ASE cannot read it: {type(error).__name__}: {error}"
    record = {"lattice": atoms.cell.cellpar(), "species": atoms.get_chemical_symbols()}
    other = from_record({**record, "frac": atoms.get_scaled_positions()})
    if Counter(other.species) != Counter(read.species):
        return f"ASE finds {len(other)} atoms of {formula_of(other)}, pymatgen {len(read)} of {formula_of(read)}"
    if not np.allclose(other.lattice, read.lattice, atol=1e-4):
        return f"ASE finds the cell {other.lattice}, pymatgen {read.lattice}"
    worst = 0.0
    first, second = np.array(other.species), np.array(read.species)
    for symbol in sorted(set(read.species)):
        moved = other.frac[first == symbol][:, None] - read.frac[second == symbol][None]
        apart = np.linalg.norm((moved - np.round(moved)) @ lattice_vectors(read.lattice), axis=2)
        worst = max(worst, float(apart.min(axis=0).max()), float(apart.min(axis=1).max()))
    return f"ASE finds a site {worst:.3f} Å from where pymatgen does" if worst > SAME_PLACE else ""
