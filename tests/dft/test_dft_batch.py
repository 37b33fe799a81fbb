"""Many crystals into a folder: rows in order, failures with reasons, and nothing paid twice after a kill."""

from __future__ import annotations

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path

import pytest
from dft_toys import TINY, ToyCode, record, rocksalt

from aldesign.dft.batch import COLUMNS, FAILED, Batch, Progress
from aldesign.dft.batch_input import read_items
from aldesign.dft.jobs import Limits
from aldesign.dft.laboratory import Laboratory
from aldesign.dft.settings import Settings
from aldesign.dft.store import ResultStore
from aldesign.errors import AldesignError, CalculationError, InputError, RunDirectoryError
from aldesign.records import Crystal
from aldesign.structures.cif import write_cif

SALTS = [rocksalt(metal, "Cl", edge) for metal, edge in (("Li", 5.14), ("Na", 5.64), ("K", 6.29), ("Rb", 6.58))]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyCode:
    return ToyCode(tmp_path, monkeypatch)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def lines(path: Path, crystals: list[Crystal], *more: str) -> Path:
    path.write_text("".join(json.dumps(record(crystal)) + "\n" for crystal in crystals) + "".join(more))
    return path


def batch(folder: Path, settings: Settings = TINY, retry: bool = False) -> Batch:
    store = ResultStore(folder / "results.sqlite")
    return Batch(folder, settings, Laboratory(store, Limits(60), folder / "scratch", retry))


def table(folder: Path, name: str = "results") -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_rows_in_order_with_every_column(toy: ToyCode, folder: Path, tmp_path: Path) -> None:
    items = read_items([lines(tmp_path / "in.jsonl", SALTS)])
    done = batch(folder).run(items, workers=2)
    assert (done.total, done.computed, done.found, done.failed) == (4, 4, 0, 0)
    rows = table(folder)
    assert list(rows[0]) == list(COLUMNS)
    assert [row["id"] for row in rows] == [salt.id for salt in SALTS]
    assert [row["from_store"] for row in rows] == ["false"] * 4
    assert float(rows[0]["energy_ev_per_atom"]) == pytest.approx(-3.5)
    assert table(folder, "failures") == []


def test_failures_have_reasons_and_are_paid_again_only_if_asked(toy: ToyCode, folder: Path, tmp_path: Path) -> None:
    bad = [
        rocksalt("Cs", "Cl", 6.9, "crash-1"),
        rocksalt("Na", "F", 4.6, "stuck-1"),
        rocksalt("Li", "Po", 6, "astatine"),
    ]
    source = lines(tmp_path / "in.jsonl", [SALTS[0], *bad], "no crystal\n")
    done = batch(folder).run(read_items([source]))
    assert (done.computed, done.failed) == (1, 4)
    failures = table(folder, "failures")
    assert list(failures[0]) == list(FAILED)
    assert [row["kind"] for row in failures] == ["crash", "convergence", "element", "structure"]
    assert "Cholesky" in failures[0]["error"]
    assert failures[3]["id"] == "in.jsonl:5"
    paid = len(toy.paid())
    unchanged = batch(folder).run(read_items([source]))
    assert (unchanged.done, unchanged.failed, unchanged.failed_before) == (5, 0, 4)
    assert len(toy.paid()) == paid
    again = batch(folder, retry=True).run(read_items([source]), retry=True)
    assert (again.failed, again.failed_before, len(toy.paid())) == (4, 0, paid + 2)  # the other two start nothing


def test_new_lines_are_taken_up(toy: ToyCode, folder: Path, tmp_path: Path) -> None:
    source = lines(tmp_path / "in.jsonl", SALTS[:2])
    batch(folder).run(read_items([source]))
    seen: list[int] = []
    done = batch(folder).run(read_items([lines(source, SALTS)]), listen=lambda p: seen.append(p.done))
    assert (done.computed, seen) == (2, [3, 4])
    assert [row["id"] for row in table(folder)] == [salt.id for salt in SALTS]
    assert toy.paid() == [salt.id for salt in SALTS]


def test_a_cut_journal_and_a_lost_one_cost_nothing(toy: ToyCode, folder: Path, tmp_path: Path) -> None:
    items = read_items([lines(tmp_path / "in.jsonl", SALTS)])
    batch(folder).run(items)
    journal = folder / "journal.jsonl"
    text = journal.read_text()
    journal.write_text(text[:-40])  # as a kill in the middle of a line leaves it
    assert batch(folder).run(items).found == 1
    journal.unlink()
    assert batch(folder).run(items).found == 4
    assert len(table(folder)) == 4
    assert len(toy.paid()) == 4


def test_a_lost_store_is_paid_again(toy: ToyCode, folder: Path, tmp_path: Path) -> None:
    items = read_items([lines(tmp_path / "in.jsonl", SALTS[:1])])
    batch(folder).run(items)
    (folder / "results.sqlite").unlink()
    assert batch(folder).run(items).computed == 1


def test_one_folder_has_one_kind_of_settings(toy: ToyCode, folder: Path, tmp_path: Path) -> None:
    items = read_items([lines(tmp_path / "in.jsonl", SALTS[:1])])
    batch(folder).run(items)
    with pytest.raises(RunDirectoryError, match=r"cutoff_ev 200\.0, now 300\.0"):
        batch(folder, replace(TINY, cutoff_ev=300.0))


@pytest.mark.parametrize(("name", "kind"), [("full-1", "disk"), ("", "unavailable")])
def test_what_would_befall_all_stops_at_once(toy: ToyCode, folder: Path, tmp_path: Path, name: str, kind: str) -> None:
    crystals = [rocksalt("Cs", "Cl", 6.9, name or "one"), *SALTS]
    if not name:
        toy.go()
    with pytest.raises(CalculationError) as caught:
        batch(folder).run(read_items([lines(tmp_path / "in.jsonl", crystals)]))
    assert caught.value.kind == kind
    assert table(folder, "failures") == []


def test_an_answer_that_cannot_be_kept_stops_and_is_told(
    toy: ToyCode, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise AldesignError("results.sqlite could not be written: database or disk is full")

    monkeypatch.setattr(ResultStore, "put", full)
    with pytest.raises(AldesignError, match=r"full.*LiCl, LiCl: 0\.\d+"):
        batch(folder).run(read_items([lines(tmp_path / "in.jsonl", SALTS)]))
    assert len(toy.paid()) == 1


def test_an_interrupt_ends_the_calculations_under_way(toy: ToyCode, folder: Path, tmp_path: Path) -> None:
    slow = rocksalt("Cs", "Cl", 6.9, "slow-1")

    def interrupt(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        batch(folder).run(read_items([lines(tmp_path / "in.jsonl", [slow, *SALTS])]), workers=2, listen=interrupt)
    assert [row["id"] for row in table(folder)] == ["LiCl"]
    assert list((folder / "scratch").iterdir()) == []


def test_inputs_of_every_kind(tmp_path: Path) -> None:
    packed = tmp_path / "in.jsonl.gz"
    with gzip.open(packed, "wt") as file:
        file.write(json.dumps(record(SALTS[0])) + "\n")
    write_cif(SALTS[1], tmp_path / "salt.cif")
    (tmp_path / "cifs").mkdir()
    write_cif(SALTS[2], tmp_path / "cifs" / "sylvite.cif")
    items = read_items([packed, tmp_path / "salt.cif", tmp_path / "cifs"])
    assert [item.id for item in items] == ["LiCl", "salt", "sylvite"]
    for wrong in (tmp_path / "none.jsonl", tmp_path / "none.cif", Path(__file__)):
        with pytest.raises(InputError):
            read_items([wrong])


def test_the_estimate_counts_what_was_paid() -> None:
    progress = Progress(total=10, done=6, computed=1, failed=1, found=4, begun=0.0)
    left = progress.seconds_left()
    assert left is not None
    assert left > 0
    assert Progress(3).seconds_left() is None
