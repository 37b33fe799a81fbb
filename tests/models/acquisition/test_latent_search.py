"""The search of a latent space: proposals against brute force."""

import numpy as np
import pytest
import torch

from aldesign.errors import InputError
from aldesign.models.acquisition import Objective, UpperConfidenceBound
from aldesign.models.acquisition.latent_search import _smooth_bound, search
from aldesign.models.surrogates.gaussian_process import GaussianProcess

WINDOW = Objective("window", 1.1, 1.7)


@pytest.fixture(scope="module")
def landscape():
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, size=(80, 4))
    y = 3 - (x[:, 0] - 1) ** 2 + 0.3 * x[:, 1]
    return GaussianProcess().fit(x, y), x, y, np.array([[-2.0] * 4, [2.0] * 4])


@pytest.mark.parametrize("objective", [Objective(), Objective("minimize"), WINDOW])
@pytest.mark.parametrize("kappa", [0.0, 1.0, 10.0])
def test_proposals_beat_their_starts_and_a_dense_random_search(landscape, objective, kappa):
    model, x, y, bounds = landscape
    ucb = UpperConfidenceBound(objective, kappa)
    starts = x[np.argsort(-objective.utility(y))[:8]]
    points = search(model, objective, kappa, starts, bounds, 16, np.random.default_rng(1), trust=1.0, free=1.0)
    score = ucb.score(*model.posterior(points))
    # a point that arrives where another one did goes back to its scattered start, so the mean may be lower
    assert np.median(score) >= np.median(ucb.score(*model.posterior(starts))) - 0.05
    anywhere = np.random.default_rng(2).uniform(*bounds, size=(20_000, 4))
    assert score.max() >= ucb.score(*model.posterior(anywhere)).max() - 0.02


@pytest.mark.parametrize("objective", [Objective(), WINDOW])
def test_the_score_that_is_climbed_is_the_score_with_rounded_edges(landscape, objective):
    model, x, _, _ = landscape
    ucb = UpperConfidenceBound(objective, 3)
    ours = _smooth_bound(model, objective, 3)(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(ours, ucb.score(*model.posterior(x)), atol=0.05)


def test_proposals_are_distinct_in_the_box_near_their_start_and_repeatable(landscape):
    model, x, _, bounds = landscape

    def propose():
        return search(model, Objective(), 2, x[:3], bounds, 32, np.random.default_rng(7), trust=0.1)

    points = propose()
    assert np.array_equal(points, propose())
    assert len(np.unique(points.round(6), axis=0)) == 32
    assert (points >= bounds[0]).all()
    assert (points <= bounds[1]).all()
    assert np.abs(points - x[np.arange(32) % 3]).max() <= 0.1 * 4 + 1e-12


@pytest.mark.parametrize(("free", "moved"), [(1.0, 4), (0.5, 2), (0.01, 1)])
def test_each_point_moves_in_its_own_share_of_the_coordinates(landscape, free, moved):
    model, x, _, bounds = landscape
    points = search(model, Objective(), 2, x[:1], bounds, 20, np.random.default_rng(3), trust=0.3, free=free)
    changed = np.abs(points - x[0]) > 1e-9
    assert (changed.sum(axis=1) <= moved).all()
    assert changed.sum() >= 0.9 * 20 * moved
    assert free == 1 or len(np.unique(changed, axis=0)) > 2


def test_a_coordinate_without_extent_stays_where_it_is(landscape):
    model, x, _, bounds = landscape
    box = bounds.copy()
    box[:, 2] = 0.25
    points = search(model, Objective(), 10, x[:2], box, 5, np.random.default_rng(0))
    assert (points[:, 2] == 0.25).all()
    assert len(np.unique(points, axis=0)) == 5


def test_bad_arguments_of_the_search_are_named(landscape):
    model, x, _, bounds = landscape
    rng = np.random.default_rng(0)

    def go(model, starts, bounds, **options):
        search(model, Objective(), 1, starts, bounds, 2, rng, **options)

    with pytest.raises(InputError, match="expected"):
        go(model, x[:0], bounds)
    with pytest.raises(InputError, match="coordinate 0"):
        go(model, x, bounds[::-1])
    with pytest.raises(InputError, match="trust is 0"):
        go(model, x, bounds, trust=0)
    with pytest.raises(InputError, match=r"free is 1\.5"):
        go(model, x, bounds, free=1.5)
    with pytest.raises(InputError, match="without extent"):
        go(model, x, np.zeros((2, 4)))
    with pytest.raises(InputError, match="no gradient"):
        go(object(), x, bounds)
