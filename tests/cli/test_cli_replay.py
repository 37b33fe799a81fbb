"""``aldesign replay``: its files, its table, and that a kill loses nothing."""

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

from aldesign.cli.app import run

CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Al", "Ga", "In", "Sc", "Y")
ANIONS = {"F": 9.0, "Cl": 6.0, "Br": 4.5, "I": 3.0, "O": 5.0, "S": 2.5}
CAMPAIGN = """name: rehearsal
seed: 3
target: {maximize: true}
data: {source: table, path: own.csv}
surrogate: {features: composition}
acquisition: {kind: ucb, kappa: 1}
batch_size: 5
stop: {budget: 20}
"""


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """Write a campaign, its data and a table of known gaps; return the command's first words."""
    gaps = {f"{c}{a}": ANIONS[a] - 0.11 * i for i, c in enumerate(CATIONS) for a in ANIONS}
    table = "".join(f"{formula},{gap:.3f}\n" for formula, gap in gaps.items())
    (tmp_path / "known.csv").write_text("formula,band_gap\n" + table + "Zz9,1.0\nNaCl,x\n")
    own = "".join(f"{formula},{gap:.3f}\n" for formula, gap in list(gaps.items())[::9])
    (tmp_path / "own.csv").write_text("formula,band_gap\n" + own + "CuBr,2.9\nbad,1\n")
    (tmp_path / "campaign.yaml").write_text(CAMPAIGN)
    return ["replay", str(tmp_path / "campaign.yaml"), "--data", str(tmp_path / "known.csv"), "--threshold", "6"]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_files_and_the_printed_table_agree(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert run([*words, "--seeds", "2", "--out", str(out)]) == 0
    shown = capsys.readouterr()
    printed = {row["strategy"]: row for row in csv.DictReader(shown.out.splitlines())}
    assert list(printed) == ["campaign", "greedy", "random", "chance"]
    assert "start: 11 of the campaign's 12 data rows" in shown.err
    assert "not in the table: CuBr" in shown.err
    assert all(f"left out: {tmp_path / name}" in shown.err for name in ("known.csv", "own.csv"))

    curves, picks, summary = (table(out / name) for name in ("replay.csv", "picks.csv", "summary.csv"))
    assert len(curves) == 3 * 2 * 21
    assert len(picks) == 3 * 2 * 20
    ends = [row for row in curves if row["labels"] == "20" and row["strategy"] == "campaign"]
    found = [float(row["found"]) for row in ends]
    told = next(row for row in summary if row["strategy"] == "campaign")
    assert float(told["found"]) == pytest.approx(sum(found) / 2)
    assert float(printed["campaign"]["found"].split(" ± ")[0]) == pytest.approx(sum(found) / 2)
    hits = [row for row in picks if row["strategy"] == "campaign" and row["seed"] == "3" and row["hit"] == "true"]
    assert len(hits) == found[0]
    assert all(float(row["gap_ev"]) >= 6 for row in hits)
    assert all(row["expected_ev"] == "" for row in picks if row["strategy"] == "random")
    facts = json.loads((out / "summary.json").read_text())
    assert (facts["labels"], facts["batch"], facts["seeds"], facts["wanted"]) == (20, 5, [3, 4], "gap >= 6 eV")
    chance = facts["figures"][-1]
    assert chance["found"] == pytest.approx(20 * facts["hits_to_find"] / facts["rows_to_buy"])
    assert (out / "replay.png").read_bytes().startswith(b"\x89PNG")


def test_json_and_quiet(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = [*words, "--strategies", "best,random", "--seeds", "3", "--out", str(tmp_path / "run")]
    assert run([*told, "--json", "--quiet"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    found = json.loads(shown.out)
    assert [record["strategy"] for record in found["figures"]] == ["best", "random", "chance"]
    best = found["figures"][0]
    assert best["found"] == min(20, found["hits_to_find"])
    assert (best["labels_to_first_hit"], best["labels_to_first_hit_error"]) == (1.0, 0.0)
    assert run([*told, "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_negative_gaps_are_clipped_on_request(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    known = tmp_path / "known.csv"
    known.write_text(known.read_text() + "CuTe,-0.2\n")
    told = [*words, "--strategies", "random", "--seeds", "1"]
    assert run([*told, "--out", str(tmp_path / "refused")]) == 0
    assert "--negative clip sets it to 0" in capsys.readouterr().err
    assert run([*told, "--negative", "clip", "--out", str(tmp_path / "clipped")]) == 0
    assert "1 negative gaps set to 0" in capsys.readouterr().err
    more, fewer = (json.loads((tmp_path / name / "summary.json").read_text()) for name in ("clipped", "refused"))
    assert more["rows_to_buy"] == fewer["rows_to_buy"] + 1


def test_the_table_says_what_its_errors_are(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aldesign.cli import replay

    shown: list[tuple[list[str], str]] = []
    monkeypatch.setattr(replay, "print_rows", lambda heads, _, title: shown.append((heads, title)))
    assert run([*words, "--strategies", "random", "--start", "20", "--out", str(tmp_path / "run")]) == 0
    heads, title = shown[0]
    assert {"first hit's place", "its batch"} <= set(heads)
    assert "± is a standard error over seeds" in title
    facts = json.loads((tmp_path / "run" / "summary.json").read_text())
    low, high = facts["hits_to_find_range"]
    assert low < facts["hits_to_find"] < high
    assert f"{low} to {high} (mean {facts['hits_to_find']}) of {facts['rows_to_buy']} rows" in title


def test_the_default_folder_is_named_after_the_campaign(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*words, "--strategies", "random", "--quiet"]) == 0
    assert (tmp_path / "runs" / "replay-rehearsal" / "replay.csv").is_file()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--data", "absent.csv"], "there is no file absent.csv"),
        (["--strategies", "campaign,luck"], "no replay strategy is called 'luck'"),
        (["--threshold", "30"], "no row that may be bought has a gap >= 30 eV"),
        (["--top", "0.1"], "--threshold and --top exclude each other"),
        (["--set", "target={window: [1, 2]}"], "target is a window"),
        (["--start", "4000"], "4000 start rows were asked for"),
        (["--start-below", "3"], "--start-below was given without --start"),
        (["--set", "surrogate.features=[astrology]"], "astrology"),
        (["--formula-column", "name"], "name"),
    ],
)
def test_bad_input_is_told_in_two_lines(
    more: list[str], told: str, words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*words, "--out", str(tmp_path / "run"), "--quiet", *more]) == 2
    shown = capsys.readouterr()
    assert told in shown.err
    assert shown.err.startswith("error: ")
    assert len(shown.err.splitlines()) <= 2
    assert not (tmp_path / "run").exists()


def test_ctrl_c_is_130_and_the_same_command_goes_on(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from aldesign.replay import runs as replay_runs

    once = replay_runs.buy
    calls: list[int] = []

    def interrupted(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return once(*arguments)

    told = [*words, "--seeds", "1", "--strategies", "campaign", "--quiet"]
    monkeypatch.setattr(replay_runs, "buy", interrupted)
    assert run([*told, "--out", str(tmp_path / "cut")]) == 130
    assert "give the same command again to go on" in capsys.readouterr().err
    assert run([*told, "--out", str(tmp_path / "cut")]) == 0
    assert len(calls) == 3 + 2
    assert run([*told, "--out", str(tmp_path / "whole")]) == 0
    for name in ("replay.csv", "picks.csv"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert run([*told, "--out", str(tmp_path / "cut"), "--batch", "4"]) == 2
    assert "holds a replay with another batch size" in capsys.readouterr().err


@pytest.mark.slow
def test_a_killed_replay_goes_on_to_the_same_bytes(words: list[str], tmp_path: Path) -> None:
    told = [*words, "--seeds", "2", "--labels", "40", "--batch", "2", "--quiet"]
    command = [sys.executable, "-m", "aldesign", *told, "--out", str(tmp_path / "killed")]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    journal = tmp_path / "killed" / "batches" / "campaign-seed3.jsonl"
    deadline = time.monotonic() + 200
    while process.poll() is None and not journal.exists() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "replay.csv").exists()
    for name in ("killed", "whole"):
        assert run([*told, "--out", str(tmp_path / name)]) == 0
    for name in ("replay.csv", "picks.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
