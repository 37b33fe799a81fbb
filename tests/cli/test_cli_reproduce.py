"""`aldesign reproduce` from the command line, on tables small enough to be done in seconds."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from paper_tables import write_tables

from aldesign.cli.app import run
from aldesign.reproduce.paper import TABLE
from aldesign.reproduce.summary import table_one

SMALL = ("--models", "random_forest", "--repeats", "2", "--pool", "200", "--workers", "1", "--labels", "6", "--quiet")
RESULTS = ("results.json", "results.csv", "table1.csv", "table1.md", "exp4.csv")


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tables(tmp_path_factory.mktemp("tables"))


def words(data: Path, out: Path, *more: str) -> list[str]:
    return ["reproduce", *more, "--data", str(data), "--out", str(out), *SMALL]


@pytest.mark.slow
def test_a_study_gives_the_papers_table_with_ours(
    tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    assert run([*words(tables, out, "exp1", "exp2"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    lines = {line["sample"]: line for line in told["table"]}
    assert list(lines) == ["exp1", "exp2-bs", "exp2-al", "exp2-ours"]
    assert told["exp4"] == []
    assert {line["repeats"] for line in lines.values()} == {2}
    for sample, known in TABLE.items():
        if sample in lines:
            assert lines[sample]["paper_r2"] == known.r2
            assert lines[sample]["paper_recovery"] == known.recovery
    assert lines["exp2-ours"]["paper_r2"] == TABLE["exp2-al"].r2
    assert lines["exp2-bs"]["rows"] < lines["exp2-ours"]["rows"] <= lines["exp2-bs"]["rows"] + 6
    with (out / "results.csv").open() as stream:
        repeats = list(csv.DictReader(stream))
    first = next(r for r in repeats if (r["sample"], r["repeat"]) == ("exp1", "1"))
    assert (first["recovery"], first["false_positives"]) == ("1.0", "0")  # the oracle agrees with itself
    both = [float(r["r2"]) for r in repeats if r["sample"] == "exp2-bs"]
    assert lines["exp2-bs"]["r2"] == pytest.approx(sum(both) / 2, abs=1e-4)
    assert (out / "table1.png").stat().st_size > 10_000
    assert "| Exp2 AL, our campaign | random_forest |" in (out / "table1.md").read_text()
    pool = set(subprocess.run(["gzip", "-dc", out / "pool.txt.gz"], capture_output=True, text=True).stdout.split())
    assert len(pool) == 200
    assert set((out / "selected" / "random_forest.txt").read_text().split()) <= pool
    text = (out / "table1.md").read_text()
    assert "not comparable with the paper's number" in text
    assert "from 6 labels paid in" in text
    line = lines["exp2-ours"]
    wanted = (out / "selected" / "random_forest.txt").read_text().split()
    assert line["labelled_candidates"] + line["new_candidates"] == len(wanted)
    # more repeats add to what is there; nothing is done again
    stamps = {path: path.stat().st_mtime_ns for path in (out / "jobs").iterdir()}
    assert run(["reproduce", "exp1", "exp2", "--data", str(tables), "--out", str(out), *SMALL, "--repeats", "3"]) == 0
    assert capsys.readouterr().out.startswith("sample,model,repeats,rows")
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert len(list((out / "jobs").iterdir())) == len(stamps) + 4
    # a call for less leaves none of it out
    before = (out / "results.json").read_bytes()
    assert run(words(tables, out, "exp1")) == 0
    assert (out / "results.json").read_bytes() == before
    # another study is refused, unless it is forced
    assert run([*words(tables, out, "exp1"), "--seed", "1"]) == 2
    assert "holds a study with another seed" in capsys.readouterr().err
    assert run([*words(tables, out, "exp1"), "--seed", "1", "--repeats", "1", "--force"]) == 0
    assert len(list((out / "jobs").iterdir())) == 1


def test_the_fourth_experiment_starts_below_3_ev(
    tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "study"
    assert run([*words(tables, out, "exp4"), "--repeats", "1"]) == 0
    assert "Exp4, random_forest: from" in capsys.readouterr().out
    record = json.loads((out / "jobs" / "exp4.random_forest.01.json").read_text())
    assert record["widest_start_ev"] < 3.0
    assert record["iterations"] <= 30
    assert record["found"] == (record["best_ev"] > 6.0)
    assert record["labels"] <= record["paid"] <= 20 * record["iterations"]
    text = (out / "table1.md").read_text()
    assert "predicted by our oracle" in text
    assert "The graph starts" not in text  # it did not run
    with (out / "start" / "exp4.csv").open() as stream:
        start = [float(row["band_gap"]) for row in csv.DictReader(stream)]
    assert len(start) == record["rows"]
    assert max(start) < 3.0
    # the shipped file finds these rows, and its run goes by the same rules
    assert run(["check", "paper/exp4", "--set", f"data.path={out / 'start' / 'exp4.csv'}"]) == 0


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_killed_study_goes_on_to_the_same_table(tables: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert run(words(tables, whole, "exp1", "exp3")) == 0
    command = [sys.executable, "-m", "aldesign", *words(tables, killed, "exp1", "exp3")]
    for jobs in (1, 3):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 200
        while process.poll() is None and len(list(killed.glob("jobs/*.json"))) < jobs and time.monotonic() < deadline:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    assert not (killed / "jobs" / "exp3-ours.random_forest.02.json").exists()
    assert run(words(tables, killed, "exp1", "exp3")) == 0
    for name in RESULTS:
        assert (whole / name).read_bytes() == (killed / name).read_bytes(), name
    # and so do two worker processes
    spread = tmp_path / "spread"
    assert run([*words(tables, spread, "exp1", "exp3"), "--workers", "2"]) == 0
    assert (whole / "results.json").read_bytes() == (spread / "results.json").read_bytes()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("exp5",), "no experiment is called 'exp5'"),
        (("--models", "dense"), "'dense' is no screening model"),
        (("--start", "stoichiometry_graph"), "cannot start from 'stoichiometry_graph'"),
        (("--models", ",,"), "no screening model is named"),
    ],
)
def test_wrong_words_are_told(
    more: tuple[str, ...], told: str, tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words(tables, tmp_path / "study"), "--models", "stoichiometry_graph", *more]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "study").exists()


def test_missing_tables_are_named(tables: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(words(tmp_path, tmp_path / "study")) == 2
    shown = capsys.readouterr().err
    assert "lacks Exp1_42k.csv, Exp2_BS_1k.csv" in shown
    assert "--data" in shown


def test_a_mean_leaves_out_what_is_not_known() -> None:
    shared = {"sample": "exp2-bs", "model": "random_forest", "rows": 10}
    line = table_one([{**shared, "r2": 0.5, "precision": None}, {**shared, "r2": 0.7, "precision": 0.25}])[0]
    assert (line["r2"], line["r2_std"]) == (0.6, pytest.approx(0.1414, abs=1e-4))
    assert (line["precision"], line["precision_std"], line["mae"]) == (0.25, None, None)
