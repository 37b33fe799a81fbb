"""Work on a Dask cluster."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, ParamSpec, TypeVar

from aldesign.errors import AldesignError
from aldesign.execution.inside import pin, prepare
from aldesign.execution.kinds import AHEAD, Pool, Start, WorkerKilledError

R = TypeVar("R")
P = ParamSpec("P")


class Dask(Pool):
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
        self._window = AHEAD * max(1, sum(self._client.nthreads().values()))

    @property
    def window(self) -> int:
        """How many items may be in flight."""
        return int(self._window)

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Let a worker of the cluster call `fn`."""
        inner: Future[R] = self._pool.submit(_guarded_on_cluster, self._start, fn, *args, **kwargs)
        outer: Future[R] = Future()
        outer.set_running_or_notify_cancel()
        inner.add_done_callback(lambda done: _pass_on(done, outer))
        return outer

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster, and end it if it is our own."""
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


_prepared_with = ""


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
        prepare((initializer, initargs))
        pin()
        _prepared_with = digest
    return function(*args, **kwargs)
