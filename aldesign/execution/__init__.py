"""Where work runs: in this process, in worker processes, or on a Dask cluster, behind one interface."""

from aldesign.execution.clusters import JobQueue, job_script
from aldesign.execution.kinds import EXECUTORS, Kind, LostWorker, Pool, WorkerKilledError, worker_count
from aldesign.execution.starting import executor
from aldesign.execution.workers import Workers

__all__ = [
    "EXECUTORS",
    "JobQueue",
    "Kind",
    "LostWorker",
    "Pool",
    "WorkerKilledError",
    "Workers",
    "executor",
    "job_script",
    "worker_count",
]
