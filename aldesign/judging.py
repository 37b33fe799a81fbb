"""How wrong an oracle is on rows that it has not learnt from, and whether it knows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from aldesign.predict import ask
from aldesign.protocols import Oracle
from aldesign.records import Candidate, LabelledRow

LEVELS = np.linspace(0.0, 1.0, 101)[1:-1]
"""Nominal coverages at which a calibration curve is drawn."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Predictions of labelled rows, n of each, in the unit of the labels.

    Attributes:
        rows: The rows.
        mean: Predicted values, shape (n,); NaN where the oracle gave an error.
        std: Stated standard deviations, shape (n,); NaN where none is stated.
        baseline: What the mean of the training labels would have said, shape (n,); NaN where nothing was trained.
        fold: Which fold tested the row, shape (n,); 0 without folds.
        errors: The oracle's reason where there is no value, empty elsewhere.
        unit: Unit of all of them.
        learnt: Whether the oracle learnt from the row's formula, shape (n,), bool; None where nothing tells.

    """

    rows: tuple[LabelledRow, ...]
    mean: np.ndarray
    std: np.ndarray
    baseline: np.ndarray
    fold: np.ndarray
    errors: tuple[str, ...]
    unit: str
    learnt: np.ndarray | None = None

    @property
    def truth(self) -> np.ndarray:
        """The labels, shape (n,)."""
        return np.array([row.value for row in self.rows], dtype=np.float64)

    @property
    def metals(self) -> np.ndarray | None:
        """Which rows have no gap, shape (n,), bool; None where the property is no gap, or all rows are of one kind."""
        none = self.truth <= 0
        return none if self.unit == "eV" and none.any() and not none.all() else None

    def unseen(self) -> Evaluation:
        """Return the rows of formulas that the oracle did not learn from; all, where nothing tells or none is."""
        if self.learnt is None or self.learnt.all() or not self.learnt.any():
            return self
        kept = np.flatnonzero(~self.learnt)
        mean, std, baseline, fold = (x[kept] for x in (self.mean, self.std, self.baseline, self.fold))
        rows, errors = tuple(self.rows[i] for i in kept), tuple(self.errors[i] for i in kept)
        return Evaluation(rows, mean, std, baseline, fold, errors, self.unit)

    def groups(self) -> dict[str, np.ndarray]:
        """Return the named groups of rows that are judged apart, each as a mask of shape (n,)."""
        found = {"all": np.ones(len(self.rows), dtype=bool)}
        if self.metals is not None:
            found |= {"non-metals": ~self.metals, "metals": self.metals}
        if self.learnt is not None and self.learnt.any() and not self.learnt.all():
            found |= {"not learnt from": ~self.learnt, "learnt from": self.learnt}
        if (folds := np.unique(self.fold)).size > 1:
            found |= {f"fold {i + 1}": self.fold == i for i in folds.tolist()}
        return found

    def figures(self) -> list[dict[str, Any]]:
        """Return the figures of merit of each group, and of the baseline where there is one."""
        truth, answered = self.truth, np.isfinite(self.mean)
        found = [
            {
                "group": name,
                "failed": int((mask & ~answered).sum()),
                **figures(truth[mask & answered], self.mean[mask & answered], self.std[mask & answered]),
            }
            for name, mask in self.groups().items()
        ]
        if np.isfinite(self.baseline).all():
            guess = figures(truth, self.baseline, np.full(len(truth), np.nan))
            found.append({"group": "baseline: mean of the training labels", "failed": 0, **guess})
        return found


def figures(truth: np.ndarray, mean: np.ndarray, std: np.ndarray) -> dict[str, Any]:
    """Return the figures of merit of n predictions; None where one cannot be told.

    ``coverage_68`` and ``coverage_95`` are the shares of truths within 1 and 1.96 standard deviations, which should
    be 68 and 95 %; ``miscalibration_area`` is the area between the curve of observed over nominal coverage and
    the diagonal: 0 is honest, 0.5 the worst (Kuleshov, Fenner and Ermon, ICML 2018).

    Args:
        truth: Labels, shape (n,).
        mean: Predictions, shape (n,).
        std: One standard deviation each, shape (n,); NaN where none is stated.

    """
    names = ("mae", "rmse", "r2", "coverage_68", "coverage_95", "miscalibration_area")
    found: dict[str, Any] = {"rows": len(truth), **dict.fromkeys(names)}
    if not len(truth):
        return found
    error = np.abs(mean - truth)
    found["mae"] = round(float(error.mean()), 4)
    found["rmse"] = round(float(np.sqrt((error**2).mean())), 4)
    spread = float(((truth - truth.mean()) ** 2).sum())
    if spread > 0:
        found["r2"] = round(1.0 - float((error**2).sum()) / spread, 4)
    stated = np.isfinite(std)
    if stated.any():
        inside = error[stated], std[stated]
        found["coverage_68"] = round(float((inside[0] <= inside[1]).mean()), 4)
        found["coverage_95"] = round(float((inside[0] <= 1.96 * inside[1]).mean()), 4)
        area = np.abs(coverage(truth[stated], mean[stated], std[stated]) - LEVELS).mean()
        found["miscalibration_area"] = round(float(area), 4)
    return found


def coverage(truth: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return the share of n truths that lie in the central normal interval of each of `LEVELS`, shape (99,).

    Args:
        truth: Labels, shape (n,), n above 0.
        mean: Predictions, shape (n,).
        std: One standard deviation each, shape (n,).

    """
    reach = np.array([NormalDist().inv_cdf((1.0 + level) / 2.0) for level in LEVELS])
    # how many standard deviations a truth is off; a sure and right answer is within any interval
    off = np.abs(mean - truth)
    z = np.divide(off, std, out=np.where(off > 0, np.inf, 0.0), where=std > 0)
    held: np.ndarray = np.searchsorted(np.sort(z), reach, side="right") / len(z)
    return held


def evaluate_on(oracle: Oracle, rows: Sequence[LabelledRow], learnt: np.ndarray | None = None) -> Evaluation:
    """Return what a ready oracle predicts for labelled rows.

    Args:
        oracle: It need not be trainable.
        rows: n rows.
        learnt: Whether it learnt from each row's formula, shape (n,), where that is known.

    """
    mean, std, errors = answers(oracle, rows)
    nothing, fold = np.full(len(rows), np.nan), np.zeros(len(rows), dtype=int)
    return Evaluation(tuple(rows), mean, std, nothing, fold, errors, oracle.card.unit, learnt)


def answers(oracle: Oracle, rows: Sequence[LabelledRow]) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return an oracle's values (n,), standard deviations (n,) and errors for n rows; NaN where there is none."""
    found = ask(oracle, [Candidate(row.formula, crystal=row.crystal) for row in rows])
    mean = np.array([np.nan if a.value is None else a.value for a in found], dtype=np.float64)
    std = np.array([np.nan if a.std is None else a.std for a in found], dtype=np.float64)
    return mean, std, tuple(a.error for a in found)


def card_metrics(found: Evaluation) -> dict[str, Any]:
    """Return the figures of all rows in the words of a card's ``metrics``: numbers only, with ``mae_nonmetals``."""
    figures_of = {str(group["group"]): group for group in found.figures()}
    overall = dict(figures_of["all"])
    named: dict[str, Any] = {"count": overall["rows"]}
    named |= {key: overall[key] for key in ("mae", "rmse", "r2")}
    if "non-metals" in figures_of:
        named["mae_nonmetals"] = figures_of["non-metals"]["mae"]
    named |= {key: overall[key] for key in ("coverage_68", "coverage_95", "miscalibration_area")}
    if overall["failed"]:
        named["failed"] = overall["failed"]
    return {key: value for key, value in named.items() if value is not None}
