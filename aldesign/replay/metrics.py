"""What a replay found, and how much faster than chance.

Notation: of M rows that may be bought, K are hits; n labels are paid. Chance draws without replacement, so that after
n labels it holds ``n K / M`` hits on average (hypergeometric) and needs ``k (M + 1) / (K + 1)`` labels on average for
its k-th hit (negative hypergeometric).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aldesign.models.acquisition import Objective

SHARES = (0.10, 0.25, 0.50, 0.80)
"""Shares of the hits at which acceleration factors are told."""


STAGES = ("surrogate", "acquisition")
"""What a learner spends its time on."""


@dataclass(frozen=True)
class Course:
    """What one strategy bought with one seed.

    Attributes:
        strategy: Its name.
        seed: Its seed.
        start: Rows known before, in order.
        rows: Rows bought, in order, shape (n,).
        mean: Expected gaps in eV, NaN where nothing was expected, shape (n,).
        std: Their standard deviations in eV, shape (n,).
        batches: Rows of each batch.
        seconds: Wall time of all batches by stage.
        notes: What the surrogate said last.
    """

    strategy: str
    seed: int
    start: np.ndarray
    rows: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    batches: tuple[int, ...]
    seconds: Mapping[str, float]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Curve:
    """A course measured, at 0 to n labels.

    Attributes:
        found: Hits found, shape (n + 1,).
        best_ev: Best gap known so far, start rows included, in eV, shape (n + 1,).
        hits: K, hits that could be found.
        rows: M, rows that could be bought.
    """

    found: np.ndarray
    best_ev: np.ndarray
    hits: int
    rows: int

    @property
    def labels(self) -> np.ndarray:
        """Numbers of labels, shape (n + 1,)."""
        return np.arange(len(self.found))

    @property
    def share(self) -> np.ndarray:
        """Share of the hits that is found, shape (n + 1,)."""
        return np.asarray(self.found / self.hits)

    @property
    def by_chance(self) -> np.ndarray:
        """Hits that chance holds on average, shape (n + 1,)."""
        return np.asarray(self.labels * self.hits / self.rows)

    @property
    def enhancement(self) -> np.ndarray:
        """Enhancement factor EF(n): hits found over hits by chance, shape (n + 1,); NaN at no labels."""
        chance = self.by_chance
        return np.asarray(np.divide(self.found, chance, out=np.full(len(chance), np.nan), where=chance > 0))

    def labels_to(self, count: int) -> float:
        """Return the place of the `count`-th hit in the order of choice; infinite where it was not found.

        A batch is paid as a whole; its order is that in which its rows were preferred.
        """
        reached = int(np.searchsorted(self.found, count))
        return float(reached) if reached < len(self.found) else math.inf

    def chance_to(self, count: int) -> float:
        """Return the labels that chance pays on average for the `count`-th hit."""
        return count * (self.rows + 1) / (self.hits + 1)


@dataclass(frozen=True)
class Spread:
    """A figure over seeds.

    Attributes:
        mean: None where not every seed has one.
        error: Standard error of the mean; None for a single seed.
        count: Seeds that have one.
    """

    mean: float | None
    error: float | None
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the mean of one value a seed; NaN or infinite stands for none."""
        x = np.array(values, dtype=np.float64)
        count = int(np.isfinite(x).sum())
        if count < len(x):
            return cls(None, None, count)
        return cls(float(x.mean()), float(x.std(ddof=1) / math.sqrt(count)) if count > 1 else None, count)


def measure(course: Course, gaps: np.ndarray, hits: np.ndarray, buyable: np.ndarray, goal: Objective) -> Curve:
    """Return the curve of a course.

    Args:
        course: What was bought.
        gaps: Labels of every row in eV, shape (n,).
        hits: Which rows count as found, shape (n,).
        buyable: Which rows may be bought, shape (n,).
        goal: What is wanted.
    """
    offered = buyable.copy()
    offered[course.start] = False
    found = np.concatenate([[0], np.cumsum(hits[course.rows])])
    order = np.concatenate([course.start, course.rows])
    utility = goal.utility(gaps[order])
    # the best so far is the last row that beat all before it
    ahead = np.maximum.accumulate(utility)
    leads = np.concatenate([[True], utility[1:] > ahead[:-1]])
    leader = np.maximum.accumulate(np.where(leads, np.arange(len(order)), 0))
    best = gaps[order[leader]][len(course.start) - 1 :]
    return Curve(found, best, int((hits & offered).sum()), int(offered.sum()))


def band(values: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard error over seeds of curves (n + 1,) of one length; no error for a single seed."""
    x = np.stack(values)
    error = x.std(axis=0, ddof=1) / math.sqrt(len(x)) if len(x) > 1 else np.zeros(x.shape[1])
    return x.mean(axis=0), error
