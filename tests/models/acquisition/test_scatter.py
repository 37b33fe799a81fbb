from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldesign.errors import InputError
from aldesign.models.acquisition.scatter import scatter

STARTS = np.array([[0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0]])
BOUNDS = np.array([[-1.0, -1.0, -1.0, -1.0], [3.0, 3.0, 7.0, 7.0]])


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_no_point_leaves_the_box_or_strays_beyond_the_trust(seed, trust, free):
    points = scatter(STARTS, BOUNDS, 64, np.random.default_rng(seed), trust=trust, free=free)
    assert ((points >= BOUNDS[0]) & (points <= BOUNDS[1])).all()
    # the nearest point between the two starts
    way = np.clip((points - STARTS[0]) @ STARTS[1] / (STARTS[1] @ STARTS[1]), 0, 1)[:, None]
    reach = trust * (BOUNDS[1] - BOUNDS[0])
    assert (np.linalg.norm(points - way * STARTS[1], axis=1) <= np.linalg.norm(reach) + 1e-12).all()


def test_starts_are_taken_in_turn_and_few_coordinates_move_far_less_often_than_allowed():
    starts = np.zeros((3, 100)) + np.arange(3)[:, None]
    box = np.stack([np.full(100, -9.0), np.full(100, 9.0)])
    points = scatter(starts, box, 3000, np.random.default_rng(0), trust=0.01, free=0.5)
    own = np.arange(3000) % 3
    moved = (points != starts[own]).mean(axis=1)
    stayed = moved < 1
    assert stayed.mean() == pytest.approx(1 / 2 + 1 / 6, abs=0.03)  # half, and those whose other start is their own
    assert (np.rint(points[stayed].mean(axis=1)) == own[stayed]).all()
    # a share between nothing and one half, evenly drawn
    assert moved[stayed].mean() == pytest.approx(0.25, abs=0.01)
    assert np.quantile(moved[stayed], 0.9) == pytest.approx(0.45, abs=0.03)
    way = points[~stayed].mean(axis=1)
    assert ((way > -0.1) & (way < 2.1)).all()
    assert np.abs(way - np.rint(way)).mean() > 0.1  # between the starts


def test_equal_states_give_equal_points():
    first, again = (scatter(STARTS, BOUNDS, 9, np.random.default_rng(4), trust=0.3, free=0.5) for _ in range(2))
    assert np.array_equal(first, again)


def test_arguments_that_do_not_fit_are_refused():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match=r"expected \(m, d\) and \(2, d\)"):
        scatter(np.zeros((0, 4)), BOUNDS, 3, rng, trust=0.3, free=0.5)
    with pytest.raises(InputError, match="trust is 0"):
        scatter(STARTS, BOUNDS, 3, rng, trust=0.0, free=0.5)
    with pytest.raises(InputError, match=r"free is 1\.5"):
        scatter(STARTS, BOUNDS, 3, rng, trust=0.3, free=1.5)
