"""Crystals as graphs: periodic neighbour lists in numpy, and the graphs that networks read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aldesign.chemistry.elements import NUMBER
from aldesign.errors import StructureError
from aldesign.records import Crystal
from aldesign.structures.environments import bond_order, merge_equal

CUTOFF = 6.0
MAX_NEIGHBOURS = 12
# Distances that differ by less belong to one shell, and a shell is taken whole: otherwise which of
# several equal neighbours is kept would hang on the order of the sites and on rounding.
TIE = 0.01
# No two nuclei of a crystal are nearer (H2 is 0.74 Å).
MIN_DISTANCE = 0.3
# Beyond these a cell is a mistake of units or of columns, and its neighbour search would take the memory of the
# machine. The emptiest solids known, zeolites and organic frameworks, have about 100 Å³ an atom.
MAX_EDGE = 500.0  # Å
MAX_VOLUME_PER_ATOM = 1000.0  # Å³
# Nothing is denser at pressures that a press reaches: hydrogen keeps more up to some 500 GPa.
MIN_VOLUME_PER_ATOM = 1.0  # Å³
# Neighbours of so many atoms take about 1 GiB; the largest cells of the databases have some thousand.
MAX_ATOMS = 20_000


@dataclass(frozen=True, eq=False)
class CrystalGraph:
    """Atoms of one cell and the distances to their nearest neighbours, periodic images included.

    A node is an atom, or several of equal environments where they have been merged.

    Attributes:
        numbers: Atomic number of each of the n nodes, shape (n,), int64.
        source: Index of the neighbour of each of the e edges, shape (e,), int64.
        target: Index of the node that the edge points to, ascending, shape (e,), int64.
        distance: Length of the edge in Å, shape (e,), float32; ascending within an atom.
        weight: Neighbours that the edge stands for, shape (e,), float32; ones where nothing is merged.
        count: Atoms that each node stands for, shape (n,), int64; ones where nothing is merged.
        shape: How the neighbours are arranged around each node, see `bond_order`, shape (n, `N_SHAPES`), float32.

    """

    numbers: np.ndarray
    source: np.ndarray
    target: np.ndarray
    distance: np.ndarray
    weight: np.ndarray
    count: np.ndarray
    shape: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def n_atoms(self) -> int:
        """Return the number of atoms in the cell."""
        return int(self.count.sum())


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """Several graphs side by side, nodes renumbered through.

    Attributes:
        numbers: Atomic numbers, shape (n,), int64.
        crystal: Index of the crystal that each node belongs to, ascending, shape (n,), int64.
        source: Neighbour of each edge, shape (e,), int64.
        target: Node that each edge points to, ascending, shape (e,), int64.
        distance: Å, shape (e,), float32.
        weight: As in `CrystalGraph`, shape (e,), float32.
        count: As in `CrystalGraph`, shape (n,), int64.
        shape: As in `CrystalGraph`, shape (n, `N_SHAPES`), float32.
        n_crystals: Number of crystals.

    """

    numbers: np.ndarray
    crystal: np.ndarray
    source: np.ndarray
    target: np.ndarray
    distance: np.ndarray
    weight: np.ndarray
    count: np.ndarray
    shape: np.ndarray
    n_crystals: int


def lattice_matrix(lattice: Sequence[float]) -> np.ndarray:
    """Return the row vectors of a cell, shape (3, 3), in Å: a in the xz plane, c along z.

    Args:
        lattice: ``(a, b, c, alpha, beta, gamma)`` in Å and degrees.

    Raises:
        StructureError: The six numbers do not span a volume.

    """
    a, b, c = (float(x) for x in lattice[:3])
    cos_a, cos_b, cos_g = np.cos(np.radians(np.asarray(lattice[3:6], dtype=float)))
    sin_a, sin_b = np.sqrt(1 - cos_a**2), np.sqrt(1 - cos_b**2)
    with np.errstate(divide="ignore", invalid="ignore"):
        cos_g_star = (cos_a * cos_b - cos_g) / (sin_a * sin_b)
        sin_g_star = np.sqrt(1 - cos_g_star**2)
    matrix = np.array(
        [
            [a * sin_b, 0.0, a * cos_b],
            [-b * sin_a * cos_g_star, b * sin_a * sin_g_star, b * cos_a],
            [0.0, 0.0, c],
        ]
    )
    if not np.isfinite(matrix).all() or min(a, b, c) <= 0 or abs(np.linalg.det(matrix)) < 1e-3:
        raise StructureError(
            f"lattice {tuple(lattice)} spans no volume", "a, b, c in Å and alpha, beta, gamma in degrees are needed"
        )
    return matrix


def neighbours(crystal: Crystal, cutoff: float = CUTOFF) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return every pair of atoms nearer than `cutoff`, both ways, sorted by (target, distance, source).

    Args:
        crystal: The crystal; n sites.
        cutoff: Å.

    Returns:
        target (e,) and source (e,), int64, distance (e,), float64, and the vector from target to source (e, 3),
        float64, both in Å. An atom and its own periodic images are pairs too.

    Raises:
        StructureError: The cell spans no volume or is implausible, coordinates are not finite, or atoms
            coincide.

    """
    from pymatgen.optimization.neighbors import find_points_in_spheres

    matrix = lattice_matrix(crystal.lattice)
    _refuse_implausible(crystal, matrix)
    frac = np.asarray(crystal.frac, dtype=float)
    if frac.shape != (len(crystal), 3) or not len(crystal) or not np.isfinite(frac).all():
        raise StructureError(
            f"crystal {crystal.id!r} has coordinates of shape {frac.shape} for {len(crystal)} sites",
            "three finite fractional coordinates are needed for each site",
        )
    points = np.ascontiguousarray((frac - np.floor(frac)) @ matrix)
    pbc = np.ones(3, dtype=np.int64)
    target, source, image, distance = find_points_in_spheres(points, points, cutoff, pbc, matrix, 1e-8)
    itself = (target == source) & (distance < 1e-8) & ~image.any(axis=1)
    target, source, image, distance = (x[~itself] for x in (target, source, image, distance))
    if len(distance) and distance.min() < MIN_DISTANCE:
        k = int(distance.argmin())
        i, j = int(target[k]), int(source[k])
        raise StructureError(
            f"sites {i} ({crystal.species[i]}) and {j} ({crystal.species[j]}) of {crystal.id!r} are "
            f"{distance[k]:.2f} Å apart",
            f"nuclei are at least {MIN_DISTANCE} Å apart",
        )
    order = np.lexsort((source, distance, target))
    target, source = target[order].astype(np.int64), source[order].astype(np.int64)
    return target, source, distance[order], points[source] + image[order] @ matrix - points[target]


def _refuse_implausible(crystal: Crystal, matrix: np.ndarray) -> None:
    """Raise StructureError for a cell that no crystal has, before it is searched."""
    longest = max(crystal.lattice[:3])
    if longest > MAX_EDGE:
        raise StructureError(
            f"crystal {crystal.id!r} has a cell edge of {longest:g} Å",
            f"at most {MAX_EDGE:g} Å; are the lengths in Å?",
        )
    if len(crystal) > MAX_ATOMS:
        raise StructureError(
            f"crystal {crystal.id!r} has {len(crystal)} sites", f"at most {MAX_ATOMS} are read; give a smaller cell"
        )
    volume = abs(float(np.linalg.det(matrix))) / max(len(crystal), 1)
    if not MIN_VOLUME_PER_ATOM <= volume <= MAX_VOLUME_PER_ATOM:
        raise StructureError(
            f"crystal {crystal.id!r} has {volume:.3g} Å³ per atom",
            f"from {MIN_VOLUME_PER_ATOM:g} to {MAX_VOLUME_PER_ATOM:g} Å³ are plausible; check lattice and sites",
        )
    height = 1.0 / float(np.linalg.norm(np.linalg.inv(matrix), axis=0).max())
    if height < MIN_DISTANCE:
        raise StructureError(
            f"the cell of {crystal.id!r} is {height:.2g} Å thin",
            f"opposite faces are at least {MIN_DISTANCE} Å apart; give the reduced cell",
        )


def build_graph(
    crystal: Crystal, cutoff: float = CUTOFF, max_neighbours: int = MAX_NEIGHBOURS, tie: float = TIE
) -> CrystalGraph:
    """Return the graph of a crystal, each atom joined to its nearest neighbours.

    The twelve nearest, as in CGCNN (Xie and Grossman, Phys. Rev. Lett. 120, 145301, 2018); but a
    shell cut by the limit is taken whole, so that the graph depends neither on the order of the sites
    nor on the choice of the cell.

    Args:
        crystal: The crystal.
        cutoff: No neighbour is farther, in Å.
        max_neighbours: Neighbours of an atom, more where the last shell needs them.
        tie: Neighbours at most this much farther than the last one are taken too, in Å.

    Raises:
        StructureError: Unknown element, impossible cell, coinciding atoms, or an atom without
            any neighbour within `cutoff`.

    """
    unknown = [symbol for symbol in crystal.species if symbol not in NUMBER]
    if unknown:
        raise StructureError(f"crystal {crystal.id!r} has the site {unknown[0]!r}", "element symbols are needed")
    target, source, distance, vector = neighbours(crystal, cutoff)
    n = len(crystal)
    degree = np.bincount(target, minlength=n)
    if not degree.all():
        i = int(np.flatnonzero(degree == 0)[0])
        raise StructureError(
            f"site {i} ({crystal.species[i]}) of {crystal.id!r} has no neighbour within {cutoff:g} Å",
            "an isolated atom is no part of a crystal; check lattice and coordinates",
        )
    first = np.cumsum(degree) - degree
    last = distance[first + np.minimum(degree, max_neighbours) - 1]
    kept = distance <= (last + tie)[target]
    numbers = np.array([NUMBER[symbol] for symbol in crystal.species], dtype=np.int64)
    target, source, distance, vector = target[kept], source[kept], distance[kept], vector[kept]
    return CrystalGraph(
        numbers,
        source,
        target,
        distance.astype(np.float32),
        np.ones(len(source), dtype=np.float32),
        np.ones(n, dtype=np.int64),
        bond_order(target, distance, vector).astype(np.float32),
    )


def merged(graph: CrystalGraph) -> CrystalGraph:
    """Return the graph with its atoms of equal environments merged, see `merge_equal`."""
    found = merge_equal(graph.numbers, graph.source, graph.target, graph.distance, graph.shape)
    return CrystalGraph(
        graph.numbers[found.first],
        found.source,
        found.target,
        found.distance,
        found.weight,
        found.count,
        found.shape,
    )


def pack(graphs: Sequence[CrystalGraph]) -> GraphBatch:
    """Return graphs side by side as one batch, in order."""
    sizes = np.array([len(g) for g in graphs], dtype=np.int64)
    shift = np.repeat(np.cumsum(sizes) - sizes, [len(g.source) for g in graphs])
    return GraphBatch(
        np.concatenate([g.numbers for g in graphs]).astype(np.int64),
        np.repeat(np.arange(len(graphs)), sizes),
        np.concatenate([g.source for g in graphs]).astype(np.int64) + shift,
        np.concatenate([g.target for g in graphs]).astype(np.int64) + shift,
        np.concatenate([g.distance for g in graphs]),
        np.concatenate([g.weight for g in graphs]),
        np.concatenate([g.count for g in graphs]),
        np.concatenate([g.shape for g in graphs]),
        len(graphs),
    )
