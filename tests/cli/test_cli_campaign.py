"""The campaign commands: what they print, what they refuse, and with which exit code."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aldesign.campaign.journal import FILE_NAME, Journal
from aldesign.cli.app import run

CAMPAIGN = Path(__file__).parent.parent / "campaign"
TINY = str(CAMPAIGN / "tiny.yaml")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("cli") / "run"
    assert run(["run", TINY, "--out", str(directory), "--iterations", "1", "--quiet"]) == 0
    return directory


def test_a_run_leaves_everything_a_user_expects(finished: Path) -> None:
    assert {"campaign.yaml", "campaign.sqlite", "export", "report.html"} <= {p.name for p in finished.iterdir()}
    page = (finished / "report.html").read_text().replace("http://www.w3.org", "")
    assert "http:" not in page
    assert "https:" not in page


def test_inspect_and_explain_speak_to_people_and_programs(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["inspect", str(finished), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["iterations"] == 1
    assert facts["oracle"]["name"] == "random_forest"
    assert run(["inspect", str(finished)]) == 0
    assert "stands in" in capsys.readouterr().out
    assert run(["explain", str(finished), "FLi"]) == 0
    assert "LiF" in capsys.readouterr().out
    assert run(["explain", str(finished), "LiF", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["trials"][0]["source"] == "seed"
    assert [chapter["title"] for chapter in told["story"]][-2:] == ["Novelty", "Supply"]
    assert told["conclusion"].endswith("It was a seed row, and those are not exported.")
    for row in facts["ranked"]:
        assert run(["explain", str(finished), row["formula"], "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["rank"], told["pareto"], told["score"]["value"]) == (row["rank"], row["pareto"], row["score"])


def test_export_and_report_go_where_they_are_told(finished: Path, tmp_path: Path) -> None:
    assert run(["export", str(finished), "--out", str(tmp_path / "export"), "--top", "1"]) == 0
    with (tmp_path / "export" / "candidates.csv").open() as handle:
        listed = list(csv.DictReader(handle))
    assert len(listed) <= 1
    assert [row["cif"] for row in listed] == [path.name for path in (tmp_path / "export").glob("*.cif")]
    assert run(["report", str(finished), "--out", str(tmp_path / "page.html")]) == 0
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_check_pays_for_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["check", TINY, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["oracle_answers_at_most"] == 12
    assert facts["seed_rows"].startswith("16 from")


def test_asking_and_telling_through_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = str(tmp_path / "lab")
    assert run(["run", TINY, "--set", "oracle.kind=external", "--out", directory]) == 0
    assert "aldesign ask" in capsys.readouterr().out
    assert run(["ask", directory, "-n", "2", "--cif", str(tmp_path / "cif")]) == 0
    asked = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(asked) == 2
    answers = tmp_path / "answers.csv"
    answers.write_text(f"formula,value\n{asked[0]['formula']},4.2\nXx,1\n")
    assert run(["tell", directory, str(answers)]) == 0
    told = capsys.readouterr()
    assert "1 answered, 1 refused" in told.out
    assert "answers.csv:3" in told.err


def write(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_bad_input_is_refused_with_a_clear_message(
    tmp_path: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = (CAMPAIGN / "tiny.yaml").read_text().replace("tiny.csv", str(CAMPAIGN / "tiny.csv"))
    out = ["--out", str(tmp_path / "never")]
    empty = write(tmp_path / "empty.csv", "")
    negative = write(tmp_path / "negative.csv", "formula,band_gap\nNaCl,-1\n")
    unknown = write(tmp_path / "unknown.csv", "formula,band_gap\nXx2O,1\n")
    broken = write(tmp_path / "broken.cif", "data_x\n_cell_length_a what\n")
    other = tmp_path / "other"
    other.mkdir()
    Journal(other, write=True, create=True).close()
    with sqlite3.connect(other / FILE_NAME) as db:
        db.execute("UPDATE meta SET value = '99'")
    db.close()
    cases = [
        (
            ["run", write(tmp_path / "k.yaml", tiny.replace("batch_size", "batchsize")), *out],
            "did you mean 'batch_size'",
        ),
        (["run", str(tmp_path / "absent.yaml"), *out], "no campaign file"),
        (["run", TINY, "--set", f"data.path={tmp_path / 'absent.csv'}", *out], "absent.csv"),
        (["run", TINY, "--set", f"data.path={empty}", *out], "empty.csv"),
        (["run", TINY, "--set", f"data.path={negative}", *out], "negative"),
        (["run", TINY, "--set", f"data.path={unknown}", *out], "'Xx'"),
        (["run", TINY, "--set", "oracle.kind=random_forrest", *out], "did you mean 'random_forest'"),
        (["run", TINY, "--set", "screens=[neutralty]", *out], "neutrality"),
        (["run", TINY, "--set", "space.exclude=[Xx]", *out], "Xx"),
        (["predict", "--oracle", "random_forest", "Xx2O"], "Xx"),
        (["predict", "--oracle", "crystal_graph", "--input", broken], "broken.cif"),
        (["run", TINY, "--out", str(finished)], "not empty"),
        (["resume", str(other)], "format 99"),
        (["inspect", str(tmp_path)], "no run directory"),
        (["explain", str(finished), "Xx2O"], "'Xx'"),
    ]
    for arguments, message in cases:
        code = run(arguments)
        printed = capsys.readouterr()
        assert (code, message in printed.err + printed.out) == (2, True), (arguments, code, printed)
    assert not (tmp_path / "never").exists()


def test_a_second_writer_is_refused(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Journal(finished, write=True):
        assert run(["resume", str(finished)]) == 2
        assert "being written by another process" in capsys.readouterr().err
        assert run(["inspect", str(finished)]) == 0


def test_ctrl_c_is_resumable(tmp_path: Path) -> None:
    directory = tmp_path / "interrupted"
    longer = ["--set", "stop.iterations=40"]
    command = [sys.executable, "-m", "aldesign", "run", TINY, "--out", str(directory), "--quiet", *longer]

    def heed() -> None:  # whoever started the tests in the background had them ignore Ctrl-C
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=heed) as process:
        deadline = time.monotonic() + 120
        while not (directory / FILE_NAME).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert f"aldesign resume {directory}" in errors
