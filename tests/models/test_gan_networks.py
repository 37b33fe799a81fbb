"""The networks' bookkeeping, against straightforward recomputation one formula at a time."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
import smact
import torch

from aldesign.chemistry.elements import ALPHABET
from aldesign.chemistry.formula import compositions
from aldesign.chemistry.onehot import indices
from aldesign.models.gan_networks import (
    KINDS,
    MatrixGenerator,
    SequentialGenerator,
    entries,
    gumbel_choice,
    kind_sizes,
    kinds,
    metals,
)
from aldesign.models.gan_sampling import SequentialSampler, Wishes

FORMULAS = ["NaCl", "SrTiO3", "Cu3Au", "MgAl2O4", "LiFePO4", "Fe2O3"]


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = SequentialGenerator(16).eval()
    made.start_from(indices(compositions(FORMULAS)))
    return made


def log_probability(network, row):
    """Return the logarithms of the probabilities of a formula's set of elements and of its counts, by the rules."""
    kind = int(kinds(row[None])[0])
    places, counts = np.flatnonzero(row), row[row > 0]
    orders = []
    for order in permutations(places.tolist()):
        sums, total = network.kind[kind].clone(), 0.0
        for i, place in enumerate(order):
            logits = network.choices(sums[None])[0].clone()
            logits[list(order[:i])] = -torch.inf
            total += float(logits.log_softmax(0)[place])
            sums = sums + network.element[place]
        orders.append(total)
    trunk = network.count_mixed((network.count_kind[kind] + network.member[places].sum(dim=0))[None])
    total = 0.0
    for place, count in zip(places, counts, strict=True):
        logits = network.counts(trunk, torch.tensor([place]))[0]
        total += float(logits.log_softmax(0)[count - 1])
        trunk = trunk + network.counted.view(103, 21, -1)[place, count] + network.amount[count]
    return orders, total


def test_kinds_say_size_and_whether_all_are_metals():
    assert metals().tolist() == [symbol in smact.metals for symbol in ALPHABET]
    table = indices(compositions(FORMULAS))
    assert kind_sizes()[kinds(table)].tolist() == [2, 3, 2, 3, 4, 2]
    assert (kinds(table) % 2).tolist() == [0, 0, 1, 0, 0, 0]
    assert len(kind_sizes()) == KINDS


def test_entries_are_places_and_counts():
    table = indices(compositions(FORMULAS))
    places, counts = entries(table)
    again = np.zeros_like(table)
    for i, (where, what) in enumerate(zip(places, counts, strict=True)):
        again[i, where[what > 0]] = what[what > 0]
    assert np.array_equal(again, table)


def test_the_surprise_is_the_mean_over_orders_of_the_negative_log_likelihood(network):
    for formula in ("SrTiO3", "NaCl", "Cu3Au"):
        table = indices(compositions([formula]))
        with torch.no_grad():
            orders, counts = log_probability(network, table[0])
            drawn = [float(network.surprise(table)) for _ in range(300)]
        # averaged over what may come next, a set is a matter of the order of the elements before
        assert np.mean(drawn) == pytest.approx(-np.mean(orders) - counts, abs=4 * np.std(drawn) / 300**0.5 + 1e-4)


def test_both_ways_of_drawing_follow_the_likelihood(network):
    """What is drawn fast, and what is drawn with gradients, has the probability that the likelihood gives it."""
    table = indices(compositions(["NaCl"]))
    network.prior.data[:, :] = -20.0
    network.prior.data[:, 0] = 0.0  # every count is 1
    allowed = [ALPHABET.index(s) for s in ("Na", "K", "Cl", "Br")]
    network.choice[-1].bias.data[:] = -40.0
    network.choice[-1].bias.data[allowed] = torch.tensor([1.0, 0.0, 0.5, 0.0])
    network.shares.copy_(torch.eye(KINDS)[0])
    with torch.no_grad():
        orders, counts = log_probability(network, table[0])
        expected = np.exp(orders).sum() * np.exp(counts)
        wishes = Wishes((2, 6), np.zeros(103, dtype=bool), plausible=False)
        fast = SequentialSampler(network, wishes).draw(20_000, np.random.default_rng(0))
        torch.manual_seed(0)
        slow = network.make(20_000, 0.7).argmax(dim=2).numpy()
    assert 0.05 < expected < 0.95
    for made in (fast, slow):
        assert made.shape == (20_000, 103)
        assert (made == table[0]).all(axis=1).mean() == pytest.approx(expected, abs=0.015)


def test_gradients_reach_every_weight(network):
    network.make(64, 0.7).square().sum().backward()
    network.surprise(indices(compositions(FORMULAS))).backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())


def test_the_matrix_network_begins_with_the_frequencies_of_the_training_formulas():
    torch.manual_seed(0)
    table = indices(compositions(FORMULAS))
    network = MatrixGenerator(8, 16)
    network.start_from(table)
    network.classes.weight.data.zero_()
    network.classes.bias.data.zero_()
    with torch.no_grad():
        assert float(network.surprise(table)) == pytest.approx(0.0, abs=0.06)  # beside the floor under unseen counts
        made = network.make(4000, 0.7).argmax(dim=2).numpy()
    sodium = ALPHABET.index("Na")
    assert (made[:, sodium] == 1).mean() == pytest.approx(1 / len(FORMULAS), abs=0.03)


def test_choices_follow_the_probabilities():
    torch.manual_seed(0)
    logits = torch.log(torch.tensor([0.5, 0.3, 0.2])).expand(40_000, 3)
    assert gumbel_choice(logits, 0.7).mean(dim=0).tolist() == pytest.approx([0.5, 0.3, 0.2], abs=0.01)
