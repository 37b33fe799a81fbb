"""Batches: the best first, never the same news twice."""

import numpy as np
import pytest
import torch

from aldesign.errors import InputError
from aldesign.models.acquisition import Objective, make_acquirer
from aldesign.models.acquisition.batch import choose_batch
from aldesign.models.surrogates import make_surrogate
from aldesign.models.surrogates.gaussian_process import GaussianProcess


class Alone:
    """A surrogate that knows no covariance."""

    def __init__(self, mean, std):
        self.mean, self.std = np.asarray(mean, dtype=float), np.asarray(std, dtype=float)
        self.notes = ()

    def fit(self, x, y):
        return self

    def posterior(self, x):
        return self.mean, self.std

    def hyperparameters(self):
        return {}


@pytest.fixture(scope="module")
def landscape():
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, size=(60, 3))
    model = GaussianProcess().fit(x, np.sin(x[:, 0]) + 0.3 * x[:, 1])
    return model, x, rng.uniform(-3, 3, size=(300, 3))


def rng():
    return np.random.default_rng(1)


def test_each_choice_is_the_best_after_refitting_on_the_choices_before(landscape):
    model, x, pool = landscape
    y = np.sin(x[:, 0]) + 0.3 * x[:, 1]
    acquirer = make_acquirer("ucb", Objective(), kappa=2.0)
    chosen = choose_batch(model, pool, acquirer, 6, rng())
    mean, _ = model.posterior(pool)
    for i in range(6):
        seen = np.vstack([x, pool[chosen[:i]]])
        # the reference: the same process, its scales and hyper-parameters held, with the choices as rows
        points = model._standardised(torch.from_numpy(seen))
        gram = model._correlation(points, points) + model._found.noise * torch.eye(len(seen), dtype=torch.float64)
        cross = model._correlation(points, model._standardised(torch.from_numpy(pool)))
        left = 1 - (cross * torch.linalg.solve(gram, cross)).sum(0)
        score = acquirer.score(mean, left.sqrt().numpy() * y.std())
        score[chosen[:i]] = -np.inf
        assert chosen[i] == np.argmax(score)


def test_a_twin_of_what_is_chosen_has_nothing_to_add():
    model = GaussianProcess().fit(np.random.default_rng(0).normal(size=(40, 2)), np.arange(40.0))
    pool = np.array([[6.0, 6.0], [6.0, 6.0], [-6.0, -6.0], [0.0, 0.1]])
    chosen = choose_batch(model, pool, make_acquirer("ucb", Objective(), kappa=50.0), 2, rng())
    assert set(chosen.tolist()) in ({0, 2}, {1, 2})


def test_without_a_covariance_distance_stands_in_for_it():
    pool = np.array([[0.0, 0], [0.01, 0], [5, 5], [5.1, 5], [9, 0], [9.2, 0.1]])
    model = Alone([1.0, 0.99, 0.9, 0.89, 0.8, 0.79], np.full(6, 0.5))
    chosen = choose_batch(model, pool, make_acquirer("ucb", Objective(), kappa=1.0), 3, rng())
    assert chosen.tolist() == [0, 2, 4]


def test_a_batch_is_no_longer_than_the_pool_and_starts_with_the_best(landscape):
    model, _, pool = landscape
    for kind in ("ucb", "ei", "probability"):
        acquirer = make_acquirer(kind, Objective(), incumbent=1.0)
        chosen = choose_batch(model, pool[:7], acquirer, 50, rng())
        assert sorted(chosen.tolist()) == list(range(7))
        assert chosen[0] == np.argmax(acquirer.score(*model.posterior(pool[:7])))


@pytest.mark.parametrize("kind", ["gp", "trees"])
def test_thompson_batches_follow_the_generator_and_favour_the_good(landscape, kind):
    _, x, pool = landscape
    y = np.sin(x[:, 0]) + 0.3 * x[:, 1]
    model = make_surrogate(kind, blocks=(3,)).fit(x, y)
    acquirer = make_acquirer("thompson", Objective())
    chosen = choose_batch(model, pool, acquirer, 20, rng())
    assert len(set(chosen.tolist())) == 20
    assert np.array_equal(chosen, choose_batch(model, pool, acquirer, 20, rng()))
    assert not np.array_equal(chosen, choose_batch(model, pool, acquirer, 20, np.random.default_rng(2)))
    mean, _ = model.posterior(pool)
    assert mean[chosen].mean() > mean.mean()


def test_thompson_works_without_a_covariance():
    model = Alone(np.arange(50.0), np.full(50, 0.1))
    chosen = choose_batch(model, np.zeros((50, 2)), make_acquirer("thompson", Objective()), 3, rng())
    assert chosen.tolist() == [49, 48, 47]


def test_nothing_to_choose_from_is_an_error(landscape):
    model, _, pool = landscape
    with pytest.raises(InputError, match="a batch of 3 was to be chosen from 0"):
        choose_batch(model, pool[:0], make_acquirer("ucb", Objective()), 3, rng())
    with pytest.raises(InputError, match="a batch of 0"):
        choose_batch(model, pool, make_acquirer("ucb", Objective()), 0, rng())
