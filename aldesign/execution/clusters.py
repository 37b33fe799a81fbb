"""Dask clusters that are started for one run: on this machine, or by a job queue."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, Literal

from aldesign.errors import AldesignError, InputError
from aldesign.execution.kinds import ONE_THREAD

QueueKind = Literal["slurm", "pbs", "sge", "lsf"]
CLASSES: Mapping[QueueKind, tuple[str, str]] = {
    "slurm": ("dask_jobqueue.slurm", "SLURMCluster"),
    "pbs": ("dask_jobqueue.pbs", "PBSCluster"),
    "sge": ("dask_jobqueue.sge", "SGECluster"),
    "lsf": ("dask_jobqueue.lsf", "LSFCluster"),
}
DEATHS_FORGIVEN = 1
"""After more deaths than these, a cluster on this machine gives an item up, which then runs alone; Dask has 3."""


@dataclass(frozen=True)
class JobQueue:
    """A cluster whose workers are jobs of a queue.

    Attributes:
        kind: Which queue.
        minimum_jobs: Jobs that are kept; one that ends is submitted anew.
        maximum_jobs: Most jobs at a time, if there is work for them.
        options: Keyword arguments of dask-jobqueue's cluster; cores, memory and processes among them.

    """

    kind: QueueKind
    minimum_jobs: int
    maximum_jobs: int
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def most_workers(self) -> int:
        """Worker processes of all jobs together."""
        return int(self.maximum_jobs * self.options["processes"])


def local_cluster(workers: int) -> Any:
    """Return a running cluster of `workers` processes, one thread each, which are started anew when they die."""
    from distributed import LocalCluster

    return LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=True,
        dashboard_address=None,
        silence_logs=logging.CRITICAL,
        scheduler_kwargs={"allowed_failures": DEATHS_FORGIVEN},
        env=ONE_THREAD,
    )


def queue_cluster(queue: JobQueue) -> tuple[Any, Submissions]:
    """Return a running scheduler whose workers are being submitted to the queue, and how that went.

    Raises:
        AldesignError: dask-jobqueue is missing, this machine cannot submit, or the scheduler cannot be started.

    """
    made = _class(queue.kind)
    submit = made.job_cls.submit_command.split()[0]
    if shutil.which(submit) is None:
        raise AldesignError(
            f"cluster.kind {queue.kind} submits jobs by {submit!r}, and this machine has no such command",
            "start the campaign where jobs are submitted, e.g. on a login node; `aldesign check` shows the job script",
        )
    options = _options(queue)
    options["scheduler_options"] = {"dashboard": False, "dashboard_address": None, **options["scheduler_options"]}
    submissions = Submissions()
    try:
        cluster = made(**options, job_cls=submissions.watched(made.job_cls), silence_logs=logging.CRITICAL)
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise AldesignError(
            f"no cluster of kind {queue.kind} could be started: {error}", "see execution.cluster"
        ) from error
    cluster.adapt(minimum_jobs=queue.minimum_jobs, maximum_jobs=queue.maximum_jobs)
    return cluster, submissions


class Submissions:
    """What became of the jobs: Dask itself keeps it to its logs when a queue refuses them."""

    def __init__(self) -> None:
        self.accepted = 0
        self.refusal = ""

    def watched(self, job: Any) -> Any:
        """Return the class `job`, telling us what comes of its submissions."""
        from distributed.core import Status

        told = self

        class Watched(job):  # type: ignore[misc]
            async def start(self) -> None:
                try:
                    await super().start()
                    told.accepted += 1
                except Exception as error:
                    told.refusal = str(error).rpartition("stderr:")[2].strip() or type(error).__name__
                    self.status = Status.failed  # else Dask trips over it when the cluster is closed
                    raise

        return Watched

    def check(self) -> None:
        """Raise AldesignError if no job at all was accepted."""
        if self.refusal and not self.accepted:
            raise AldesignError(f"the queue refuses the jobs: {self.refusal}", "`aldesign check` shows the job script")


def job_script(queue: JobQueue) -> str:
    """Return the script that would be submitted for each job; nothing is started.

    Raises:
        AldesignError: dask-jobqueue is missing.
        InputError: It refuses an option.

    """
    options = _options(queue)
    options.pop("scheduler_options")
    try:
        job = _class(queue.kind).job_cls("tcp://SCHEDULER:8786", name="NAME", **options)
    except (ValueError, TypeError) as error:
        raise InputError(f"execution.cluster: {error}", "see https://jobqueue.dask.org for its options") from error
    return str(job.job_script()).strip()


def _class(kind: QueueKind) -> Any:
    module, name = CLASSES[kind]
    try:
        return getattr(import_module(module), name)
    except ImportError as error:
        raise AldesignError(
            f"execution.cluster {kind!r} needs a package that is not installed", 'pip install "aldesign[dask]"'
        ) from error


def _options(queue: JobQueue) -> dict[str, Any]:
    """Return the options with one thread per process, in the environment and for Dask."""
    options: dict[str, Any] = {"scheduler_options": {}, **queue.options}
    exports = [f"export {name}={value}" for name, value in ONE_THREAD.items()]
    options["job_script_prologue"] = [*options.get("job_script_prologue", ()), *exports]
    extra = list(options.get("worker_extra_args", ()))
    if options["processes"] < options["cores"]:
        extra = ["--nthreads", "1", *extra]
    options["worker_extra_args"] = extra
    return options
