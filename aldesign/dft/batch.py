"""Many crystals into a folder: each answer is written down as it lands, and the same call goes on after a kill."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event

from aldesign.dft.batch_input import Item
from aldesign.dft.batch_journal import Row, append, read_journal
from aldesign.dft.laboratory import Answer, Laboratory
from aldesign.dft.settings import Settings
from aldesign.errors import AldesignError, CalculationError
from aldesign.files import write_csv

JOURNAL, RESULTS, FAILURES, STORE = "journal.jsonl", "results.csv", "failures.csv", "results.sqlite"
SCRATCH = "scratch"
COLUMNS = (
    *("id", "formula", "n_sites", "gap_ev", "direct_gap_ev", "is_direct", "energy_ev_per_atom", "magnetization"),
    *("spin", "n_electrons", "n_kpoints", "seconds", "peak_gib", "from_store", "error"),
)
FAILED = ("id", "formula", "n_sites", "kind", "error", "hint")
STOPPING = ("unavailable", "disk")
"""Failures that would befall every crystal that follows."""
_TABLE_SECONDS = 20.0  # how often the tables are brought up to date


@dataclass
class Progress:
    """How far a batch is, for people; the counts are of this call, except of those that had failed before."""

    total: int
    done: int = 0
    computed: int = 0
    found: int = 0
    failed: int = 0
    failed_before: int = 0
    last: Row | None = None
    begun: float = field(default_factory=time.monotonic)

    def seconds_left(self) -> float | None:
        """Return an estimate from the calculations of this call; None before the first."""
        paid = self.computed + self.failed
        return (self.total - self.done) * (time.monotonic() - self.begun) / paid if paid else None


class Batch:
    """A folder of answers to a growing list of crystals, all with the same settings.

    Args:
        folder: Where journal, tables and store lie; the caller keeps other processes out of it.
        settings: Of every calculation.
        laboratory: Who computes; its store should lie in `folder`.

    Raises:
        RunDirectoryError: The folder holds results of other settings.

    """

    def __init__(self, folder: Path, settings: Settings, laboratory: Laboratory) -> None:
        self._folder, self._settings, self._laboratory = folder, settings, laboratory
        self._rows = read_journal(folder / JOURNAL, settings)
        known = laboratory.store.known(settings)
        for key in [key for key, row in self._rows.items() if not row["kind"] and key.rpartition("|")[2] not in known]:
            del self._rows[key]  # the store has gone or is another one: only the result itself counts

    def run(
        self,
        items: Sequence[Item],
        workers: int = 1,
        retry: bool = False,
        listen: Callable[[Progress], None] | None = None,
    ) -> Progress:
        """Compute what has no answer yet, in order, and write the tables.

        Args:
            items: The crystals.
            workers: How many are computed at once, each on one core.
            retry: Whether those that failed before are tried again.
            listen: Is told after every answer.

        Raises:
            CalculationError: The code is not installed, or the disk is full; what was done before is kept.
            AldesignError: The folder cannot be written; what was done before is kept.

        """
        waiting = deque(item for item in items if self._open(item, retry))
        before = [item for item in items if not self._open(item, retry)]
        progress = Progress(len(items), len(before))
        progress.failed_before = sum(bool(self._rows[item.key]["kind"]) for item in before)
        crew, stop = ThreadPoolExecutor(workers), Event()
        laboratory = replace(self._laboratory, stop=stop)
        running: dict[Future[Answer], Item] = {}
        tables_due = time.monotonic() + _TABLE_SECONDS
        try:
            while waiting or running:
                while waiting and len(running) < workers:
                    item = waiting.popleft()
                    running[crew.submit(_ask, laboratory, item, self._settings)] = item
                landed, _ = wait(running, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in landed:
                    self._land(running.pop(future), future, progress)
                    if listen is not None:
                        listen(progress)
                if time.monotonic() > tables_due:
                    self._write(items)
                    tables_due = time.monotonic() + _TABLE_SECONDS
        finally:
            stop.set()
            crew.shutdown(cancel_futures=True)
            self._write(items)
        return progress

    def _open(self, item: Item, retry: bool) -> bool:
        row = self._rows.get(item.key)
        return row is None or (retry and bool(row["kind"]))

    def _land(self, item: Item, future: Future[Answer], progress: Progress) -> None:
        unkept = ""
        try:
            answer = future.result()
            row, unkept = _row(item, answer), answer.unkept
            progress.found += answer.from_store
            progress.computed += not answer.from_store
        except CalculationError as error:
            if error.kind in STOPPING:
                raise
            row = _failed_row(item, error)
            progress.failed += 1
        progress.done += 1
        progress.last = row
        self._rows[item.key] = row
        try:
            append(self._folder / JOURNAL, {"key": item.key, "row": row})
        except OSError as error:
            unkept = unkept or f"{self._folder / JOURNAL} cannot be written: {error.strerror}"
        if unkept:
            raise AldesignError(
                f"{unkept}; {item.id}, {row['formula']}: {row['error'] or row['gap_ev']}",
                "make room, then give the same command: it goes on from there",
            )

    def _write(self, items: Sequence[Item]) -> None:
        """Bring the tables up to date: answers to the items given, in their order."""
        rows = [row for item in items if (row := self._rows.get(item.key)) is not None]
        with suppress(OSError):  # the journal has it all; the next call writes them
            write_csv(self._folder / RESULTS, COLUMNS, ([_cell(row[name]) for name in COLUMNS] for row in rows))
            failed = (row for row in rows if row["kind"])
            write_csv(self._folder / FAILURES, FAILED, ([_cell(row[name]) for name in FAILED] for row in failed))


def _ask(laboratory: Laboratory, item: Item, settings: Settings) -> Answer:
    if item.crystal is None:
        raise CalculationError("structure", item.fault, "mend the input; the line is then taken up")
    return laboratory.answer(item.crystal, settings)


def _row(item: Item, answer: Answer) -> Row:
    result = answer.result
    return {
        "id": item.id,
        "formula": result.formula,
        "n_sites": len(result.crystal),
        "gap_ev": round(result.gap_ev, 6),
        "direct_gap_ev": round(result.direct_gap_ev, 6),
        "is_direct": result.is_direct,
        "energy_ev_per_atom": round(result.energy_ev_per_atom, 6),
        "magnetization": round(result.magnetization, 4),
        "spin": result.spin_polarized,
        "n_electrons": result.n_electrons,
        "n_kpoints": result.n_kpoints,
        "seconds": round(result.seconds, 2),
        "peak_gib": round(result.peak_gib, 3),
        "from_store": answer.from_store,
        "error": "",
        "kind": "",
        "hint": "",
    }


def _failed_row(item: Item, error: CalculationError) -> Row:
    from aldesign.structures.cif import formula_of

    crystal = item.crystal
    told = {
        "id": item.id,
        "formula": "" if crystal is None else formula_of(crystal),
        "n_sites": None if crystal is None else len(crystal),
        "error": error.message,
        "kind": error.kind,
        "hint": error.hint,
        "from_store": False,
    }
    return {**dict.fromkeys(COLUMNS), **told}


def _cell(value: object) -> object:
    return str(value).lower() if isinstance(value, bool) else value
