"""Coverage and miscalibration against closed forms."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest

from aldesign.records import Candidate, OracleIdentity, Prediction, Source, Trial, TrialState
from aldesign.report.calibration import Calibration


def of_scores(z: np.ndarray, std: float = 0.5) -> Calibration:
    z = np.asarray(z, dtype=float)
    return Calibration((), np.full(len(z), 3.0), np.full(len(z), std), 3.0 - std * z)


def test_scores_at_normal_quantiles_are_perfectly_calibrated() -> None:
    n = 999
    z = np.array([NormalDist().inv_cdf((i + 0.5) / n) for i in range(n)])
    calibration = of_scores(z)
    for level in (0.1, 0.5, 0.68, 0.9, 0.95):
        assert calibration.coverage(level) == pytest.approx(level, abs=1.5 / n)
    assert calibration.miscalibration_area == pytest.approx(0, abs=1 / n)


def test_coverage_counts_scores_within_the_quantile() -> None:
    # Phi^-1(0.84) = 0.9945 and Phi^-1(0.975) = 1.9600
    calibration = of_scores(np.array([0.0, 0.99, -0.99, 1.0, -1.95, 1.97]))
    assert calibration.coverage(0.68) == pytest.approx(3 / 6)
    assert calibration.coverage(0.95) == pytest.approx(5 / 6)


def test_area_of_extremes_is_a_half() -> None:
    assert of_scores(np.zeros(7)).miscalibration_area == pytest.approx(0.5)
    assert of_scores(np.full(7, 1e3)).miscalibration_area == pytest.approx(0.5)


def test_area_equals_numerical_integral() -> None:
    calibration = of_scores(1.7 * np.random.default_rng(3).normal(size=41) + 0.3)
    levels = (np.arange(20000) + 0.5) / 20000
    needed = calibration.needed_levels()
    covered = np.searchsorted(needed, levels, side="right") / len(needed)
    assert calibration.miscalibration_area == pytest.approx(np.abs(covered - levels).mean(), abs=1e-4)


def test_no_spread_covers_only_exact_answers() -> None:
    calibration = Calibration((), np.array([1.0, 2.0]), np.zeros(2), np.array([1.0, 2.5]))
    assert calibration.coverage(0.95) == 0.5
    assert calibration.needed_levels().tolist() == [0.0, 1.0]


def test_errors_in_closed_form() -> None:
    calibration = Calibration((), np.array([2.0, 5.0]), np.ones(2), np.array([1.0, 7.0]))
    assert (calibration.mae, calibration.bias) == (1.5, -0.5)
    assert calibration.rmse == pytest.approx(np.sqrt(2.5))


def test_pairs_leave_out_seeds_failures_and_the_unexpected() -> None:
    oracle = OracleIdentity("o", "1")
    good, bad = Prediction(2.0, 0.1, "eV", oracle, "PBE"), Prediction(None, None, "eV", oracle, "PBE", error="no")
    gan, seed = Candidate("NaCl", Source.GAN), Candidate("KCl", Source.SEED)
    trials = [
        Trial(3, 1, gan, TrialState.MEASURED, prediction=good, expected=(2.5, 0.4)),
        Trial(1, 1, gan, TrialState.FAILED, prediction=bad, expected=(2.5, 0.4)),
        Trial(0, 0, seed, TrialState.MEASURED, prediction=good, expected=(2.5, 0.4)),
        Trial(2, 1, gan, TrialState.MEASURED, prediction=good),
        Trial(4, 1, gan, TrialState.PENDING, expected=(2.5, 0.4)),
    ]
    calibration = Calibration.of(trials)
    assert [t.number for t in calibration.trials] == [3]
    assert (calibration.mean[0], calibration.std[0], calibration.measured[0]) == (2.5, 0.4, 2.0)


def test_nothing_to_judge_is_an_error_and_not_a_number() -> None:
    empty = Calibration.of([])
    assert len(empty) == 0
    for figure in ("mae", "rmse", "bias", "miscalibration_area"):
        with pytest.raises(ValueError, match="both expected and measured"):
            getattr(empty, figure)
