"""``aldesign structures`` and ``aldesign screen``: a row per formula, whatever becomes of it."""

from __future__ import annotations

import csv
import errno
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


def full_disk(after: int):  # type: ignore[no-untyped-def]
    """Return a `write_cif` that finds the disk full after so many files."""
    from aldesign.structures.cif import write_cif

    written: list[Path] = []

    def write(crystal, path, provenance=None):  # type: ignore[no-untyped-def]
        if len(written) == after:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        return write_cif(crystal, path, provenance)

    return write


def test_a_full_disk_keeps_the_rows_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from aldesign import files

    out = tmp_path / "out"
    call = ["structures", "KBr", "MgO", "CsCl", "--no-energy", "--out", str(out), "--quiet"]
    monkeypatch.setattr("aldesign.structures.build.write_cif", full_disk(2))
    assert run(call) == 1
    assert [row["formula"] for row in rows(out / "structures.csv")] == ["KBr", "MgO"]
    told = capsys.readouterr().err
    assert "No space left on device" in told
    assert "holds the first 2 rows" in told

    def no_room(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("aldesign.structures.build.write_cif", full_disk(1))
    monkeypatch.setattr(files, "write_csv", no_room)
    assert run([*call[:-2], str(tmp_path / "other"), "--quiet"]) == 1
    shown = capsys.readouterr()
    assert [row["formula"] for row in csv.DictReader(shown.out.splitlines())] == ["KBr"]
    assert "printed instead" in shown.err


def test_a_stopped_call_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aldesign.structures import cif

    out, whole = tmp_path / "out", tmp_path / "whole"
    call = ["structures", "KBr", "Xx2", "MgO", "KBr", "CsCl", "--no-energy", "--quiet", "--out"]
    monkeypatch.setattr("aldesign.structures.build.write_cif", full_disk(2))
    assert run([*call, str(out)]) == 1
    written: list[Path] = []

    def counted(crystal, path, provenance=None):  # type: ignore[no-untyped-def]
        written.append(path)
        return cif.write_cif(crystal, path, provenance)

    monkeypatch.setattr("aldesign.structures.build.write_cif", counted)
    assert run([*call, str(out)]) == 0
    assert [path.name for path in written] == ["CsCl.cif"]
    assert run([*call, str(whole)]) == 0
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {p.name: p.read_bytes() for p in whole.iterdir()}


def test_dask_workers_relax_to_the_same_crystals(tmp_path: Path) -> None:
    call = ["structures", "KBr", "MgO", "--steps", "3", "--candidates", "1", "--quiet", "--out"]
    assert run([*call, str(tmp_path / "here")]) == 0
    assert run([*call, str(tmp_path / "dask"), "--dask"]) == 0
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()} for name in ("here", "dask"))
    assert first == second


@pytest.mark.parametrize("name", ["table.csv", "structures.csv"])
def test_the_input_is_never_overwritten(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    table = tmp_path / name
    table.write_text("formula,note\nNaCl,mine\n")
    calls = [
        ["screen", "--input", str(table), "--output", str(table)],
        ["predict", "--input", str(table), "--output", f"{tmp_path}/./{name}"],
    ]
    if name == "structures.csv":
        calls = [["structures", "--input", str(table), "--out", str(tmp_path), "--no-energy"]]
    for call in calls:
        assert run(call) == 2
        assert "would be overwritten" in capsys.readouterr().err
        assert table.read_text() == "formula,note\nNaCl,mine\n"


def test_cifs_that_are_read_are_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["structures", "NaCl", "--no-energy", "--out", str(tmp_path), "-q"]) == 0
    before = (tmp_path / "NaCl.cif").read_bytes()
    for arguments in (
        ["--input", str(tmp_path)],
        ["--input", f"{tmp_path}/NaCl.cif"],
        ["K", "--templates", str(tmp_path)],
    ):
        assert run(["structures", *arguments, "--no-energy", "--out", str(tmp_path)]) == 2
        assert "could be overwritten" in capsys.readouterr().err
    assert (tmp_path / "NaCl.cif").read_bytes() == before


def test_an_output_that_cannot_be_made_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["screen", "NaCl", "--output", "/proc/x/y.csv"]) == 2
    assert run(["structures", "NaCl", "--no-energy", "--out", "/proc/x/y"]) == 2
    assert "cannot write /proc/x/y" in capsys.readouterr().err
