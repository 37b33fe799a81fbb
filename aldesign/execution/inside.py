"""What happens inside a worker, of whatever kind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import wait as wait_for_sentinels
from typing import Any, TypeVar

from aldesign.errors import OracleError
from aldesign.execution.kinds import Start

R = TypeVar("R")

_failure: OracleError | None = None
_begun: Any = None  # shared with the parent: the ticket of the call that each worker began last
_slot = 0


def prepare(start: Start) -> None:
    """Call the initializer; raise OracleError if it fails."""
    initializer, initargs = start
    try:
        if initializer is not None:
            initializer(*initargs)
    except Exception as error:
        raise OracleError(f"a worker could not start: {type(error).__name__}: {error}") from error


def start_process(begun: Sequence[int], count: Any, start: Start) -> None:
    """Prepare a worker process; an error is kept for its calls, since raising would only say "broken pool"."""
    global _failure, _begun, _slot
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with count.get_lock():
        _begun, _slot = begun, count.value
        count.value += 1
    try:
        prepare(start)
    except OracleError as error:
        _failure = error
    pin()


def call(ticket: int, function: Callable[..., R], args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
    """Call `function`, and leave word that it was begun in case that this process dies of it."""
    if _failure is not None:
        raise _failure
    _begun[_slot] = ticket
    return function(*args, **kwargs)


def pin() -> None:
    """Hold torch to one thread if this process has loaded it; loaded later, it reads the environment."""
    if "torch" in sys.modules:
        from aldesign.learning.threads import pin_threads

        pin_threads(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_for_sentinels([parent.sentinel])
        os._exit(1)
