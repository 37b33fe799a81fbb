"""Figures of merit against scikit-learn's and against errors whose distribution is known."""

from __future__ import annotations

import numpy as np
import pytest

from aldesign.judging import LEVELS, Evaluation, card_metrics, coverage, figures
from aldesign.records import LabelledRow


def evaluation(truth: np.ndarray, mean: np.ndarray, std: np.ndarray, **facts: object) -> Evaluation:
    n = len(truth)
    rows = tuple(LabelledRow(f"Na{i + 1}Cl", value) for i, value in enumerate(truth.tolist()))
    errors = tuple("" if value == value else "no" for value in mean)
    return Evaluation(rows, mean, std, np.full(n, np.nan), np.zeros(n, dtype=int), errors, "eV", **facts)  # type: ignore[arg-type]


def test_figures_are_scikit_learns() -> None:
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    truth, mean = np.random.default_rng(3).normal(size=(2, 500))
    found = figures(truth, mean, np.full(500, np.nan))
    assert found["mae"] == pytest.approx(mean_absolute_error(truth, mean), abs=1e-4)
    assert found["rmse"] == pytest.approx(mean_squared_error(truth, mean) ** 0.5, abs=1e-4)
    assert found["r2"] == pytest.approx(r2_score(truth, mean), abs=1e-4)
    assert found["coverage_68"] is None


def test_an_honest_normal_error_is_covered_as_it_says() -> None:
    rng = np.random.default_rng(4)
    std = rng.uniform(0.1, 3.0, size=40_000)
    found = figures(rng.normal(0.0, std), np.zeros(40_000), std)
    assert found["coverage_68"] == pytest.approx(0.6827, abs=0.01)
    assert found["coverage_95"] == pytest.approx(0.95, abs=0.01)
    assert found["miscalibration_area"] < 0.01
    assert figures(rng.normal(0.0, std), np.zeros(40_000), std * 1e-6)["miscalibration_area"] > 0.48


def test_coverage_is_what_counting_gives() -> None:
    from scipy.stats import norm

    rng = np.random.default_rng(5)
    truth, mean, std = rng.normal(size=(3, 60))
    std = np.abs(std)
    for level, found in zip(LEVELS, coverage(truth, mean, std), strict=True):
        low, high = norm.interval(level, mean, std)
        assert found == pytest.approx(np.mean((low <= truth) & (truth <= high)))


def test_certainty_is_covered_where_it_is_right_and_only_there() -> None:
    zero = np.zeros(4)
    assert coverage(zero, zero, zero) == pytest.approx(1.0)
    assert coverage(zero, zero + 1, zero) == pytest.approx(0.0)


def test_metals_and_what_was_learnt_are_judged_apart() -> None:
    truth = np.array([0.0, 0.0, 1.0, 2.0, 3.0])
    error = np.array([0.0, 0.2, 0.4, 0.4, 0.4])
    found = evaluation(truth, truth + error, np.ones(5), learnt=np.array([1, 0, 1, 0, 0], dtype=bool))
    by_name = {figure["group"]: figure for figure in found.figures()}
    assert {name: figure["rows"] for name, figure in by_name.items()} == {
        "all": 5,
        "non-metals": 3,
        "metals": 2,
        "not learnt from": 3,
        "learnt from": 2,
    }
    assert by_name["metals"]["mae"] == pytest.approx(0.1)
    assert by_name["metals"]["r2"] is None
    assert card_metrics(found)["mae_nonmetals"] == pytest.approx(0.4)
    assert found.unseen().figures()[0]["mae"] == by_name["not learnt from"]["mae"]
    assert [row.value for row in found.unseen().rows] == [0.0, 2.0, 3.0]


def test_rows_without_an_answer_are_counted_not_averaged() -> None:
    truth = np.array([1.0, 2.0, 3.0])
    found = evaluation(truth, np.array([1.5, np.nan, 3.5]), np.array([0.5, np.nan, np.nan]))
    (overall,) = found.figures()
    assert (overall["rows"], overall["failed"], overall["mae"]) == (2, 1, 0.5)
    metrics = card_metrics(found)
    assert metrics["failed"] == 1
    assert "mae_nonmetals" not in metrics
