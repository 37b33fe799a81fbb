"""Predictions of files: a row per row, in order, whatever is in it."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from aldesign.errors import InputError, OracleError
from aldesign.predict import COLUMNS, predict_file, predict_formulas, predict_to_csv
from aldesign.records import Candidate, OracleCard, OracleIdentity, Prediction


class CountingOracle:
    """Says how many characters a formula has; its temper is set by the test."""

    def __init__(self, needs: str = "formula", answers: str = "predict", mood: str = "") -> None:
        self.card = OracleCard(OracleIdentity("counting", "1"), needs=needs, answers=answers)  # type: ignore[arg-type]
        self.mood = mood
        self.sizes: list[int] = []

    @classmethod
    def load(cls, directory: Path | None = None, **options: object) -> CountingOracle:
        return cls()

    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        self.sizes.append(len(candidates))
        if self.mood == "raise":
            raise ZeroDivisionError("by zero")
        card = self.card
        value = float("nan") if self.mood == "nan" else None
        answers = [
            Prediction(value or float(len(c.formula)), 0.5, card.unit, card.identity, card.level, True)
            for c in candidates
        ]
        return answers[1:] if self.mood == "short" else answers


def test_formulas_keep_their_order_and_bad_ones_their_text() -> None:
    rows = predict_formulas(CountingOracle(), ["O2Si", "Xx2O", "NaN"])
    assert [row.formula for row in rows] == ["SiO2", "Xx2O", "NaN"]
    assert [row.prediction.value for row in rows] == [4.0, None, 3.0]
    assert "Xx" in rows[1].prediction.error


def test_a_csv_is_answered_row_by_row(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,formula\na,NaCl\nb,\nc,Cl2Ca\n")
    assert predict_to_csv(CountingOracle(), tmp_path / "in.csv", tmp_path / "out.csv") == 3
    with (tmp_path / "out.csv").open() as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["id", *COLUMNS],
        ["a", "NaCl", "4.0", "0.5", "eV", "counting", "PBE", "true", ""],
        ["b", "", "", "", "eV", "counting", "PBE", "", "no formula"],
        ["c", "CaCl2", "5.0", "0.5", "eV", "counting", "PBE", "true", ""],
    ]


def test_long_files_are_asked_in_chunks(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("NaCl\n" * 9000)
    oracle = CountingOracle()
    assert sum(1 for _ in predict_file(oracle, tmp_path / "in.txt")) == 9000
    assert sum(oracle.sizes) == 9000
    assert max(oracle.sizes) <= 4096


def test_crystals_reach_an_oracle_that_needs_them(tmp_path: Path) -> None:
    salt = {"lattice": [4, 4, 4, 60, 60, 60], "species": ["Na", "Cl"], "frac": [[0, 0, 0], [0.5, 0.5, 0.5]]}
    lines = [{"id": "x", **salt}, {"id": "y", "formula": "NaCl"}]
    (tmp_path / "in.jsonl").write_text("\n".join(map(json.dumps, lines)))
    first, second = predict_file(CountingOracle(needs="structure"), tmp_path / "in.jsonl")
    assert (first.id, first.formula, first.prediction.value) == ("x", "NaCl", 4.0)
    assert second.prediction.value is None
    assert "needs a crystal" in second.prediction.error


@pytest.mark.parametrize(("mood", "words"), [("raise", "ZeroDivisionError"), ("short", "gave 0 answers to 1")])
def test_an_oracle_that_breaks_its_contract_is_named(mood: str, words: str) -> None:
    with pytest.raises(OracleError, match=words):
        predict_formulas(CountingOracle(mood=mood), ["NaCl"])


def test_a_value_that_is_no_number_becomes_an_error() -> None:
    (row,) = predict_formulas(CountingOracle(mood="nan"), ["NaCl"])
    assert row.prediction.value is None
    assert "nan" in row.prediction.error


def test_an_oracle_that_answers_from_outside_cannot_predict() -> None:
    with pytest.raises(InputError, match="answers from outside"):
        predict_formulas(CountingOracle(answers="tell"), ["NaCl"])
