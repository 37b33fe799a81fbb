"""Where a crystal model may be trusted: the applicability domain behind `Prediction.in_domain`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from aldesign.structures.graph_store import GraphStore
from aldesign.structures.graphs import CrystalGraph, GraphBatch

_N = 119  # atomic numbers; 0 is unused
_SLACK = 0.01  # Å; distances are stored in 32 bits, and equal ones differ by rounding


@dataclass(frozen=True, eq=False)
class CrystalDomain:
    """The crystals that those of the training set span.

    A crystal is inside when its elements all occur among them, its cell has no more atoms and no more elements than
    any of theirs, no two atoms are nearer to each other than two of their elements ever are (or, where those are
    never neighbours, than either is to anything), and none is farther from its nearest neighbour than one of its
    element ever is.

    Attributes:
        elements: Training crystals that hold each element, (119,).
        limits: Most atoms in a cell, most elements in a crystal, (2,).
        nearest: Shortest distance of each pair of elements in Å, (119, 119); inf where they are never neighbours.
        farthest: Longest distance of each element to its nearest neighbour in Å, (119,).

    """

    elements: np.ndarray
    limits: np.ndarray
    nearest: np.ndarray
    farthest: np.ndarray

    @classmethod
    def fit(cls, store: GraphStore, index: np.ndarray) -> Self:
        """Return the domain of the training crystals at `index`."""
        elements, limits = np.zeros(_N, dtype=np.int64), np.zeros(2)
        nearest, farthest = np.full((_N, _N), np.inf), np.zeros(_N)
        for part in np.array_split(index, max(1, len(index) // 1000)):
            batch = store.batch(part)
            pairs = np.unique(batch.crystal * _N + batch.numbers)
            elements += np.bincount(pairs % _N, minlength=_N)
            atoms = np.bincount(batch.crystal, batch.count)
            limits = np.maximum(limits, [atoms.max(initial=0), np.bincount(pairs // _N).max(initial=0)])
            a, b, distance = batch.numbers[batch.target], batch.numbers[batch.source], batch.distance
            np.minimum.at(nearest, (a, b), distance)
            np.maximum.at(farthest, batch.numbers, _to_nearest(batch))
        return cls(elements, limits, np.minimum(nearest, nearest.T).astype(np.float32), farthest.astype(np.float32))

    def joined(self, other: CrystalDomain) -> CrystalDomain:
        """Return the domain of both training sets."""
        return CrystalDomain(
            self.elements + other.elements,
            np.maximum(self.limits, other.limits),
            np.minimum(self.nearest, other.nearest),
            np.maximum(self.farthest, other.farthest),
        )

    def contains(self, graph: CrystalGraph) -> bool:
        """Return whether a crystal lies inside."""
        kinds = np.unique(graph.numbers)
        if not self.elements[kinds].all() or graph.n_atoms > self.limits[0] or len(kinds) > self.limits[1]:
            return False
        a, b = graph.numbers[graph.target], graph.numbers[graph.source]
        anything = self.nearest.min(axis=1)
        pair = self.nearest[a, b]
        bound = np.where(np.isfinite(pair), pair, np.maximum(anything[a], anything[b]))
        if (graph.distance < bound - _SLACK).any():
            return False
        return bool((_to_nearest(graph) <= self.farthest[graph.numbers] + _SLACK).all())

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what `from_arrays` takes, for storage among the weights."""
        # the distances of a symmetric matrix, once
        return {
            "domain.elements": self.elements.astype(np.int64),
            "domain.limits": self.limits.astype(np.float32),
            "domain.nearest": self.nearest[np.triu_indices(_N)].astype(np.float32),
            "domain.farthest": self.farthest.astype(np.float32),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Self:
        """Return the domain among the arrays of a model.

        Raises:
            KeyError: There is none.
            ValueError: Its parts have other shapes.

        """
        elements, limits, upper, farthest = (
            np.asarray(arrays[f"domain.{name}"]) for name in ("elements", "limits", "nearest", "farthest")
        )
        nearest = np.empty((_N, _N), dtype=np.float32)
        nearest[np.triu_indices(_N)] = upper
        nearest.T[np.triu_indices(_N)] = upper
        if elements.shape != (_N,) or limits.shape != (2,) or farthest.shape != (_N,):
            raise ValueError("a domain of other shapes")
        return cls(elements, limits, nearest, farthest)


def _to_nearest(graph: CrystalGraph | GraphBatch) -> np.ndarray:
    """Return the distance of each node to its nearest neighbour in Å, (n,)."""
    first = np.searchsorted(graph.target, np.arange(len(graph.numbers)))
    found: np.ndarray = np.minimum.reduceat(graph.distance, first)
    return found
