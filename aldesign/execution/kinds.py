"""The kinds of execution, and what every pool of workers can be asked."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from aldesign.errors import AldesignError, InputError

R = TypeVar("R")
Start = tuple[Callable[..., None] | None, tuple[Any, ...]]  # an initializer and its arguments
Kind = Literal["serial", "processes", "dask"]

EXECUTORS: Mapping[str, str] = {
    "serial": "one item after the other in this process",
    "processes": "worker processes on this machine, one thread each",
    "dask": "a Dask cluster: workers on this machine, of the scheduler at `address`, or of a job queue (`cluster`)",
}
MOST_AUTO_WORKERS = 16  # each worker loads its own oracle, so that memory ends before cores do
AHEAD = 4
"""Items in flight per worker: one runs, the others wait beside it, so that no worker waits for this process."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")


@dataclass(frozen=True)
class LostWorker:
    """What `Workers.run` gives instead of a result when the worker died each time an item ran.

    Attributes:
        attempts: How often the item was running when a worker died.
        reason: One sentence for people.

    """

    attempts: int
    reason: str


class WorkerKilledError(AldesignError):
    """A cluster gave up on an item because its workers kept dying; `deaths` is how many did."""

    def __init__(self, message: str, hint: str = "", deaths: int = 1) -> None:
        super().__init__(message, hint)
        self.deaths = deaths


class Pool(Executor):
    """An executor that says how much it wants in flight, and who may have broken it."""

    @property
    @abstractmethod
    def window(self) -> int:
        """How many items may be in flight now; changes as workers come and go."""

    @property
    def together(self) -> int:
        """How many items are best submitted at once; no more than `window`."""
        return 1

    def submit_many(self, fn: Callable[..., R], items: Sequence[Any]) -> list[Future[R]]:
        """Submit a call of `fn` for each of the items; fewer are returned than given if the pool is broken."""
        futures: list[Future[R]] = []
        try:
            for item in items:
                futures.append(self.submit(fn, item))  # noqa: PERF401 - those before a break are needed
        except BrokenExecutor:
            pass
        return futures

    def suspects(self, dropped: Iterable[Future[Any]]) -> set[Future[Any]]:
        """Return those of the futures `dropped` by a break that may have caused it; by default all."""
        return set(dropped)

    def kill(self) -> None:
        """End all workers of this machine at once, whatever they are doing."""


def worker_count(workers: int | Literal["auto"]) -> int:
    """Return how many workers `workers` stands for; ``"auto"`` is one per usable core, 16 at most.

    Raises:
        InputError: Neither ``"auto"`` nor a whole number of 1 or more.

    """
    if workers == "auto":
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return min(usable, MOST_AUTO_WORKERS)
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise InputError(f"workers is {workers!r}", "give a whole number of 1 or more, or auto")
    return workers
