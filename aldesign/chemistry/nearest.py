"""The nearest of many reference formulas by element mover's distance: all of them searched, and exactly."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any

import numpy as np

BLOCKS = 8  # more make a bound tighter and its search slower; 6 to 12 take the same time over 85,000 references
FEW = 256  # so few references are compared one by one
DECIMALS = 9  # distances are rounded, so that equal ones tie whatever the order of summation was
_SLACK = 2.0 * 10.0**-DECIMALS  # what rounding may move a distance, and a sum of blocks
_PAIRS = 50_000  # compared at once, 40 MB
_QUERIES = 256  # at once: each may have ten thousands of candidates, where it is far from everything


class Neighbourhood:
    """Reference formulas, searched by distance on the modified Pettifor scale.

    The distance of two formulas is the L1 distance of their cumulative fractions (see `distance`). Sums over blocks of
    the scale lie no farther apart than the fractions themselves, by the triangle inequality; a k-d tree over those
    sums yields a few candidates, among which every nearest one must be, and only they are measured.

    Args:
        table: Cumulative fractions of m references, float64 (m, 103), as `cumulative` gives them.

    """

    def __init__(self, table: np.ndarray) -> None:
        self.table = table

    def __len__(self) -> int:
        return len(self.table)

    def nearest(self, queries: np.ndarray, k: int = 1) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return the k nearest references of each of n queries, and those as near as the k-th.

        Args:
            queries: Cumulative fractions, float64 (n, 103).
            k: How many at least, as long as there are so many.

        Returns:
            For each query the rows of the references, int64 (j,), and their distances in places of the scale, rounded
            to nine decimals, float64 (j,): by distance, then row.

        """
        k = min(k, len(self))
        if k < 1:
            return [(np.zeros(0, dtype=np.int64), np.zeros(0))] * len(queries)
        if len(self) <= FEW:
            every = np.arange(len(self))
            return [_chosen(every, _distances(self.table, query), k) for query in queries]
        found: list[tuple[np.ndarray, np.ndarray]] = []
        step = max(min(_PAIRS // k, _QUERIES), 1)
        for start in range(0, len(queries), step):
            part = queries[start : start + step]
            coarse = _block_sums(part)
            first = self._tree.query(coarse, k=[*range(1, k + 1)], p=1)[1]
            # the k-th nearest lies no farther than the farthest of any k references
            reach = np.abs(self.table[first] - part[:, None]).sum(axis=2).max(axis=1)
            near = self._tree.query_ball_point(coarse, reach + _SLACK, p=1, return_sorted=True)
            for query, rows in zip(part, near, strict=True):
                candidates = np.array(rows, dtype=np.int64)
                found.append(_chosen(candidates, _distances(self.table[candidates], query), k))
        return found

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree

        return cKDTree(_block_sums(self.table), leafsize=32, balanced_tree=False)


def _block_sums(table: np.ndarray) -> np.ndarray:
    places = table.shape[1]
    starts = np.arange(0, places, math.ceil(places / BLOCKS))
    return np.asarray(np.add.reduceat(table, starts, axis=1))


def _distances(references: np.ndarray, query: np.ndarray) -> np.ndarray:
    return np.asarray(np.round(np.abs(references - query).sum(axis=1), DECIMALS))


def _chosen(rows: np.ndarray, distances: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest of ascending `rows`, and those as near as the k-th, by distance, then row."""
    limit = np.partition(distances, k - 1)[k - 1]
    kept = np.flatnonzero(distances <= limit)
    order = kept[np.argsort(distances[kept], kind="stable")]
    return rows[order], distances[order]
