"""The campaign's workers: started once, kept over all iterations, replaced when one of them dies."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from functools import partial
from typing import ParamSpec, TypeVar

from aldesign.campaign.spec import ExecutionSpec
from aldesign.execution import LostWorker, executor, run_all

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")


class Workers:
    """Run module-level functions over items in the processes that the campaign asks for.

    Args:
        section: Kind and number of workers.
    """

    def __init__(self, section: ExecutionSpec) -> None:
        self._make = partial(executor, section.kind, section.workers, address=section.address)
        self._pool: Executor | None = None

    def run(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[int, R | LostWorker]]:
        """Yield ``(index, result)`` as results land; a LostWorker where every worker died on an item."""
        if items:
            yield from run_all(self._lease, function, items)

    def close(self, wait: bool = True) -> None:
        """End the worker processes, and wait until they are gone."""
        if self._pool is not None:
            self._pool.shutdown(wait=wait, cancel_futures=True)
            self._pool = None

    def _lease(self) -> Executor:
        if self._pool is not None:
            try:
                self._pool.submit(os.getpid)
            except (BrokenExecutor, RuntimeError):
                self.close()
        if self._pool is None:
            self._pool = self._make()
        return _Lease(self, self._pool)


class _Lease(Executor):
    """A pool that outlives its user: shutting it down keeps the processes, abandoning it ends them."""

    def __init__(self, owner: Workers, pool: Executor) -> None:
        self._owner = owner
        self._pool = pool
        self.workers = int(getattr(pool, "workers", 1))

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        return self._pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        if cancel_futures:
            self._owner.close(wait)
