"""``aldesign structures`` and ``aldesign screen``: a row per formula, whatever becomes of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from aldesign.cli.app import run


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_a_crystal_for_each_formula_that_a_template_fits(tmp_path: Path) -> None:
    from ase.io import read
    from pymatgen.core import Structure

    source = tmp_path / "in.csv"
    source.write_text("formula\nKBr\nXx2\nK3Na5Li7Br11Cl4\nKBr\n")
    assert run(["structures", "--input", str(source), "--no-energy", "--out", str(tmp_path / "out"), "--quiet"]) == 0
    found = rows(tmp_path / "out" / "structures.csv")
    assert [row["formula"] for row in found[:2]] == ["KBr", "Xx2"]
    assert len(found) == 4
    assert "'Xx'" in found[1]["reason"]
    assert "no template with amounts" in found[2]["reason"]
    path = tmp_path / "out" / found[0]["cif"]
    assert Structure.from_file(path).composition.reduced_formula == "KBr"
    assert set(read(path).get_chemical_symbols()) == {"K", "Br"}
    assert found[3]["cif"] == found[0]["cif"]


@pytest.mark.parametrize(
    "arguments", [[], ["NaCl", "--input", "x.csv"], ["NaCl", "--templates", "absent"], ["--input", "absent.csv"]]
)
def test_bad_calls_exit_with_2(tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["structures", "--out", str(tmp_path / "out"), *arguments]) == 2
    assert "hint:" in capsys.readouterr().err


def test_screen_gives_the_verdict_of_smact_with_evidence(tmp_path: Path) -> None:
    from smact.screening import smact_validity

    formulas = ["NaCl", "Na2Cl", "Fe3Al", "CaClF5", "SrTiO3"]
    source = tmp_path / "in.csv"
    source.write_text("\n".join(["formula", *formulas, "NaN", "Qq"]) + "\n")
    assert run(["screen", "--input", str(source), "--output", str(tmp_path / "out.csv")]) == 0
    found = rows(tmp_path / "out.csv")
    assert list(found[0]) == ["formula", "neutral", "electronegativity", "valid", "oxidation_states", "reason"]
    assert [row["valid"] == "true" for row in found[:5]] == [smact_validity(formula) for formula in formulas]
    assert found[5]["formula"] == "NaN"
    assert "'Qq'" in found[6]["reason"]


def test_lists_speak_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "campaigns", "--json"]) == 0
    names = {row["name"] for row in json.loads(capsys.readouterr().out)}
    assert {"quickstart", "wide_gap"} <= {name.removesuffix(".yaml") for name in names}
