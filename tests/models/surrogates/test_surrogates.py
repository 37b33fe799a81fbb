"""Surrogates by name, and what all of them must do."""

import json

import numpy as np
import pytest
import torch

from aldesign.errors import InputError
from aldesign.models.surrogates import make_surrogate
from aldesign.protocols import JointSurrogate, Surrogate

KINDS = ("gp", "deep_kernel", "trees", "committee")


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def sample(n=150, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 6)) * np.arange(1, 7) + 3
    return x, 2 + np.sin(x[:, 0]) + 0.3 * x[:, 1] + 0.05 * rng.normal(size=n)


@pytest.mark.parametrize("kind", KINDS)
def test_every_surrogate_keeps_the_contract(kind):
    x, y = sample()
    query = sample(40, seed=1)[0]
    model = make_surrogate(kind, blocks=(4, 2), seed=3)
    assert isinstance(model, Surrogate)
    assert model.fit(x, y) is model
    mean, std = model.posterior(query)
    assert mean.shape == std.shape == (40,)
    assert np.isfinite(mean).all()
    assert (std > 0).all()
    start = json.loads(json.dumps(model.hyperparameters()))
    again = make_surrogate(kind, blocks=(4, 2), seed=3).fit(x.copy(), y.copy())
    assert all(np.array_equal(a, b) for a, b in zip(again.posterior(query), (mean, std), strict=True))
    make_surrogate(kind, blocks=(4, 2), seed=3, start=start).fit(x, y)
    assert model.posterior(query[:0])[0].shape == (0,)


@pytest.mark.parametrize("kind", KINDS)
def test_covariances_agree_with_the_standard_deviations(kind):
    x, y = sample()
    model = make_surrogate(kind, blocks=(6,)).fit(x, y)
    query = sample(40, seed=1)[0]
    assert isinstance(model, JointSurrogate)
    mean, covariance = model.joint(query)
    expected, std = model.posterior(query)
    np.testing.assert_allclose(mean, expected)
    np.testing.assert_allclose(np.sqrt(np.diagonal(covariance)), std, rtol=1e-6)
    assert np.linalg.eigvalsh(covariance).min() > -1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_surrogates_learn_and_refuse_what_they_cannot_use(kind):
    x, y = sample()
    query, truth = sample(200, seed=1)
    model = make_surrogate(kind, blocks=(6,), max_observations=100)
    with pytest.raises(InputError, match="call fit first"):
        model.posterior(x)
    model.fit(x, y)
    assert "100 of 150 rows" in model.notes[0]
    assert np.corrcoef(model.posterior(query)[0], truth)[0, 1] > 0.7
    with pytest.raises(InputError, match=r"learned from \(n, 6\)"):
        model.posterior(x[:, :3])
    with pytest.raises(InputError, match="not finite"):
        model.fit(x, np.where(y > 2, np.nan, y))


def test_unknown_kinds_and_options_are_named():
    with pytest.raises(InputError, match="no surrogate is called 'gpr'"):
        make_surrogate("gpr", blocks=(2,))
    with pytest.raises(InputError, match="refused its options"):
        make_surrogate("trees", blocks=(2,), depth=3)
    with pytest.raises(InputError, match="trees=1"):
        make_surrogate("trees", blocks=(2,), trees=1)
