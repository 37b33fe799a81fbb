from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from pymatgen.core import Composition
from smact.screening import smact_validity

from aldesign.chemistry.formula import canonical, compositions
from aldesign.chemistry.onehot import N_ROWS, decode_indices, indices
from aldesign.errors import CheckpointError, FormulaError, InputError
from aldesign.models.autoencoder import PLAN, SHIPPED, AutoencoderConfig, FormulaAutoencoder, augment, exact, surprise
from aldesign.models.plausible import repaired

TINY = AutoencoderConfig(latent_size=16, hidden=24, noise=0.05)
PAPER = AutoencoderConfig(latent_size=16, architecture="agd")
PLAIN = replace(TINY, augmented=0.0, statistics=0.0, label=0.0, kinship=0.0, spread=0.0, tidiness=0.0, likeness=0.0)
FORMULAS = [
    f"{a}{x}" for a in ("Na", "K", "Li", "Rb", "MgO", "CaO", "SrTi") for x in ("Cl", "Br3", "F2", "I", "O3", "S")
]
KNOWN = ["SrTiO3", "NaCl", "CaClF5", "LiFePO4", "MgAl2O4", "BaTiO3", "GaAs", "Cs2AgBiBr6", "YBa2Cu3O7", "ZnS"]


@pytest.fixture(scope="module")
def shipped():
    return FormulaAutoencoder.load()


@pytest.mark.parametrize(
    ("config", "n", "epochs", "schedule"),
    [
        (PLAIN, 42, 40, "one_cycle"),
        (replace(PLAIN, variational=1e-3), 42, 40, "one_cycle"),
        (replace(PAPER, augmented=0.0), 6, 70, "constant"),
    ],
    ids=["residual", "variational", "agd"],
)
def test_a_tiny_network_learns_its_formulas_by_heart(tmp_path, config, n, epochs, schedule):
    formulas = FORMULAS[:n]
    model = FormulaAutoencoder(config)
    plan = replace(PLAN, epochs=epochs, batch_size=8, learning_rate=1e-2, schedule=schedule)
    history = model.fit(formulas, formulas, plan=plan, seed=1)
    assert history.train[-1] < 0.1 * history.train[0]
    assert model.decode(model.encode(formulas)) == [canonical(f) for f in formulas]
    assert exact(model.network, indices(compositions(formulas))).all()
    model.save(tmp_path)
    again = FormulaAutoencoder.load(tmp_path)
    assert again.config == model.config
    assert again.decode(again.encode(formulas)) == [canonical(f) for f in formulas]


def test_the_log_likelihood_is_what_the_loss_of_the_formulas_says():
    model = FormulaAutoencoder(TINY)
    points, table = model.encode(FORMULAS), indices(compositions(FORMULAS))
    nats = model.log_likelihood(points, FORMULAS)
    assert nats.mean() == pytest.approx(-surprise(model.network, table))
    with torch.no_grad():
        share = torch.distributions.Categorical(logits=model.network.decode(torch.from_numpy(points)))
    assert nats == pytest.approx(share.log_prob(torch.from_numpy(table).long()).sum(dim=1).numpy())
    # the likeliest counts of a point are at least as likely as any other
    best = model.decode_table(points)
    formed = best.any(axis=1) & (np.gcd.reduce(best, axis=1) == 1)
    names = [f for f in decode_indices(best[formed]) if f]
    assert (model.log_likelihood(points[formed], names) >= nats[formed] - 1e-9).all()
    with pytest.raises(InputError, match="2 points and 1 formulas"):
        model.log_likelihood(points[:2], ["NaCl"])


def test_a_head_learns_the_label_of_the_formulas_that_have_one():
    electronegativity = np.array([Composition(f).average_electroneg for f in FORMULAS])
    known = np.where(np.arange(len(FORMULAS)) % 4, electronegativity, np.nan)
    model = FormulaAutoencoder(replace(PLAIN, label=5.0))
    model.fit(FORMULAS, labels=known, plan=replace(PLAN, epochs=30, batch_size=8, learning_rate=1e-2))
    told = model.labels(model.encode(FORMULAS))
    assert np.abs(told - electronegativity)[1::4].mean() < 0.25 * electronegativity.std()
    assert np.corrcoef(told[::4], electronegativity[::4])[0, 1] > 0.8  # of these it was not told
    assert np.isnan(FormulaAutoencoder(PLAIN).labels(np.ones((3, 16)))).all()
    assert np.isnan(FormulaAutoencoder(PAPER).labels(np.ones((3, 16)))).all()
    with pytest.raises(InputError, match="one label a formula"):
        model.fit(FORMULAS, labels=known[1:])


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


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"slack": -1.0}, "slack is -1"),
        ({"slack": np.nan}, "slack is nan"),
        ({"slack": 1.0, "max_elements": 0}, "1 to 0 elements"),
        ({"slack": 1.0, "min_elements": 0}, "0 to 103 elements"),
        ({"slack": 1.0, "allowed": ["Na", "Xx"]}, "'Xx'"),
        ({"slack": 1.0, "allowed": []}, "allowed elements are"),
    ],
)
def test_decoding_refuses_what_makes_no_sense(wrong, told):
    with pytest.raises(InputError, match=told):
        FormulaAutoencoder(TINY).decode_plausible(np.ones((1, 16)), **wrong)


def test_too_few_formulas_are_refused():
    with pytest.raises(InputError, match="1 formulas"):
        FormulaAutoencoder(TINY).fit(["NaCl"])


def test_nothing_in_nothing_out():
    model = FormulaAutoencoder(TINY)
    assert model.encode([]).shape == (0, 16)
    assert model.decode(np.zeros((0, 16))) == []
    assert model.decode_plausible(np.zeros((0, 16)), 1.0) == []
    assert model.log_likelihood(np.zeros((0, 16)), []).shape == (0,)


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


def regions(shipped, n):
    """Points near encoded formulas, between two of them, in random directions, far away, and the origin."""
    rng = np.random.default_rng(0)
    start = shipped.encode(KNOWN)[rng.integers(len(KNOWN), size=n)]
    other = shipped.encode(KNOWN)[rng.integers(len(KNOWN), size=n)]
    near = start + 0.5 * rng.normal(size=start.shape)
    return np.concatenate([near, (start + other) / 2, rng.normal(size=start.shape), 1e3 * start, np.zeros((1, 128))])


def test_shipped_any_point_decodes_to_a_canonical_formula(shipped):
    points = regions(shipped, 100)
    formulas = shipped.decode(points)
    assert [Composition(f).reduced_formula for f in formulas] == formulas
    assert max(max(Composition(f).get_el_amt_dict().values()) for f in formulas) <= 20
    assert len(set(formulas[200:300])) > 60  # random directions do not collapse to a few formulas
    assert shipped.decode(points) == formulas


def test_shipped_of_formulas_nearly_as_probable_the_nearest_is_taken(shipped):
    """Hard formulas that nobody ever wrote come back more often than by the likeliest counts alone."""
    known = indices(compositions(KNOWN * 40))
    table = np.unique(
        augment(augment(known, 1.0, set(), np.random.default_rng(0)), 1.0, set(), np.random.default_rng(1)), axis=0
    )
    points = shipped.encode_table(table)
    with torch.no_grad():
        plain = repaired(shipped.network.decode(torch.from_numpy(points)))
    found = shipped.decode_table(points)
    other = (found != plain).any(axis=1)
    assert (found != table).any(axis=1).sum() < (plain != table).any(axis=1).sum()
    away = [np.linalg.norm(shipped.encode_table(t[other]) - points[other], axis=1) for t in (found, plain)]
    assert (away[0] < away[1]).all()


def test_shipped_plausible_formulas_are_valid_small_and_of_allowed_elements(shipped):
    points = regions(shipped, 100)
    found = shipped.decode_plausible(points, 10.0, min_elements=2, max_elements=5)
    assert np.mean([smact_validity(f, include_alloys=False) for f in found]) > 0.95
    sizes = np.array([len(Composition(f)) for f in found])
    assert ((sizes >= 2) & (sizes <= 5)).mean() > 0.97
    plain = shipped.decode(points)
    kept = [smact_validity(f, include_alloys=False) and 2 <= len(Composition(f)) <= 5 for f in plain]
    assert [p for p, k in zip(found, kept, strict=True) if k] == [p for p, k in zip(plain, kept, strict=True) if k]
    allowed = {"Na", "K", "Mg", "O", "F", "Cl"}
    for formula in shipped.decode_plausible(points, 20.0, allowed=allowed):
        assert set(Composition(formula).get_el_amt_dict()) <= allowed


def test_shipped_more_slack_never_makes_fewer_formulas_plausible(shipped):
    points = regions(shipped, 50)
    valid = [
        {i for i, f in enumerate(shipped.decode_plausible(points, slack)) if smact_validity(f, include_alloys=False)}
        for slack in (0.0, 3.0, 10.0)
    ]
    assert valid[0] < valid[2]
    assert valid[0] <= valid[1] <= valid[2]


def test_shipped_formulas_are_likely_at_their_own_point_alone(shipped):
    points = shipped.encode(KNOWN)
    own = shipped.log_likelihood(points, KNOWN)
    other = shipped.log_likelihood(np.roll(points, 1, axis=0), KNOWN)
    assert (own > -0.7).all()
    assert (own <= 0).all()
    assert (other < -5).all()


def test_shipped_neighbours_are_chemical_neighbours(shipped):
    cations, anions = ("Li", "Na", "K", "Rb", "Cs"), ("F", "Cl", "Br", "I")
    names = [f"{c}{a}" for c in cations for a in anions] + [f"{c}2{a}" for c in cations for a in ("O", "S", "Se", "Te")]
    names += [f"{m}{a}" for m in ("Ga", "In", "Al") for a in ("N", "P", "As", "Sb")]
    names += [f"{m}{n}" for m in ("Cu3", "Ni3", "Fe3", "Co3") for n in ("Au", "Pt", "Pd", "Sn")]
    x = shipped.encode(names)
    family = np.repeat([0, 1, 2, 3], [20, 20, 12, 16])
    distance = ((x[:, None] - x[None]) ** 2).sum(axis=2) + 1e9 * np.eye(len(x))
    assert (family[distance.argmin(axis=1)] == family).mean() > 0.9


def test_shipped_neighbours_of_a_formula_are_mostly_itself(shipped):
    rng = np.random.default_rng(0)
    point = shipped.encode(["SrTiO3"])
    near = shipped.decode(point + 0.05 * rng.normal(size=(100, 128)))
    assert near.count("SrTiO3") > 95


def test_shipped_card_tells_data_split_and_metrics(shipped):
    card = shipped.card
    metrics = card["metrics"]
    assert metrics["exact_held_out"] > 0.995  # MATGAN's autoencoder: 0.9550 on its test set
    assert metrics["exact_train"] > 0.995  # and 0.9631 on its training set
    assert metrics["label_mae_held_out"] < 0.15  # eV an atom
    for region in ("near", "between", "sphere", "box"):
        assert metrics[region]["plausible"] > 0.95
    assert card["labels"]["column"] == "formation_energy_per_atom"
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
