"""``aldesign screen``: the contract's columns, and what is added, or left out, when it is asked for."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from aldesign.chemistry.neutrality import assess
from aldesign.cli.app import run

CONTRACT = ["formula", "neutral", "electronegativity", "valid", "oxidation_states", "reason"]
TEXTS = ["NaCl", "ClNa", "NaCl2", "Xx2O", "FeAl", "LiTaZr2O9", "UO2", "Na2(SO4)3"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "formulas.csv"
    path.write_text("formula\n" + "\n".join(TEXTS) + "\n")
    return path


def screened(file: Path, *words: str) -> tuple[list[str], list[dict[str, str]]]:
    out = file.with_name("screened.csv")
    assert run(["screen", "--input", str(file), "--output", str(out), *words]) == 0
    with out.open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        return list(reader.fieldnames or []), list(reader)


def test_the_contract_stays_as_it_is(file):
    header, rows = screened(file)
    assert header == CONTRACT
    assert len(rows) == len(TEXTS)
    for row, text, found in zip(rows, TEXTS, assess(TEXTS), strict=True):
        assert row["valid"] == str(found.valid).lower()
        assert row["reason"] == found.reason or text == "Xx2O"
        assert row["oxidation_states"] == (
            json.dumps(found.oxidation_states, separators=(",", ":")) if found.oxidation_states else ""
        )


def test_novelty_and_rules_add_columns_in_the_same_pass(file):
    header, rows = screened(file, "--known", "builtin", "--exclude", "radioactive", "--max-atoms", "12")
    assert header == [*CONTRACT, "novel", "within_rules", "broken_rules"]
    by_formula = {row["formula"]: row for row in rows}
    assert (by_formula["NaCl"]["novel"], by_formula["NaCl"]["within_rules"]) == ("false", "true")
    assert by_formula["LiZr2TaO9"]["broken_rules"] == "13 atoms, at most 12 allowed"
    assert by_formula["UO2"]["broken_rules"] == "U not allowed"
    assert (by_formula["Xx2O"]["novel"], by_formula["Xx2O"]["within_rules"]) == ("false", "false")


def test_repeats_and_what_does_not_pass_may_be_left_out(file, tmp_path, capsys):
    _, rows = screened(file, "--distinct")
    assert [row["formula"] for row in rows].count("NaCl") == 1
    assert len(rows) == len(TEXTS) - 1
    assert "1 repeats left out" in capsys.readouterr().err
    mine = tmp_path / "mine.txt"
    mine.write_text("UO2\n")
    _, rows = screened(file, "--only-valid", "--known", str(mine), "--require", "O,metal")
    assert [row["formula"] for row in rows] == ["LiZr2TaO9"]


def test_verdicts_alone_are_the_same_verdicts(file):
    _, full = screened(file, "--min-elements", "3")
    header, rows = screened(file, "--min-elements", "3", "--verdicts-only")
    assert header == ["formula", "valid", "within_rules"]
    assert rows == [{name: row[name] for name in header} for row in full]


def test_an_id_comes_first(tmp_path):
    file = tmp_path / "with_id.csv"
    file.write_text("id,formula\na,NaCl\nb,Xx\n")
    header, rows = screened(file, "--verdicts-only")
    assert header == ["id", "formula", "valid"]
    assert [row["id"] for row in rows] == ["a", "b"]
