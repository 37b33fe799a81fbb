"""Computed sets on disk, and how results become one."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dft_toys import TINY, record, rocksalt
from hypothesis import given
from hypothesis import strategies as st

from aldesign.datasets.computed import GRID_EV, load_computed, on_grid, save_computed
from aldesign.datasets.packing import Packed, pack
from aldesign.dft import elements as references
from aldesign.dft.batch import FAILED, FAILURES, JOURNAL, STORE
from aldesign.dft.results import Dos, Result
from aldesign.dft.store import ResultStore
from aldesign.errors import AldesignError, CalculationError, CheckpointError, InputError
from aldesign.records import Crystal

SALTS = {"NaCl": (5.64, 5.0, -7.0), "KCl": (6.29, 5.2, -6.6), "MgO": (4.21, 4.5, -12.0), "CaO": (4.81, 3.6, -12.8)}
ELEMENTS = {"Na": -1.2, "K": -1.0, "Cl": -1.7, "Mg": -1.4, "Ca": -1.9, "O": -4.3}  # eV/atom, invented
Folder = Callable[..., Path]


def dos(top_ev: float = 6.0) -> Dos:
    energies = np.arange(-20.0, top_ev + 1e-9, 0.1)
    total = 8 * np.exp(-((energies + 2) ** 2)) + 3 * np.exp(-((energies - 5) ** 2))
    return Dos(energies, total, {"s": 0.1 * total, "p": 0.6 * total, "d": 0.0 * total, "f": 0.0 * total})


def result(crystal: Crystal, gap_ev: float, energy_ev: float) -> Result:
    gamma = (0.0, 0.0, 0.0)
    formula = "".join(crystal.species)
    made = Result(formula, crystal, TINY, gap_ev, gap_ev + 0.5, gamma, gamma, energy_ev, 0.0, False, 8.0, 4, 9, dos())
    return replace(made, software={"gpaw": "0"})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """Return a function that makes a folder of results and the plan they belong to."""

    def energy(symbol: str, *_: object) -> float:
        if symbol not in ELEMENTS:
            raise CalculationError("element", f"there is no reference crystal of {symbol}", "")
        return ELEMENTS[symbol]

    monkeypatch.setattr(references, "reference_energy", energy)

    def make(**salts: tuple[float, float, float]) -> Path:
        store = ResultStore(tmp_path / STORE)
        lines = []
        for name, (edge, gap, total) in (salts or SALTS).items():
            metal, anion = (name[:-2], "Cl") if name.endswith("Cl") else (name[:-1], name[-1])
            crystal = rocksalt(metal, anion, edge, f"{name}/rocksalt")
            store.put(crystal, result(crystal, gap, total))
            words = {"prototype": "rocksalt", "space_group": "Fm-3m", "source": "textbook"}
            lines.append({**record(crystal), **words})
        lines.append({**record(rocksalt("Li", "F", 4.03, "LiF/rocksalt")), "prototype": "rocksalt"})
        lines.append({**record(rocksalt("Li", "H", 4.08, "LiH/rocksalt")), "prototype": "rocksalt"})
        (tmp_path / JOURNAL).write_text(json.dumps({"settings": TINY.to_json()}) + "\n")
        with (tmp_path / FAILURES).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(FAILED)
            writer.writerow(["LiH/rocksalt", "LiH", 2, "convergence", "it did not converge", "try"])
            writer.writerow(["other", "He", 1, "time", "not of the plan", ""])
        (tmp_path / "plan.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        return tmp_path

    return make


def packed(folder: Path) -> Packed:
    return pack(folder, folder / "plan.jsonl", folder / "set")


def test_a_set_holds_what_was_computed(folder: Folder) -> None:
    place = folder()
    told = packed(place)
    assert (told.rows, told.failed, told.waiting, dict(told.without_energy)) == (4, 1, 1, {})
    made = load_computed(place / "set")
    assert made.digest == told.digest[:16]
    assert [row.crystal.id for row in made.rows] == [f"{name}/rocksalt" for name in SALTS]
    for row, (edge, gap, total) in zip(made.rows, SALTS.values(), strict=True):
        assert (row.gap_ev, row.direct_gap_ev) == (gap, gap + 0.5)
        assert row.crystal.lattice == pytest.approx([edge / 2**0.5] * 3 + [60.0] * 3)
        elements = sum(ELEMENTS[symbol] for symbol in row.crystal.species)
        assert row.formation_energy_ev_per_atom == pytest.approx((total - elements) / 2)
        assert row.above_hull_ev_per_atom == pytest.approx(0.0, abs=1e-9)
    card = made.card
    assert card["failures"] == [
        {"id": "LiH/rocksalt", "formula": "LiH", "kind": "convergence", "error": "it did not converge"}
    ]
    assert (card["count"], card["level"], card["settings"]) == (4, "PBE", TINY.to_json())
    assert card["settings_digest"] == TINY.digest
    assert card["elements"] == ["Ca", "Cl", "K", "Mg", "Na", "O"]
    assert card["limits"]
    assert card["licence"].startswith("MIT")


def test_without_a_reference_there_is_no_formation_energy_and_it_is_told(folder: Folder) -> None:
    place = folder(**SALTS, RbCl=(6.58, 4.9, -6.5))
    told = packed(place)
    assert dict(told.without_energy) == {"Rb": 1}
    made = load_computed(place / "set")
    assert made.rows[-1].formation_energy_ev_per_atom is None
    assert made.rows[-1].above_hull_ev_per_atom is None
    assert made.card["elements_without_reference"] == {"Rb": "there is no reference crystal of Rb"}


def test_packing_twice_gives_the_same_bytes(folder: Folder) -> None:
    place = folder()
    packed(place)
    first = {ending: (place / f"set{ending}").read_bytes() for ending in (".safetensors", ".json")}
    packed(place)
    assert {ending: (place / f"set{ending}").read_bytes() for ending in first} == first


def test_a_strange_energy_is_not_packed(folder: Folder) -> None:
    with pytest.raises(AldesignError, match="formation energy of -4"):
        packed(folder(NaCl=(5.64, 5.0, -1000.0 + 2.9)))


def test_folders_that_are_none_are_refused(folder: Folder, tmp_path: Path) -> None:
    place = folder()
    for name in (STORE, JOURNAL):
        kept = (place / name).read_bytes()
        (place / name).unlink()
        with pytest.raises(InputError, match=f"holds no {name}"):
            packed(place)
        (place / name).write_bytes(kept)
    (place / "plan.jsonl").write_text('{"id": "x"}\n')
    with pytest.raises(InputError, match="line 1"):
        packed(place)
    (place / "plan.jsonl").write_text(json.dumps(record(rocksalt("Li", "F", 4.03, "x"))) + "\n")
    with pytest.raises(InputError, match="no result"):
        packed(place)
    (place / "plan.jsonl").write_text("\n")
    with pytest.raises(InputError, match="no crystals"):
        packed(place)
    (place / JOURNAL).write_text("{}\n")
    with pytest.raises(InputError, match="does not begin with"):
        packed(place)


def test_damage_is_noticed(folder: Folder) -> None:
    place = folder()
    packed(place)
    arrays, card = place / "set.safetensors", place / "set.json"
    whole, text = arrays.read_bytes(), card.read_text()
    arrays.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="not the file that its card describes"):
        load_computed(place / "set")
    arrays.write_bytes(whole)
    for spoilt in ("[]", "{", text.replace('"format": 1', '"format": 2'), text.replace('"sha256"', '"sha"')):
        card.write_text(spoilt)
        with pytest.raises(CheckpointError):
            load_computed(place / "set")
    card.unlink()
    with pytest.raises(CheckpointError, match="missing"):
        load_computed(place / "set")


@given(st.floats(1.0, 15.0), st.floats(0.01, 100.0))
def test_a_density_of_states_survives_the_bytes(top_ev: float, height: float) -> None:
    whole = dos(top_ev)
    curve = Dos(whole.energies_ev, height * whole.total, {name: height * v for name, v in whole.projected.items()})
    kept = on_grid(curve)
    assert kept.shape == (4, GRID_EV[2])
    energies = np.linspace(*GRID_EV)
    known = np.isfinite(kept[0])
    assert known.any()
    assert energies[known].max() <= top_ev + 1e-6
    assert np.isnan(kept[:, ~known]).all()
    from aldesign.datasets.computed import _packed, _unpacked

    back = _unpacked(_packed(kept[None]))[0]
    np.testing.assert_array_equal(np.isfinite(back), np.isfinite(kept))
    # steps of the square root: 1/255 of the maximum at its top, far less near zero
    np.testing.assert_allclose(back[:, known], kept[:, known], atol=kept[0][known].max() / 200)
    small = known & (kept[0] < 1e-3 * np.nanmax(kept[0]))
    assert (np.abs(back[0] - kept[0])[small] < 2.5e-4 * np.nanmax(kept[0])).all()


def test_the_density_of_states_of_a_row_ends_where_it_is_known(folder: Folder) -> None:
    place = folder()
    packed(place)
    row = load_computed(place / "set").rows[0]
    assert row.dos.energies_ev[0] == pytest.approx(GRID_EV[0])
    assert row.dos.energies_ev[-1] == pytest.approx(6.0)
    assert set(row.dos.projected) == {"s", "p", "d"}
    expected = np.interp(row.dos.energies_ev, dos().energies_ev, dos().total)
    np.testing.assert_allclose(row.dos.total, expected, atol=0.05)
    np.testing.assert_allclose(row.dos.projected["p"], 0.6 * expected, atol=0.05)


def test_a_set_is_saved_as_it_is(folder: Folder, tmp_path: Path) -> None:
    place = folder()
    packed(place)
    made = load_computed(place / "set")
    digest = save_computed(made.rows, {**made.card}, tmp_path / "again")
    again = load_computed(tmp_path / "again")
    assert again.digest == digest
    assert [row.gap_ev for row in again.rows] == [row.gap_ev for row in made.rows]
