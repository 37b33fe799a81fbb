"""Crystals as graphs: periodic neighbour lists in numpy, one by one or packed for training."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import numpy as np

from aldesign.chemistry.elements import NUMBER
from aldesign.errors import CheckpointError, StructureError
from aldesign.records import Crystal

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
_FORMAT = "aldesign.graphs/1"
_CHUNK = 500
_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class CrystalGraph:
    """Atoms of one cell and the distances to their nearest neighbours, periodic images included.

    Attributes:
        numbers: Atomic number of each of the n atoms, shape (n,), int64.
        source: Index of the neighbour of each of the e edges, shape (e,), int64.
        target: Index of the atom that the edge points to, ascending, shape (e,), int64.
        distance: Length of the edge in Å, shape (e,), float32; ascending within an atom.

    """

    numbers: np.ndarray
    source: np.ndarray
    target: np.ndarray
    distance: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True, eq=False)
class GraphBatch:
    """Several graphs side by side, atoms renumbered through.

    Attributes:
        numbers: Atomic numbers, shape (n,), int64.
        crystal: Index of the crystal that each atom belongs to, ascending, shape (n,), int64.
        source: Neighbour of each edge, shape (e,), int64.
        target: Atom that each edge points to, ascending, shape (e,), int64.
        distance: Å, shape (e,), float32.
        n_crystals: Number of crystals.

    """

    numbers: np.ndarray
    crystal: np.ndarray
    source: np.ndarray
    target: np.ndarray
    distance: np.ndarray
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


def neighbours(crystal: Crystal, cutoff: float = CUTOFF) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return every pair of atoms nearer than `cutoff`, both ways, sorted by (target, distance, source).

    Args:
        crystal: The crystal; n sites.
        cutoff: Å.

    Returns:
        target (e,) and source (e,), int64, and distance (e,), float64, in Å. An atom and its own
        periodic images are pairs too.

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
    target, source, distance = target[~itself], source[~itself], distance[~itself]
    if len(distance) and distance.min() < MIN_DISTANCE:
        k = int(distance.argmin())
        i, j = int(target[k]), int(source[k])
        raise StructureError(
            f"sites {i} ({crystal.species[i]}) and {j} ({crystal.species[j]}) of {crystal.id!r} are "
            f"{distance[k]:.2f} Å apart",
            f"nuclei are at least {MIN_DISTANCE} Å apart",
        )
    order = np.lexsort((source, distance, target))
    return target[order].astype(np.int64), source[order].astype(np.int64), distance[order]


def _refuse_implausible(crystal: Crystal, matrix: np.ndarray) -> None:
    """Raise StructureError for a cell that no crystal has, before it is searched."""
    longest = max(crystal.lattice[:3])
    if longest > MAX_EDGE:
        raise StructureError(
            f"crystal {crystal.id!r} has a cell edge of {longest:g} Å",
            f"at most {MAX_EDGE:g} Å; are the lengths in Å?",
        )
    volume = abs(float(np.linalg.det(matrix)))
    if volume > MAX_VOLUME_PER_ATOM * max(len(crystal), 1):
        raise StructureError(
            f"crystal {crystal.id!r} has {volume / max(len(crystal), 1):.0f} Å³ per atom",
            f"at most {MAX_VOLUME_PER_ATOM:g} Å³; check lattice and sites",
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
    target, source, distance = neighbours(crystal, cutoff)
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
    return CrystalGraph(numbers, source[kept], target[kept], distance[kept].astype(np.float32))


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
        len(graphs),
    )


def _graphs_or_reasons(crystals: Sequence[Crystal], cutoff: float, max_neighbours: int) -> list[CrystalGraph | str]:
    found: list[CrystalGraph | str] = []
    for crystal in crystals:
        try:
            found.append(build_graph(crystal, cutoff, max_neighbours))
        except StructureError as error:
            found.append(str(error))
    return found


def _chunks(items: Iterable[_T], size: int) -> Iterable[list[_T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


@dataclass(frozen=True, eq=False)
class GraphStore:
    """Graphs of many crystals in a few flat arrays, computed once and read at every epoch.

    Entry i belongs to crystal i; a crystal that has no graph is an entry without atoms.

    Attributes:
        ids: Id of each of the m crystals.
        numbers: Atomic numbers of all N atoms, shape (N,), uint8.
        degree: Number of edges of each atom, shape (N,), uint16.
        source: Neighbour of each of the E edges, counted within its crystal, shape (E,), uint16.
        distance: Å, shape (E,), float32.
        atom_offset: First atom of each crystal, and N; shape (m + 1,), int64.
        edge_offset: First edge of each crystal, and E; shape (m + 1,), int64.
        cutoff: Å.
        max_neighbours: As in `build_graph`.
        reasons: Why a crystal has no graph, by index.

    """

    ids: tuple[str, ...]
    numbers: np.ndarray
    degree: np.ndarray
    source: np.ndarray
    distance: np.ndarray
    atom_offset: np.ndarray
    edge_offset: np.ndarray
    cutoff: float = CUTOFF
    max_neighbours: int = MAX_NEIGHBOURS
    reasons: dict[int, str] = field(default_factory=dict)

    @classmethod
    def build(
        cls,
        crystals: Iterable[Crystal],
        cutoff: float = CUTOFF,
        max_neighbours: int = MAX_NEIGHBOURS,
        processes: int = 1,
    ) -> GraphStore:
        """Return the graphs of `crystals`; a crystal without one is an empty entry with its reason.

        Args:
            crystals: Read once, in chunks.
            cutoff: As in `build_graph`, in Å.
            max_neighbours: As in `build_graph`.
            processes: Worker processes; 1 works in this one. The result is the same.

        """
        work = partial(_graphs_or_reasons, cutoff=cutoff, max_neighbours=max_neighbours)
        ids: list[str] = []

        def named() -> Iterable[list[Crystal]]:
            for chunk in _chunks(crystals, _CHUNK):
                ids.extend(crystal.id for crystal in chunk)
                yield chunk

        if processes > 1:
            with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
                found = [item for chunk in pool.map(work, named()) for item in chunk]
        else:
            found = [item for chunk in named() for item in work(chunk)]
        graphs = [g if isinstance(g, CrystalGraph) else None for g in found]
        atoms = [0 if g is None else len(g) for g in graphs]
        edges = [0 if g is None else len(g.source) for g in graphs]
        good = [g for g in graphs if g is not None]
        empty = np.zeros(0)
        return cls(
            tuple(ids),
            np.concatenate([empty, *(g.numbers for g in good)]).astype(np.uint8),
            np.concatenate([empty, *(np.bincount(g.target, minlength=len(g)) for g in good)]).astype(np.uint16),
            np.concatenate([empty, *(g.source for g in good)]).astype(np.uint16),
            np.concatenate([empty, *(g.distance for g in good)]).astype(np.float32),
            np.concatenate([[0], np.cumsum(atoms)]).astype(np.int64),
            np.concatenate([[0], np.cumsum(edges)]).astype(np.int64),
            cutoff,
            max_neighbours,
            {i: item for i, item in enumerate(found) if isinstance(item, str)},
        )

    def __len__(self) -> int:
        return len(self.ids)

    def sizes(self) -> np.ndarray:
        """Return the number of atoms of each crystal, shape (m,), int64; 0 where there is no graph."""
        return np.diff(self.atom_offset)

    def __getitem__(self, i: int) -> CrystalGraph:
        a, b = self.atom_offset[i], self.atom_offset[i + 1]
        c, d = self.edge_offset[i], self.edge_offset[i + 1]
        target = np.repeat(np.arange(b - a), self.degree[a:b])
        return CrystalGraph(
            self.numbers[a:b].astype(np.int64), self.source[c:d].astype(np.int64), target, self.distance[c:d]
        )

    def batch(self, indices: Sequence[int] | np.ndarray) -> GraphBatch:
        """Return the crystals at `indices` as one batch, in that order."""
        return pack([self[int(i)] for i in indices])

    def save(self, path: Path) -> None:
        """Write everything to one safetensors file, replaced at once."""
        from safetensors.numpy import save_file

        arrays = {
            name: np.ascontiguousarray(getattr(self, name))
            for name in ("numbers", "degree", "source", "distance", "atom_offset", "edge_offset")
        }
        about = {"cutoff": self.cutoff, "max_neighbours": self.max_neighbours}
        temporary = path.with_name(path.name + ".tmp")
        save_file(
            arrays,
            temporary,
            metadata={
                "format": _FORMAT,
                "about": json.dumps(about),
                "ids": json.dumps(self.ids),
                "reasons": json.dumps(self.reasons),
            },
        )
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> GraphStore:
        """Return the store written by `save`.

        Raises:
            CheckpointError: The file is missing, damaged, or of another format.

        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="numpy") as file:
                about = file.metadata() or {}
                arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"graphs cannot be read from {path}: {error}", "build them anew") from error
        if about.get("format") != _FORMAT:
            raise CheckpointError(f"{path} has format {about.get('format')!r}, not {_FORMAT!r}", "build it anew")
        return cls(
            ids=tuple(json.loads(about["ids"])),
            reasons={int(i): reason for i, reason in json.loads(about["reasons"]).items()},
            **json.loads(about["about"]),
            **arrays,
        )
