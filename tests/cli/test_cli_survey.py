"""``aldesign survey`` by the command line: what it prints, refuses, and does after a kill."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

import pytest

from aldesign.cli.app import run

GAPS = {"NaF": 6.0, "KF": 5.9, "NaCl": 5.0, "KCl": 4.9, "CsI": 3.0, "SrTiO3": 1.8, "UO2": 2.1}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "gaps.csv"
    path.write_text("formula,band_gap\n" + "".join(f"{formula},{gap}\n" for formula, gap in GAPS.items()))
    return path


def survey(table: Path, out: Path, *words: str) -> int:
    oracle = ("--oracle", "lookup", "--option", f"path={table}")
    return run(["survey", *oracle, "--out", str(out), "--execution", "serial", *words])


def ranked(out: Path) -> list[str]:
    with (out / "ranked.csv").open(encoding="utf-8") as stream:
        return [row["formula"] for row in csv.DictReader(stream)]


def test_a_file_becomes_a_ranked_table(table, tmp_path, capsys):
    words = ("--input", str(table), "--exclude", "radioactive", "--max-elements", "2", "--top", "3")
    assert survey(table, tmp_path / "out", *words) == 0
    told = capsys.readouterr()
    header, *rows = csv.reader(told.out.splitlines())
    assert header == ["rank", "formula", "value", "std", "unit", "oracle", "level", "in_domain"]
    assert [(row[1], float(row[2])) for row in rows] == [("NaF", 6.0), ("KF", 5.9), ("NaCl", 5.0)]
    assert ranked(tmp_path / "out") == ["NaF", "KF", "NaCl"]
    words_told = {" ".join(line.split()) for line in told.err.splitlines()}
    assert {"rows 7", "held by elements 1", "held by size 1", "scored 5", "ranked 3"} <= words_told
    assert any("100 million rows at this rate" in line and "start-up" in line for line in words_told)


def test_windows_smallest_and_json(table, tmp_path, capsys):
    assert survey(table, tmp_path / "a", "--input", str(table), "--window", "2", "4", "--top", "2", "--json") == 0
    assert json.loads(capsys.readouterr().out)["counts"]["ranked"] == 2
    assert ranked(tmp_path / "a") == ["CsI", "UO2"]
    assert survey(table, tmp_path / "b", "--input", str(table), "--rank", "smallest", "--top", "1", "-q") == 0
    assert ranked(tmp_path / "b") == ["SrTiO3"]


def test_formulas_may_be_drawn(table, tmp_path):
    assert survey(table, tmp_path / "out", "-n", "40", "--elements", "alkali,F,Cl", "--max-atoms", "6", "-q") == 0
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())["counts"]
    assert summary["rows"] == 40
    assert summary["held_by_elements"] == 0  # the generator keeps to them
    assert summary["scored"] + summary["unanswered"] == summary["passed"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "either as a file or as a number"),
        (("-n", "5", "--input", "x.csv"), "either as a file or as a number"),
        (("--input", "nowhere.csv"), "there is no file nowhere.csv"),
        (("-n", "5", "--known", "nowhere.csv"), "no list of known formulas at nowhere.csv"),
        (("-n", "5", "--exclude", "halogene"), "neither an element nor a class"),
        (("-n", "5", "--window", "3", "2"), "the window is 3 to 2"),
        (("-n", "5", "--workers", "two"), "--workers is 'two'"),
    ],
)
def test_what_cannot_be_done_is_refused(table, tmp_path, capsys, words, message):
    assert survey(table, tmp_path / "out", *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out" / "ranked.csv").exists()


def test_another_survey_in_the_same_folder_is_refused(table, tmp_path, capsys):
    words = ("--input", str(table), "-q")
    assert survey(table, tmp_path / "out", *words) == 0
    assert survey(table, tmp_path / "out", *words) == 0
    assert survey(table, tmp_path / "out", *words, "--known", "builtin") == 2
    assert "holds another survey, different in: sieves" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_survey_goes_on(table, tmp_path):
    formulas = tmp_path / "many.txt"
    triples = product(("Na", "K", "Mg", "Al"), ("F", "O", "N"), range(1, 90), range(1, 90), range(1, 4))
    formulas.write_text("\n".join(f"{a}{x}{c}{y}H{z}" for a, c, x, y, z in triples))
    out, usual = tmp_path / "killed", tmp_path / "usual"
    words = ["survey", "--oracle", "lookup", "--option", f"path={table}", "--input", str(formulas), "-q"]
    command = [sys.executable, "-m", "aldesign", *words, "--out", str(out), "--execution", "serial"]
    with subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL) as running:
        store = out / "survey.sqlite"
        while running.poll() is None and not (store.is_file() and store.stat().st_size > 100_000):
            time.sleep(0.05)
        running.send_signal(signal.SIGKILL)
    assert running.returncode == -signal.SIGKILL
    assert not (out / "ranked.csv").exists()
    assert run([*words, "--out", str(out), "--workers", "2"]) == 0
    assert run([*words, "--out", str(usual), "--execution", "serial"]) == 0
    first, second = (json.loads((folder / "summary.json").read_text())["counts"] for folder in (out, usual))
    assert first == second
    assert (out / "left_out.csv").read_bytes() == (usual / "left_out.csv").read_bytes()
