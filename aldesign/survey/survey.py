"""The survey: formulas come in by the million, are sieved, scored by an oracle, and the best are kept.

Workers do the work, in pieces whose content depends on nothing but the formulas; this process tells repeats apart
and gathers. Hence the outcome is the same for any number of workers and after any interruption.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path
from typing import Any

from aldesign.errors import OracleError
from aldesign.execution import LostWorker, Workers
from aldesign.survey.sieves import BUILTIN
from aldesign.survey.source import ROWS, DrawnSource, Source, file_digest
from aldesign.survey.store import Store
from aldesign.survey.tally import Tally
from aldesign.survey.work import Answered, Introduction, Job, Sieved, Tools, do, introduce

BATCH = 4096
"""Formulas that the oracle is asked about at once. Part of what a survey is."""
AHEAD = 64  # jobs that may be done before an earlier one that is not
STORE = "survey.sqlite"

Listener = Callable[[Tally], None]


@dataclass(frozen=True)
class Outcome:
    """What a survey found, and with which oracle."""

    tally: Tally
    oracle: Introduction


def run(source: Source, tools: Tools, folder: Path, workers: Workers, listen: Listener | None = None) -> Outcome:
    """Do a survey, or what is left of it, and return what it found.

    Args:
        source: The formulas.
        tools: Sieves, oracle and ranking, with which `workers` were prepared by `aldesign.survey.work.prepare`.
        folder: Where it is kept while it runs.
        workers: Who does the work.
        listen: Is told how far it is whenever a piece of work is done.

    Raises:
        InputError: The source cannot be read, or the oracle cannot score formulas.
        RunDirectoryError: The folder holds another survey.
        OracleError: The oracle broke its contract, or could not be loaded.

    """
    ((_, oracle),) = workers.run(introduce, [isinstance(source, DrawnSource)])
    if isinstance(oracle, LostWorker):
        raise OracleError(f"no worker could load the oracle: {oracle.reason}", "is there memory for one a worker?")
    with closing(Store(folder / STORE, facts(source, tools, oracle))) as store:
        survey = _Survey(source, tools, store, listen)
        survey.finish(workers)
        return Outcome(survey.tally, oracle)


def facts(source: Source, tools: Tools, oracle: Introduction) -> dict[str, Any]:
    """Return everything that the outcome depends on, JSON-serialisable."""
    described = asdict(tools)
    # lists by their content: they may be moved, and named from another folder
    described["sieves"]["known"] = sorted(
        {name if name == BUILTIN else file_digest(Path(name)) for name in tools.sieves.known}
    )
    del described["model"], described["generator"]
    return {**source.facts(), **described, "answers": [asdict(oracle.oracle), *oracle[1:]], "sizes": [ROWS, BATCH]}


class _Survey:
    """What `run` has in hand."""

    def __init__(self, source: Source, tools: Tools, store: Store, listen: Listener | None) -> None:
        self.tools, self.store, self.listen = tools, store, listen
        self.tally = store.tally()
        self.seen = store.seen()
        self.waiting = deque(Job("score", number, texts) for number, texts in store.batches())
        self.incoming = source.jobs(self.tally.jobs)
        self.all_read = False
        self.early: dict[int, tuple[Job, Sieved | Answered | LostWorker]] = {}  # done before its turn
        self.flight: dict[int, Job] = {}
        self.before, self.started = self.tally.seconds, time.monotonic()

    def finish(self, workers: Workers) -> None:
        """Work until nothing is left."""
        while not self.tally.finished:
            for index, result in workers.run(do, self._jobs()):
                self._take(self.flight.pop(index), result)
                self.tally.seconds = self.before + time.monotonic() - self.started
                self.store.save(self.tally)
                if self.listen is not None:
                    self.listen(self.tally)
            if self.all_read and not self.waiting:
                self.tally.finished = not self.tally.rest
                self._batch()
            self.store.save(self.tally, at_once=True)

    def _jobs(self) -> Iterator[Job]:
        """Yield jobs as long as there are any: batches first, so that few wait."""
        for index in count():
            if self.waiting:
                job = self.waiting.popleft()
            elif len(self.early) >= AHEAD:
                return  # an earlier job is late, and runs when nothing else does
            elif (new := next(self.incoming, None)) is not None:
                job = new
            else:
                self.all_read = True
                return
            self.flight[index] = job
            yield job

    def _take(self, job: Job, result: Sieved | Answered | LostWorker) -> None:
        if job.kind != "score":
            self.early[job.number] = job, result
            while (turn := self.early.pop(self.tally.jobs, None)) is not None:
                self._fold(*turn)
            return
        if isinstance(result, Answered):
            self.tally.answered(job.number, result, self.tools.goal, self.tools.top)
        elif isinstance(result, LostWorker):
            what = f"{job.rows} formulas from {job.texts[0]} on"
            self.tally.lost_batch(job.number, job.rows, what, result.reason)
        self.store.drop_batch(job.number)

    def _fold(self, job: Job, result: Sieved | Answered | LostWorker) -> None:
        """Enter what became of a job's rows, in the order of the jobs: the first of equal formulas counts."""
        if isinstance(result, LostWorker):
            first = job.number * ROWS + 1
            self.tally.lost_rows(job.rows, f"rows {first} to {first + job.rows - 1}", result.reason)
        elif isinstance(result, Sieved):
            fresh = self.seen.add(result.keys)
            self.store.enter_seen(job.number, result.keys[fresh])
            self.tally.sieved(result, fresh)
        while len(self.tally.rest) >= BATCH:
            self._batch()

    def _batch(self) -> None:
        """Make a batch of what waits for one."""
        texts, self.tally.rest = tuple(self.tally.rest[:BATCH]), self.tally.rest[BATCH:]
        if texts:
            job = Job("score", self.tally.batches, texts)
            self.tally.batches += 1
            self.store.enter_batch(job.number, texts)
            self.waiting.append(job)
