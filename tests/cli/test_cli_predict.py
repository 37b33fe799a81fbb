"""Commands about formulas: predict, screen, structures, generate, list, data."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from aldesign.cli.app import run

SALT = {"lattice": [3.99, 3.99, 3.99, 60, 60, 60], "species": ["Na", "Cl"], "frac": [[0, 0, 0], [0.5, 0.5, 0.5]]}
HEADER = ["formula", "value", "std", "unit", "oracle", "level", "in_domain", "error"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "gaps.csv"
    path.write_text("formula,gap\nNaCl,5.0\nSiO2,5.7\nMgO,4.5\n")
    return path


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(text.splitlines()))


def lookup(table: Path) -> list[str]:
    return ["--oracle", "lookup", "--option", f"path={table}"]


def test_predict_formulas_in_a_pipe_is_csv(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", *lookup(table), "ClNa", "Xx2O", "O2Si"]) == 0
    rows = rows_of(capsys.readouterr().out)
    assert rows[0] == HEADER
    assert [row[0] for row in rows[1:]] == ["NaCl", "Xx2O", "SiO2"]
    assert [row[1] for row in rows[1:]] == ["5.0", "", "5.7"]
    assert "Xx" in rows[2][-1]


def test_predict_json_has_nulls_not_texts(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", *lookup(table), "--json", "NaCl", "Xx2O"]) == 0
    good, bad = json.loads(capsys.readouterr().out)
    assert (good["formula"], good["value"], good["error"]) == ("NaCl", 5.0, None)
    assert bad["value"] is None


def test_predict_a_file_keeps_rows_and_ids(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.csv").write_text("id,formula\n9,MgO\n8,\n7,NaCl\n")
    out = tmp_path / "out.csv"
    assert run(["predict", *lookup(table), "--input", str(tmp_path / "in.csv"), "--output", str(out)]) == 0
    rows = rows_of(out.read_text())
    assert rows[0] == ["id", *HEADER]
    assert [row[:3] for row in rows[1:]] == [["9", "MgO", "4.5"], ["8", "", ""], ["7", "NaCl", "5.0"]]
    shown = capsys.readouterr()
    assert not shown.out
    assert "3 rows, 1 without a value" in shown.err


def test_predict_takes_the_files_of_a_shell_pattern(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from aldesign.structures.cif import from_record, write_cif

    for name in ("a.cif", "b.cif"):
        write_cif(from_record({"id": "x", **SALT}), tmp_path / name)
    assert run(["predict", *lookup(table), "--input", str(tmp_path / "a.cif"), str(tmp_path / "b.cif")]) == 0
    assert [row[:3] for row in rows_of(capsys.readouterr().out)[1:]] == [["a", "NaCl", "5.0"], ["b", "NaCl", "5.0"]]


@pytest.mark.parametrize(
    ("content", "name", "words"),
    [
        ("", "in.csv", "is empty"),
        ("formula\nXx2O\n", "in.csv", "'Xx'"),
        ("a,b\n1,2\n", "in.csv", "header is: a, b"),
        ("data_x\nnonsense", "in.cif", "does not parse"),
        ("{oops", "in.jsonl", "not JSON"),
    ],
)
def test_bad_input_files_exit_with_two(
    table: Path, tmp_path: Path, content: str, name: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_text(content)
    assert run(["predict", *lookup(table), "--input", str(tmp_path / name)]) == 2
    shown = capsys.readouterr().err
    assert words in shown
    assert shown.startswith("error: ")


def test_formulas_and_a_file_exclude_each_other(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", *lookup(table), "--input", str(table), "NaCl"]) == 2
    assert "both formulas and --input" in capsys.readouterr().err
    assert run(["predict"]) == 2


def test_a_wrong_oracle_name_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "--oracle", "randomforest", "NaCl"]) == 2
    assert "'random_forest'" in capsys.readouterr().err


def test_the_shipped_forest_knows_wide_from_narrow(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["predict", "--oracle", "random_forest", "CaF2", "GaAs", "Cu"]) == 0
    gap = {row[0]: float(row[1]) for row in rows_of(capsys.readouterr().out)[1:]}
    # PBE: 7.3, 0.2 and no gap (Materials Project mp-2741, mp-2534, mp-30).
    assert gap["CaF2"] > 5.0
    assert gap["GaAs"] < 1.0
    assert gap["Cu"] < 0.1


def test_screen_gives_smacts_verdicts_with_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.txt").write_text("NaCl\nNaCl2\nXx2O\nO3TiCa\n")
    out = tmp_path / "out.csv"
    assert run(["screen", "--input", str(tmp_path / "in.txt"), "--output", str(out)]) == 0
    header, *rows = rows_of(out.read_text())
    assert header == ["formula", "neutral", "electronegativity", "valid", "oxidation_states", "reason"]
    assert [row[0] for row in rows] == ["NaCl", "NaCl2", "Xx2O", "CaTiO3"]
    assert [row[3] for row in rows] == ["true", "false", "false", "true"]
    assert json.loads(rows[3][4]) == {"Ca": 2, "Ti": 4, "O": -2}
    assert all(row[5] for row in rows)
    assert "4 rows, 2 valid" in capsys.readouterr().err


def test_structures_are_written_and_what_fails_is_listed(tmp_path: Path) -> None:
    from pymatgen.core import Composition, Structure

    out = tmp_path / "crystals"
    arguments = ["structures", "KBr", "Xx2O", "Na97Cl89", "BrK", "--out", str(out), "--no-energy", "-q"]
    assert run(arguments) == 0
    header, *rows = rows_of((out / "structures.csv").read_text())
    assert header == [
        *("formula", "template_id", "template_formula", "emd", "cif"),
        *("formation_energy_per_atom", "e_above_hull", "relaxed", "reason"),
    ]
    assert [row[0] for row in rows] == ["KBr", "Xx2O", "Na97Cl89", "KBr"]
    assert rows[0] == rows[3]
    assert Structure.from_file(out / rows[0][4]).composition.reduced_composition == Composition("KBr")
    assert [bool(row[4]) for row in rows] == [True, False, False, True]
    assert "no template with amounts" in rows[2][-1]


def test_structures_refuse_templates_that_are_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["structures", "NaCl", "--templates", "absent", "--out", str(tmp_path)]) == 2
    assert "no templates at absent" in capsys.readouterr().err


def test_list_in_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "oracles", "--brief", "--json"]) == 0
    names = [entry["name"] for entry in json.loads(capsys.readouterr().out)]
    assert {"random_forest", "dense", "stoichiometry_graph", "crystal_graph", "lookup", "external"} <= set(names)
    for what, known in (("campaigns", "quickstart"), ("screens", "neutrality")):
        assert run(["list", what, "--json"]) == 0
        assert known in [entry["name"] for entry in json.loads(capsys.readouterr().out)]


def test_data_builtin_and_describe(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "builtin", "--output", str(tmp_path / "b.csv")]) == 0
    header, *rows = rows_of((tmp_path / "b.csv").read_text())
    assert header == ["formula", "structure_id", "band_gap", "formation_energy_per_atom", "e_above_hull"]
    (salt,) = (row for row in rows if row[0] == "NaCl")
    assert salt[1] == "NaCl/rocksalt"
    assert 4.5 < float(salt[2]) < 5.5  # PBE: 5.0
    assert any(row[1].startswith("aflow/") and row[2:] == ["", "", ""] for row in rows)
    capsys.readouterr()
    assert run(["data", "builtin", "--card"]) == 0
    assert json.loads(capsys.readouterr().out)["level"] == "PBE"
    capsys.readouterr()
    with table.open("a") as stream:
        stream.write("KCl,-1\n")
    assert run(["data", "describe", str(table), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["rows"], facts["refused"], facts["greatest"]) == (3, 1, 5.7)
    assert "negative band gap" in facts["refused_rows"][0]["reason"]


def test_a_table_of_negative_gaps_alone_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("formula,gap\nNaCl,-5\n")
    assert run(["data", "describe", str(tmp_path / "t.csv")]) == 2
    assert "negative band gap -5 eV" in capsys.readouterr().err


def test_data_mp_without_a_key_says_where_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("MP_API_KEY", raising=False)
    assert run(["data", "mp", "--out", str(tmp_path / "mp")]) == 2
    assert "MP_API_KEY is not set" in capsys.readouterr().err
    assert not (tmp_path / "mp").exists()
