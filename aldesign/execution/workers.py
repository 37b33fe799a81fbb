"""Batches of work that outlive their workers."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future
from dataclasses import dataclass
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Generic, TypeAlias, TypeVar

from aldesign.errors import OracleError
from aldesign.execution.kinds import LostWorker, Pool, WorkerKilledError

T = TypeVar("T")
R = TypeVar("R")
Results: TypeAlias = Generator[tuple[int, R | LostWorker], None, bool]
LOOK_AROUND_SECONDS = 1.0
"""How often the number of workers is looked at again while nothing comes in."""


@dataclass
class _Job(Generic[T]):
    index: int
    item: T
    deaths: int = 0


class Workers:
    """An executor that lives through many batches of work and is built anew when its workers die.

    Several items per worker are in flight, so that workers never wait for this process; not many, so that memory
    stays flat however many items there are. When a worker process dies, `concurrent.futures` drops every call in
    flight without saying whose fault it was. The pool is then built anew. Items that were merely waiting go on as
    if nothing had happened; those that ran are suspects, and run after all others, one at a time, until the guilty
    ones are known. Each break counts as an attempt for all suspects, but an item is given up only after a break in
    which it ran alone. A Dask cluster first gives an item to other workers itself; one that it gives up on is a
    suspect, too.

    Use it in a ``with`` statement: leaving it by an exception kills worker processes instead of waiting.

    Args:
        factory: Makes a fresh executor, e.g. ``partial(executor, "processes", 4)``; called when first needed.

    """

    def __init__(self, factory: Callable[[], Pool]) -> None:
        self._factory = factory
        self._pool: Pool | None = None
        self._broke = False

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(at_once=kind is not None)

    def close(self, at_once: bool = False) -> None:
        """Shut the executor down; `at_once` drops what is waiting and kills worker processes."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        if at_once:
            pool.kill()
        pool.shutdown(wait=True, cancel_futures=at_once)

    def run(
        self, function: Callable[[T], R], items: Iterable[T], attempts: int = 3
    ) -> Iterator[tuple[int, R | LostWorker]]:
        """Yield ``(index, result)`` of every item as results come in; survive the death of workers.

        Args:
            function: Module-level function of one item. An exception from it ends the run and propagates: a
                function whose failure is data must return it.
            items: What to work on; picklable. Taken one by one, a few per worker ahead of the results.
            attempts: After how many deaths an item is given up.

        Raises:
            OracleError: A worker's initializer failed, or workers die before they have started.

        """
        queue = _Queue(items)
        suspects: deque[_Job[T]] = deque()
        finished = False
        try:
            while (job := queue.take()) is not None:
                queue.put_back(job)
                self._broke = yield from _work_off(self._living(), function, queue, suspects)
            while suspects:
                job, convicted = suspects.popleft(), deque[_Job[T]]()
                queue.put_back(job)
                self._broke = yield from _work_off(self._living(), function, queue, convicted)
                if convicted and job.deaths >= attempts:
                    reason = f"a worker died each of the {job.deaths} times this was running"
                    yield job.index, LostWorker(job.deaths, reason)
                else:
                    suspects.extend(convicted)
            finished = True
        finally:
            if not finished:
                self.close(at_once=True)

    def _living(self) -> Pool:
        if self._broke:
            self.close()
        if self._pool is None:
            self._pool = self._factory()
        if self._broke:
            _prove(self._pool)
            self._broke = False
        return self._pool


class _Queue(Generic[T]):
    """Items that have not run yet, taken from their source only when there is room for them."""

    def __init__(self, items: Iterable[T]) -> None:
        self._source = enumerate(items)
        self._again: deque[_Job[T]] = deque()

    def take(self) -> _Job[T] | None:
        """Return the next job, or None when there is no more."""
        if self._again:
            return self._again.popleft()
        return next((_Job(index, item) for index, item in self._source), None)

    def put_back(self, job: _Job[T]) -> None:
        """Let a job that never began wait again."""
        self._again.append(job)


def _work_off(pool: Pool, function: Callable[[T], R], queue: _Queue[T], suspects: deque[_Job[T]]) -> Results[R]:
    """Yield results until `queue` is empty or the pool breaks, which adds to `suspects`; return whether it broke."""
    flight: dict[Future[R], _Job[T]] = {}
    landed: SimpleQueue[Future[R]] = SimpleQueue()
    dropped: dict[Future[R], _Job[T]] = {}
    broken = False
    while True:
        room = 0 if broken else pool.window - len(flight)
        jobs = list(islice(iter(queue.take, None), room)) if room >= pool.together else []
        futures = pool.submit_many(function, [job.item for job in jobs])
        for future, job in zip(futures, jobs, strict=False):
            flight[future] = job
            future.add_done_callback(landed.put)
        for job in jobs[len(futures) :]:
            queue.put_back(job)
            broken = True
        if not flight:
            break
        for future in sorted(_arrivals(landed), key=lambda future: flight[future].index):
            job, error = flight.pop(future), future.exception()
            if error is None:
                yield job.index, future.result()
            elif isinstance(error, WorkerKilledError):
                job.deaths += error.deaths
                suspects.append(job)
            elif isinstance(error, BrokenExecutor):
                dropped[future] = job
                broken = True
            else:
                raise error
    guilty = pool.suspects(dropped) if dropped else set()
    for future, job in sorted(dropped.items(), key=lambda entry: entry[1].index):
        if future in guilty:
            job.deaths += 1
            suspects.append(job)
        else:
            queue.put_back(job)
    return broken


def _arrivals(landed: SimpleQueue[Future[R]]) -> list[Future[R]]:
    """Return the futures that are done, waiting a moment for the first of them."""
    futures: list[Future[R]] = []
    try:
        futures.append(landed.get(timeout=LOOK_AROUND_SECONDS))
        while True:
            futures.append(landed.get_nowait())
    except Empty:
        return futures


def _prove(pool: Pool) -> None:
    """Make sure that a worker of `pool` lives long enough to answer."""
    try:
        pool.submit(os.getpid).result()
    except BrokenExecutor as error:
        raise OracleError(
            f"worker processes die while they start: {error}",
            "is there memory for one oracle per worker? A script of your own needs `if __name__ == '__main__':`",
        ) from error
