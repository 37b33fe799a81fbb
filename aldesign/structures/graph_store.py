"""Graphs of many crystals in a few flat arrays: built once, in parallel, kept on disk, read in batches."""

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

from aldesign.errors import CheckpointError, StructureError
from aldesign.records import Crystal
from aldesign.structures.environments import N_SHAPES
from aldesign.structures.graphs import CUTOFF, MAX_NEIGHBOURS, CrystalGraph, GraphBatch, build_graph, merged

_FORMAT = "aldesign.graphs/2"
_ARRAYS = ("numbers", "count", "shape", "degree", "source", "distance", "weight", "node_offset", "edge_offset")
_CHUNK = 500
_T = TypeVar("_T")


def _graphs_or_reasons(crystals: Sequence[Crystal], cutoff: float, max_neighbours: int) -> list[CrystalGraph | str]:
    found: list[CrystalGraph | str] = []
    for crystal in crystals:
        try:
            found.append(merged(build_graph(crystal, cutoff, max_neighbours)))
        except StructureError as error:
            found.append(str(error))
    return found


def _chunks(items: Iterable[_T], size: int) -> Iterable[list[_T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def _ranges(begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Return the numbers of several ranges, one after the other."""
    many = end - begin
    return np.repeat(begin - (np.cumsum(many) - many), many) + np.arange(int(many.sum()))


@dataclass(frozen=True, eq=False)
class GraphStore:
    """Merged graphs of many crystals, computed once and read at every epoch.

    Entry i belongs to crystal i; a crystal that has no graph is an entry without nodes.

    Attributes:
        ids: Id of each of the m crystals.
        numbers: Atomic numbers of all N nodes, shape (N,), uint8.
        count: Atoms that each node stands for, shape (N,), uint16.
        shape: Arrangement of its neighbours, shape (N, 16), float32.
        degree: Number of edges of each node, shape (N,), uint16.
        source: Neighbour of each of the E edges, counted within its crystal, shape (E,), uint16.
        distance: Å, shape (E,), float32.
        weight: Neighbours that the edge stands for, shape (E,), float32.
        node_offset: First node of each crystal, and N; shape (m + 1,), int64.
        edge_offset: First edge of each crystal, and E; shape (m + 1,), int64.
        cutoff: Å.
        max_neighbours: As in `build_graph`.
        reasons: Why a crystal has no graph, by index.

    """

    ids: tuple[str, ...]
    numbers: np.ndarray
    count: np.ndarray
    shape: np.ndarray
    degree: np.ndarray
    source: np.ndarray
    distance: np.ndarray
    weight: np.ndarray
    node_offset: np.ndarray
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
        return cls.of(ids, found, cutoff, max_neighbours)

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        found: Sequence[CrystalGraph | str],
        cutoff: float = CUTOFF,
        max_neighbours: int = MAX_NEIGHBOURS,
    ) -> GraphStore:
        """Return the store of ready merged graphs, or of the reasons why there is none."""
        good = [g for g in found if isinstance(g, CrystalGraph)]
        nodes = [len(g) if isinstance(g, CrystalGraph) else 0 for g in found]
        edges = [len(g.source) if isinstance(g, CrystalGraph) else 0 for g in found]
        empty = np.zeros(0)
        return cls(
            tuple(ids),
            np.concatenate([empty, *(g.numbers for g in good)]).astype(np.uint8),
            np.concatenate([empty, *(g.count for g in good)]).astype(np.uint16),
            np.concatenate([np.zeros((0, N_SHAPES)), *(g.shape for g in good)]).astype(np.float32),
            np.concatenate([empty, *(np.bincount(g.target, minlength=len(g)) for g in good)]).astype(np.uint16),
            np.concatenate([empty, *(g.source for g in good)]).astype(np.uint16),
            np.concatenate([empty, *(g.distance for g in good)]).astype(np.float32),
            np.concatenate([empty, *(g.weight for g in good)]).astype(np.float32),
            np.concatenate([[0], np.cumsum(nodes)]).astype(np.int64),
            np.concatenate([[0], np.cumsum(edges)]).astype(np.int64),
            cutoff,
            max_neighbours,
            {i: item for i, item in enumerate(found) if isinstance(item, str)},
        )

    def __len__(self) -> int:
        return len(self.ids)

    def nodes(self) -> np.ndarray:
        """Return the number of nodes of each crystal, shape (m,), int64; 0 where there is no graph."""
        return np.diff(self.node_offset)

    def sizes(self) -> np.ndarray:
        """Return the number of atoms of each crystal, shape (m,), int64; 0 where there is no graph."""
        sums = np.concatenate([[0], np.cumsum(self.count, dtype=np.int64)])
        return np.diff(sums[self.node_offset])

    def __getitem__(self, i: int) -> CrystalGraph:
        whole = self.batch([i])
        return CrystalGraph(
            whole.numbers, whole.source, whole.target, whole.distance, whole.weight, whole.count, whole.shape
        )

    def batch(self, indices: Sequence[int] | np.ndarray) -> GraphBatch:
        """Return the crystals at `indices` as one batch, in that order."""
        index = np.asarray(indices, dtype=np.int64)
        begin, end = self.node_offset[index], self.node_offset[index + 1]
        node = _ranges(begin, end)
        edge = _ranges(self.edge_offset[index], self.edge_offset[index + 1])
        many = end - begin
        shift = np.repeat(np.cumsum(many) - many, self.edge_offset[index + 1] - self.edge_offset[index])
        return GraphBatch(
            self.numbers[node].astype(np.int64),
            np.repeat(np.arange(len(index)), many),
            self.source[edge].astype(np.int64) + shift,
            np.repeat(np.arange(len(node)), self.degree[node]),
            self.distance[edge],
            self.weight[edge],
            self.count[node].astype(np.int64),
            self.shape[node].astype(np.float32),
            len(index),
        )

    def save(self, path: Path) -> None:
        """Write everything to one safetensors file, replaced at once."""
        from safetensors.numpy import save_file

        about = {"cutoff": self.cutoff, "max_neighbours": self.max_neighbours}
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".tmp")
        save_file(
            {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS},
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
