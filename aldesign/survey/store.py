"""What a survey keeps on disk while it runs, so that the same command goes on after a kill."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.errors import AldesignError, RunDirectoryError
from aldesign.survey.seen import Seen
from aldesign.survey.tally import Tally

FORMAT = "2"
COMMIT_SECONDS = 2.0
"""A kill costs about so much of what was done, beside the work in flight; more where the tally is huge."""


class Store:
    """One SQLite file: the tally, the fingerprints of all formulas seen, and the batches that wait for answers.

    What is entered becomes one with the tally when `save` is called, about every `COMMIT_SECONDS`.

    Args:
        path: The file; made where there is none.
        facts: Everything that the outcome depends on.

    Raises:
        RunDirectoryError: The file belongs to another survey or version, another process is at it, or it cannot be
            made.

    """

    def __init__(self, path: Path, facts: dict[str, Any]) -> None:
        self._path, self._next = path, 0.0
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._base = sqlite3.connect(path, timeout=1.0)
        except (OSError, sqlite3.Error) as error:
            raise RunDirectoryError(f"{path} cannot be made: {error}", "choose an --out that may be written") from error
        try:
            self._begin(facts)
        except sqlite3.OperationalError as error:
            self._base.close()
            raise RunDirectoryError(f"{path} cannot be used: {error}", "is the same survey running already?") from error
        except sqlite3.DatabaseError as error:
            self._base.close()
            raise RunDirectoryError(f"{path} is no survey: {error}", "give another --out") from error
        except RunDirectoryError:
            self._base.close()
            raise

    def _begin(self, facts: dict[str, Any]) -> None:
        self._base.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._base.execute("PRAGMA synchronous=NORMAL")
        self._base.execute("BEGIN EXCLUSIVE")
        for table in (
            "fact (name TEXT PRIMARY KEY, value TEXT)",
            "seen (number INTEGER PRIMARY KEY, keys BLOB)",
            "batch (number INTEGER PRIMARY KEY, texts TEXT)",
        ):
            self._base.execute(f"CREATE TABLE IF NOT EXISTS {table}")
        self._check(facts)
        self._base.commit()

    def _check(self, facts: dict[str, Any]) -> None:
        given = json.loads(json.dumps(facts))
        found = self._base.execute("SELECT value FROM fact WHERE name = 'facts'").fetchone()
        if found is None:
            rows = [("format", FORMAT), ("facts", json.dumps(given))]
            self._base.executemany("INSERT INTO fact VALUES (?, ?)", rows)
            return
        ((form,),) = self._base.execute("SELECT value FROM fact WHERE name = 'format'")
        if form != FORMAT:
            raise RunDirectoryError(
                f"{self._path.parent} holds a survey of format {form}; this version reads format {FORMAT}",
                "give another --out, or use the aldesign version that began it",
            )
        before = json.loads(found[0])
        if changed := sorted(name for name in before.keys() | given.keys() if before.get(name) != given.get(name)):
            raise RunDirectoryError(
                f"{self._path.parent} holds another survey, different in: {', '.join(changed)}",
                "give the same command to go on with it, or another --out",
            )

    def tally(self) -> Tally:
        """Return how far the survey is."""
        found = self._base.execute("SELECT value FROM fact WHERE name = 'tally'").fetchone()
        return Tally() if found is None else Tally.of(json.loads(found[0]))

    def seen(self) -> Seen:
        """Return the formulas seen so far."""
        found = Seen()
        for (keys,) in self._base.execute("SELECT keys FROM seen ORDER BY number"):
            found.add(np.frombuffer(keys, dtype="<u8").astype(np.uint64))
        return found

    def batches(self) -> list[tuple[int, tuple[str, ...]]]:
        """Return the batches that wait for answers, in order."""
        rows = self._base.execute("SELECT number, texts FROM batch ORDER BY number")
        return [(number, tuple(texts.split("\n"))) for number, texts in rows]

    def enter_seen(self, number: int, keys: np.ndarray) -> None:
        """Keep the fingerprints that job `number` of sieving brought anew."""
        with self._writing():
            self._base.execute("INSERT INTO seen VALUES (?, ?)", (number, keys.astype("<u8").tobytes()))

    def enter_batch(self, number: int, texts: tuple[str, ...]) -> None:
        """Keep a batch until it is answered."""
        with self._writing():
            self._base.execute("INSERT INTO batch VALUES (?, ?)", (number, "\n".join(texts)))

    def drop_batch(self, number: int) -> None:
        """Forget a batch that is answered or given up."""
        with self._writing():
            self._base.execute("DELETE FROM batch WHERE number = ?", (number,))

    def save(self, tally: Tally, at_once: bool = False) -> None:
        """Write the tally and all that was entered, whole or not at all, if it is time or `at_once`."""
        begun = time.monotonic()
        if not at_once and begun < self._next:
            return
        with self._writing():
            self._base.execute("INSERT OR REPLACE INTO fact VALUES ('tally', ?)", (json.dumps(tally.record()),))
            self._base.commit()
        ended = time.monotonic()
        self._next = ended + max(COMMIT_SECONDS, 20 * (ended - begun))

    def close(self) -> None:
        """Close the file; what was not saved is dropped."""
        self._base.rollback()
        self._base.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Say in words that the disk is full or broken; what was saved before stays whole."""
        try:
            yield
        except sqlite3.Error as error:
            raise AldesignError(
                f"{self._path} could not be written: {error}",
                "make room or mend the file system, then give the same command: what was saved before is kept",
            ) from error
