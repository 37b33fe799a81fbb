"""How the answers of several oracles become one, and how much each counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracles.mixture import learn_weights, mix


@given(
    st.lists(
        st.tuples(st.floats(-5, 5), st.floats(0.01, 3), st.floats(0.01, 1)),
        min_size=1,
        max_size=5,
    )
)
def test_mixture_has_the_moments_of_a_mixture(members):
    values, stds, weights = np.array(members).T
    weights = weights / weights.sum()
    found = mix(values[:, None], stds[:, None], weights)
    mean = float(weights @ values)
    second = float(weights @ (stds**2 + values**2))  # E[x²] of a mixture of normals
    assert found.value[0] == pytest.approx(mean, abs=1e-12)
    assert found.std[0] == pytest.approx(np.sqrt(second - mean**2), rel=1e-6)
    assert found.share[0] == pytest.approx(1.0)


def test_members_without_an_answer_leave_it_to_the_others():
    nan = np.nan
    values = np.array([[1.0, nan, 1.0, nan], [3.0, 3.0, nan, nan], [5.0, 5.0, nan, nan]])
    stds = np.array([[0.1, nan, nan, nan], [0.2, 0.2, nan, nan], [0.3, nan, nan, nan]])
    found = mix(values, stds, np.array([0.5, 0.25, 0.25]))
    np.testing.assert_allclose(found.value, [2.5, 4.0, 1.0, nan])
    np.testing.assert_allclose(found.share, [1.0, 0.5, 0.5, 0.0])
    # two of equal weight: the variance of 3 and 5 is 1, and 0.2 is all that is stated
    assert found.std[1] == pytest.approx(np.sqrt(1.0 + 0.2**2))
    assert np.isnan(found.std[2:]).all()


def test_learned_weights_miss_least():
    rng = np.random.default_rng(3)
    truth = rng.gamma(1.5, 1.0, 4000)
    values = np.stack([truth + rng.normal(0, s, 4000) + b for s, b in ((0.3, 0.1), (0.4, -0.2), (1.5, 0.0))])
    weights = learn_weights(values, truth)
    steps = np.linspace(0, 1, 51)
    grid = [(a, b, 1 - a - b) for a in steps for b in steps if a + b <= 1]
    best = min(float(np.abs(np.array(w) @ values - truth).mean()) for w in grid)
    assert weights.min() > 0
    assert weights.sum() == pytest.approx(1.0)
    assert float(np.abs(weights @ values - truth).mean()) < best * 1.002
    assert weights[2] < 0.1


def test_weights_follow_the_rows_that_count():
    truth = np.repeat([0.0, 1.0], 2000)
    values = np.stack([np.zeros(4000), np.ones(4000)])
    assert learn_weights(values, truth, 1.0 + truth)[1] > 0.95
    assert learn_weights(values, truth, 2.0 - truth)[1] < 0.05


def test_few_rows_weigh_all_the_same():
    truth = np.arange(19.0)
    values = np.stack([truth, truth + 5])
    np.testing.assert_array_equal(learn_weights(values, truth), [0.5, 0.5])
    some = np.concatenate([values, np.full((2, 30), np.nan)], axis=1)
    np.testing.assert_array_equal(learn_weights(some, np.zeros(49)), [0.5, 0.5])
    assert learn_weights(values[:1], truth).tolist() == [1.0]


def test_few_rows_do_not_make_one_member_right():
    rng = np.random.default_rng(1)
    found = []
    for _ in range(30):
        truth = rng.normal(0, 3, 30)
        found.append(learn_weights(truth + rng.normal(0, [[1.0], [1.0], [8.0]], (3, 30)), truth))
    assert np.max(found) < 0.85  # two equal members: whatever the rows say, both count
    assert np.mean(found, axis=0)[2] < 0.03
