from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.preprocessing import KernelCenterer
from torch.distributions import Normal, kl_divergence

from aldesign.chemistry.formula import compositions
from aldesign.chemistry.onehot import encode, indices
from aldesign.models.autoencoder_network import AutoencoderConfig, PaperNetwork, ResidualNetwork, _unkinship
from aldesign.models.autoencoder_targets import N_STATISTICS, statistics

TINY = AutoencoderConfig(latent_size=16, hidden=24)
FORMULAS = ["SrTiO3", "NaCl", "CaClF5", "LiFePO4", "MgAl2O4", "GaAs", "Cs2AgBiBr6", "YBa2Cu3O7", "Fe", "H2O"]
TABLE = torch.from_numpy(indices(compositions(FORMULAS)))
TARGETS = torch.from_numpy(
    np.concatenate([statistics(TABLE.numpy()), np.arange(len(FORMULAS))[:, None] - 4], axis=1).astype(np.float32)
)


def made(config: AutoencoderConfig) -> ResidualNetwork:
    torch.manual_seed(0)
    network = ResidualNetwork(config)
    network.start_from(TABLE.numpy(), TARGETS.numpy())
    return network


def loss(network, seed=1):
    torch.manual_seed(seed)
    return float(network.loss(TABLE, TARGETS).detach())


def test_the_first_layer_is_a_dense_one_on_the_one_hot_matrix():
    """Its sum over the elements present is the product of the whole matrix with its weights."""
    network = made(TINY)
    seen = []
    network.encoder.register_forward_hook(lambda _, args, __: seen.append(args[0]))
    network.encode(TABLE)
    matrix = torch.from_numpy(encode(compositions(FORMULAS), dtype=np.float32)).flatten(1)
    weights = network.counts.weight.view(103, 21, -1)[:, 1:].flatten(0, 1)
    shares = TABLE / TABLE.sum(dim=1, keepdim=True)
    torch.testing.assert_close(seen[0], matrix @ weights + shares.float() @ network.fractions.weight)


def test_points_lie_on_the_sphere_and_decoding_projects_to_it():
    network = made(TINY)
    points = network.encode(TABLE)
    torch.testing.assert_close(points.norm(dim=1), torch.full((len(FORMULAS),), 4.0))
    torch.testing.assert_close(network.decode(points * 7.0), network.decode(points))
    free = made(replace(TINY, variational=1.0))
    points = free.encode(TABLE)
    assert not torch.allclose(free.decode(points * 7.0), free.decode(points))


def test_an_untrained_network_knows_how_often_elements_occur():
    network = made(TINY)
    with torch.no_grad():
        network.to_logits.weight.zero_()
        share = network.decode(torch.ones(1, 16)).softmax(dim=2)[0]
    present = 1 - share[:, 0].numpy()
    often = (TABLE > 0).float().mean(dim=0).numpy()
    assert np.corrcoef(present, often)[0, 1] > 0.99


def test_the_divergence_is_that_from_a_standard_normal():
    quiet = replace(TINY, statistics=0.0, label=0.0, kinship=0.0, tidiness=0.0, likeness=0.0)
    once, twice = made(replace(quiet, variational=1.0)), made(replace(quiet, variational=2.0))
    with torch.no_grad():
        mean, log_variance = once._encode(TABLE)
    divergence = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(dim=1).mean()
    assert loss(twice) - loss(once) == pytest.approx(float(divergence), rel=0.02)  # products are of 16 bits


def test_labels_that_are_not_known_teach_nothing():
    network = made(TINY)
    some = TARGETS.clone()
    some[::2, -1] = torch.nan
    torch.manual_seed(0)
    value = network.loss(TABLE, some)
    assert math.isfinite(float(value.detach()))
    value.backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
    none = TARGETS.clone()
    none[:, -1] = torch.nan
    network.zero_grad()
    replaced = ResidualNetwork(replace(TINY, kinship=0.0))
    replaced.start_from(TABLE.numpy(), none.numpy())
    torch.manual_seed(0)
    replaced.loss(TABLE, none).backward()
    assert replaced.head.weight.grad is not None
    assert (replaced.head.weight.grad[-1] == 0).all()
    assert (replaced.head.weight.grad[0] != 0).any()


def test_kinship_compares_cosines_with_the_centred_kernel():
    rng = np.random.default_rng(0)
    points, targets = rng.normal(size=(9, 5)), rng.normal(size=(9, 4))
    square = ((targets[:, None, :3] - targets[None, :, :3]) ** 2).mean(axis=2)
    square += 0.25 * (targets[:, None, 3] - targets[None, :, 3]) ** 2
    kernel = KernelCenterer().fit_transform(np.exp(-square / 2))
    length = np.sqrt(np.maximum(np.diag(kernel), 0.05))
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    error = (unit @ unit.T - kernel / length / length[:, None]) ** 2
    wanted = error[~np.eye(9, dtype=bool)].mean()
    assert float(_unkinship(torch.from_numpy(points), torch.from_numpy(targets))) == pytest.approx(wanted)


def test_every_regulariser_adds_to_the_loss():
    quiet = replace(TINY, noise=0.0, statistics=0.0, label=0.0, kinship=0.0, tidiness=0.0, likeness=0.0)
    bare = loss(made(quiet))
    for name in ("statistics", "label", "kinship", "tidiness", "likeness"):
        assert loss(made(replace(quiet, **{name: 50.0}))) > bare + 1, name
    assert loss(made(replace(quiet, spread=50.0))) < bare  # the logarithm of a mean of exponentials below one


def test_the_papers_network_has_the_papers_layers():
    network = PaperNetwork(AutoencoderConfig(architecture="agd"))
    assert network.convolution1.weight.shape == (32, 1, 3, 3)
    assert network.convolution1.stride == (2, 1)
    assert network.convolution2.weight.shape == (128, 32, 3, 3)
    assert network.convolution2.stride == (3, 1)
    assert network.to_latent.out_features == 128
    points = network.encode(TABLE)
    assert points.shape == (len(FORMULAS), 128)
    logits = network.decode(points)
    assert logits.shape == (len(FORMULAS), 103, 21)
    assert (logits[:, :, 0] == 0).all()  # a cell is taken where its probability is above one half
    cells = torch.sigmoid(logits[:, :, 1:].double())
    matrix = torch.from_numpy(encode(compositions(FORMULAS), dtype=np.float64))
    entropy = -(matrix * cells.log() + (1 - matrix) * (1 - cells).log()).sum(dim=(1, 2)).mean()
    assert float(network.loss(TABLE, TARGETS).detach()) == pytest.approx(float(entropy.detach()), rel=1e-5)
    assert TARGETS.shape[1] == N_STATISTICS + 1
