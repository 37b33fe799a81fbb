"""``aldesign dft show``: tables, whole results and densities of states of a store."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aldesign.cli.app import run
from aldesign.dft.results import Dos, Result
from aldesign.dft.settings import Settings
from aldesign.dft.store import ResultStore
from aldesign.records import Crystal

GRID = np.linspace(-20.0, 9.0, 291)


def rocksalt(name: str, edge: float, species: tuple[str, str]) -> Crystal:
    a = edge / 2**0.5
    return Crystal(name, (a, a, a, 60.0, 60.0, 60.0), species, np.array([[0.0] * 3, [0.5] * 3]))


def result(crystal: Crystal, gap: float) -> Result:
    states = np.exp(-((GRID + 2.0) ** 2))
    return Result(
        formula="".join(crystal.species),
        crystal=crystal,
        settings=Settings.of("production"),
        gap_ev=gap,
        direct_gap_ev=gap,
        vbm_kpoint=(0.0, 0.0, 0.0) if gap else None,
        cbm_kpoint=(0.0, 0.0, 0.0) if gap else None,
        energy_ev=-12.0,
        magnetization=0.0,
        spin_polarized=False,
        n_electrons=16.0,
        n_kpoints=29,
        iterations=7,
        dos=Dos(GRID, states, {"s": 0.1 * states, "p": 0.8 * states, "d": 0.0 * states, "f": 0.0 * states}),
        seconds=4.2,
        software={"gpaw": "26.7.0"},
        notes=("a note",),
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = ResultStore(tmp_path / "results.sqlite")
    for found in (
        result(rocksalt("oxide", 4.25, ("Mg", "O")), 4.5),
        result(rocksalt("OXIDE", 4.40, ("Mg", "O")), 3.9),
        replace(result(rocksalt("alloy", 3.2, ("Al", "Ni")), 0.0), dos=None),
    ):
        store.put(found.crystal, found)
    return tmp_path


def test_a_folder_is_shown_as_a_table(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dft", "show", str(folder)]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert [row["id"] for row in rows] == ["oxide", "OXIDE", "alloy"]
    assert [float(row["gap_ev"]) for row in rows] == [4.5, 3.9, 0.0]
    assert [row["is_direct"] for row in rows] == ["True", "True", "False"]


def test_a_formula_is_shown_whole(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dft", "show", str(folder / "results.sqlite"), "OMg", "--json"]) == 0
    first, _ = json.loads(capsys.readouterr().out)
    assert first["space_group"] == "Fm-3m (225)"
    assert first["energy_ev_per_atom"] == -6.0
    assert Settings.from_json(first["settings"]) == Settings.of("production")
    assert run(["dft", "show", str(folder), "MgO"]) == 0
    text = capsys.readouterr().out
    assert "cutoff_ev 600.0" in text
    assert "a note" in text


def test_densities_of_states_are_written_under_names_of_their_own(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "dos"
    assert run(["dft", "show", str(folder), "--dos", str(out)]) == 0
    names = sorted(path.name for path in out.iterdir())
    assert names == ["OXIDE_PBE-2.csv", "OXIDE_PBE-2.png", "oxide_PBE.csv", "oxide_PBE.png"]
    with (out / "oxide_PBE.csv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    energies = np.array([float(row["energy_ev"]) for row in rows])
    p = np.array([float(row["p"]) for row in rows])
    assert energies[int(p.argmax())] == pytest.approx(-2.0)
    assert np.trapezoid(p, energies) == pytest.approx(0.8 * np.sqrt(np.pi), rel=1e-3)
    assert (out / "oxide_PBE.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_not_there_is_told(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dft", "show", str(folder), "ZnO"]) == 2
    assert "holds no ZnO" in capsys.readouterr().err
    assert run(["dft", "show", str(tmp_path / "nowhere")]) == 2
    assert "no store of results" in capsys.readouterr().err
    (tmp_path / "text.sqlite").write_text("not a database, and long enough to be taken for one\n" * 40)
    assert run(["dft", "show", str(tmp_path / "text.sqlite")]) == 2
