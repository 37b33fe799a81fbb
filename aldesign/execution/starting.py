"""One function that starts workers of any kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Literal

from aldesign.errors import AldesignError, InputError
from aldesign.execution.clusters import JobQueue
from aldesign.execution.kinds import EXECUTORS, Kind, Pool, worker_count
from aldesign.execution.local import Processes, Serial


def executor(
    kind: Kind,
    workers: int | Literal["auto"] = "auto",
    initializer: Callable[..., None] | None = None,
    initargs: tuple[Any, ...] = (),
    address: str | None = None,
    cluster: JobQueue | None = None,
    packages: Sequence[str] = ("aldesign",),
) -> Pool:
    """Return a `concurrent.futures.Executor`, to be used in a ``with`` statement.

    Args:
        kind: A key of `EXECUTORS`.
        workers: How many workers; serial has one, and clusters at an `address` or of jobs have as many as they have.
        initializer: Module-level function that prepares a worker, e.g. loads an oracle into a global. If it
            raises, every call of that worker raises `OracleError`.
        initargs: Its arguments; sent to each worker once, so that this is the place for what is big.
        address: Of a running Dask scheduler.
        cluster: Jobs of a queue that become Dask workers.
        packages: Distributions, as pip names them, whose versions must be the same on all machines of a cluster.

    Raises:
        InputError: Unknown kind, unusable number of workers, or a cluster without Dask.
        OracleError: The initializer failed (serial; the other kinds say so when the first result is asked for).
        AldesignError: Dask is not installed, its scheduler cannot be reached, has no workers or other versions of
            `packages`, or jobs cannot be submitted.

    """
    if kind not in EXECUTORS:
        raise InputError(f"no execution is called {kind!r}", f"allowed: {', '.join(EXECUTORS)}")
    if kind != "dask" and (address is not None or cluster is not None):
        what = f"the address {address!r}" if address is not None else "a cluster"
        raise InputError(f"execution {kind!r} was given {what}", "only dask has one")
    if address is not None and cluster is not None:
        raise InputError("execution was given both an address and a cluster", "give one of them")
    count = worker_count(workers)
    if kind == "serial":
        return Serial((initializer, initargs))
    if kind == "processes":
        return Processes(count, (initializer, initargs))
    try:
        import_module("distributed")
    except ImportError as error:
        raise AldesignError(
            "execution 'dask' needs a package that is not installed", 'pip install "aldesign[dask]"'
        ) from error
    from aldesign.execution.dask import Dask

    return Dask(count, (initializer, initargs), address, cluster, packages)
