"""Expected hypervolume improvement against a closed form, a Monte Carlo sum and the simplest cases."""

import numpy as np
import pytest
from scipy.stats import norm

from aldesign.errors import InputError
from aldesign.models.acquisition import Objective
from aldesign.models.acquisition.multiobjective import (
    choose_trade_offs,
    expected_hypervolume_improvement,
    non_dominated,
)

GOALS = (Objective("maximize"), Objective("minimize"))  # a wide gap and a low formation energy
OBSERVED = np.array([[6.0, -1.0], [4.0, -2.0], [2.0, -3.0], [3.0, -1.0]])
REFERENCE = np.array([1.0, 0.0])


def dominated_area(points):
    """Area between the reference and the points: gaps up, energies down."""
    area, lowest = 0.0, REFERENCE[1]
    for gap, energy in sorted(points, key=lambda p: -p[0]):
        if gap > REFERENCE[0] and energy < lowest:
            area += (gap - REFERENCE[0]) * (lowest - energy)
            lowest = energy
    return area


def test_one_measured_material_far_below_leaves_the_product_of_two_expected_improvements():
    mean, std = np.array([[5.0, -1.0]]), np.array([[1.0, 0.4]])
    observed = np.array([[1.0, 0.0]])  # dominates nothing beyond the reference
    found = expected_hypervolume_improvement(GOALS, mean, std, observed, REFERENCE)

    def improvement(distance, spread):
        z = distance / spread
        return spread * (norm.pdf(z) + z * norm.cdf(z))

    np.testing.assert_allclose(found, improvement(4.0, 1.0) * improvement(1.0, 0.4), rtol=1e-8)


def test_improvement_agrees_with_monte_carlo():
    rng = np.random.default_rng(0)
    mean, std = np.array([[5.0, -2.5], [3.0, -1.0], [7.0, -0.5]]), np.array([[0.7, 0.5], [1.0, 1.0], [0.3, 0.2]])
    found = expected_hypervolume_improvement(GOALS, mean, std, OBSERVED, REFERENCE)
    now = dominated_area(OBSERVED)
    for i in range(3):
        draws = mean[i] + std[i] * rng.normal(size=(4000, 2))
        gains = [dominated_area([*OBSERVED, draw]) - now for draw in draws]
        assert abs(np.mean(gains) - found[i]) < 4 * np.std(gains) / np.sqrt(4000)


def test_a_batch_spreads_over_the_trade_offs():
    mean = np.array([[8.0, -1.0], [7.99, -1.01], [4.5, -2.6], [1.5, -0.1]])
    chosen = choose_trade_offs(GOALS, mean, np.full((4, 2), 0.05), OBSERVED, 2)
    assert set(chosen.tolist()) in ({0, 2}, {1, 2})
    assert sorted(choose_trade_offs(GOALS, mean, np.full((4, 2), 0.05), OBSERVED, 9).tolist()) == [0, 1, 2, 3]


def test_the_default_reference_counts_every_best_trade_off():
    mean, std = OBSERVED[:3] + np.array([0.5, -0.1]), np.full((3, 2), 1e-6)
    assert (expected_hypervolume_improvement(GOALS, mean, std, OBSERVED) > 0).all()
    assert (expected_hypervolume_improvement(GOALS, mean[:1], std[:1], OBSERVED[:1]) > 0).all()
    assert non_dominated(GOALS, OBSERVED).tolist() == [True, True, True, False]


def test_bad_arguments_are_named():
    with pytest.raises(InputError, match="to maximize or minimize"):
        expected_hypervolume_improvement((GOALS[0], Objective("window", 1, 2)), OBSERVED, OBSERVED, OBSERVED)
    with pytest.raises(InputError, match="mean has shape"):
        expected_hypervolume_improvement(GOALS, OBSERVED[:, :1], OBSERVED, OBSERVED)
    with pytest.raises(InputError, match="0 measured rows"):
        expected_hypervolume_improvement(GOALS, OBSERVED, OBSERVED, OBSERVED[:0])
