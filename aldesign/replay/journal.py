"""The folder of a replay: what is replayed, and every batch that was bought, so that a killed replay goes on."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.errors import InputError, RunDirectoryError
from aldesign.files import atomic_path, write_json

NOTE, LOCK, JOURNALS, FEATURES = "replay.json", "replay.lock", "batches", "features.npy"
_UNFINISHED = ".replay.*.json"  # the note, before it was whole


@dataclass(frozen=True)
class Bought:
    """One batch: rows of the pool in the order of purchase, and what was expected of them.

    Attributes:
        rows: Row numbers.
        mean: Expected gaps in eV; empty for a strategy that expects nothing.
        std: Their standard deviations in eV, noise not counted.
        seconds: Wall time by stage, ``surrogate`` and ``acquisition``.
        hyperparameters: Of the fitted surrogate, from which the next fit starts.
        notes: What the surrogate had to say.
    """

    rows: tuple[int, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    hyperparameters: Mapping[str, list[float]] | None = None
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Bought:
        """Return a batch as it was written."""
        rows, mean, std, notes = (tuple(found[key]) for key in ("rows", "mean", "std", "notes"))
        return cls(rows, mean, std, found["seconds"], found["hyperparameters"], notes)


class ReplayFolder:
    """A replay's folder, of which one process at a time is the writer.

    Args:
        path: Where; made if it is not there.
        facts: What decides the purchases, as JSON values; a folder with others is refused.

    Raises:
        RunDirectoryError: The folder belongs to another replay, to something else, or to another live process.
    """

    def __init__(self, path: Path, facts: Mapping[str, Any]) -> None:
        self.path, self._facts = path, json.loads(json.dumps(facts))

    @contextmanager
    def opened(self) -> Iterator[ReplayFolder]:
        """Hold the folder's lock; claim an empty folder."""
        note = self.path / NOTE
        if self.path.exists() and not note.exists() and (not self.path.is_dir() or self._holds_others()):
            raise RunDirectoryError(f"{self.path} is not empty and holds no replay", "give another --out")
        self._make()
        with (self.path / LOCK).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunDirectoryError(
                    f"{self.path} is being written by another process", "wait for it, or give another --out"
                ) from None
            if note.exists():
                self._compare(note)
            else:
                for unfinished in self.path.glob(_UNFINISHED):
                    unfinished.unlink()
                write_json(note, self._facts)
            yield self

    def bought(self, run: str) -> list[Bought]:
        """Return the batches of one run so far; a line that a kill cut short is taken off the file."""
        path = self._journal(run)
        if not path.exists():
            return []
        content = path.read_bytes()
        whole, _, torn = content.rpartition(b"\n")
        if torn:
            os.truncate(path, len(content) - len(torn))
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
            return [Bought.from_json(line) for line in lines]
        except (KeyError, TypeError, ValueError) as error:
            raise RunDirectoryError(f"{path} is damaged: {error}", "remove it; that run is done again") from error

    def append(self, run: str, batch: Bought) -> None:
        """Record a batch durably."""
        path = self._journal(run)
        path.parent.mkdir(exist_ok=True)
        with path.open("ab") as stream:
            stream.write(json.dumps(vars(batch), allow_nan=False).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())

    @property
    def features_file(self) -> Path:
        """Where features are stored."""
        return self.path / FEATURES

    def features(self, rows: int) -> np.ndarray | None:
        """Return the stored features, mapped into memory; None where there are none of so many rows."""
        try:
            found = np.asarray(np.load(self.features_file, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError):
            return None
        return found if len(found) == rows else None

    def store_features(self, x: np.ndarray) -> None:
        """Keep features (n, d), whole or not at all."""
        with atomic_path(self.features_file) as temporary:
            np.save(temporary, x, allow_pickle=False)

    def drop_features(self) -> None:
        """Remove the stored features: they are large, and can be made again."""
        (self.features_file).unlink(missing_ok=True)

    def _journal(self, run: str) -> Path:
        return self.path / JOURNALS / f"{run}.jsonl"

    def _holds_others(self) -> bool:
        """Tell whether more is there than a replay leaves that was killed, or met a full disk, as it began."""
        return any(path.name != LOCK and not path.match(_UNFINISHED) for path in self.path.iterdir())

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make {self.path}: {error.strerror}", "give another --out") from error

    def _compare(self, note: Path) -> None:
        try:
            found = json.loads(note.read_bytes())
        except ValueError as error:
            raise RunDirectoryError(f"{note} is damaged: {error}", "give another --out") from error
        other = sorted(key for key in found.keys() | self._facts.keys() if found.get(key) != self._facts.get(key))
        if other:
            raise RunDirectoryError(
                f"{self.path} holds a replay with another {', '.join(other)}", "give another --out, or remove it"
            )
