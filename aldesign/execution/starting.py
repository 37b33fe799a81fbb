"""One function that starts workers of any kind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from aldesign.errors import InputError
from aldesign.execution.kinds import EXECUTORS, Kind, Pool, worker_count
from aldesign.execution.local import Processes, Serial


def executor(
    kind: Kind,
    workers: int | Literal["auto"] = "auto",
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
    address: str | None = None,
) -> Pool:
    """Return a `concurrent.futures.Executor`, to be used in a ``with`` statement.

    Args:
        kind: A key of `EXECUTORS`.
        workers: How many workers; serial has one, a cluster at `address` has its own number.
        initializer: Module-level function that prepares a worker, e.g. loads an oracle into a global. If it
            raises, every call of that worker raises `OracleError`.
        initargs: Its arguments; sent to each worker once, so that this is the place for what is big.
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
        return Serial((initializer, initargs))
    if kind == "processes":
        return Processes(count, (initializer, initargs))
    from aldesign.execution.dask import Dask

    return Dask(count, (initializer, initargs), address)
