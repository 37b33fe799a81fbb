"""Training by name: what is held back, what the card tells, what happens to finished and interrupted work."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from mean_oracle import ROWS, MeanOracle

from aldesign import fitting
from aldesign.chemistry.sketch import FormulaSketch
from aldesign.datasets.cleaning import split_by_formula
from aldesign.errors import InputError, InterruptedRunError
from aldesign.records import BadRow, Table

TABLE = Table(tuple(ROWS), (BadRow("t.csv", 9, "x", "no formula"),), origin="t.csv", notes=("guessed",))


@pytest.fixture(autouse=True)
def mean_oracle(monkeypatch: pytest.MonkeyPatch) -> type[MeanOracle]:
    monkeypatch.setattr(MeanOracle, "interrupt_at", 0)
    monkeypatch.setattr(MeanOracle, "fits", 0)
    monkeypatch.setattr(fitting, "oracle_class", {"mean": MeanOracle, "told": object}.__getitem__)
    return MeanOracle


def test_finished_weights_are_not_replaced_by_accident(tmp_path: Path) -> None:
    fitting.train_oracle("mean", TABLE, tmp_path)
    with pytest.raises(InputError, match="already holds finished weights"):
        fitting.train_oracle("mean", TABLE, tmp_path)
    fitting.train_oracle("mean", TABLE, tmp_path, force=True)


def test_an_interruption_says_where_the_work_is(tmp_path: Path, mean_oracle: type[MeanOracle]) -> None:
    mean_oracle.interrupt_at = 1
    with pytest.raises(InterruptedRunError, match="checkpoint") as caught:
        fitting.train_oracle("mean", TABLE, tmp_path)
    assert caught.value.exit_code == 130
    fitting.train_oracle("mean", TABLE, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json", "learnt.json", "learnt.safetensors"]


def test_the_card_tells_how_to_divide_the_table_again(tmp_path: Path) -> None:
    fitting.train_oracle("mean", TABLE, tmp_path, seed=5, validation_fraction=0.2, test_fraction=0.25)
    card = json.loads((tmp_path / "card.json").read_text())
    split = card["split"]
    parts = split_by_formula([row.formula for row in ROWS], split["fractions"], split["seed"])
    assert [split["train"], split["validation"], split["test"]] == [len(part) for part in parts]
    test = parts[2]
    assert 5 <= len(test) <= 9  # of 28, some of which share a formula
    assert "split_by_formula" in split["rule"]
    # The stand-in says the mean of what it learnt: its error on those very rows is known.
    learnt = [row for i, row in enumerate(ROWS) if i not in set(test.tolist())]
    expected = np.abs(np.array([ROWS[i].value for i in test]) - np.mean([row.value for row in learnt])).mean()
    assert card["metrics"]["test"]["mae"] == pytest.approx(expected, abs=1e-4)
    assert card["metrics"]["test"]["count"] == len(test)
    sketch = FormulaSketch.load(tmp_path / "learnt")
    assert sketch.contains([row.formula for row in learnt]).all()
    assert not sketch.contains([ROWS[i].formula for i in test]).any()


def test_the_card_tells_origin_licence_and_cost(tmp_path: Path) -> None:
    fitting.train_oracle("mean", TABLE, tmp_path, origin="our lab", licence="CC0")
    card = json.loads((tmp_path / "card.json").read_text())
    assert (card["origin"], card["licence"]) == ("our lab", "CC0")
    assert card["data"] == {"refused": 1, "notes": ["guessed"]}
    assert 0 < card["peak_memory_gib"] < 1000
    assert card["software"]["python"].startswith("3.")
    fitting.train_oracle("mean", TABLE, tmp_path, force=True)
    assert json.loads((tmp_path / "card.json").read_text())["origin"] == "t.csv"


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(InputError, match="does not learn"):
        fitting.new_oracle("told")
    with pytest.raises(InputError, match="refused its options"):
        fitting.new_oracle("mean", {"ofset": 1})


@pytest.mark.parametrize(
    ("rows", "validation", "test", "words"),
    [
        (1, 0.6, 0.0, "too few to hold"),
        (28, 1.0, 0.0, "validation fraction"),
        (28, 0.1, -0.1, "test fraction"),
        (28, 0.5, 0.5, "leave nothing"),
        (3, 0.0, 0.1, "too few for a test part"),
    ],
)
def test_shares_that_cannot_be_are_refused(rows: int, validation: float, test: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        fitting.divide(ROWS[:rows], validation, 0, test)


def test_no_formula_is_torn_between_the_parts() -> None:
    rows = [*ROWS, *ROWS]
    parts = fitting.divide(rows, 0.2, 3, 0.2)
    assert sum(map(len, parts)) == len(rows)
    formulas = [{row.formula for row in part} for part in parts]
    assert not formulas[0] & formulas[1]
    assert not formulas[2] & (formulas[0] | formulas[1])
