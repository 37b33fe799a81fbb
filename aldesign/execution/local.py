"""Work on this machine: in this process, or in worker processes."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ProcessPoolExecutor
from itertools import count
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from aldesign.execution.environment import environment
from aldesign.execution.inside import call, prepare, start_process
from aldesign.execution.kinds import AHEAD, ONE_THREAD, Pool, Start

R = TypeVar("R")
P = ParamSpec("P")


class Serial(Pool):
    """Runs every call at once, in this process; exceptions go into the future."""

    window = 1

    def __init__(self, start: Start) -> None:
        prepare(start)

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Call `fn` now."""
        future: Future[R] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class Processes(ProcessPoolExecutor, Pool):
    """Freshly started worker processes, each with one thread; they end when their parent does.

    Every call has a ticket, and a worker writes the ticket into shared memory before it begins the call: when a
    worker dies and `concurrent.futures` drops all calls, those that were merely waiting are told from those that ran.
    """

    window = AHEAD  # for one worker; set for all of them below

    def __init__(self, workers: int, start: Start) -> None:
        context = multiprocessing.get_context("spawn")
        self._begun = context.RawArray("q", workers)
        self._tickets: WeakKeyDictionary[Future[Any], int] = WeakKeyDictionary()
        self._next = count(1)
        super().__init__(workers, context, start_process, (self._begun, context.Value("i", 0), start))
        self.window = AHEAD * workers

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Let a worker process call `fn`."""
        # a process may be started here, and reads the environment before its first import of numpy
        with environment(ONE_THREAD):
            future = super().submit(call, ticket := next(self._next), fn, args, kwargs)
        self._tickets[future] = ticket
        return future

    def suspects(self, dropped: Iterable[Future[Any]]) -> set[Future[Any]]:
        """Return the calls that a worker had begun; all, where a worker died before it could say so."""
        dropped = set(dropped)
        begun = set(self._begun)
        return {future for future in dropped if self._tickets[future] in begun} or dropped

    def kill(self) -> None:
        """End all worker processes at once."""
        for process in list((self._processes or {}).values()):
            process.terminate()
