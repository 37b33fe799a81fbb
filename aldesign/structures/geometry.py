"""Cells, distances with periodic images, and space groups of crystals."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from aldesign.errors import StructureError
from aldesign.records import Crystal

_MOST_IMAGES = 10_000_000  # of all sites; their coordinates fill a quarter of a GiB


def lattice_vectors(lattice: tuple[float, float, float, float, float, float]) -> np.ndarray:
    """Return the cell vectors as rows, shape (3, 3) in Å: a along x, b in the xy plane.

    Args:
        lattice: ``(a, b, c, alpha, beta, gamma)`` in Å and degrees.

    """
    a, b, c = lattice[:3]
    cos_alpha, cos_beta, cos_gamma = np.cos(np.radians(lattice[3:]))
    sin_gamma = np.sin(np.radians(lattice[5]))
    c_y = (cos_alpha - cos_beta * cos_gamma) / sin_gamma
    c_z = np.sqrt(max(1.0 - cos_beta**2 - c_y**2, 0.0))
    return np.array(
        [[a, 0.0, 0.0], [b * cos_gamma, b * sin_gamma, 0.0], [c * cos_beta, c * c_y, c * c_z]],
        dtype=np.float64,
    )


def volume(crystal: Crystal) -> float:
    """Return the volume of the cell in Å³."""
    return float(abs(np.linalg.det(lattice_vectors(crystal.lattice))))


@dataclass(frozen=True)
class Contact:
    """The pair of sites that stand closest, measured against what the pair may do.

    Attributes:
        first: Element of one site.
        second: Element of the other (or of its own periodic image).
        distance: Their distance in Å.
        limit: The least distance allowed for this pair in Å.

    """

    first: str
    second: str
    distance: float
    limit: float

    @property
    def ratio(self) -> float:
        """Distance over limit; below one is an overlap."""
        return self.distance / self.limit


def _images(heights: np.ndarray, cutoff: float) -> np.ndarray:
    """Return lattice translations (m, 3) that reach every pair within `cutoff` Å."""
    # differences of wrapped coordinates lie in [-1/2, 1/2], hence the half
    # at least one image each way, so that a lone site sees its own
    reach = np.maximum(np.floor(cutoff / heights + 0.5), 1).astype(int)
    axes = [np.arange(-n, n + 1) for n in reach]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def _nearest_images(crystal: Crystal, cutoff: float) -> np.ndarray:
    """Return the least distance (n, n) in Å of each pair of sites, a site's own images included.

    Exact where it is at most `cutoff`; an upper bound beyond.

    Raises:
        StructureError: The cell spans no volume, or so little that the images would fill the memory.

    """
    vectors = lattice_vectors(crystal.lattice)
    count = len(crystal)
    size = abs(float(np.linalg.det(vectors)))
    heights = np.zeros(3) if not size > 0.0 else 1.0 / np.linalg.norm(np.linalg.inv(vectors), axis=0)
    if not (heights > 0.0).all() or count * np.prod(2.0 * (cutoff / heights + 1.0)) > _MOST_IMAGES:
        raise StructureError(f"the cell {crystal.lattice} of {crystal.id!r} is too flat", "give a reduced cell")
    images = _images(heights, cutoff)
    nearest = np.empty((count, count))
    for i in range(count):
        difference = crystal.frac - crystal.frac[i]
        difference -= np.round(difference)
        squared = (((difference[:, None, :] + images[None]) @ vectors) ** 2).sum(axis=-1)
        squared[i, (images == 0).all(axis=1)] = np.inf
        nearest[i] = np.sqrt(squared.min(axis=1))
    return nearest


def distances(crystal: Crystal) -> np.ndarray:
    """Return the least periodic distance of every pair of sites, shape (n, n) in Å.

    The diagonal holds the distance of a site to its own nearest image.
    """
    # wrapped differences are at most half a cell along each vector
    reach = float(np.linalg.norm(lattice_vectors(crystal.lattice), axis=1).sum()) / 2
    return _nearest_images(crystal, reach)


def loneliest(crystal: Crystal, reach: float) -> tuple[str, float]:
    """Return the element of the site farthest from its nearest neighbour, and that distance in Å.

    The distance is exact up to `reach` Å; beyond it is an upper bound, itself above `reach`.
    """
    nearest = _nearest_images(crystal, reach).min(axis=1)
    site = int(nearest.argmax())
    return crystal.species[site], float(nearest[site])


def closest_contact(crystal: Crystal, allowed: Mapping[tuple[str, str], float]) -> tuple[Contact, float]:
    """Return the contact that comes closest to its limit, and the least distance of all in Å.

    Args:
        crystal: The crystal.
        allowed: Least distance in Å of each pair of its elements, for both orders of the pair.

    """
    symbols = sorted(set(crystal.species))
    table = np.array([[allowed[first, second] for second in symbols] for first in symbols])
    index = np.array([symbols.index(symbol) for symbol in crystal.species])
    limits = table[index[:, None], index[None, :]]
    nearest = _nearest_images(crystal, float(limits.max()))
    least = float(nearest.min())
    if least > limits.max():  # only a bound so far: look as far as the bound to make it exact
        nearest = _nearest_images(crystal, least)
        least = float(nearest.min())
    row, column = np.unravel_index(np.argmin(nearest / limits), nearest.shape)
    pair = Contact(
        crystal.species[row], crystal.species[column], float(nearest[row, column]), float(limits[row, column])
    )
    return pair, least


def space_group(crystal: Crystal, symprec: float = 0.01) -> tuple[str, int]:
    """Return the international symbol and number of the space group found by spglib.

    Args:
        crystal: The crystal.
        symprec: Tolerance of positions in Å.

    Returns:
        ``("P1", 1)`` where spglib finds none, as for overlapping sites.

    """
    import spglib

    names = {symbol: i for i, symbol in enumerate(sorted(set(crystal.species)))}
    numbers = [names[symbol] for symbol in crystal.species]
    cell = (lattice_vectors(crystal.lattice), crystal.frac, numbers)
    with warnings.catch_warnings():
        # spglib 2.7 and later announce that a failed search will raise one day; both ways are handled
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            found = spglib.get_symmetry_dataset(cell, symprec=symprec)
        except spglib.SpglibError:
            found = None
    return ("P1", 1) if found is None else (str(found.international), int(found.number))
