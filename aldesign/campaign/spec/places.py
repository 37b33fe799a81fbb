"""The section about where work is done."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from aldesign.campaign.spec.sections import Section
from aldesign.execution import JobQueue, Kind, Pool, executor

_MEMORY = re.compile(r"\d+(\.\d+)?\s*[kMGT]i?B", re.IGNORECASE)
_ONLY_FOR = {
    "account": ("slurm", "pbs"),
    "project": ("sge", "lsf"),
    "resource_spec": ("pbs", "sge"),
}
_JOBS = {"kind", "minimum_jobs", "maximum_jobs"}


class ClusterSpec(Section):
    """Jobs of a queue that become Dask workers; options are named as in dask-jobqueue.

    A job has `processes` workers, as many as `cores` unless said otherwise, each working on one thing at a time. As
    long as there is work, between `minimum_jobs` and `maximum_jobs` are queued or running: one that ends is
    submitted anew. Without `minimum_jobs` it is always `maximum_jobs`.
    """

    kind: Literal["slurm", "pbs", "sge", "lsf"] = "slurm"
    queue: str | None = None
    account: str | None = None
    project: str | None = None
    cores: int = Field(ge=1)
    memory: str
    processes: int | None = Field(None, ge=1)
    walltime: str | None = None
    resource_spec: str | None = None
    job_extra_directives: tuple[str, ...] = ()
    job_directives_skip: tuple[str, ...] = ()
    job_script_prologue: tuple[str, ...] = ()
    worker_extra_args: tuple[str, ...] = ()
    interface: str | None = None
    scheduler_options: dict[str, Any] = Field(default_factory=dict)
    local_directory: str | None = None
    log_directory: str | None = None
    death_timeout: int | None = Field(None, ge=1)
    python: str | None = None
    minimum_jobs: int | None = Field(None, ge=0)
    maximum_jobs: int = Field(1, ge=1)

    @field_validator("walltime", mode="before")
    @classmethod
    def _clock(cls, value: Any) -> Any:
        # YAML 1.1 reads an unquoted 12:00:00 as a number of base 60, that is, as seconds
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return f"{value // 3600:02d}:{value // 60 % 60:02d}:{value % 60:02d}"
        return value

    @field_validator("memory")
    @classmethod
    def _with_unit(cls, value: str) -> str:
        if not _MEMORY.fullmatch(value.strip()):
            raise ValueError(f"memory of a job is a number and a unit, such as 64GB, not {value!r}")
        return value

    @field_validator(
        "job_extra_directives", "job_directives_skip", "job_script_prologue", "worker_extra_args", mode="before"
    )
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _consistent(self) -> ClusterSpec:
        for name, kinds in _ONLY_FOR.items():
            if getattr(self, name) is not None and self.kind not in kinds:
                raise ValueError(f"{name} is for {' and '.join(kinds)}, and kind is {self.kind}")
        if self.processes is not None and self.processes > self.cores:
            raise ValueError(f"{self.processes} processes need as many cores, and a job has {self.cores}")
        if self.minimum_jobs is not None and self.minimum_jobs > self.maximum_jobs:
            raise ValueError(f"minimum_jobs {self.minimum_jobs} is above maximum_jobs {self.maximum_jobs}")
        return self

    def job_queue(self) -> JobQueue:
        """Return what starts such a cluster."""
        options = {k: v for k, v in self.model_dump(exclude=_JOBS).items() if v is not None and v != ()}
        options["processes"] = self.processes or self.cores
        least = self.maximum_jobs if self.minimum_jobs is None else self.minimum_jobs
        return JobQueue(self.kind, least, self.maximum_jobs, options)


class ExecutionSpec(Section):
    """Where oracles and relaxations run: in this process, in worker processes, or on a Dask cluster.

    That cluster is one of `workers` processes on this machine, or the one whose scheduler listens at `address`, or
    `cluster`: jobs of a queue such as Slurm.
    """

    kind: Kind = "serial"
    workers: int | Literal["auto"] = "auto"
    address: str | None = None
    cluster: ClusterSpec | None = None

    @model_validator(mode="after")
    def _one_place(self) -> ExecutionSpec:
        for name in ("address", "cluster"):
            if getattr(self, name) is None:
                continue
            if self.kind != "dask":
                raise ValueError(f"{name} is for kind: dask, and kind is {self.kind}")
            if self.workers != "auto":
                raise ValueError(
                    f"workers counts processes of this machine, and work goes to {name}: leave workers out"
                    + ("; jobs are counted by cluster.maximum_jobs" if name == "cluster" else "")
                )
        if self.address is not None and self.cluster is not None:
            raise ValueError("give address (a scheduler that runs) or cluster (jobs to be submitted), not both")
        return self

    def executor(self) -> Pool:
        """Start the workers. Raises what `aldesign.execution.executor` raises."""
        queue = self.cluster.job_queue() if self.cluster else None
        return executor(self.kind, self.workers, address=self.address, cluster=queue)

    def describe(self) -> str:
        """Return one sentence for people."""
        if self.cluster is not None:
            queue = self.cluster.job_queue()
            jobs = (
                f"{queue.minimum_jobs} to {queue.maximum_jobs}"
                if queue.minimum_jobs < queue.maximum_jobs
                else f"{queue.maximum_jobs}"
            )
            return f"dask: {jobs} {queue.kind} jobs of {queue.options['processes']} workers"
        if self.address is not None:
            return f"dask: the workers of the scheduler at {self.address}"
        return self.kind if self.kind == "serial" else f"{self.kind}, {self.workers} workers"
