"""The deep kernel: honest about its networks, differentiable, and no worse than nothing where it cannot learn."""

import numpy as np
import pytest
import torch

from aldesign.errors import InputError
from aldesign.models.surrogates.deep_kernel import DeepKernel, _forward
from aldesign.models.surrogates.gaussian_process import GaussianProcess


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def sample(n, seed=0, noise=0.3):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 12))
    return x, 3 * np.maximum(x[:, 0] + x[:, 1] - x[:, 2], 0) + noise * rng.normal(size=n)


def test_what_it_does_not_know_it_does_not_claim():
    x, y = sample(300)
    query, truth = sample(300, seed=1)
    model = DeepKernel().fit(x, y)
    mean, std = model.posterior(query)
    total = np.sqrt(std**2 + model.noise_std**2)
    assert 0.55 < (np.abs(mean - truth) < total).mean() < 0.85
    plain, _ = GaussianProcess().fit(x, y).posterior(query)
    assert np.mean((mean - truth) ** 2) < np.mean((plain - truth) ** 2)


def test_a_training_row_is_described_by_the_network_that_has_not_seen_it():
    x, y = sample(60, noise=0)
    model = DeepKernel(networks=3, steps=400).fit(x, y)
    outside = model._process._points[-1][:, 0]
    points = (torch.from_numpy(x) - model._mean) / model._scale
    answers = _forward(model._weights, points.expand(3, -1, -1))
    centred = answers - answers.mean()
    errors = (centred - torch.from_numpy((y - y.mean()) / y.std())).abs()
    chosen = (answers * 1.0).sub(outside * model._process._x_scale[-1] + model._process._x_mean[-1]).abs().argmin(0)
    assert np.bincount(chosen.numpy(), minlength=3).tolist() == [20, 20, 20]
    unseen = errors[chosen, torch.arange(60)]
    assert unseen.mean() > 1.5 * errors.mean()  # networks know better what they have seen


def test_gradient_agrees_with_finite_differences():
    x, y = sample(60)
    model = DeepKernel(steps=50).fit(x, y)
    points = torch.from_numpy(sample(3, seed=2)[0]).requires_grad_(True)
    assert torch.autograd.gradcheck(model.evaluate, points, eps=1e-6, atol=1e-5)
    mean, std = model.posterior(points.detach().numpy())
    np.testing.assert_allclose(model.evaluate(points)[0].detach().numpy(), mean)
    np.testing.assert_allclose(model.evaluate(points)[1].detach().numpy(), std)


def test_a_few_rows_or_equal_labels_leave_a_plain_process():
    x, y = sample(12)
    query = sample(5, seed=1)[0]
    few = DeepKernel().fit(x, y)
    assert "there are no networks" in few.notes[0]
    plain = GaussianProcess((12, 1)).fit(np.column_stack([x, np.zeros(12)]), y)
    np.testing.assert_allclose(few.posterior(query)[0], plain.posterior(np.column_stack([query, np.zeros(5)]))[0])
    np.testing.assert_allclose(DeepKernel().fit(*(np.repeat(v, 5, 0) for v in (x, 0 * y))).posterior(query)[0], 0)


def test_seeds_decide_the_networks():
    x, y = sample(60)
    query = sample(5, seed=1)[0]
    torch.manual_seed(5)
    first = DeepKernel(steps=30, seed=1).fit(x, y).posterior(query)[0]
    torch.manual_seed(6)
    assert np.array_equal(first, DeepKernel(steps=30, seed=1).fit(x, y).posterior(query)[0])
    assert not np.array_equal(first, DeepKernel(steps=30, seed=2).fit(x, y).posterior(query)[0])


def test_bad_settings_are_named():
    with pytest.raises(InputError, match="networks=1"):
        DeepKernel(networks=1)
    with pytest.raises(InputError, match="do not make up blocks"):
        DeepKernel((2, 2)).fit(*sample(30))
