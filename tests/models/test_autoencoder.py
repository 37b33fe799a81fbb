from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from pymatgen.core import Composition
from torch.nn import functional

from aldesign.chemistry.formula import canonical, compositions
from aldesign.chemistry.onehot import N_ROWS, decode_indices, indices
from aldesign.errors import CheckpointError, FormulaError, InputError
from aldesign.models.autoencoder import (
    PLAN,
    SHIPPED,
    AutoencoderConfig,
    FormulaAutoencoder,
    _Network,
    augment,
)

TINY = AutoencoderConfig(latent_size=16, first_channels=4, second_channels=8, hidden=24, noise=0.05)
FORMULAS = [
    f"{a}{x}" for a in ("Na", "K", "Li", "Rb", "MgO", "CaO", "SrTi") for x in ("Cl", "Br3", "F2", "I", "O3", "S")
]
KNOWN = ["SrTiO3", "NaCl", "CaClF5", "LiFePO4", "MgAl2O4", "BaTiO3", "GaAs", "Cs2AgBiBr6", "YBa2Cu3O7", "ZnS"]


@pytest.fixture(scope="module")
def shipped():
    return FormulaAutoencoder.load()


def test_convolutions_are_convolutions():
    """The products of matrices give what torch's own strided convolutions give."""
    torch.manual_seed(0)
    net = _Network(TINY)
    table = torch.from_numpy(indices(compositions(KNOWN)))
    seen = {}
    net.convolution2.register_forward_hook(lambda _, __, out: seen.update(encoded=out))
    net.deconvolution2.register_forward_hook(lambda _, args, __: seen.update(inner=args[0]))
    logits = net.decode(net.encode(table))

    x = functional.one_hot(table.long(), 21)[:, None, :, 1:].float()
    kernel = net.convolution1.weight.view(-1, 20, 3).transpose(1, 2)[:, None]
    x = functional.silu(functional.conv2d(x, kernel, net.convolution1.bias, stride=(2, 1), padding=(1, 0)))
    kernel = net.convolution2.weight.view(8, 3, 4).transpose(1, 2)[..., None]
    x = functional.conv2d(x, kernel, net.convolution2.bias, stride=(3, 1), padding=(1, 0))
    torch.testing.assert_close(seen["encoded"], x[..., 0].transpose(1, 2))

    x = seen["inner"].transpose(1, 2)
    kernel = net.deconvolution2.weight.view(3, 8, 8).permute(2, 1, 0)
    bias = net.deconvolution2.bias.view(3, 8).repeat(18, 1)[1:53].T
    x = functional.silu(functional.conv_transpose1d(x, kernel, stride=3, padding=1) + bias)
    kernel = net.deconvolution1.weight.view(3, 21, 8).permute(2, 1, 0)
    x = functional.conv_transpose1d(x, kernel, stride=2, padding=1).transpose(1, 2)
    torch.testing.assert_close(logits, x + net.prior)


def test_a_tiny_network_learns_its_formulas_by_heart(tmp_path):
    model = FormulaAutoencoder(replace(TINY, augmented=0.0, spread=0.0, tidiness=0.0, likeness=0.0))
    plan = replace(PLAN, epochs=150, batch_size=8, learning_rate=1e-2)
    history = model.fit(FORMULAS, FORMULAS, plan=plan, seed=1)
    assert history.train[-1] < 0.05 * history.train[0]
    assert model.decode(model.encode(FORMULAS)) == [canonical(f) for f in FORMULAS]
    model.save(tmp_path)
    again = FormulaAutoencoder.load(tmp_path)
    assert again.config == model.config
    assert again.decode(again.encode(FORMULAS)) == [canonical(f) for f in FORMULAS]


def test_equal_seeds_give_equal_weights_and_resumed_ones_too(tmp_path):
    plan = replace(PLAN, epochs=2, batch_size=8, checkpoint_seconds=0.0)
    points = []
    for folder in (None, tmp_path / "a", tmp_path / "a"):  # the third takes up the finished second
        model = FormulaAutoencoder(TINY)
        model.fit(FORMULAS[:30], FORMULAS[30:], plan=plan, seed=5, checkpoint=folder)
        points.append(model.encode(KNOWN))
    assert np.array_equal(points[0], points[1])
    assert np.array_equal(points[0], points[2])
    other = FormulaAutoencoder(TINY)
    other.fit(FORMULAS[:30], FORMULAS[30:], plan=plan, seed=6)
    assert not np.array_equal(points[0], other.encode(KNOWN))


def test_augmentation_keeps_formulas_reduced_and_never_shows_the_unseen():
    table = indices(compositions(FORMULAS * 20))
    rng = np.random.default_rng(0)
    free = augment(table, 1.0, set(), rng)
    changed = (free != table).any(axis=1)
    assert 0.8 < changed.mean() < 1.0
    assert np.isin((free != table).sum(axis=1), (0, 1, 2, 3)).mean() > 0.9  # two rows, more where counts reduced
    assert (np.gcd.reduce(free, axis=1) == 1).all()
    assert free.max() <= 20
    unseen = {row.tobytes() for row in free[changed]}
    again = augment(table, 1.0, unseen, np.random.default_rng(0))
    assert not {row.tobytes() for row in again} & (unseen - {row.tobytes() for row in table})


def test_points_of_other_dimensions_or_not_finite_are_refused():
    model = FormulaAutoencoder(TINY)
    with pytest.raises(InputError, match=r"give \(n, 16\)"):
        model.decode(np.zeros((3, 5)))
    with pytest.raises(InputError, match="not finite"):
        model.decode(np.full((1, 16), np.nan))


def test_too_few_formulas_are_refused():
    with pytest.raises(InputError, match="1 formulas"):
        FormulaAutoencoder(TINY).fit(["NaCl"])


def test_nothing_in_nothing_out():
    model = FormulaAutoencoder(TINY)
    assert model.encode([]).shape == (0, 16)
    assert model.decode(np.zeros((0, 16))) == []


@pytest.mark.parametrize("formula", ["Xx2O", "C21H44O", "Ga0.5In0.5As", "RfO2"])
def test_formulas_without_a_matrix_are_refused(formula):
    with pytest.raises(FormulaError):
        FormulaAutoencoder(TINY).encode(["NaCl", formula])


def test_bounds_are_those_of_each_dimension():
    x = np.random.default_rng(0).normal(size=(50, 4))
    bounds = FormulaAutoencoder(TINY).bounds(x)
    assert bounds.shape == (2, 4)
    assert np.array_equal(bounds, [x.min(0), x.max(0)])


def test_another_class_is_refused(tmp_path):
    shutil.copytree(SHIPPED, tmp_path / "w")
    card = json.loads((tmp_path / "w" / "card.json").read_text())
    (tmp_path / "w" / "card.json").write_text(json.dumps({**card, "class": "FormulaGAN"}))
    with pytest.raises(CheckpointError, match="FormulaGAN"):
        FormulaAutoencoder.load(tmp_path / "w")


def test_another_shape_is_refused(tmp_path):
    model = FormulaAutoencoder(TINY)
    model.save(tmp_path, {"config": {**model.config.__dict__, "hidden": 8}})
    with pytest.raises(CheckpointError, match="do not fit"):
        FormulaAutoencoder.load(tmp_path)
    model.save(tmp_path, {"config": {"depth": 3}})
    with pytest.raises(CheckpointError, match="another version"):
        FormulaAutoencoder.load(tmp_path)


def test_truncated_weights_are_refused(tmp_path):
    shutil.copytree(SHIPPED, tmp_path / "w")
    path = tmp_path / "w" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="damaged"):
        FormulaAutoencoder.load(tmp_path / "w")


def test_shipped_well_known_formulas_come_back(shipped):
    assert shipped.decode(shipped.encode(KNOWN)) == [canonical(f) for f in KNOWN]


def test_shipped_spelling_does_not_matter(shipped):
    points = shipped.encode(["TiSrO3", "Sr2Ti2O6", "SrTiO3"])
    assert np.array_equal(points[0], points[1])
    assert np.array_equal(points[0], points[2])


def test_shipped_latents_are_doubles_on_the_sphere_whatever_the_batch(shipped):
    together = shipped.encode(KNOWN)
    assert together.dtype == np.float64
    assert together.shape == (len(KNOWN), 128)
    assert np.linalg.norm(together, axis=1) == pytest.approx(np.sqrt(128))
    assert np.array_equal(together, np.concatenate([shipped.encode([f]) for f in KNOWN]))


def test_shipped_any_point_decodes_to_none_or_to_a_canonical_formula(shipped):
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(size=(100, 128)), rng.uniform(-3, 3, (100, 128)), np.zeros((1, 128))])
    formulas = shipped.decode(points)
    formed = [f for f in formulas if f is not None]
    assert len(formed) > 150
    assert len(set(formed)) > 0.6 * len(formed)  # random points do not collapse to a few formulas
    assert [Composition(f).reduced_formula for f in formed] == formed
    assert max(max(Composition(f).get_el_amt_dict().values()) for f in formed) <= 20
    assert shipped.decode(points) == formulas


def test_shipped_neighbours_of_a_formula_are_mostly_itself(shipped):
    rng = np.random.default_rng(0)
    point = shipped.encode(["SrTiO3"])
    near = shipped.decode(point + 0.05 * rng.normal(size=(100, 128)))
    assert near.count("SrTiO3") > 95


def test_shipped_card_tells_data_split_and_metrics(shipped):
    card = shipped.card
    assert card["metrics"]["exact_held_out"] > 0.9550  # MATGAN's autoencoder on its test set
    assert card["metrics"]["exact_train"] > 0.9631  # and on its training set
    assert card["split"]["by"] == "formula"
    assert card["data"]["formulas"] == sum(card["split"][part] for part in ("train", "validation", "held_out"))
    assert "CC BY 4.0" in card["licence"]
    assert card["config"]["architecture"]
    assert card["training_seconds"] > 0
    assert len(shipped.digest) == 16
    assert (SHIPPED / "weights.safetensors").stat().st_size < 8e6


@pytest.mark.data
def test_shipped_held_out_formulas_come_back_as_the_card_says(shipped, reference_data):
    from aldesign.models.train import split, usable

    table, _ = usable((reference_data / "mp" / "formulas.txt").read_text().split())
    held_out, _, _ = split(len(table), shipped.card["split"]["seed"])
    assert len(table) == shipped.card["data"]["formulas"]
    rows = table[held_out[:2000]]
    back = shipped.decode_table(shipped.encode_table(rows))
    exact = (back == rows).all(axis=1).mean()
    assert exact == pytest.approx(shipped.card["metrics"]["exact_held_out"], abs=0.01)
    assert decode_indices(rows[:1])[0] == shipped.decode(shipped.encode_table(rows[:1]))[0]
    assert rows.shape[1] == N_ROWS
