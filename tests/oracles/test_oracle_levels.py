"""Weights are found by their level of theory, and asked-for levels and properties are those of the card."""

import json

import pytest

from aldesign.cli.app import run
from aldesign.errors import CheckpointError, InputError
from aldesign.records import Candidate, LabelledRow
from oracles import levels
from oracles.random_forest import RandomForestOracle

FORMULAS = [f"{c}{a}" for c in ("Li", "Na", "K", "Rb") for a in ("F", "Cl", "Br")]


def store(folder, level, shift, property="band_gap"):  # noqa: A002 (the card's word)
    rows = [LabelledRow(f, shift + i / 10, level=level) for i, f in enumerate(FORMULAS)]
    RandomForestOracle(property, trees=2).fit(rows).save(folder)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    store(folder / "random_forest", "PBE", 1.0)
    store(folder / "random_forest" / "experiment", "experiment", 3.0)
    store(folder / "random_forest" / "hybrid", "HSE", 2.0)
    return folder


@pytest.fixture
def at(shipped, monkeypatch):
    monkeypatch.setattr(levels, "SHIPPED", shipped)
    return shipped / "random_forest"


def test_levels_are_read_from_the_cards_default_first(at):
    assert RandomForestOracle.levels() == ["PBE", "experiment", "HSE"]
    assert levels.shipped_levels("random_forest")["HSE"] == at / "hybrid"
    assert levels.shipped_levels("unheard of") == {}


@pytest.mark.parametrize(
    ("level", "low"),
    [(None, 1.0), ("PBE", 1.0), ("experiment", 3.0), ("HSE", 2.0)],
    ids=["default", "PBE", "exp", "HSE"],
)
def test_the_level_chooses_the_weights(at, level, low):
    oracle = RandomForestOracle.load(level=level)
    assert oracle.card.level == (level or "PBE")
    assert low - 0.2 < oracle.predict([Candidate("NaCl")])[0].value < low + 1.3


def test_a_level_that_is_not_there_is_refused_with_those_that_are(at):
    with pytest.raises(InputError, match="not shipped for level 'SCAN'") as caught:
        RandomForestOracle.load(level="SCAN")
    assert caught.value.hint == "allowed: PBE, experiment, HSE"


def test_level_and_property_of_a_folder_must_be_its_cards(at):
    assert RandomForestOracle.load(at / "hybrid", level="HSE", property="band_gap").card.level == "HSE"
    with pytest.raises(InputError, match="level HSE, not PBE"):
        RandomForestOracle.load(at / "hybrid", level="PBE")
    with pytest.raises(InputError, match="property band_gap, not formation_energy_per_atom"):
        RandomForestOracle.load(property="formation_energy_per_atom")


def test_other_options_are_refused(at):
    with pytest.raises(InputError, match="no option 'trees'") as caught:
        RandomForestOracle.load(trees=5)
    assert "level, property" in caught.value.hint


def test_a_damaged_card_is_named(at, tmp_path, monkeypatch):
    monkeypatch.setattr(levels, "SHIPPED", tmp_path)
    (tmp_path / "random_forest").mkdir()
    (tmp_path / "random_forest" / "card.json").write_text("{", encoding="utf-8")
    with pytest.raises(CheckpointError, match="is damaged"):
        RandomForestOracle.levels()


def test_predict_takes_the_level(at, capsys):
    assert run(["predict", "NaCl", "--level", "experiment", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)[0]
    assert row["level"] == "experiment"
    assert row["value"] > 2.8
    assert run(["predict", "NaCl", "--level", "SCAN"]) == 2
    assert "not shipped for level 'SCAN'" in capsys.readouterr().err
