"""Where the formulas of a survey come from: a file, read as it is needed, or the generator."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from aldesign.datasets.formulas import read_texts
from aldesign.survey.work import Job

ROWS = 16384
"""Rows that are sieved at once: what a worker does in some tenths of a second. Part of what a survey is."""


@dataclass(frozen=True)
class FileSource:
    """The formulas of a file."""

    path: Path
    column: str | None = None

    def jobs(self, first: int) -> Iterator[Job]:
        """Yield the work of sieving the file, from job `first` on.

        Raises:
            InputError: The file cannot be read.

        """
        with read_texts(self.path, self.column) as file:
            rows = islice(file.rows, first * ROWS, None)
            while part := list(islice(rows, ROWS)):
                faults = {place: error for place, (_, _, error) in enumerate(part) if error}
                lines = tuple(line for line, _, _ in part)
                yield Job("sieve", first, tuple(text for _, text, _ in part), lines, faults)
                first += 1

    def facts(self) -> dict[str, object]:
        """Return what the rows depend on."""
        return {"input": file_digest(self.path), "column": self.column}


@dataclass(frozen=True)
class DrawnSource:
    """Formulas that the generator draws, wherever there is a worker: those of a job depend on its number alone."""

    count: int
    seed: int = 0

    def jobs(self, first: int) -> Iterator[Job]:
        """Yield the work of drawing and sieving, from job `first` on."""
        for start in range(first * ROWS, self.count, ROWS):
            yield Job("draw", start // ROWS, draws=min(ROWS, self.count - start), seed=self.seed)

    def facts(self) -> dict[str, object]:
        """Return what the rows depend on, the generator apart."""
        return {"drawn": self.count, "seed": self.seed}


Source = FileSource | DrawnSource


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of a folder's files."""
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file())
        listed = "\n".join(f"{file.name} {file_digest(file)}" for file in files)
        return hashlib.sha256(listed.encode()).hexdigest()
    with closing(path.open("rb")) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
