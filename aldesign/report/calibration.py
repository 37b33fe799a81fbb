"""How honest the surrogate was: what it expected of each candidate before it was measured, against the answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from aldesign.records import Source, Trial, TrialState

LEVELS = (0.68, 0.95)
"""Nominal levels whose coverage is named."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Expectations paired with the answers that followed, n of each, in eV.

    Attributes:
        trials: The trials, in order of number.
        mean: Expected gap before measuring, shape (n,).
        std: One expected standard deviation, shape (n,).
        measured: The oracle's answer, shape (n,).

    """

    trials: tuple[Trial, ...]
    mean: np.ndarray
    std: np.ndarray
    measured: np.ndarray

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> Calibration:
        """Return the pairs among `trials`: measured, with an expectation, and no seed row."""
        kept, rows = [], []
        for trial in sorted(trials, key=lambda trial: trial.number):
            if trial.state is not TrialState.MEASURED or trial.candidate.source is Source.SEED:
                continue
            if trial.expected is None or trial.prediction is None or trial.prediction.value is None:
                continue
            kept.append(trial)
            rows.append((*trial.expected, trial.prediction.value))
        columns = np.array(rows, dtype=float).reshape(-1, 3)
        return cls(tuple(kept), columns[:, 0], columns[:, 1], columns[:, 2])

    def __len__(self) -> int:
        return len(self.measured)

    @property
    def error(self) -> np.ndarray:
        """Expected minus measured, shape (n,), in eV."""
        error: np.ndarray = self.mean - self.measured
        return error

    @property
    def mae(self) -> float:
        """Mean absolute error in eV. Raises ValueError for no pairs, as do all figures of merit here."""
        return float(np.abs(self._some().error).mean())

    @property
    def rmse(self) -> float:
        """Root of the mean squared error in eV."""
        return float(np.sqrt((self._some().error ** 2).mean()))

    @property
    def bias(self) -> float:
        """Mean of expected minus measured in eV; positive where the surrogate was too hopeful."""
        return float(self._some().error.mean())

    def coverage(self, level: float) -> float:
        """Return the share of answers within the central interval that should hold a share `level` of them.

        The expectation is read as a normal distribution, so that the interval is ``mean ± q std`` with
        ``q = Phi^-1((1 + level) / 2)``.
        """
        quantile = NormalDist().inv_cdf((1 + level) / 2)
        return float((np.abs(self._some().error) <= quantile * self.std).mean())

    def needed_levels(self) -> np.ndarray:
        """Return, ascending, the level from which on each answer is covered, shape (n,): ``2 Phi(|z|) - 1``."""
        error, phi = np.abs(self.error), NormalDist().cdf
        z = np.divide(error, self.std, out=np.where(error > 0, np.inf, 0.0), where=self.std > 0)
        return np.sort([2 * phi(value) - 1 for value in z])

    @property
    def miscalibration_area(self) -> float:
        """Area between the coverage curve and the diagonal: 0 is perfect, 0.5 the worst.

        Kuleshov, Fenner and Ermon, ICML 2018; here exact, since the curve is a staircase of n steps.
        """
        edges = np.concatenate([[0.0], self._some().needed_levels(), [1.0]])
        height = np.arange(len(self) + 1) / len(self)
        low, high = edges[:-1] - height, edges[1:] - height
        return float(np.abs(high * np.abs(high) - low * np.abs(low)).sum() / 2)

    def _some(self) -> Calibration:
        if not len(self):
            raise ValueError("no candidate was both expected and measured yet")
        return self
