"""Where work runs: in this process, in worker processes, or on a Dask cluster, behind one interface."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_for_sentinels
from typing import Any, Literal, ParamSpec, TypeVar

from aldesign.errors import AldesignError, InputError, OracleError

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")
Start = tuple[Callable[..., None] | None, tuple[Any, ...]]  # an initializer and its arguments
Kind = Literal["serial", "processes", "dask"]

EXECUTORS: Mapping[str, str] = {
    "serial": "one item after the other in this process",
    "processes": "worker processes on this machine, one thread each",
    "dask": "a Dask cluster: workers on this machine, or those of the scheduler at `address`",
}
MOST_AUTO_WORKERS = 16  # each worker loads its own oracle, so that memory ends before cores do

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS"), "1")


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
    """A cluster gave up on an item because its workers kept dying."""


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


def executor(
    kind: Kind,
    workers: int | Literal["auto"] = "auto",
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
    address: str | None = None,
) -> Executor:
    """Return a `concurrent.futures.Executor`, to be used in a ``with`` statement.

    Args:
        kind: A key of `EXECUTORS`.
        workers: How many workers; serial has one, a cluster at `address` has its own number.
        initializer: Module-level function that prepares a worker, e.g. loads an oracle into a global. If it
            raises, every call of that worker raises `OracleError`.
        initargs: Its arguments.
        address: Of a running Dask scheduler.

    Raises:
        InputError: Unknown kind, unusable number of workers, or `address` without Dask.
        OracleError: The initializer failed (serial; the other kinds say so when the first result is asked for).
        AldesignError: Dask is not installed, or its scheduler cannot be reached.

    """
    if kind not in EXECUTORS:
        raise InputError(f"no execution is called {kind!r}", f"allowed: {', '.join(EXECUTORS)}")
    if address is not None and kind != "dask":
        raise InputError(f"execution {kind!r} was given the address {address!r}", "only dask has one")
    count = worker_count(workers)
    if kind == "serial":
        return _Serial((initializer, initargs))
    if kind == "processes":
        return _Processes(count, (initializer, initargs))
    return _Dask(count, (initializer, initargs), address)


class Workers:
    """An executor that lives through many batches of work and is built anew when its workers die.

    When a worker process dies, `concurrent.futures` drops every call in flight without saying whose fault it
    was. The pool is then built anew, and the items that were in flight (never more than there are workers, so
    that none of them was merely waiting) run one at a time until the guilty one is known. Each break counts
    as an attempt for all items in flight, but an item is given up only after a break in which it ran alone.
    A Dask scheduler does its own counting; an item it gives up on is lost at once.

    Use it in a ``with`` statement: leaving it by an exception kills worker processes instead of waiting.

    Args:
        factory: Makes a fresh executor, e.g. ``partial(executor, "processes", 4)``; called when first needed.

    """

    def __init__(self, factory: Callable[[], Executor]) -> None:
        self._factory = factory
        self._pool: Executor | None = None
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
        if at_once and isinstance(pool, _Processes):
            pool.kill()
        pool.shutdown(wait=True, cancel_futures=at_once)

    def run(
        self, function: Callable[[T], R], items: Sequence[T], attempts: int = 3
    ) -> Iterator[tuple[int, R | LostWorker]]:
        """Yield ``(index, result)`` of every item as results come in; survive the death of workers.

        Args:
            function: Module-level function of one item. An exception from it ends the run and propagates: a
                function whose failure is data must return it.
            items: What to work on; picklable.
            attempts: After how many deaths an item is given up.

        Raises:
            OracleError: A worker's initializer failed, or workers die before they have started.

        """
        todo, suspects = deque(range(len(items))), deque[int]()
        deaths: Counter[int] = Counter()
        finished = False
        try:
            while todo or suspects:
                pool = self._living()
                alone = bool(suspects)
                queue, room = (suspects, 1) if alone else (todo, getattr(pool, "workers", 1))
                self._broke, casualties = yield from _work_off(pool, function, items, queue, room)
                for index in casualties:
                    deaths[index] += 1
                    if alone and deaths[index] >= attempts:
                        reason = f"a worker died each of the {deaths[index]} times this was running"
                        yield index, LostWorker(deaths[index], reason)
                    else:
                        suspects.append(index)
            finished = True
        finally:
            if not finished:
                self.close(at_once=True)

    def _living(self) -> Executor:
        if self._broke:
            self.close()
        if self._pool is None:
            self._pool = self._factory()
        if self._broke:
            _prove(self._pool)
            self._broke = False
        return self._pool


def _work_off(
    pool: Executor, function: Callable[[T], R], items: Sequence[T], queue: deque[int], room: int
) -> Generator[tuple[int, R | LostWorker], None, tuple[bool, list[int]]]:
    """Yield results until `queue` is empty or the pool breaks; return whether it broke, and who was in flight."""
    flight: dict[Future[R], int] = {}
    casualties: list[int] = []
    broken = False
    while flight or (queue and not broken):
        while queue and len(flight) < room and not broken:
            try:
                flight[pool.submit(function, items[queue[0]])] = queue[0]
                queue.popleft()
            except BrokenExecutor:
                broken = True
        done, _ = wait(flight, return_when=FIRST_COMPLETED)
        for future in sorted(done, key=flight.__getitem__):
            index, error = flight.pop(future), future.exception()
            if error is None:
                yield index, future.result()
            elif isinstance(error, WorkerKilledError):
                yield index, LostWorker(1, error.message)
            elif isinstance(error, BrokenExecutor):
                casualties.append(index)
                broken = True
            else:
                raise error
    return broken, casualties


def _prove(pool: Executor) -> None:
    """Make sure that a worker of `pool` lives long enough to answer."""
    try:
        pool.submit(os.getpid).result()
    except BrokenExecutor as error:
        raise OracleError(
            f"worker processes die while they start: {error}",
            "is there memory for one oracle per worker? A script of your own needs `if __name__ == '__main__':`",
        ) from error


class _Serial(Executor):
    """Runs every call at once, in this process; exceptions go into the future."""

    workers = 1

    def __init__(self, start: Start) -> None:
        _prepare(*start)

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        future: Future[R] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class _Processes(ProcessPoolExecutor):
    """Freshly started worker processes, each with one thread; they end when their parent does."""

    def __init__(self, workers: int, start: Start) -> None:
        super().__init__(workers, multiprocessing.get_context("spawn"), _start_process, start)
        self.workers = workers

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        # a process may be started here, and reads the environment before its first import of numpy
        with _environment(_ONE_THREAD):
            return super().submit(_guarded, fn, *args, **kwargs)  # type: ignore[arg-type]

    def kill(self) -> None:
        """End all worker processes at once."""
        for process in list((self._processes or {}).values()):
            process.terminate()


class _Dask(Executor):
    """Calls on a Dask cluster: one of its own on this machine, or the one at an address."""

    def __init__(self, workers: int, start: Start, address: str | None) -> None:
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise AldesignError(
                "execution 'dask' needs a package that is not installed", 'pip install "aldesign[dask]"'
            ) from error
        self._cluster: Any = None
        if address is None:
            self._cluster = LocalCluster(
                n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None
            )
        try:
            self._client: Any = Client(self._cluster or address)
        except (OSError, ValueError) as error:
            raise AldesignError(
                f"no Dask scheduler answers at {address!r}: {error}", "give an address like tcp://host:8786"
            ) from error
        self._pool: Any = self._client.get_executor(pure=False)
        self._start = (hashlib.sha256(pickle.dumps(start)).hexdigest(), *start)
        self.workers = max(1, sum(self._client.nthreads().values()))

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        inner: Future[R] = self._pool.submit(_guarded_on_cluster, self._start, fn, *args, **kwargs)
        outer: Future[R] = Future()
        outer.set_running_or_notify_cancel()
        inner.add_done_callback(lambda done: _pass_on(done, outer))
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait=wait and not cancel_futures)
        self._client.close()
        if self._cluster is not None:
            self._cluster.close()


def _pass_on(inner: Future[R], outer: Future[R]) -> None:
    if inner.cancelled():
        outer.set_exception(WorkerKilledError("the cluster cancelled this"))
        return
    error = inner.exception()
    if error is None:
        outer.set_result(inner.result())
    elif type(error).__name__ == "KilledWorker":
        outer.set_exception(WorkerKilledError(f"the cluster gave up: {str(error).splitlines()[0]}"))
    else:
        outer.set_exception(error)


# What follows happens inside a worker.

_prepared_with = ""
_failure: OracleError | None = None


def _prepare(initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    try:
        if initializer is not None:
            initializer(*initargs)
    except Exception as error:
        raise OracleError(f"a worker could not start: {type(error).__name__}: {error}") from error


def _start_process(initializer: Callable[..., None] | None, initargs: tuple[Any, ...]) -> None:
    """Prepare a worker process; an error is kept for its calls, since raising would only say "broken pool"."""
    global _failure
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        _prepare(initializer, initargs)
    except OracleError as error:
        _failure = error
    _pin()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_sentinels([parent.sentinel])
        os._exit(1)


def _pin() -> None:
    """Hold torch to one thread if this process has loaded it; loaded later, it reads the environment."""
    if "torch" in sys.modules:
        from aldesign.learning.threads import pin_threads

        pin_threads(1)


def _guarded(function: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    if _failure is not None:
        raise _failure
    return function(*args, **kwargs)


def _guarded_on_cluster(
    start: tuple[str, Callable[..., None] | None, tuple[Any, ...]],
    function: Callable[..., R],
    *args: Any,
    **kwargs: Any,
) -> R:
    """Prepare the worker on its first call, and again when another campaign comes along."""
    global _prepared_with
    digest, initializer, initargs = start
    if digest != _prepared_with:
        _prepare(initializer, initargs)
        _pin()
        _prepared_with = digest
    return function(*args, **kwargs)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
