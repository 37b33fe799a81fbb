"""``aldesign ask`` and ``tell`` as a laboratory and as the script of a queue use them."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import random
import shutil
import threading
from pathlib import Path

import pytest

from aldesign.campaign.journal import LOCK_NAME
from aldesign.campaign.reading import read_state
from aldesign.cli.app import run
from aldesign.records import TrialState

TINY = str(Path(__file__).parent.parent / "campaign" / "tiny.yaml")
LAB = ("--set", "oracle.kind=external", "--set", "execution={kind: serial}", "--set", "stop={budget: 30}")
Capture = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run directory that has proposed four candidates of its own and asked nobody."""
    directory = tmp_path_factory.mktemp("runs") / "lab"
    assert run(["run", TINY, *LAB, "--out", str(directory)]) == 0
    return directory


@pytest.fixture
def lab(begun: Path, tmp_path: Path) -> str:
    return str(shutil.copytree(begun, tmp_path / "lab"))


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_a_round_with_a_laboratory_in_any_order_in_part_and_with_garbage(
    lab: str, tmp_path: Path, capsys: Capture
) -> None:
    folder, blank = tmp_path / "cif", tmp_path / "results.csv"
    assert run(["ask", lab, "-n", "10", "--cif", str(folder), "--blank", str(blank), "--to", "Oslo"]) == 0
    asked = table(capsys.readouterr().out)
    assert len({row["formula"] for row in asked}) == 10
    assert all(bool(row["cif"]) == bool(row["crystal"]) for row in asked)
    assert sorted(Path(row["cif"]) for row in asked if row["cif"]) == sorted(folder.glob("*.cif"))

    with blank.open() as stream:
        rows = list(csv.DictReader(stream))
    for i, row in enumerate(rows):
        if i < 5:
            row |= {"gap_ev": str(2.0 + i / 10), "std_ev": "0.1", "formula": "" if i % 2 else row["formula"]}
        elif i < 7:
            row["error"] = "SCF did not converge"
    names = list(rows[0])
    rows += [dict.fromkeys(names, "") | more for more in (*NEVER_ASKED, *GARBAGE)]
    random.Random(3).shuffle(rows)
    with blank.open("w") as stream:
        writer = csv.DictWriter(stream, names)
        writer.writeheader()
        writer.writerows(rows)

    assert run(["tell", lab, str(blank), "--dry-run"]) == 0
    rehearsed = capsys.readouterr().out
    assert run(["tell", lab, str(blank)]) == 0
    told = capsys.readouterr()
    assert told.out.splitlines()[0] == rehearsed.splitlines()[0]
    for count in ("5 answered", "2 failed", "3 added", "3 not filled in yet", f"{len(GARBAGE)} refused"):
        assert count in told.out
    assert told.out.endswith("3 asked and not answered\n")
    assert told.err.count(f"{blank}:") == len(GARBAGE)
    state, _ = read_state(Path(lab))
    assert [len(state.in_state(s)) for s in (TrialState.FAILED, TrialState.PENDING)] == [2, 3]
    events = state.last_event
    assert run(["tell", lab, str(blank)]) == 0
    assert "10 known already" in capsys.readouterr().out
    assert read_state(Path(lab))[0].last_event == events


NEVER_ASKED = ({"formula": "RbF", "gap_ev": "7"}, {"formula": "RbI", "gap_ev": "4"}, {"formula": "CsI", "gap_ev": "5"})
GARBAGE = (
    {"formula": "Xx2O", "gap_ev": "1"},
    {"formula": "KCl", "gap_ev": "five"},
    {"formula": "KBr", "gap_ev": "4300"},
    {"formula": "KI", "gap_ev": "-2"},
    {"trial": "9999", "gap_ev": "2"},
    {"formula": "RbBr", "gap_ev": "4", "level": "experiment"},
)


def test_two_queues_never_get_the_same_candidate(lab: str, capsys: Capture) -> None:
    found = []
    for name in ("a", "b"):
        assert run(["ask", lab, "-n", "3", "--to", name, "--json"]) == 0
        found += json.loads(capsys.readouterr().out)
    assert len({row["formula"] for row in found}) == 6
    assert run(["ask", lab, "--pending", "--to", "b"]) == 0
    assert [row["formula"] for row in table(capsys.readouterr().out)] == [row["formula"] for row in found[3:]]


def test_pending_questions_get_their_crystals_later(lab: str, tmp_path: Path, capsys: Capture) -> None:
    assert run(["ask", lab, "-n", "2"]) == 0
    asked = table(capsys.readouterr().out)
    assert [row["cif"] for row in asked] == ["", ""]
    assert run(["ask", lab, "--pending", "--cif", str(tmp_path / "cif")]) == 0
    again = table(capsys.readouterr().out)
    assert [row["trial"] for row in again] == [row["trial"] for row in asked]
    assert {Path(row["cif"]) for row in again if row["cif"]} == set((tmp_path / "cif").glob("*.cif"))
    assert run(["ask", lab, "-n", "2"]) == 0
    assert not {row["trial"] for row in table(capsys.readouterr().out)} & {row["trial"] for row in asked}


def test_withdrawing_and_releasing(lab: str, capsys: Capture) -> None:
    assert run(["ask", lab, "-n", "2"]) == 0
    first, second = table(capsys.readouterr().out)
    assert run(["tell", lab, "--withdraw", first["formula"], "--reason", "toxic", "--release", second["trial"]]) == 0
    assert capsys.readouterr().out == "0 asked and not answered\n"
    assert run(["ask", lab, "-n", "1"]) == 0
    (again,) = table(capsys.readouterr().out)
    assert again["trial"] == second["trial"]
    assert run(["tell", lab, "--withdraw", first["formula"]]) == 2
    assert "waits for no answer: trial" in capsys.readouterr().err


def test_a_second_measurement_needs_a_word(lab: str, tmp_path: Path, capsys: Capture) -> None:
    files = [tmp_path / "one.csv", tmp_path / "two.csv"]
    for path, gap in zip(files, ("7.0", "7.4"), strict=True):
        path.write_text(f"formula,value\nRbF,{gap}\n")
    assert run(["tell", lab, str(files[0])]) == 0
    assert run(["tell", lab, str(files[1])]) == 2
    assert "--add averages" in capsys.readouterr().err
    assert run(["tell", lab, *map(str, files), "--add", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["outcomes"] for one in told["files"]] == [{}, {"averaged": 1}]
    assert run(["explain", lab, "RbF"]) == 0
    assert "7.2" in capsys.readouterr().out
    assert run(["tell", lab, str(files[1]), "--replace"]) == 0
    state, _ = read_state(Path(lab))
    assert state.of_formula("RbF")[-1].prediction.value == 7.4


def test_a_directory_that_is_written_says_by_whom_and_can_be_waited_for(
    lab: str, tmp_path: Path, capsys: Capture
) -> None:
    results = tmp_path / "results.csv"
    results.write_text("formula,value\nRbF,7.0\n")
    holder = (Path(lab) / LOCK_NAME).open("w+")
    holder.write("process 7 on node12 since noon")
    holder.flush()
    fcntl.flock(holder, fcntl.LOCK_EX)
    assert run(["tell", lab, str(results), "--wait", "0"]) == 2
    message = capsys.readouterr().err
    assert "is being written by another process (process 7 on node12 since noon)" in message
    assert "nothing was recorded" in message
    threading.Timer(0.5, holder.close).start()
    assert run(["tell", lab, str(results), "--wait", "60"]) == 0
    assert "1 added" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tell", "{lab}"], "there is nothing to tell"),
        (["tell", "{lab}", "x.csv", "--add", "--replace"], "choose one"),
        (["tell", "{lab}", "absent.csv"], "there is no file absent.csv"),
        (["tell", "{lab}", "--release", "RbF"], "RbF waits for no answer: "),
        (["ask", "{lab}", "--blank", TINY], "may hold answers"),
        (["ask", "nowhere"], "is no run directory"),
    ],
    ids=["nothing", "both", "absent", "unknown", "written", "nowhere"],
)
def test_what_cannot_be_done_is_said(lab: str, arguments: list[str], message: str, capsys: Capture) -> None:
    assert run([argument.format(lab=lab) for argument in arguments]) == 2
    assert message in capsys.readouterr().err
