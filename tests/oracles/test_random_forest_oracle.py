import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from aldesign.chemistry.formula import compositions
from aldesign.errors import CheckpointError, InputError, OracleError
from aldesign.learning.checkpoint import read_tensors, write_tensors
from aldesign.records import Candidate, LabelledRow
from aldesign.seeds import torch_seed
from oracles.features.magpie import FEATURE_NAMES, descriptor
from oracles.random_forest import Forest, RandomForestOracle, joined

CATIONS = ("Li", "Na", "K", "Mg", "Ca", "Sr", "Ba", "Al", "Ga", "In", "Zn", "Cd", "Ti", "Zr", "Fe")
ANIONS = ("O", "S", "Se", "F", "Cl", "Br", "I", "N", "P", "As")


def synthetic_rows() -> list[LabelledRow]:
    """150 binaries whose label is a smooth function of the composition plus fixed noise."""
    formulas = [f"{c}{i % 3 + 1}{a}" for i, (c, a) in enumerate((c, a) for c in CATIONS for a in ANIONS)]
    x = descriptor(compositions(formulas))
    noise = np.random.default_rng(0).normal(0, 0.2, len(x))
    gap = np.maximum(2.0 * x[:, FEATURE_NAMES.index("range Electronegativity")] + noise - 1.0, 0.0)
    return [LabelledRow(f, float(g)) for f, g in zip(formulas, gap, strict=True)]


@pytest.fixture(scope="module")
def grown():
    rng = np.random.default_rng(7)
    x = rng.normal(size=(400, 12)).astype(np.float32)
    y = np.maximum(x[:, 0] * 2 + x[:, 1] ** 2 + rng.normal(0, 0.3, 400), 0)
    model = RandomForestRegressor(15, min_samples_leaf=4, random_state=3).fit(x, y)
    return model, Forest.from_sklearn(model, y.min(), y.max()), rng.normal(size=(300, 12)).astype(np.float32), (x, y)


def test_forest_predicts_what_sklearn_predicts(grown):
    model, forest, unseen, (x, _) = grown
    for inputs in (x, unseen):
        mean, _ = forest.predict(inputs)
        np.testing.assert_allclose(mean, model.predict(inputs), atol=1e-4)


def test_decisions_on_the_very_thresholds(grown):
    model, forest, unseen, _ = grown
    tree = model.estimators_[0].tree_
    inner = np.flatnonzero(tree.feature >= 0)
    inputs = np.repeat(unseen[:1], len(inner), axis=0)
    inputs[np.arange(len(inner)), tree.feature[inner]] = tree.threshold[inner].astype(np.float32)
    np.testing.assert_array_equal(forest.leaves(inputs)[0], tree.apply(inputs))


def test_variance_is_the_law_of_total_variance(grown):
    """Brute force: the variance of the labels in the mixture of the leaves that the trees reach."""
    model, forest, unseen, (x, y) = grown
    _, std = forest.predict(unseen[:20])
    for row, got in zip(unseen[:20], std, strict=True):
        labels, weights = [], []
        for estimator, drawn in zip(model.estimators_, model.estimators_samples_, strict=True):
            inside = y[drawn[estimator.apply(x[drawn]) == estimator.apply(row[None])[0]]]
            labels.append(inside)
            weights.append(np.full(len(inside), 1 / len(inside)))
        labels, weights = np.concatenate(labels), np.concatenate(weights) / len(model.estimators_)
        mean = (weights * labels).sum()
        expected = np.sqrt((weights * (labels - mean) ** 2).sum())
        assert got == pytest.approx(expected, rel=2e-3)


def test_oracle_is_sklearns_forest_through_storage(tmp_path):
    rows = synthetic_rows()
    oracle = RandomForestOracle(trees=10).fit(rows[:120], seed=5)
    oracle.save(tmp_path)
    x = descriptor(compositions([r.formula for r in rows])).astype(np.float32)
    y = np.array([r.value for r in rows[:120]])
    peer = RandomForestRegressor(
        10,
        max_features=0.5,
        min_impurity_decrease=0.04 * y.var() / len(y),
        random_state=torch_seed(5, 0, "forest") % 2**32,
    ).fit(x[:120], y)
    answers = RandomForestOracle.load(tmp_path).predict([Candidate(r.formula) for r in rows])
    np.testing.assert_allclose([a.value for a in answers], peer.predict(x), atol=1e-3)


def test_interrupted_growth_goes_on(tmp_path):
    rows = synthetic_rows()
    RandomForestOracle(trees=30).fit(rows, checkpoint=tmp_path)
    (tmp_path / "trees_0010.safetensors").unlink()
    lines = []
    resumed = RandomForestOracle(trees=30).fit(rows, checkpoint=tmp_path, progress=lines.append)
    whole = RandomForestOracle(trees=30).fit(rows)
    for name, array in whole.forest.arrays.items():
        np.testing.assert_array_equal(array, resumed.forest.arrays[name])
    assert lines[-1] == "30 of 30 trees"
    with pytest.raises(CheckpointError, match="other data or settings"):
        RandomForestOracle(trees=30).fit(rows[:-1], checkpoint=tmp_path)


def test_training_time_counts_the_interrupted_part(tmp_path):
    rows = synthetic_rows()
    RandomForestOracle(trees=20).fit(rows, checkpoint=tmp_path)
    path = tmp_path / "trees_0000.safetensors"
    tensors, metadata = read_tensors(path)
    assert float(metadata["seconds"]) > 0
    write_tensors(path, tensors, {**metadata, "seconds": "3600"})
    resumed = RandomForestOracle(trees=20).fit(rows, checkpoint=tmp_path)
    assert 3600 <= resumed.training["training_seconds"] < 4000


def test_validation_calibrates_and_is_recorded(tmp_path):
    rows = synthetic_rows()
    oracle = RandomForestOracle(trees=20).fit(rows[:100], rows[100:])
    assert oracle.training["split"] == {"train": 100, "validation": 50, "seed": 0}
    test = oracle.evaluate(rows[100:], "test")
    assert test == oracle.card.training["metrics"]["validation"]
    assert 0.4 < test["coverage_68"] <= 1.0
    oracle.save(tmp_path)
    loaded = RandomForestOracle.load(tmp_path)
    assert loaded.training == oracle.training
    digest = oracle.card.identity.digest
    loaded.save(tmp_path)
    assert loaded.card.identity.digest == digest


def test_refusals(tmp_path):
    rows = synthetic_rows()[:20]
    with pytest.raises(OracleError, match="has not been trained"):
        RandomForestOracle().predict([Candidate("NaCl")])
    with pytest.raises(InputError, match="no option 'tree'"):
        RandomForestOracle(tree=3)
    with pytest.raises(InputError, match="no property 'colour'"):
        RandomForestOracle(property="colour")
    with pytest.raises(InputError, match="levels HSE, PBE"):
        RandomForestOracle().fit([*rows, LabelledRow("NaCl", 6.0, level="HSE")])
    with pytest.raises(InputError, match="no rows"):
        RandomForestOracle().fit([])
    with pytest.raises(CheckpointError):
        RandomForestOracle.load(tmp_path / "nowhere")


def test_level_and_property_follow_the_rows(tmp_path):
    rows = [LabelledRow(r.formula, -r.value, level="SCAN") for r in synthetic_rows()[:60]]
    oracle = RandomForestOracle(property="formation_energy_per_atom", trees=10).fit(rows)
    oracle.save(tmp_path)
    loaded = RandomForestOracle.load(tmp_path)
    assert (loaded.card.level, loaded.card.unit) == ("SCAN", "eV/atom")
    assert min(a.value for a in loaded.predict([Candidate(r.formula) for r in rows])) < -0.5


def test_joined_forests_average_their_trees(grown):
    _, forest, unseen, _ = grown
    both = joined([forest, forest])
    np.testing.assert_allclose(both.predict(unseen)[0], forest.predict(unseen)[0], rtol=1e-12)
    assert len(both) == 2 * len(forest)
