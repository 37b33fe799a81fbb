"""The figures that cards hold, against closed forms and scipy."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from oracles.metrics import error_metrics, rank_correlation


def test_figures_of_four_rows():
    truth, mean = np.array([0.0, 0.0, 1.0, 3.0]), np.array([0.0, 0.4, 1.5, 2.0])
    found = error_metrics(truth, mean, np.array([0.1, 0.1, 0.6, 0.6]))
    assert found["mae"] == pytest.approx(1.9 / 4)
    assert found["mae_nonmetals"] == pytest.approx(0.75)
    assert found["rmse"] == pytest.approx(np.sqrt((0.16 + 0.25 + 1.0) / 4), abs=1e-4)
    assert found["r2"] == pytest.approx(1 - 1.41 / 6.0, abs=1e-4)
    assert (found["coverage_68"], found["coverage_95"]) == (0.5, 0.75)
    # the second row is called a non-metal and is a metal
    assert found["coverage_68_predicted_nonmetals"] == pytest.approx(1 / 3, abs=1e-4)
    assert found["coverage_95_predicted_nonmetals"] == pytest.approx(2 / 3, abs=1e-4)
    assert found["std_mean"] == pytest.approx(0.35)


def test_energies_have_no_metals():
    truth = np.array([-1.0, 0.0, 0.5, 2.0])
    found = error_metrics(truth, truth + 0.1, np.full(4, 0.2))
    assert not [name for name in found if "nonmetals" in name]


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    a = rng.integers(0, 20, 200).astype(float)
    b = a + rng.normal(0, 5, 200).round()
    assert rank_correlation(a, b) == pytest.approx(spearmanr(a, b).statistic)
    assert rank_correlation(a, np.ones(200)) == 0.0
