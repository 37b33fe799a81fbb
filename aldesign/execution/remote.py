"""What happens inside a worker of a Dask cluster, and what is sent there."""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from distributed import WorkerPlugin

import aldesign
from aldesign.errors import AldesignError
from aldesign.execution.inside import pin, prepare
from aldesign.execution.kinds import ONE_THREAD, Start

_turn = threading.Lock()  # models are not made for several threads: one call at a time, however many a worker has
_starts: dict[str, Start] = {}
_prepared = ""
_settled = False
_pinned = False


Call = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True)
class Task:
    """A few calls of one function as they travel: all that is big waits at the worker already, under `token`."""

    token: str
    version: str
    function: Callable[..., Any]
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Done:
    """Values of the first calls of a task, perhaps not of all, and how long they took together."""

    values: list[Any]
    seconds: float


class Starter(WorkerPlugin):  # type: ignore[misc]
    """Brings an initializer and its arguments to each worker once, also to those that join later.

    Args:
        token: Names the executor that it belongs to.
        start: The initializer, called when the worker's first task comes along, so that its error is the task's.

    """

    def __init__(self, token: str, start: Start) -> None:
        self.name = f"aldesign-{token}"
        self.token = token
        self.start = start

    def setup(self, worker: Any) -> None:  # noqa: ARG002 - Dask's signature
        """Keep what was brought."""
        _starts[self.token] = self.start

    def teardown(self, worker: Any) -> None:  # noqa: ARG002 - Dask's signature
        """Forget it."""
        _starts.pop(self.token, None)


def do(task: Task) -> Done:
    """Do a task: prepare the worker on its first, and again when another campaign comes along.

    Returns:
        Values up to the first call that failed, if that is not the very first.

    Raises:
        AldesignError: The task was sent by another version of aldesign, or ends so; the message names the machine.
        Exception: Whatever the first call raised.

    """
    global _prepared
    if task.version != aldesign.__version__:
        raise AldesignError(
            f"a worker on {socket.gethostname()} has aldesign {aldesign.__version__}, this process {task.version}",
            "install the same version on all machines",
        )
    with _turn:
        _settle()
        values: list[Any] = []
        try:
            if task.token != _prepared:
                prepare(_starts.get(task.token, (None, ())))
                _prepared = task.token
            began = time.perf_counter()
            for args, kwargs in task.calls:
                values.append(task.function(*args, **kwargs))
        except AldesignError as error:
            if not values:
                raise type(error)(f"{error.message} [on {socket.gethostname()}]", error.hint) from error
        except Exception:
            if not values:
                raise
        return Done(values, time.perf_counter() - began)


def _settle() -> None:
    """Hold this process to one thread, whoever started it and how."""
    global _settled, _pinned
    if not _settled:
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        os.environ.update(ONE_THREAD)
        threadpool_limits(limits=1)
        _settled = True
    if not _pinned and "torch" in sys.modules:
        pin()
        _pinned = True
