"""The journal keeps every event, whatever happens to its writer."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from aldesign.campaign.journal import FILE_NAME, Journal
from aldesign.errors import AldesignError, RunDirectoryError


def test_events_come_back_in_order(tmp_path: Path) -> None:
    with Journal(tmp_path, write=True, create=True) as journal:
        journal.append("a", {"x": 1, "text": "Na₂O – é"})
        journal.append_all([("b", {}), ("c", {"y": [1.5, None]})])
    with Journal(tmp_path) as journal:
        events = list(journal.events())
    assert [(e.number, e.kind) for e in events] == [(1, "a"), (2, "b"), (3, "c")]
    assert events[0].payload == {"x": 1, "text": "Na₂O – é"}
    assert events[2].payload == {"y": [1.5, None]}


def test_readers_never_wait_for_the_writer(tmp_path: Path) -> None:
    with Journal(tmp_path, write=True, create=True) as writer, Journal(tmp_path) as reader:
        for number in range(50):
            writer.append("event", {"number": number})
            assert len(list(reader.events())) == number + 1
        writer._db.execute("BEGIN IMMEDIATE")
        assert len(list(reader.events(after=40))) == 10
        writer._db.execute("ROLLBACK")


def test_several_events_are_recorded_together_or_not_at_all(tmp_path: Path) -> None:
    with Journal(tmp_path, write=True, create=True) as journal:
        with pytest.raises(ValueError, match="not JSON compliant"):
            journal.append_all([("good", {}), ("bad", {"value": float("nan")})])
        assert list(journal.events()) == []


def test_a_second_writer_is_refused_and_readers_are_not(tmp_path: Path) -> None:
    with Journal(tmp_path, write=True, create=True):
        with pytest.raises(RunDirectoryError, match="being written by another process"):
            Journal(tmp_path, write=True)
        Journal(tmp_path).close()
    Journal(tmp_path, write=True).close()


def test_another_format_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path, write=True, create=True).close()
    with sqlite3.connect(tmp_path / FILE_NAME) as db:
        db.execute("UPDATE meta SET value = '99'")
    db.close()
    for write in (False, True):
        with pytest.raises(RunDirectoryError, match="format 99") as caught:
            Journal(tmp_path, write=write)
        assert caught.value.exit_code == 2


@pytest.mark.parametrize("content", [b"", b"this is no database" * 100])
def test_a_damaged_or_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(RunDirectoryError):
        Journal(tmp_path)


def test_no_run_directory(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="no run directory"):
        Journal(tmp_path / "absent")


def test_a_killed_writer_loses_nothing_it_was_told_is_safe(tmp_path: Path) -> None:
    code = f"""
        from pathlib import Path
        from aldesign.campaign.journal import Journal
        journal = Journal(Path({str(tmp_path)!r}), write=True, create=True)
        for number in range(10**6):
            journal.append("event", {{"number": number}})
            print(number, flush=True)
    """
    confirmed = -1
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            confirmed = int(line)
            if confirmed == 25:
                os.kill(process.pid, signal.SIGKILL)
    with Journal(tmp_path, write=True) as journal:
        numbers = [event.payload["number"] for event in journal.events()]
    assert confirmed >= 25
    assert numbers == list(range(len(numbers)))
    assert len(numbers) >= confirmed + 1


def test_a_copied_directory_reads_elsewhere_also_when_it_cannot_be_written(tmp_path: Path) -> None:
    source = tmp_path / "run"
    source.mkdir()
    with Journal(source, write=True, create=True) as journal:
        journal.append("event", {"number": 1})
    copy = tmp_path / "copy"
    shutil.copytree(source, copy)
    copy.chmod(0o555)
    try:
        with Journal(copy) as journal:
            assert [event.kind for event in journal.events()] == ["event"]
    finally:
        copy.chmod(0o755)


def test_a_full_disk_is_reported_and_earlier_events_stay(tmp_path: Path) -> None:
    with Journal(tmp_path, write=True, create=True) as journal:
        journal.append("first", {})
        pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
        journal._db.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(AldesignError, match=r"could not be written.*full") as caught:
            journal.append("large", {"text": "x" * 100_000})
        assert "resume" in caught.value.hint
        assert [event.kind for event in journal.events()] == ["first"]


def test_events_carry_the_time(tmp_path: Path) -> None:
    before = time.time()
    with Journal(tmp_path, write=True, create=True) as journal:
        journal.append("event", {})
        (event,) = journal.events()
    assert before - 1 <= event.time <= time.time() + 1
