import numpy as np
import pytest
import torch
from crystal_toys import rock_salt

from aldesign.chemistry.formula import compositions
from aldesign.records import Crystal
from aldesign.structures.graphs import build_graph, merged, pack
from aldesign.testing import CRYSTALS
from oracles.crystal_heads import Scaling, answers, best_lean, gap_errors, network_loss
from oracles.crystal_network import CrystalNetwork, GatedMessages, NetworkSize, tensors, to_device
from oracles.features.magpie import descriptor

# rutile, and calcite's hexagonal cell: atoms that symmetry makes equal, at low-symmetric places
RUTILE = Crystal(
    "TiO2",
    (4.594, 4.594, 2.959, 90.0, 90.0, 90.0),
    ("Ti", "Ti", "O", "O", "O", "O"),
    np.array(
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.305, 0.305, 0], [0.695, 0.695, 0], [0.195, 0.805, 0.5], [0.805, 0.195, 0.5]]
    ),
)


def batch_of(crystals, formulas, *, merge=True, level=0, **options):
    graphs = [merged(build_graph(c)) if merge else build_graph(c) for c in crystals]
    described = descriptor(compositions(formulas))
    return tensors(pack(graphs), described, np.full(len(graphs), level), torch.float64, **options)


def network(seed=0, **size):
    torch.manual_seed(seed)
    return CrystalNetwork(NetworkSize(**size)).double().eval()


def outputs(net, batch):
    with torch.no_grad():
        return net(batch)


def test_messages_are_the_formula_and_their_gradient_is_right():
    batch = batch_of([RUTILE, CRYSTALS["GaAs"]], ["TiO2", "GaAs"], knot=0.5)
    assert batch.weight.max() > 1
    generator = torch.Generator().manual_seed(0)
    k, n, f = len(batch.distance), len(batch.numbers), 3
    parts = [torch.randn(rows, 2 * f, dtype=torch.float64, generator=generator) for rows in (k, n, n)]
    row, target, source = batch.parts.unbind(1)
    joined = parts[0][row] + parts[1][target - k] + parts[2][source - k - n]
    message = torch.sigmoid(joined[:, :f]) * torch.nn.functional.silu(joined[:, f:]) * batch.weight[:, None]
    wanted = torch.zeros(n, f, dtype=torch.float64).index_add(0, batch.target, message)
    torch.testing.assert_close(GatedMessages.apply(*parts, batch), wanted)
    parts = [part.requires_grad_() for part in parts]
    assert torch.autograd.gradcheck(lambda *p: GatedMessages.apply(*p, batch), parts)


def test_merged_atoms_change_no_answer():
    crystals = [*CRYSTALS.values(), RUTILE]
    formulas = [*CRYSTALS, "TiO2"]
    net = network(layers=5)
    whole, small = batch_of(crystals, formulas, merge=False), batch_of(crystals, formulas)
    assert len(small.numbers) == 2 * len(formulas) - 1  # two kinds of atoms in each, one in silicon
    assert len(whole.numbers) == 2 * len(CRYSTALS) + 6
    assert len(small.target) < 0.3 * len(whole.target)
    torch.testing.assert_close(outputs(net, small), outputs(net, whole), atol=1e-4, rtol=1e-4)


def test_rounded_distances_change_little():
    crystals, formulas = list(CRYSTALS.values()), list(CRYSTALS)
    net = network()
    exact, rounded = (outputs(net, batch_of(crystals, formulas, knot=knot)) for knot in (None, 0.01))
    torch.testing.assert_close(rounded, exact, atol=0.02, rtol=0.02)


def test_network_reads_level_composition_and_arrangement():
    net = network(levels=2)
    plain = batch_of([CRYSTALS["NaCl"]], ["NaCl"])
    answer = outputs(net, plain)
    for other in (
        batch_of([CRYSTALS["NaCl"]], ["NaCl"], level=1),
        plain._replace(composition=plain.composition + 1.0),
        plain._replace(shape=plain.shape + 0.1),
    ):
        assert not torch.allclose(outputs(net, other), answer, atol=1e-6, rtol=0)


def test_network_takes_what_fits():
    energy, gap = network(1, outputs=2, levels=1), network(2, outputs=4, levels=5)
    before = gap.state_dict()["head.4.weight"].clone()
    gap.take(energy)
    mine, theirs = gap.state_dict(), energy.state_dict()
    assert {name for name in mine if mine[name].shape != theirs[name].shape} == {
        "head.4.weight",
        "head.4.bias",
        "level.weight",
    }
    assert all(torch.equal(mine[name], theirs[name]) for name in mine if mine[name].shape == theirs[name].shape)
    assert torch.equal(mine["head.4.weight"], before)


def test_batch_goes_to_a_device():
    # "meta" holds no numbers, and is another device on every machine
    moved = to_device(batch_of([CRYSTALS["NaCl"]], ["NaCl"]), torch.device("meta"))
    assert {value.device.type for value in moved if isinstance(value, torch.Tensor)} == {"meta"}
    assert {tensor.device.type for pair in moved.sums for tensor in pair} == {"meta"}


def test_loss_forgives_metals_below_zero_and_learns_the_size_of_gaps_from_non_metals():
    # a metal, whose location lies below the floor of -1: nothing is missed, but by the doubt of logit 0
    output = torch.tensor([[-3.0, 0.0, 0.0, 7.0]])
    doubt = 0.5 * float(np.log(2))
    assert network_loss(output, torch.tensor([-1.0]), -1.0).item() == pytest.approx(doubt)
    # a gap of 0: the location misses by 3 and the size by 7; the scale of 1 sees the answer cut at the floor
    wanted = 3.0 + doubt + 0.5 * 7.0 + 0.3 * 1.0
    assert network_loss(output, torch.tensor([0.0]), -1.0).item() == pytest.approx(wanted)
    # without a floor: a Laplace distribution of scale e about the location
    plain = torch.tensor([[-3.0, 1.0]])
    assert network_loss(plain, torch.tensor([-1.0]), None).item() == pytest.approx(2.0 + 0.3 * (2.0 / np.e + 1.0))


def test_gap_is_read_from_both_kinds_of_heads():
    scaling = Scaling(1.0, 2.0, floored=True)
    logit = np.log(0.6 / 0.4)
    one = np.array([[0.5, np.log(0.5), logit, 1.5], [-2.0, np.log(0.5), -10.0, 1.0]])
    location, std = answers([one], scaling, 0.25)
    told = 0.25 * 0.7  # a chance of 0.6 is so far up between one and three in four
    assert location[0] == pytest.approx((1.0 - told) * 2.0 + told * 4.0)
    # b = 1 eV, and a gap of 4 eV that is there three times of five
    assert std[0] == pytest.approx(np.sqrt(2.0 + 0.24 * 16.0))
    assert location[1] < -2.9  # surely a metal: as far below zero as the location
    other = one + np.array([1.0, 0.0, 0.0, 0.0])
    both, wide = answers([one, other], scaling, 0.25)
    assert both[0] == pytest.approx(location[0] + 1.0 - told)
    assert wide[0] == pytest.approx(np.sqrt(std[0] ** 2 + (1.0 - told) ** 2))


def test_lean_is_the_one_with_the_least_error():
    rng = np.random.default_rng(0)
    label = np.where(rng.random(2000) < 0.4, 0.0, rng.uniform(0.5, 5.0, 2000))
    scaling = Scaling(0.0, 1.0, floored=True)
    logit = np.where(label > 0, 8.0, -8.0)
    blind = np.stack([np.zeros(2000), np.zeros(2000), logit, label], axis=1)  # only the second pair of heads is right
    assert best_lean([blind], scaling, label) == 1.0
    sighted = np.stack([label, np.zeros(2000), logit, np.zeros(2000)], axis=1)
    assert best_lean([sighted], scaling, label) == 0.0
    assert gap_errors(label + 0.1, label, scaling) == pytest.approx(0.2)
    assert gap_errors(label - 0.1, label, Scaling(0.0, 1.0, floored=False)) == pytest.approx(0.1)


def test_scaling_is_centre_and_mean_distance():
    scaling = Scaling.of(np.array([0.0, 2.0, 4.0]), floored=True)
    assert (scaling.centre, scaling.spread) == (2.0, pytest.approx(4.0 / 3.0))
    assert scaling.floor == pytest.approx(-1.5)
    assert Scaling.of(np.ones(3), floored=False).spread == 1.0
    assert Scaling.of(np.ones(3), floored=False).floor is None


def test_supercell_of_a_distorted_crystal_answers_the_same():
    net = network()
    salt = rock_salt("Na", "Cl", 5.64)
    frac = salt.frac + np.array([[0.0, 0.0, 0.0], [0.02, -0.01, 0.005]])
    a, *rest = salt.lattice
    single = Crystal("single", salt.lattice, salt.species, frac)
    doubled = np.concatenate([frac / [2, 1, 1], (frac + np.eye(3)[0]) / [2, 1, 1]])
    double = Crystal("double", (2 * a, *rest), salt.species * 2, doubled)
    one, two = (outputs(net, batch_of([crystal], ["NaCl"])) for crystal in (single, double))
    torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)
