"""A committee: the moments of a mixture, and starts that find their member."""

import numpy as np
import pytest
import torch

from aldesign.errors import InputError
from aldesign.models.surrogates import make_surrogate
from aldesign.models.surrogates.committee import Committee, start_of


def test_moments_are_those_of_draws_from_a_member_taken_at_random():
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3))
    model = make_surrogate("committee", blocks=(3,)).fit(x, np.sin(x[:, 0]) + x[:, 1])
    query = rng.normal(size=(4, 3)) * 2
    mean, covariance = model.joint(query)
    draws = np.concatenate(
        [rng.multivariate_normal(*member.joint(query), size=100_000) for member in model.members.values()]
    )
    np.testing.assert_allclose(mean, draws.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(covariance, np.cov(draws.T), atol=0.02)
    np.testing.assert_allclose(model.posterior(query)[1], np.sqrt(np.diagonal(covariance)), rtol=1e-6)


def test_hyper_parameters_go_back_to_the_member_they_came_from():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(50, 3))
    y = np.sin(x[:, 0]) + x[:, 1]
    model = make_surrogate("committee", blocks=(2, 1), members=["gp", "deep_kernel"]).fit(x, y)
    start = model.hyperparameters()
    assert set(start) == {"gp.length_scale", "gp.noise", "deep_kernel.length_scale", "deep_kernel.noise"}
    assert start_of("gp", start) == model.members["gp"].hyperparameters()
    assert start_of("trees", start) is None
    again = make_surrogate("committee", blocks=(2, 1), members=["gp", "deep_kernel"], start=start).fit(x, y)
    np.testing.assert_allclose(again.hyperparameters()["gp.length_scale"], start["gp.length_scale"], rtol=0.05)


def test_committees_that_make_no_sense_are_refused():
    with pytest.raises(InputError, match="two or more members"):
        Committee({})
    with pytest.raises(InputError, match="each once"):
        make_surrogate("committee", blocks=(3,), members=["gp", "gp"])
    with pytest.raises(InputError, match="no surrogate is called 'forest'"):
        make_surrogate("committee", blocks=(3,), members=["gp", "forest"])
