"""Calls on their way to a Dask cluster, and answers on their way back."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, wait
from typing import Any, TypeVar

from distributed import KilledWorker
from distributed.comm import CommClosedError

import aldesign
from aldesign.errors import AldesignError
from aldesign.execution.kinds import WorkerKilledError
from aldesign.execution.remote import Call, Done, Task, do

R = TypeVar("R")

TASK_SECONDS = 0.25
"""Calls shorter than this travel together: Dask spends milliseconds on each task."""
MOST_TOGETHER = 256


class Traffic:
    """What is under way between this process and a cluster.

    Calls that take little time travel together as one task. If a worker dies of such a task, or one of its calls
    fails, the rest travel again, each by itself, so that nobody suffers for a neighbour.

    Args:
        client: Of Dask, connected.
        token: Names what the workers are prepared with.
        where: The cluster, for messages.

    """

    def __init__(self, client: Any, token: str, where: str) -> None:
        self.together = 1
        self._client = client
        self._token = token
        self._where = where
        self._function: Callable[..., Any] | None = None
        self._outstanding: set[Future[Any]] = set()

    def share(self, function: Callable[..., Any], items: int, workers: int) -> int:
        """Return how many of so many calls should travel together, so that every worker gets some."""
        if function != self._function:  # what was learned of another one's time says nothing of this
            self._function, self.together = function, 1
        return max(1, min(self.together, -(-items // workers)))

    def send(self, function: Callable[..., R], calls: Sequence[Call]) -> list[Future[R]]:
        """Let a worker do some calls, one after the other."""
        waiting = [(call, _pending()) for call in calls]
        self._outstanding.update(future for _, future in waiting)
        self._dispatch(function, waiting)
        return [future for _, future in waiting]

    def wait(self) -> None:
        """Wait for everything that is under way."""
        wait(list(self._outstanding))

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
            fault = AldesignError(
                f"the connection to the Dask scheduler {self._where} was lost",
                "give the command again once it runs, or `aldesign resume`: what was answered is kept",
            )
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
            else:
                self._dispatch(function, [(call, future)], deaths)
                continue
            self._outstanding.discard(future)

    def _learn(self, function: Callable[..., Any], done: Done) -> None:
        """Choose how many calls travel together from the time that they take."""
        if function == self._function:
            fitting = TASK_SECONDS / max(done.seconds / len(done.values), 1e-6)
            self.together = int(max(1, min(fitting, 2 * self.together, MOST_TOGETHER)))


def _pending() -> Future[Any]:
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future
