"""The Gaussian process against scikit-learn's, finite differences, and the cases that break others."""

import json

import numpy as np
import pytest
import torch
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel

from aldesign.errors import InputError
from aldesign.models.surrogates.gaussian_process import GaussianProcess
from aldesign.models.surrogates.training_rows import keep_rows


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def sample(n=60, d=5, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * np.arange(1, d + 1) + 3
    return x, 2 + np.sin(x[:, 0]) + 0.3 * x[:, 1] + 0.05 * rng.normal(size=n)


@pytest.mark.parametrize(
    ("kernel", "theirs"),
    [("matern52", lambda s: Matern(s, nu=2.5)), ("matern32", lambda s: Matern(s, nu=1.5)), ("rbf", RBF)],
)
@pytest.mark.parametrize("blocks", [None, (2, 3), (1, 1, 1, 1, 1)])
def test_posterior_equals_scikit_learn_at_the_same_hyper_parameters(kernel, theirs, blocks):
    x, y = sample()
    query = sample(20, seed=1)[0]
    ours = GaussianProcess(blocks, kernel).fit(x, y)
    mean, std = ours.posterior(query)
    scale = np.repeat(ours.hyperparameters()["length_scale"], blocks or [5])
    noise = (ours.noise_std / y.std()) ** 2
    constant = ours._constant
    peer = GaussianProcessRegressor(theirs(scale) + WhiteKernel(noise), optimizer=None, alpha=0.0)
    z = (y - y.mean()) / y.std() - constant
    parts = np.split(x, np.cumsum(blocks or [5])[:-1], axis=1)
    spread = np.concatenate([np.full(p.shape[1], np.sqrt(p.var(axis=0).mean())) for p in parts])
    peer.fit((x - x.mean(0)) / spread, z)
    their_mean, their_std = peer.predict((query - x.mean(0)) / spread, return_std=True)
    np.testing.assert_allclose(mean, (their_mean + constant) * y.std() + y.mean(), rtol=1e-8)
    np.testing.assert_allclose(ours.posterior(query, noise=True)[1], their_std * y.std(), rtol=1e-7)
    np.testing.assert_allclose(std**2 + ours.noise_std**2, (their_std * y.std()) ** 2, rtol=1e-7)
    joint_mean, covariance = ours.joint(query)
    _, theirs_joint = peer.predict((query - x.mean(0)) / spread, return_cov=True)
    np.testing.assert_allclose(joint_mean, mean, rtol=1e-12)
    np.testing.assert_allclose(covariance + ours.noise_std**2 * np.eye(20), theirs_joint * y.var(), atol=1e-9)


def test_fit_maximises_the_posterior_density_over_the_length_scale():
    x, y = sample()
    ours = GaussianProcess().fit(x, y)
    (best,) = ours.hyperparameters()["length_scale"]
    z, constant = (y - y.mean()) / y.std(), ours._constant
    noise, d = (ours.noise_std / y.std()) ** 2, x.shape[1]
    loc = np.sqrt(2) + np.log(d) / 2 + np.log(12) / 2

    def density(scale):
        peer = GaussianProcessRegressor(Matern(scale, nu=2.5) + WhiteKernel(noise), optimizer=None, alpha=0.0)
        peer.fit((x - x.mean(0)) / np.sqrt(x.var(axis=0).mean()), z - constant)
        prior = -np.log(scale) - (np.log(scale) - loc) ** 2 / 6
        return peer.log_marginal_likelihood_value_ + prior

    assert density(best) >= max(density(best * 0.98), density(best * 1.02))


def test_same_rows_give_the_same_bits_whatever_ran_before():
    x, y = sample()
    query = sample(30, seed=2)[0]
    first = GaussianProcess().fit(x, y).posterior(query)
    torch.manual_seed(99)
    GaussianProcess().fit(*sample(40, seed=5))
    second = GaussianProcess().fit(x.copy(), y.copy()).posterior(query)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_labels_in_another_unit_and_features_on_another_scale_change_nothing_else():
    x, y = sample()
    query = sample(10, seed=3)[0]
    mean, std = GaussianProcess().fit(x, y).posterior(query)
    mean_mev, std_mev = GaussianProcess().fit(x * 7 - 2, y * 1000 + 5).posterior(query * 7 - 2)
    np.testing.assert_allclose(mean_mev, mean * 1000 + 5, rtol=1e-4)
    np.testing.assert_allclose(std_mev, std * 1000, rtol=1e-3)


def test_uncertainty_covers_what_was_held_back():
    x, y = sample(400, seed=4)
    mean, std = GaussianProcess().fit(x[:200], y[:200]).posterior(x[200:], noise=True)
    assert 0.55 < (np.abs(mean - y[200:]) < std).mean() < 0.85
    assert 1 - ((mean - y[200:]) ** 2).mean() / y[200:].var() > 0.8


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_rows_give_finite_beliefs(n):
    x, y = sample(n)
    mean, std = GaussianProcess().fit(x, y).posterior(sample(5, seed=1)[0])
    assert np.isfinite(mean).all()
    assert (std > 0).all()


def test_constant_labels_constant_features_and_repeated_rows_are_no_trouble():
    x, y = sample(30)
    x[:, 2] = 0.1 + 0.2  # its standard deviation is not exactly zero in floating point
    x, y = np.concatenate([x, x]), np.concatenate([y, y + 0.01])
    mean, std = GaussianProcess().fit(x, y).posterior(x)
    assert np.isfinite(mean).all()
    assert (std > 0).all()
    flat = GaussianProcess().fit(x, np.full(len(x), 1.5))
    np.testing.assert_allclose(flat.posterior(x)[0], 1.5)
    assert "all labels equal" in flat.notes[0]


def test_more_rows_than_allowed_are_thinned_by_the_stated_rule():
    kept = keep_rows(1000, 100)
    assert len(kept) == len(np.unique(kept)) == 100
    assert np.array_equal(kept[50:], np.arange(950, 1000))
    assert kept[0] == 0
    assert kept[49] == 949
    assert np.ptp(np.diff(kept[:50])) <= 1
    x, y = sample(300)
    model = GaussianProcess(max_observations=100, fit_observations=50).fit(x, y)
    assert "100 of 300 rows" in model.notes[0]
    assert "50 rows" in model.notes[1]
    rows = keep_rows(300, 100)
    again = GaussianProcess(fit_observations=50).fit(x[rows], y[rows])
    assert np.array_equal(model.posterior(x)[0], again.posterior(x)[0])


@pytest.mark.parametrize("n", [2, 3, 7, 8])
def test_thinning_keeps_as_many_rows_as_it_may(n):
    assert len(keep_rows(1000, n)) == n
    assert np.array_equal(keep_rows(n, n), np.arange(n))


def test_gradient_agrees_with_finite_differences_and_is_finite_on_a_training_row():
    x, y = sample()
    model = GaussianProcess().fit(x, y)
    points = torch.from_numpy(np.concatenate([sample(3, seed=6)[0]])).requires_grad_(True)
    assert torch.autograd.gradcheck(model.evaluate, points, eps=1e-5, atol=1e-6)
    on_row = torch.from_numpy(x[:2].copy()).requires_grad_(True)
    mean, std = model.evaluate(on_row)
    (mean.sum() + std.sum()).backward()
    assert torch.isfinite(on_row.grad).all()


def test_long_queries_are_answered_in_pieces(monkeypatch):
    x, y = sample()
    model = GaussianProcess().fit(x, y)
    whole = model.posterior(x)
    monkeypatch.setattr("aldesign.models.surrogates.gaussian_process._CHUNK", 7)
    for a, b in zip(whole, model.posterior(x), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9)
    assert model.posterior(np.empty((0, 5)))[0].shape == (0,)


def test_bad_input_is_named():
    x, y = sample(10)
    with pytest.raises(InputError, match="no rows"):
        GaussianProcess().fit(x[:0], y[:0])
    with pytest.raises(InputError, match=r"\(10, 5\).*\(9,\)"):
        GaussianProcess().fit(x, y[1:])
    y[3] = np.nan
    with pytest.raises(InputError, match="row 3 of the surrogate's labels"):
        GaussianProcess().fit(x, y)
    with pytest.raises(InputError, match="allowed: matern52"):
        GaussianProcess(kernel="matern")
    with pytest.raises(InputError, match="call fit first"):
        GaussianProcess().posterior(x)
    with pytest.raises(InputError, match=r"learned from \(n, 5\)"):
        GaussianProcess().fit(*sample(5)).posterior(x[:, :2])
    with pytest.raises(InputError, match=r"5 features do not make up blocks of \(2, 2\)"):
        GaussianProcess((2, 2)).fit(*sample(5))
    for start in (
        {"noise": [0.1]},
        {"length_scale": [1.0], "noise": [0.0]},
        {"length_scale": [1.0, 2.0], "noise": [1.0]},
    ):
        with pytest.raises(InputError, match="cannot start"):
            GaussianProcess(start=start).fit(*sample(5))


def test_blocks_of_features_get_the_length_scales_that_they_deserve():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 10))
    y = np.sin(x[:, :3].sum(axis=1))
    told, useless = GaussianProcess((3, 7)).fit(x, y).hyperparameters()["length_scale"]
    assert useless > 5 * told


def test_hyper_parameters_survive_json_and_start_the_next_fit_where_the_last_one_ended():
    x, y = sample(120)
    first = GaussianProcess((2, 3)).fit(x, y)
    start = json.loads(json.dumps(first.hyperparameters()))
    assert start == first.hyperparameters()
    again = GaussianProcess((2, 3), start=start).fit(x, y)
    for name, values in again.hyperparameters().items():
        np.testing.assert_allclose(values, start[name], rtol=0.02)
    np.testing.assert_allclose(again.posterior(x)[0], first.posterior(x)[0], atol=1e-3)
    with pytest.raises(InputError, match="call fit first"):
        GaussianProcess().hyperparameters()


def test_stated_noise_is_scikit_learns_alpha_beside_the_learnt_noise():
    x, y = sample()
    query = sample(20, seed=1)[0]
    stated = np.where(np.arange(len(y)) % 3 == 0, 0.4, 0.0)
    ours = GaussianProcess().fit(x, y, stated)
    mean, std = ours.posterior(query)
    z, scale = (y - y.mean()) / y.std() - ours._constant, np.sqrt(x.var(axis=0).mean())
    alpha = (ours.noise_std / y.std()) ** 2 + (stated / y.std()) ** 2
    length = ours.hyperparameters()["length_scale"][0]
    peer = GaussianProcessRegressor(Matern(length, nu=2.5), optimizer=None, alpha=alpha)
    peer.fit((x - x.mean(0)) / scale, z)
    theirs, their_std = peer.predict((query - x.mean(0)) / scale, return_std=True)
    np.testing.assert_allclose(mean, (theirs + ours._constant) * y.std() + y.mean(), rtol=1e-8)
    np.testing.assert_allclose(std, their_std * y.std(), rtol=1e-6)


def test_a_wild_label_counts_for_less_if_it_says_so():
    x, y = sample()
    wild = y.copy()
    wild[7] += 3.0
    stated = np.zeros(len(y))
    stated[7] = 3.0
    believed = GaussianProcess().fit(x, wild).posterior(x[7:8])[0]
    doubted = GaussianProcess().fit(x, wild, stated).posterior(x[7:8])[0]
    assert abs(doubted - y[7]) < 0.5 * abs(believed - y[7])


def test_no_stated_noise_leaves_every_bit_as_it_was():
    x, y = sample()
    query = sample(20, seed=1)[0]
    plain = GaussianProcess().fit(x, y).posterior(query)
    for nothing in (None, np.zeros(len(y))):
        np.testing.assert_array_equal(plain, GaussianProcess().fit(x, y, nothing).posterior(query))


def test_stated_noise_stays_with_the_rows_that_are_kept():
    x, y = sample()
    rows, stated = keep_rows(len(y), 20), np.linspace(0.0, 1.0, len(y))
    few = GaussianProcess(max_observations=20).fit(x, y, stated).posterior(x)
    np.testing.assert_array_equal(few, GaussianProcess().fit(x[rows], y[rows], stated[rows]).posterior(x))


@pytest.mark.parametrize("stated", [np.array([0.1]), np.full(60, -0.1), np.full(60, np.nan)])
def test_stated_noise_that_cannot_be_is_refused(stated):
    with pytest.raises(InputError, match="give one for each label, finite and 0 or more"):
        GaussianProcess().fit(*sample(), stated)
