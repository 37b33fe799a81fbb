"""A laboratory pays once for a crystal, whoever asks, and never loses what was paid for."""

from __future__ import annotations

import fcntl
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from dft_toys import TINY, ToyCode, rocksalt

from aldesign.dft.jobs import Limits
from aldesign.dft.laboratory import Archive, Laboratory
from aldesign.dft.store import ResultStore
from aldesign.errors import AldesignError, CalculationError
from aldesign.records import Crystal

SALT = rocksalt("Na", "Cl", 5.64)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyCode:
    return ToyCode(tmp_path, monkeypatch)


@pytest.fixture
def laboratory(toy: ToyCode, tmp_path: Path) -> Laboratory:
    return Laboratory(ResultStore(tmp_path / "store" / "s.sqlite"), Limits(60), tmp_path / "scratch")


def named(name: str) -> Crystal:
    return rocksalt("Na", "Cl", 5.64, name)


def test_a_crystal_is_paid_for_once(laboratory: Laboratory, toy: ToyCode) -> None:
    first = laboratory.answer(SALT, TINY)
    second = laboratory.answer(named("again"), TINY)
    assert (first.from_store, second.from_store) == (False, True)
    assert first.result.to_json() == second.result.to_json()
    assert toy.paid() == ["NaCl"]
    assert [path.name for path in laboratory.store.path.parent.iterdir()] == ["s.sqlite"]


def test_those_who_ask_at_the_same_time_pay_once(laboratory: Laboratory, toy: ToyCode) -> None:
    toy.take(1.0)
    other = Laboratory(ResultStore(laboratory.store.path), laboratory.limits, laboratory.scratch)
    with ThreadPoolExecutor(2) as crew:
        asked = [crew.submit(who.answer, SALT, TINY) for who in (laboratory, other)]
        answers = [one.result() for one in asked]
    assert sorted(answer.from_store for answer in answers) == [False, True]
    assert toy.paid() == ["NaCl"]


def test_a_result_of_other_data_sets_is_refused(
    laboratory: Laboratory, toy: ToyCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    laboratory.compute(SALT, TINY)
    monkeypatch.setenv("ALDESIGN_TOY_SET", "2")
    with pytest.raises(CalculationError, match=r"data set Cl was 1, is 2.*data set Na was 1") as caught:
        laboratory.compute(SALT, TINY)
    assert caught.value.kind == "unavailable"
    assert toy.paid() == ["NaCl"]
    monkeypatch.delenv("ALDESIGN_TOY_SET")
    assert laboratory.answer(SALT, TINY).from_store


def test_claims_that_a_kill_left_behind_are_cleared_away(laboratory: Laboratory, toy: ToyCode) -> None:
    folder = laboratory.store.path.parent
    left, held = folder / ".s.sqlite.0123456789abcdef.lock", folder / ".s.sqlite.fedcba9876543210.lock"
    left.touch()
    with held.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        laboratory.compute(SALT, TINY)
        assert held.exists()
    assert not left.exists()


def test_other_crystals_do_not_wait(laboratory: Laboratory, toy: ToyCode) -> None:
    toy.take(1.0)
    with ThreadPoolExecutor(2) as crew:
        asked = [crew.submit(laboratory.compute, crystal, TINY) for crystal in (SALT, rocksalt("K", "Cl", 6.3))]
        assert {one.result().formula for one in asked} == {"NaCl", "KCl"}


@pytest.mark.parametrize(("name", "again"), [("stuck", 1), ("crash", 2)])
def test_a_failure_that_would_come_again_is_not_paid_again(
    laboratory: Laboratory, toy: ToyCode, name: str, again: int
) -> None:
    for _ in range(2):
        with pytest.raises(CalculationError):
            laboratory.compute(named(f"{name}-1"), TINY)
    assert len(toy.paid()) == again
    with pytest.raises(CalculationError):
        replace(laboratory, retry=True).compute(named(f"{name}-1"), TINY)
    assert len(toy.paid()) == again + 1
    assert laboratory.compute(rocksalt("K", "Cl", 6.3), TINY).formula == "KCl"


def test_impossible_crystals_start_nothing(laboratory: Laboratory, toy: ToyCode) -> None:
    for edge in (1.0, 100.0):
        with pytest.raises(CalculationError) as caught:
            laboratory.compute(rocksalt("Na", "Cl", edge), TINY)
        assert caught.value.kind == "structure"
    assert toy.paid() == []


def test_a_result_that_cannot_be_kept_is_not_lost(
    laboratory: Laboratory, toy: ToyCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise AldesignError("s.sqlite could not be written: database or disk is full")

    monkeypatch.setattr(ResultStore, "put", full)
    answer = laboratory.answer(SALT, TINY)
    assert answer.result.formula == "NaCl"
    assert "disk is full" in answer.unkept
    assert "not kept" in answer.result.notes[-1]


def test_places_without_locks_are_good_enough(
    laboratory: Laboratory, toy: ToyCode, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    assert not laboratory.answer(SALT, TINY).from_store


def test_a_moved_store_still_answers(laboratory: Laboratory, toy: ToyCode, tmp_path: Path) -> None:
    laboratory.compute(SALT, TINY)
    copy = tmp_path / "copy.sqlite"
    shutil.copyfile(laboratory.store.path, copy)
    assert Archive(ResultStore(copy)).answer(SALT, TINY).from_store
    with pytest.raises(CalculationError, match="not computed before"):
        Archive(ResultStore(copy)).compute(rocksalt("K", "Cl", 6.3), TINY)
    assert toy.paid() == ["NaCl"]
