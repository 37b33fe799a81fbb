"""Work on a Dask cluster: one of its own on this machine or in a job queue, or the one at an address."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, wait
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, ParamSpec, TypeVar

import dask.config
from distributed import Client, KilledWorker
from distributed.comm import CommClosedError
from distributed.utils import silence_logging_cmgr

import aldesign
from aldesign.errors import AldesignError
from aldesign.execution.clusters import JobQueue, Submissions, local_cluster, queue_cluster
from aldesign.execution.environment import environment
from aldesign.execution.handshake import same_versions
from aldesign.execution.kinds import AHEAD, ONE_THREAD, Pool, Start, WorkerKilledError
from aldesign.execution.remote import Call, Done, Starter, Task, do

R = TypeVar("R")
P = ParamSpec("P")

CONNECT_SECONDS = 15
NO_WORKERS_SECONDS = 120
"""How long a scheduler may be without any worker; jobs in a queue may wait for as long as they like."""
COUNT_SECONDS = 1.0
TASK_SECONDS = 0.25
"""Calls shorter than this travel together: Dask spends milliseconds on each task."""
MOST_TOGETHER = 256
CALM = {
    "distributed.admin.tick.interval": "500ms",
    "distributed.admin.system-monitor.interval": "5s",
    "distributed.worker.profile.enabled": False,
}
"""Dask looks at itself less often than it would: on two cores that takes a twentieth of them, and of each worker."""
LEFT_BEHIND = dict.fromkeys((*ONE_THREAD, "MALLOC_TRIM_THRESHOLD_", "PYTHONHASHSEED", "__DASK_PARENT_PID"))
"""What Dask sets in this process for the sake of those it starts."""
CLOSE_SECONDS = 10


class Dask(Pool):
    """Calls on a Dask cluster.

    Args:
        workers: Of a cluster on this machine.
        start: Prepares a worker before its first call.
        address: Of a scheduler that runs already.
        queue: Describes jobs that become the workers.
        packages: Distributions whose versions must be the same everywhere.

    Raises:
        AldesignError: No scheduler answers, it has no workers, they have other software, or jobs cannot be submitted.

    """

    def __init__(
        self,
        workers: int,
        start: Start = (None, ()),
        address: str | None = None,
        queue: JobQueue | None = None,
        packages: Sequence[str] = ("aldesign",),
    ) -> None:
        self._where = f"at {address}" if address else f"of {queue.kind} jobs" if queue else "on this machine"
        self._patient = queue is not None
        self._wanted = queue.most_workers if queue else 0 if address else workers
        self._present = 0
        self._looked = self._seen = time.monotonic()
        self._together = 1
        self._function: Callable[..., Any] | None = None
        self._outstanding: set[Future[Any]] = set()
        self._token = uuid.uuid4().hex if start[0] is not None else ""
        self._cluster: Any = None
        self._client: Any = None
        self._submissions = Submissions()
        self._quiet = ExitStack()
        self._quiet.enter_context(silence_logging_cmgr(logging.CRITICAL))
        self._quiet.enter_context(environment(LEFT_BEHIND))
        try:
            with _no_warnings(), environment(ONE_THREAD), dask.config.set(CALM):
                if queue is not None:
                    self._cluster, self._submissions = queue_cluster(queue)
                elif address is None:
                    self._cluster = local_cluster(workers)
                self._connect(address, start, packages)
        except BaseException:
            self.shutdown(cancel_futures=True)
            raise

    def _connect(self, address: str | None, start: Start, packages: Sequence[str]) -> None:
        try:
            self._client = Client(self._cluster or address, timeout=CONNECT_SECONDS, set_as_default=False)
            if address is not None:
                self._client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except TimeoutError as error:
            if self._client is None:
                raise _unreachable(address, error) from error
            raise AldesignError(
                f"the Dask scheduler at {address} has no workers", f"start some: dask worker {address} --nthreads 1"
            ) from error
        except (OSError, ValueError) as error:
            raise _unreachable(address, error) from error
        same_versions(self._client, packages)
        if self._token:
            self._client.register_plugin(Starter(self._token, start))

    @property
    def window(self) -> int:
        """How many items may be in flight: a few per worker that is there or wanted.

        Raises:
            AldesignError: For minutes there has been no worker and none is queued; or the queue takes no job.

        """
        self._submissions.check()
        now = time.monotonic()
        if now - self._looked >= COUNT_SECONDS and self._client.status == "running":
            self._looked = now
            with suppress(OSError, asyncio.CancelledError, CancelledError):
                self._present = len(self._client.nthreads())
            if self._present or self._patient:
                self._seen = now
        if now - self._seen > NO_WORKERS_SECONDS:
            raise AldesignError(
                f"the Dask cluster {self._where} has had no workers for {NO_WORKERS_SECONDS} s",
                "start workers, then give the command again, or `aldesign resume`: what was answered is kept",
            )
        return AHEAD * max(1, self._present, self._wanted) * self._together

    @property
    def together(self) -> int:
        """How many calls travel together: those of a quarter of a second."""
        return self._together

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Let a worker of the cluster call `fn`."""
        return self._send(fn, [(args, kwargs)])[0]

    def submit_many(self, fn: Callable[..., R], items: Sequence[Any]) -> list[Future[R]]:
        """Let workers call `fn` with each of the items; short calls travel together."""
        if fn != self._function:  # what was learned of another one's time says nothing of this
            self._function, self._together = fn, 1
        workers = max(1, self._present, self._wanted)
        size = max(1, min(self._together, -(-len(items) // workers)))
        groups = [items[start : start + size] for start in range(0, len(items), size)]
        return [future for group in groups for future in self._send(fn, [((item,), {}) for item in group])]

    def _send(self, function: Callable[..., R], calls: Sequence[Call]) -> list[Future[R]]:
        waiting = [(call, _pending()) for call in calls]
        self._outstanding.update(future for _, future in waiting)
        self._dispatch(function, waiting)
        return [future for _, future in waiting]

    def _dispatch(self, function: Callable[..., R], waiting: Sequence[tuple[Call, Future[R]]], deaths: int = 0) -> None:
        task = Task(self._token, aldesign.__version__, function, tuple(call for call, _ in waiting))
        inner = self._client.submit(do, task, key=f"{getattr(function, '__name__', 'call')}-{uuid.uuid4().hex}")
        self._client.loop.add_callback(self._fetch, inner, function, waiting, deaths)

    async def _fetch(
        self, inner: Any, function: Callable[..., R], waiting: Sequence[tuple[Call, Future[R]]], deaths: int
    ) -> None:
        """Carry results from the cluster's future to ours; many such wait at the same time."""
        values: list[R] = []
        fault: BaseException | None = None
        try:
            if self._client.status != "running":
                raise asyncio.CancelledError
            done: Done = await inner.result()
            values = done.values
            self._learn(function, done)
        except (asyncio.CancelledError, CancelledError, CommClosedError):
            fault = self._gone()
        except KilledWorker as error:
            deaths += error.allowed_failures + 1
            if len(waiting) == 1:
                fault = WorkerKilledError(f"{deaths} workers died while this was running", deaths=deaths)
        except ImportError as error:
            fault = AldesignError(f"a worker of the Dask cluster {self._where} lacks a package: {error}", "install it")
        except BaseException as error:
            fault = error
        for number, (call, future) in enumerate(waiting):
            if number < len(values):
                future.set_result(values[number])
            elif fault is not None:
                future.set_exception(fault)
            else:  # one of those that travelled together failed: each goes by itself
                self._dispatch(function, [(call, future)], deaths)
                continue
            self._outstanding.discard(future)

    def _learn(self, function: Callable[..., Any], done: Done) -> None:
        """Choose how many calls travel together from the time that they take."""
        if function != self._function:
            return
        fitting = TASK_SECONDS / max(done.seconds / len(done.values), 1e-6)
        self._together = int(max(1, min(fitting, 2 * self._together, MOST_TOGETHER)))

    def _gone(self) -> AldesignError:
        return AldesignError(
            f"the connection to the Dask scheduler {self._where} was lost",
            "give the command again once it runs, or `aldesign resume`: what was answered is kept",
        )

    def kill(self) -> None:
        """End the worker processes of a cluster on this machine at once."""
        for nanny in list(getattr(self._cluster, "workers", {}).values()):
            if (process := getattr(nanny, "pid", None)) is not None:
                nanny.auto_restart = False
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Leave the cluster, and end it if it is our own."""
        if wait and not cancel_futures:
            _wait_for(self._outstanding)
        with _no_warnings():
            if self._client is not None:
                if self._token and self._client.status == "running" and self._cluster is None:
                    with suppress(Exception):
                        self._client.unregister_worker_plugin(f"aldesign-{self._token}")
                with suppress(OSError, asyncio.CancelledError, CancelledError):
                    self._client.close(timeout=CLOSE_SECONDS)
            if self._cluster is not None:
                self._cluster.close(timeout=CLOSE_SECONDS)
        self._client = self._cluster = None
        self._quiet.close()


def _pending() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future


def _wait_for(futures: set[Future[Any]]) -> None:
    wait(list(futures))


def _unreachable(address: str | None, error: Exception) -> AldesignError:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return AldesignError(f"no Dask scheduler answers at {address!r}: {said}", "give an address like tcp://host:8786")


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Keep Dask's remarks on ports and versions from people's terminals; versions that matter are compared here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
