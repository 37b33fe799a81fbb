"""``aldesign dft compute``: bad input, a kill in the middle, Ctrl-C, and what a missing code says."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from dft_toys import ToyCode, record, rocksalt

from aldesign.cli.app import run
from aldesign.dft.settings import Settings
from aldesign.dft.store import ResultStore

EDGES = {"Li": 5.14, "Na": 5.64, "K": 6.29, "Rb": 6.58, "Cs": 6.9}
SALTS = [rocksalt(metal, "Cl", edge) for metal, edge in EDGES.items()]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyCode:
    return ToyCode(tmp_path, monkeypatch)


@pytest.fixture
def crystals(tmp_path: Path) -> Path:
    path = tmp_path / "crystals.jsonl"
    path.write_text("".join(json.dumps(record(salt)) + "\n" for salt in SALTS))
    return path


def command(source: Path, out: Path, *more: str) -> list[str]:
    return ["dft", "compute", "--input", str(source), "--out", str(out), "--preset", "fast", *more]


def rows(out: Path) -> list[dict[str, str]]:
    path = out / "results.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def landed(out: Path) -> int:
    path = out / "journal.jsonl"
    return path.read_text().count("\n") - 1 if path.exists() else 0


def begin(words: list[str], out: Path, count: int) -> subprocess.Popen[bytes]:
    """Start a command and return when `count` answers have landed."""
    process = subprocess.Popen([sys.executable, "-m", "aldesign", *words], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 200
    while landed(out) < count and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    return process


def test_answers_progress_and_a_second_call(
    toy: ToyCode, crystals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(command(crystals, out, "--workers", "2", "--json")) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"total": 5, "computed": 5, "from_store": 0, "failed": 0, "failed_before": 0}
    assert "1 of 5: " in shown.err
    assert "left" in shown.err
    assert [row["formula"] for row in rows(out)] == ["LiCl", "NaCl", "KCl", "RbCl", "CsCl"]
    assert run(command(crystals, out, "--quiet")) == 0
    assert "0 computed now" in capsys.readouterr().err
    assert len(toy.paid()) == 5
    assert [result.formula for result in ResultStore(out / "results.sqlite").results(Settings.of("fast"))]


def test_bad_input_is_told_in_two_lines(
    toy: ToyCode, crystals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        command(tmp_path / "none.jsonl", tmp_path / "out"),
        command(crystals, crystals),
        [*command(crystals, tmp_path / "out"), "--level", "HSE"],
        [*command(crystals, tmp_path / "out"), "--preset", "quick"],
    ):
        capsys.readouterr()
        assert run(words) == 2
        told = capsys.readouterr().err
        assert told.startswith("error: ")
        assert len(told.splitlines()) == 2
    assert toy.paid() == []


def test_a_missing_code_stops_at_once(
    toy: ToyCode, crystals: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toy.go("GPAW is not installed; do this")
    assert run(command(crystals, tmp_path / "out")) == 1
    assert "GPAW is not installed; do this" in capsys.readouterr().err
    assert toy.paid() == []


def test_ctrl_c_ends_with_130_and_can_be_resumed(toy: ToyCode, crystals: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    toy.take(0.7)
    process = begin(command(crystals, out), out, 2)
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    assert 2 <= len(rows(out)) < 5
    assert list((out / "scratch").iterdir()) == []
    toy.take(0.0)
    assert run(command(crystals, out, "--quiet")) == 0
    assert len(rows(out)) == 5
    assert len(toy.paid()) <= 6


def test_a_killed_call_goes_on_and_pays_nothing_twice(toy: ToyCode, crystals: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    toy.take(0.7)
    process = begin(command(crystals, out), out, 2)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = landed(out)
    assert 2 <= done < 5
    toy.take(0.0)
    assert run(command(crystals, out, "--quiet")) == 0
    assert [row["id"] for row in rows(out)] == [salt.id for salt in SALTS]
    again = [name for name in set(toy.paid()) if toy.paid().count(name) > 1]
    assert len(again) <= 1  # the one under way


def test_help_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["dft", "compute", "--help"]) == 0
    told = capsys.readouterr().out
    for word in ("--input", "--out", "--preset", "--level", "--time-limit", "--memory", "--workers", "--retry"):
        assert word in told
