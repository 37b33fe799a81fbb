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
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, ParamSpec, TypeVar

import dask.config
from distributed import Client
from distributed.utils import silence_logging_cmgr

from aldesign.errors import AldesignError
from aldesign.execution.clusters import JobQueue, Submissions, local_cluster, queue_cluster
from aldesign.execution.environment import environment
from aldesign.execution.handshake import same_versions
from aldesign.execution.kinds import AHEAD, ONE_THREAD, Pool, Start
from aldesign.execution.remote import Starter
from aldesign.execution.traffic import Traffic

R = TypeVar("R")
P = ParamSpec("P")

CONNECT_SECONDS = 15
NO_WORKERS_SECONDS = 120
"""How long a scheduler may be without any worker; jobs in a queue may wait for as long as they like."""
COUNT_SECONDS = 1.0
FORGET_SECONDS = 10
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
        self._traffic = Traffic(self._client, self._token, self._where)
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
            if now - self._looked > FORGET_SECONDS:  # nobody looked, so that nobody knows
                self._seen = now
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
        return AHEAD * max(1, self._present, self._wanted) * self.together

    @property
    def together(self) -> int:
        """How many calls travel together: those of a quarter of a second."""
        return self._traffic.together

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Let a worker of the cluster call `fn`."""
        return self._traffic.send(fn, [(args, kwargs)])[0]

    def submit_many(self, fn: Callable[..., R], items: Sequence[Any]) -> list[Future[R]]:
        """Let workers call `fn` with each of the items; short calls travel together."""
        size = self._traffic.share(fn, len(items), max(1, self._present, self._wanted))
        groups = [items[start : start + size] for start in range(0, len(items), size)]
        return [future for group in groups for future in self._traffic.send(fn, [((item,), {}) for item in group])]

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
            self._traffic.wait()
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


def _unreachable(address: str | None, error: Exception) -> AldesignError:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return AldesignError(f"no Dask scheduler answers at {address!r}: {said}", "give an address like tcp://host:8786")


@contextmanager
def _no_warnings() -> Iterator[None]:
    """Keep Dask's remarks on ports and versions from people's terminals; versions that matter are compared here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
