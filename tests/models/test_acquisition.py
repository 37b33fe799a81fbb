"""Objectives and the search: utilities by hand, proposals against brute force."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aldesign.errors import InputError
from aldesign.models.acquisition import Objective, UpperConfidenceBound
from aldesign.models.surrogate import GaussianProcess

WINDOW = Objective("window", 1.1, 1.7)
gaps = st.floats(0, 20)


@pytest.fixture(scope="module")
def landscape():
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, size=(80, 4))
    y = 3 - (x[:, 0] - 1) ** 2 + 0.3 * x[:, 1]
    return GaussianProcess().fit(x, y), x, y, np.array([[-2.0] * 4, [2.0] * 4])


def test_utilities_by_hand():
    gap = np.array([0.0, 1.1, 1.5, 2.7])
    assert Objective().utility(gap).tolist() == gap.tolist()
    assert Objective("minimize").utility(gap).tolist() == (-gap).tolist()
    np.testing.assert_allclose(WINDOW.utility(gap), [-1.1, 0, 0, -1.0])


@given(gaps, gaps)
def test_better_is_a_strict_order(a, b):
    for objective in (Objective(), Objective("minimize"), WINDOW):
        assert not (objective.better(a, b) and objective.better(b, a))
        assert not objective.better(a, a)
    assert Objective().better(a, b) == (a > b)
    assert Objective("minimize").better(a, b) == (a < b)


def test_met_needs_a_threshold_except_for_a_window():
    assert Objective().met(6.0, 6.0)
    assert not Objective().met(5.9, 6.0)
    assert not Objective().met(99.0)
    assert Objective("minimize").met(0.1, 0.2)
    assert not Objective("minimize").met(0.3, 0.2)
    assert WINDOW.met(1.1)
    assert WINDOW.met(1.7)
    assert not WINDOW.met(1.8)
    assert WINDOW.met(1.8, 0.2)


@given(st.floats(0, 10), st.floats(0, 3), st.floats(0, 20))
def test_window_score_is_the_distance_of_the_interval_until_it_touches(mean, std, kappa):
    score = float(UpperConfidenceBound(WINDOW, kappa).score(np.array([mean]), np.array([std]))[0])
    low, high = mean - kappa * std, mean + kappa * std
    distance = max(1.1 - high, low - 1.7, 0.0)
    if distance > 1e-9:
        assert math.isclose(score, -distance, abs_tol=1e-9)
    else:
        assert score >= -1e-9


def test_scores_of_maximising_and_minimising():
    mean, std = np.array([1.0, 2.0]), np.array([0.5, 0.1])
    np.testing.assert_allclose(UpperConfidenceBound(Objective(), 10).score(mean, std), [6.0, 3.0])
    np.testing.assert_allclose(UpperConfidenceBound(Objective("minimize"), 10).score(mean, std), [4.0, -1.0])


@pytest.mark.parametrize("objective", [Objective(), Objective("minimize"), WINDOW])
@pytest.mark.parametrize("kappa", [0.0, 1.0, 10.0])
def test_proposals_beat_their_starts_and_a_dense_random_search(landscape, objective, kappa):
    model, x, y, bounds = landscape
    ucb = UpperConfidenceBound(objective, kappa)
    starts = x[np.argsort(-objective.utility(y))[:8]]
    points = ucb.propose(model, starts, bounds, 16, np.random.default_rng(1), trust=1.0, free=1.0)
    score = ucb.score(*model.posterior(points))
    assert score.mean() > ucb.score(*model.posterior(starts)).mean()
    anywhere = np.random.default_rng(2).uniform(*bounds, size=(20_000, 4))
    assert score.max() >= ucb.score(*model.posterior(anywhere)).max() - 0.02


@pytest.mark.parametrize("objective", [Objective(), WINDOW])
def test_the_score_that_is_climbed_is_the_score_with_rounded_edges(landscape, objective):
    model, x, _, _ = landscape
    ucb = UpperConfidenceBound(objective, 3)
    ours = ucb._smooth_score(model)(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ours, ucb.score(*model.posterior(x)), atol=0.05)


def test_proposals_are_distinct_in_the_box_near_their_start_and_repeatable(landscape):
    model, x, _, bounds = landscape
    ucb = UpperConfidenceBound(Objective(), 2)

    def propose():
        return ucb.propose(model, x[:3], bounds, 32, np.random.default_rng(7), trust=0.1)

    points = propose()
    assert np.array_equal(points, propose())
    assert len(np.unique(points.round(6), axis=0)) == 32
    assert (points >= bounds[0]).all()
    assert (points <= bounds[1]).all()
    assert np.abs(points - x[np.arange(32) % 3]).max() <= 0.1 * 4 + 1e-12


@pytest.mark.parametrize(("free", "moved"), [(1.0, 4), (0.5, 2), (0.01, 1)])
def test_each_point_moves_in_its_own_share_of_the_coordinates(landscape, free, moved):
    model, x, _, bounds = landscape
    ucb = UpperConfidenceBound(Objective(), 2)
    points = ucb.propose(model, x[:1], bounds, 20, np.random.default_rng(3), trust=0.3, free=free)
    changed = np.abs(points - x[0]) > 1e-9
    assert (changed.sum(axis=1) <= moved).all()
    assert changed.sum() >= 0.9 * 20 * moved
    assert free == 1 or len(np.unique(changed, axis=0)) > 2


def test_a_coordinate_without_extent_stays_where_it_is(landscape):
    model, x, _, bounds = landscape
    box = bounds.copy()
    box[:, 2] = 0.25
    points = UpperConfidenceBound(Objective()).propose(model, x[:2], box, 5, np.random.default_rng(0))
    assert (points[:, 2] == 0.25).all()
    assert len(np.unique(points, axis=0)) == 5


def test_bad_arguments_are_named(landscape):
    model, x, _, bounds = landscape
    ucb, rng = UpperConfidenceBound(Objective()), np.random.default_rng(0)
    with pytest.raises(InputError, match="expected"):
        ucb.propose(model, x[:0], bounds, 2, rng)
    with pytest.raises(InputError, match="coordinate 0"):
        ucb.propose(model, x, bounds[::-1], 2, rng)
    with pytest.raises(InputError, match="trust is 0"):
        ucb.propose(model, x, bounds, 2, rng, trust=0)
    with pytest.raises(InputError, match=r"free is 1\.5"):
        ucb.propose(model, x, bounds, 2, rng, free=1.5)
    with pytest.raises(InputError, match="without extent"):
        ucb.propose(model, x, np.zeros((2, 4)), 2, rng)
    with pytest.raises(InputError, match="no gradient"):
        ucb.propose(object(), x, bounds, 2, rng)
    for bad in ({"kind": "max"}, {"kind": "window"}, {"kind": "window", "low": 2, "high": 1}, {"low": 1.0}):
        with pytest.raises(InputError):
            Objective(**bad)
    with pytest.raises(InputError, match="kappa"):
        UpperConfidenceBound(Objective(), -1)
