"""Rows of a table of crystals as they are made, so that a killed command goes on where it was."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import aldesign
from aldesign.errors import InputError
from aldesign.structures.build import StructureRow
from aldesign.structures.making import Recipe

FILE_NAME = "structures.partial.jsonl"


def settings_key(library: str, recipe: Recipe, hull: str) -> str:
    """Return a short hash of all that decides a row: digests of templates and known phases, recipe, version."""
    fixed = json.dumps([aldesign.__version__, library, asdict(recipe), hull], sort_keys=True)
    return hashlib.sha256(fixed.encode()).hexdigest()[:16]


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make an output folder and keep other processes out of it until the block ends, even by a kill.

    Raises:
        InputError: Another process has it, or nothing can be written there.

    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        fault = f"cannot write {folder}: {error.strerror}"
        raise InputError(fault, "choose a place that may be written") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{folder} is being written by another process", "wait for it, or give another --out"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield
    finally:
        os.close(handle)


class Unfinished:
    """The rows done so far, one JSON line each, in a file beside the table.

    Rows of other settings are dropped, and so are rows whose CIF has gone and a last line cut short by a kill.

    Args:
        folder: Output folder.
        key: From `settings_key`.

    Raises:
        InputError: Nothing can be written there.

    """

    def __init__(self, folder: Path, key: str) -> None:
        self._folder = folder
        self._path = folder / FILE_NAME
        self._rows: dict[str, dict[str, Any]] = {}
        if not self._read(key):
            self._begin(key)
        self.found = len(self._rows)

    def get(self, formula: str) -> StructureRow | None:
        """Return the row of a canonical formula, if it was made before."""
        stored = self._rows.get(formula)
        return None if stored is None else StructureRow(**stored)

    def add(self, row: StructureRow) -> None:
        """Write a row down."""
        stored = {**row.as_record(), "details": dict(row.details)}
        self._rows[row.formula] = stored
        self._append(stored)

    def complete(self) -> None:
        """Remove the file, the table holding every row."""
        self._path.unlink(missing_ok=True)

    def _begin(self, key: str) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._path.write_text("", encoding="utf-8")
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            fault = f"cannot write {self._folder}: {error.strerror}"
            raise InputError(fault, "choose a place that may be written") from error
        self._append({"key": key})

    def _append(self, content: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(content) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def _read(self, key: str) -> bool:
        """Read what an earlier call left; return whether its settings were these."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except (OSError, UnicodeError):
            return False
        lines = text.splitlines(keepends=True)
        try:
            if not lines or json.loads(lines[0]) != {"key": key}:
                return False
        except ValueError:
            return False
        for line in lines[1:]:
            try:
                stored = json.loads(line)
            except ValueError:
                continue
            if line.endswith("\n") and (not stored["cif"] or (self._folder / stored["cif"]).is_file()):
                self._rows[stored["formula"]] = stored
        if not text.endswith("\n"):  # else the next line would be joined to the one cut short
            with self._path.open("a", encoding="utf-8") as file:
                file.write("\n")
        return True
