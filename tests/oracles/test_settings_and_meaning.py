"""Settings are checked before any work, and a card cannot be edited to mean something else."""

import json
import shutil

import numpy as np
import pytest

from aldesign.errors import CheckpointError, InputError
from aldesign.learning.checkpoint import load_weights, save_weights
from aldesign.records import Candidate, LabelledRow
from aldesign.registry import load_oracle
from oracles.common import SHIPPED
from oracles.crystal_graph import CrystalGraphOracle
from oracles.dense import DenseOracle
from oracles.meaning import SEAL
from oracles.random_forest import RandomForestOracle
from oracles.stoichiometry_graph import StoichiometryGraphOracle

MEANING = {"property": "band_gap", "unit": "eV", "level": "PBE"}
ASKED = [Candidate(f) for f in ("NaCl", "GaAs", "TiO2")]
TRAINABLE = (RandomForestOracle, DenseOracle, StoichiometryGraphOracle, CrystalGraphOracle)


@pytest.mark.parametrize(
    ("oracle", "name", "value", "allowed"),
    [
        (RandomForestOracle, "trees", 0, "a whole number from 1"),
        (RandomForestOracle, "trees", "abc", "a whole number from 1; default 100"),
        (RandomForestOracle, "trees", 2.5, "a whole number"),
        (RandomForestOracle, "trees", True, "a whole number"),
        (RandomForestOracle, "trees", None, "a whole number"),
        (RandomForestOracle, "trees", float("nan"), "a whole number"),
        (RandomForestOracle, "min_samples_leaf", -3, "a whole number from 1"),
        (RandomForestOracle, "max_features", 1.5, "a number above 0 to 1"),
        (RandomForestOracle, "min_decrease", -0.1, "a number from 0"),
        (DenseOracle, "members", 0, "a whole number from 1"),
        (DenseOracle, "batch_size", 0, "a whole number from 1"),
        (DenseOracle, "hidden", "foo", "a whole number from 1"),
        (DenseOracle, "epochs", 0, "a whole number from 1, or nothing"),
        (DenseOracle, "dropout", 1.0, "a number from 0 below 1"),
        (DenseOracle, "learning_rate", -1e-3, "a number above 0"),
        (StoichiometryGraphOracle, "heads", 0, "a whole number from 1"),
        (CrystalGraphOracle, "cutoff", 5000, "a number from 1 to 20"),
    ],
)
def test_a_bad_setting_is_named(oracle, name, value, allowed):
    with pytest.raises(InputError) as caught:
        oracle(**{name: value})
    assert caught.value.message == f"{oracle.name} got {name}={value!r}"
    assert allowed in caught.value.hint


@pytest.mark.parametrize("oracle", TRAINABLE)
def test_the_defaults_and_none_where_it_is_the_default_are_allowed(oracle):
    assert oracle(**oracle.defaults).config == dict(oracle.defaults)


def test_numbers_take_the_type_of_the_default():
    config = RandomForestOracle(trees=10.0, max_features=1).config
    # scikit-learn reads the integer 1 as one feature, 1.0 as all of them
    assert (config["trees"], config["max_features"]) == (10, 1.0)
    assert [type(config[name]) for name in ("trees", "max_features")] == [int, float]


@pytest.fixture(scope="module")
def forest(tmp_path_factory):
    rows = [LabelledRow(f"{c}{a}", i / 4) for i, c in enumerate(("Li", "Na", "K", "Rb")) for a in ("F", "Cl", "Br")]
    folder = tmp_path_factory.mktemp("forest")
    RandomForestOracle(trees=2).fit(rows).save(folder)
    return folder


def edited(folder, out, **changes):
    shutil.copytree(folder, out)
    card = json.loads((out / "card.json").read_text(encoding="utf-8"))
    (out / "card.json").write_text(json.dumps({**card, **changes}), encoding="utf-8")
    return out


@pytest.mark.parametrize(
    ("field", "value"),
    [("property", "formation_energy_per_atom"), ("level", "HSE"), ("unit", "Ha"), ("unit", None)],
)
@pytest.mark.parametrize("source", ["trained", "shipped"])
def test_an_edited_card_is_refused(forest, tmp_path, field, value, source):
    folder = forest if source == "trained" else SHIPPED / "dense"
    kind = RandomForestOracle if source == "trained" else DenseOracle
    other = edited(folder, tmp_path / "copy", **{field: value})
    with pytest.raises(CheckpointError, match=f"says {field} {value!r}, its weights"):
        kind.load(other)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"trees": "many"}, "the setting max_features None, its weights were trained for 0.5"),
        ({"trees": 3}, "the setting max_features None"),
        (None, "config None"),
        ([], "config \\[\\]"),
    ],
)
def test_other_settings_in_the_card_are_refused(forest, tmp_path, config, said):
    with pytest.raises(CheckpointError, match=f"says {said}"):
        RandomForestOracle.load(edited(forest, tmp_path / "copy", config=config))


@pytest.mark.parametrize(("name", "value"), [("trees", 3), ("trees", "many"), ("depth", 4)])
def test_one_setting_edited_in_the_card_is_refused(forest, tmp_path, name, value):
    config = json.loads((forest / "card.json").read_text(encoding="utf-8"))["config"]
    other = edited(forest, tmp_path / "copy", config={**config, name: value})
    with pytest.raises(CheckpointError, match=f"says the setting {name} {value!r}, its weights were trained for"):
        RandomForestOracle.load(other)


def test_facts_of_the_training_may_be_added_to_a_card(forest, tmp_path):
    other = edited(forest, tmp_path / "copy", licence="CC0")
    assert RandomForestOracle.load(other).card.training["licence"] == "CC0"


@pytest.mark.parametrize(
    ("sealed", "said"),
    [
        (None, "do not say what they were trained for"),
        (MEANING, "damaged seal"),
        ([1, 2], "damaged seal"),
        ({**MEANING, "config": None}, "damaged seal"),
    ],
)
def test_weights_without_a_whole_seal_are_refused(forest, tmp_path, sealed, said):
    tensors, card = load_weights(forest)
    arrays = {k: v.numpy() for k, v in tensors.items() if k != SEAL}
    if sealed is not None:
        arrays[SEAL] = np.frombuffer(json.dumps(sealed).encode(), dtype=np.uint8).copy()
    save_weights(tmp_path, arrays, card)
    with pytest.raises(CheckpointError, match=said):
        RandomForestOracle.load(tmp_path)


def test_weights_without_a_calibration_are_refused(forest, tmp_path):
    tensors, card = load_weights(forest)
    save_weights(tmp_path, {k: v for k, v in tensors.items() if not k.startswith("calibration.")}, card)
    with pytest.raises(CheckpointError, match="do not fit"):
        RandomForestOracle.load(tmp_path)


def test_other_meanings_come_back_from_storage(tmp_path):
    rows = [LabelledRow(f"{c}{a}", -1.0, level="SCAN") for c in ("Li", "Na", "K") for a in ("F", "Cl")]
    RandomForestOracle("formation_energy_per_atom", trees=2).fit(rows).save(tmp_path)
    card = RandomForestOracle.load(tmp_path).card
    assert (card.property, card.unit, card.level) == ("formation_energy_per_atom", "eV/atom", "SCAN")


def test_shipped_weights_answer_as_before_they_were_stored_again(tmp_path):
    shipped = load_oracle("dense")
    load_oracle("dense").save(tmp_path)
    first, second = ([(a.value, a.std) for a in o.predict(ASKED)] for o in (shipped, DenseOracle.load(tmp_path)))
    assert first == second
