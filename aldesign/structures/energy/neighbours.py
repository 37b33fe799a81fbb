"""Pairs of atoms near enough to interact, kept while a crystal relaxes, and the angles between short bonds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aldesign.errors import StructureError

CUTOFF = 6.0  # Å, bonds that CHGNet reads
ANGLE_CUTOFF = 3.0  # Å, bonds between which it reads angles
SKIN = 0.8  # Å; pairs are searched this much further, so that they last for several steps
# Of one crystal: they bound the memory of a pass to some 2 GiB. 200 atoms at 5 Å³ each have 26,000 pairs, and as many
# atoms of a close-packed metal 26,000 angles.
MAX_PAIRS = 50_000
MAX_ANGLES = 100_000


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every pair of atoms within cutoff and skin, each once, and the geometry it was found in.

    Attributes:
        first: Index of one atom, int64 (m,).
        second: Index of the other, int64 (m,).
        image: Cell of the second, seen from the first, float64 (m, 3).
        positions: Cartesian positions in Å before deformation, (n, 3).
        deformation: Deformation gradient of the cell, (3, 3).
        weight: Edges and angles that the network will see, about.

    """

    first: np.ndarray
    second: np.ndarray
    image: np.ndarray
    positions: np.ndarray
    deformation: np.ndarray
    weight: int

    def hold(self, positions: np.ndarray, deformation: np.ndarray) -> bool:
        """Return whether no pair can have come within the cutoff that is not listed.

        With F the deformation since then and u the farthest walk of an atom before it, a pair at distance d was at
        most at ``d / s + 2 u``, s being the least singular value of F.
        """
        since = deformation @ np.linalg.inv(self.deformation)
        shrink = float(np.linalg.svd(since, compute_uv=False)[-1])
        walk = (positions - self.positions) @ self.deformation.T
        walk -= walk.mean(axis=0)  # pairs do not feel it when all atoms move together
        farthest = float(np.sqrt((walk**2).sum(axis=1).max()))
        return CUTOFF / shrink + 2 * farthest <= CUTOFF + SKIN


def find_pairs(positions: np.ndarray, cell: np.ndarray, deformation: np.ndarray) -> Pairs:
    """Return the pairs of a crystal.

    Args:
        positions: Cartesian, before deformation, Å, (n, 3).
        cell: Vectors as rows, before deformation, Å, (3, 3).
        deformation: Deformation gradient F; vectors become ``F v``, (3, 3).

    Raises:
        StructureError: An atom has no neighbour within the cutoff, or there are far too many.

    """
    from pymatgen.optimization.neighbors import find_points_in_spheres

    vectors = np.ascontiguousarray(cell @ deformation.T)
    points = np.ascontiguousarray(positions @ deformation.T)
    size = abs(float(np.linalg.det(vectors)))
    dense = StructureError(f"{len(points)} atoms in {size:.3g} Å³ are too dense for a crystal")
    if not 2 / 3 * np.pi * (CUTOFF + SKIN) ** 3 * len(points) ** 2 / size < MAX_PAIRS:  # by the mean density
        raise dense
    periodic = np.ones(3, dtype=np.int64)
    first, second, image, distance = find_points_in_spheres(
        points, points, r=CUTOFF + SKIN, pbc=periodic, lattice=vectors, tol=1e-8
    )
    lonely = len(points) - len(np.unique(first[(distance < CUTOFF) & (distance > 1e-8)]))
    if lonely:
        raise StructureError(f"{lonely} isolated atoms: none has a neighbour within {CUTOFF:g} Å")
    short = np.bincount(first[(distance < ANGLE_CUTOFF) & (distance > 1e-8)])
    n_angles = int((short * (short - 1)).sum())
    # each pair stands there from both ends; of an atom and its own image, those that point forwards are kept
    forwards = image @ np.array([1e6, 1e3, 1.0]) > 0
    keep = (first < second) | ((first == second) & forwards)
    if np.count_nonzero(keep) > MAX_PAIRS or n_angles > MAX_ANGLES:
        raise dense
    weight = len(first) + n_angles
    return Pairs(first[keep], second[keep], image[keep], positions.copy(), deformation.copy(), weight)


def angles(center: np.ndarray, n_atoms: int) -> tuple[np.ndarray, np.ndarray]:
    """Return every ordered pair of different bonds that start at one atom.

    Args:
        center: The atom that each of m directed bonds starts at, int64 (m,).
        n_atoms: Number of atoms.

    Returns:
        Indices of the first and the second bond, int64 (a,) each.

    """
    order = np.argsort(center, kind="stable")
    counts = np.bincount(center, minlength=n_atoms)
    starts = np.cumsum(counts) - counts
    start, others = starts[center[order]], counts[center[order]] - 1
    first = np.repeat(np.arange(len(order)), others)
    step = np.arange(len(first)) - np.repeat(np.cumsum(others) - others, others)
    second = start[first] + step
    second += second >= first  # a bond makes no angle with itself
    return order[first], order[second]
