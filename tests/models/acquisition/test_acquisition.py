"""Objectives and acquisitions: by hand, by quadrature and against botorch."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from aldesign.errors import InputError
from aldesign.models.acquisition import Objective, UpperConfidenceBound, make_acquirer
from aldesign.models.acquisition.multiobjective import _Told  # before botorch, whose import warns

WINDOW = Objective("window", 1.1, 1.7)
gaps = st.floats(0, 20)


class Single(_Told):
    num_outputs = 1  # asked for by acquisitions of one property


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


def test_bad_arguments_are_named():
    for bad in ({"kind": "max"}, {"kind": "window"}, {"kind": "window", "low": 2, "high": 1}, {"low": 1.0}):
        with pytest.raises(InputError):
            Objective(**bad)
    with pytest.raises(InputError, match="kappa"):
        UpperConfidenceBound(Objective(), -1)
    with pytest.raises(InputError, match="allowed: ucb, ei, thompson, probability"):
        make_acquirer("pi", Objective())
    with pytest.raises(InputError, match="nothing to improve on"):
        make_acquirer("ei", Objective())
    with pytest.raises(InputError, match="without a threshold"):
        make_acquirer("probability", Objective())
    with pytest.raises(InputError, match="incumbent is nan"):
        make_acquirer("ei", Objective(), incumbent=float("nan"))
    with pytest.raises(InputError, match="pass rng"):
        make_acquirer("thompson", Objective()).score(np.zeros(2), np.ones(2))


def normal_mean(utility, mean, std):
    """The expectation of `utility` over a normal variable, by quadrature between its kinks."""
    density = lambda g: utility(g) * norm.pdf(g, mean, std)  # noqa: E731
    return quad(density, mean - 12 * std, mean + 12 * std, points=[1.1, 1.7], limit=200)[0]


@pytest.mark.parametrize("incumbent", [0.7, 2.5])
@pytest.mark.parametrize(("mean", "std"), [(1.0, 0.3), (3.0, 0.8), (1.4, 2.0), (0.2, 0.5)])
def test_expected_improvement_of_a_window_is_that_of_quadrature(incumbent, mean, std):
    have = float(WINDOW.utility(np.array([incumbent]))[0])
    expected = normal_mean(lambda g: max(0.0, float(WINDOW.utility(np.array([g]))[0]) - have), mean, std)
    score = make_acquirer("ei", WINDOW, incumbent=incumbent).score(np.array([mean]), np.array([std]))
    np.testing.assert_allclose(np.exp(score), expected, rtol=1e-6)


def test_expected_improvement_of_a_window_ranks_by_the_chance_to_be_inside_once_something_is():
    mean, std = np.array([0.5, 1.4, 2.5]), np.array([0.4, 0.1, 2.0])
    inside = make_acquirer("ei", WINDOW, incumbent=1.2).score(mean, std)
    np.testing.assert_allclose(np.exp(inside), norm.cdf(1.7, mean, std) - norm.cdf(1.1, mean, std), rtol=1e-10)
    near = make_acquirer("ei", WINDOW, incumbent=1.1 - 2e-4).score(mean, std) - np.log(2e-4)
    np.testing.assert_allclose(near, inside, atol=2e-3)


@pytest.mark.parametrize("kind", ["maximize", "minimize"])
def test_expected_improvement_equals_botorch(kind):
    from botorch.acquisition import LogExpectedImprovement

    mean, std = np.linspace(-8, 14, 40), np.geomspace(0.01, 3, 40)
    belief = torch.from_numpy(np.stack([mean, std], axis=1))[:, None]
    theirs = LogExpectedImprovement(Single(), best_f=3.0, maximize=kind == "maximize")(belief)
    ours = make_acquirer("ei", Objective(kind), incumbent=3.0).score(mean, std)
    np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6, atol=1e-9)


def test_far_from_the_goal_scores_are_finite_and_still_in_order():
    mean, std = -np.array([1.0, 5.0, 50.0, 1e3, 1e6]), np.full(5, 0.01)
    for kind in ("ei", "probability"):
        for objective in (Objective(), Objective("minimize"), WINDOW, Objective("window", 1.0, 1.0)):
            sign = -1 if objective.kind == "minimize" else 1
            score = make_acquirer(kind, objective, incumbent=sign * 6.0).score(sign * mean, std)
            assert np.isfinite(score).all(), (kind, objective)
            assert (np.diff(score) < 0).all(), (kind, objective)


def test_probability_of_success_is_that_of_the_normal_distribution():
    mean, std = np.array([1.0, 5.9, 7.0]), np.array([0.5, 1.0, 3.0])

    def chance(objective, **options):
        return np.exp(make_acquirer("probability", objective, **options).score(mean, std))

    np.testing.assert_allclose(chance(Objective(), threshold=6.0), norm.sf(6, mean, std))
    np.testing.assert_allclose(chance(Objective(), incumbent=6.0), norm.sf(6, mean, std))
    np.testing.assert_allclose(chance(Objective("minimize"), threshold=6.0), norm.cdf(6, mean, std))
    np.testing.assert_allclose(chance(WINDOW), norm.cdf(1.7, mean, std) - norm.cdf(1.1, mean, std))
    wide = norm.cdf(1.9, mean, std) - norm.cdf(0.9, mean, std)
    np.testing.assert_allclose(chance(WINDOW, threshold=0.2), wide)


def test_thompson_draws_follow_the_belief_and_the_generator():
    mean, std = np.full(20_000, 2.0), np.full(20_000, 0.5)
    acquirer = make_acquirer("thompson", Objective())
    draws = acquirer.score(mean, std, np.random.default_rng(0))
    assert np.array_equal(draws, acquirer.score(mean, std, np.random.default_rng(0)))
    assert abs(draws.mean() - 2.0) < 0.02
    assert abs(draws.std() - 0.5) < 0.02


def test_the_bound_is_bold_until_something_is_good_enough():
    mean, std = np.array([5.0, 2.0]), np.array([0.1, 1.0])

    def best(**options):
        return int(np.argmax(make_acquirer("ucb", Objective(), kappa=1.0, **options).score(mean, std)))

    assert best() == best(incumbent=2.9) == best(threshold=6.0) == best(incumbent=6.1, threshold=6.0) == 0
    assert best(incumbent=2.9, threshold=6.0) == 1
    least = make_acquirer("ucb", Objective("minimize"), incumbent=0.5, threshold=0.2)
    assert least == UpperConfidenceBound(Objective("minimize"), 8.0)
    assert make_acquirer("ucb", Objective(), kappa=20.0, incumbent=1.0, threshold=6.0).kappa == 20.0
    assert make_acquirer("ucb", WINDOW, kappa=1.0, incumbent=0.1, threshold=0.0).kappa == 1.0
