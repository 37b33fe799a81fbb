"""The append-only record of a campaign: events in one SQLite file, one writer, many readers."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from aldesign.errors import AldesignError, RunDirectoryError

FORMAT = "1"
FILE_NAME = "campaign.sqlite"
LOCK_NAME = "campaign.lock"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS events (
    number INTEGER PRIMARY KEY, time REAL NOT NULL, kind TEXT NOT NULL, payload TEXT NOT NULL
);
"""


@dataclass(frozen=True)
class Event:
    """One thing that happened: its position, Unix time, kind and JSON payload."""

    number: int
    time: float
    kind: str
    payload: Mapping[str, Any]


class HeldError(RunDirectoryError):
    """Another process writes the run directory now."""


class Journal:
    """Append events to a run directory, or read them while somebody else appends.

    Args:
        directory: The run directory.
        write: Become its one writer; readers never wait for it (write-ahead log).

    Raises:
        HeldError: Another process writes it.
        RunDirectoryError: The directory holds no campaign, or one of another format.
    """

    def __init__(self, directory: Path, *, write: bool = False, create: bool = False) -> None:
        self.path = directory / FILE_NAME
        self._lock: IO[str] | None = None
        if not create and not self.path.is_file():
            raise RunDirectoryError(
                f"{directory} is no run directory: it has no {FILE_NAME}", "see `aldesign run --help`"
            )
        try:
            if write:
                self._lock = _locked(directory)
                self._db = sqlite3.connect(self.path, isolation_level=None)
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
            else:
                self._db = _open_reader(self.path)
            if create:
                self._db.executescript(_SCHEMA)
                self._db.execute("INSERT OR IGNORE INTO meta VALUES ('format', ?)", (FORMAT,))
            self._check_format(directory)
        except sqlite3.DatabaseError as error:
            self.close()
            raise RunDirectoryError(
                f"{self.path} cannot be opened: {error}", "it may be damaged, or no campaign; restore it from a copy"
            ) from error
        except BaseException:
            self.close()
            raise

    def append(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Record one event durably; when this returns it survives a power cut.

        Raises:
            AldesignError: The disk is full or the file cannot be written; nothing was recorded.
        """
        self.append_all([(kind, payload)])

    def append_all(self, entries: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """Record several events durably, all of them or none."""
        rows = [(time.time(), kind, json.dumps(load, ensure_ascii=False, allow_nan=False)) for kind, load in entries]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT INTO events (time, kind, payload) VALUES (?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            kinds = ", ".join(kind for kind, _ in entries)
            raise AldesignError(
                f"{self.path}: the event {kinds} could not be written: {error}",
                "make room or mend the file system, then `aldesign resume`; all earlier events are safe",
            ) from error

    def events(self, after: int = 0) -> Iterator[Event]:
        """Yield the events whose number is above `after`, in order."""
        query = "SELECT number, time, kind, payload FROM events WHERE number > ? ORDER BY number"
        for number, moment, kind, payload in self._db.execute(query, (after,)).fetchall():
            yield Event(number, moment, kind, json.loads(payload))

    def close(self) -> None:
        """Release the file and, for a writer, the lock."""
        if hasattr(self, "_db"):
            self._db.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _check_format(self, directory: Path) -> None:
        row = self._db.execute("SELECT value FROM meta WHERE key = 'format'").fetchone()
        found = row[0] if row else "unknown"
        if found != FORMAT:
            raise RunDirectoryError(
                f"{directory} was written in format {found}; this version reads format {FORMAT}",
                "use the aldesign version that began the run, named in its campaign.yaml",
            )


def _locked(directory: Path) -> IO[str]:
    try:
        handle = (directory / LOCK_NAME).open("a+")
    except OSError as error:
        raise RunDirectoryError(
            f"{directory} cannot be written: {error.strerror}", "copy it to a place that can"
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.seek(0)
        holder = handle.readline(200).strip()
        handle.close()
        raise HeldError(
            f"{directory} is being written by another process" + (f" ({holder})" if holder else ""),
            "wait for it or stop it; `aldesign inspect`, `explain` and `report` work meanwhile",
        ) from None
    handle.truncate(0)
    handle.write(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%Y-%m-%d %H:%M:%S')}\n")
    handle.flush()
    return handle


def _open_reader(path: Path) -> sqlite3.Connection:
    # A cleanly closed journal on read-only media has no shared-memory file and must be opened as immutable; one
    # whose writer was killed has its last events in the log beside it, which an immutable reader would not see.
    log = path.with_name(f"{path.name}-wal")
    clean = not log.exists() or log.stat().st_size == 0
    for options in ("mode=ro", "mode=ro&immutable=1") if clean else ("mode=ro",):
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?{options}", uri=True, timeout=10, isolation_level=None)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            connection.close()
            continue
        return connection
    raise sqlite3.OperationalError("it cannot be read" + ("" if clean else "; copy the directory to a writable place"))
