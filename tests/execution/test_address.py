"""A Dask scheduler that others have started: who works there, and what happens when it goes away."""

import importlib.metadata
import signal
import threading
import time
from functools import partial

import execution_tasks as tasks
import pytest
from scheduler_process import Scheduler, waited_for

import aldesign
from aldesign.errors import AldesignError, InputError
from aldesign.execution import Workers, executor

pytest.importorskip("distributed")


@pytest.fixture
def scheduler(tmp_path):
    begun = Scheduler(tmp_path)
    yield begun
    begun.end()


def test_a_worker_that_joins_later_is_used_and_prepared(scheduler, tmp_path):
    told = tmp_path / "told"
    told.mkdir()
    scheduler.worker()
    factory = partial(executor, "dask", initializer=tasks.set_offset, initargs=(1,), address=scheduler.address)
    with Workers(factory) as workers:
        assert dict(workers.run(tasks.square, range(4))) == {i: i * i + 1 for i in range(4)}
        second = scheduler.worker()

        def release():
            waited_for(lambda: any(path.name.endswith(f"-{second.pid}") for path in told.iterdir()))
            (told / "go").touch()

        thread = threading.Thread(target=release)
        thread.start()
        pids = {pid for _, pid in workers.run(partial(tasks.told, told), range(8))}
        thread.join()
        assert pids == {process.pid for process in scheduler.processes[1:]}
        assert dict(workers.run(tasks.square, range(40))) == {i: i * i + 1 for i in range(40)}


def test_a_scheduler_that_dies_is_named_and_what_was_answered_stays(scheduler, tmp_path):
    scheduler.worker()
    got = {}

    def take():
        with Workers(partial(executor, "dask", address=scheduler.address)) as workers:
            for index, answer in workers.run(tasks.pid_after, [0.01, 0.01, 60, 60]):
                got[index] = answer
                if len(got) == 2:
                    scheduler.scheduler.send_signal(signal.SIGKILL)

    began = time.monotonic()
    with pytest.raises(AldesignError, match=rf"Dask scheduler at {scheduler.address} was lost .*aldesign resume"):
        take()
    assert sorted(got) == [0, 1]
    assert time.monotonic() - began < 60


def test_another_version_of_aldesign_at_a_worker_is_refused_with_both_named(scheduler, tmp_path):
    other = tmp_path / "other" / "aldesign-0.0.9.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: aldesign\nVersion: 0.0.9\n")
    scheduler.worker(path=str(other.parent))
    here = importlib.metadata.version("aldesign")
    with pytest.raises(AldesignError, match=rf"worker tcp://.* has aldesign 0\.0\.9, this process {here}"):
        executor("dask", address=scheduler.address)


def test_a_scheduler_without_workers_is_not_waited_for_in_vain(scheduler, monkeypatch):
    monkeypatch.setattr("aldesign.execution.dask.CONNECT_SECONDS", 2)
    with pytest.raises(AldesignError, match=r"has no workers \(start some: dask worker tcp://"):
        executor("dask", address=scheduler.address)


def test_no_scheduler_at_the_address(monkeypatch):
    monkeypatch.setattr("aldesign.execution.dask.CONNECT_SECONDS", 1)
    with pytest.raises(AldesignError, match=r"no Dask scheduler answers at 'tcp://127\.0\.0\.1:9'"):
        executor("dask", address="tcp://127.0.0.1:9")


def test_packages_are_compared_with_the_scheduler_s_and_every_worker_s():
    from aldesign.execution.handshake import same_versions

    def place(python="3.11.7", **packages):
        return {"host": {"python": python}, "packages": packages}

    class Client:
        def __init__(self, scheduler, **workers):
            self.told = {"client": place(a="1", b="2"), "scheduler": scheduler, "workers": workers}

        def get_versions(self, packages):
            assert packages == ["a", "b"]
            return self.told

    same_versions(Client(place(a="1", b="2"), w=place("3.11.2", a="1", b="2")), ("a", "b"))
    with pytest.raises(AldesignError, match="worker w has no b, this process 2"):
        same_versions(Client(place(a="1", b="2"), w=place(a="1", b=None)), ("a", "b"))
    with pytest.raises(AldesignError, match=r"the scheduler has Python 3\.10, this process 3\.11"):
        same_versions(Client(place("3.10.1", a="1", b="2")), ("a", "b"))
    many = {f"w{i}": place(a="0", b="2") for i in range(9)}
    with pytest.raises(AldesignError, match="and 6 more"):
        same_versions(Client(place(a="1", b="2"), **many), ("a", "b"))


def test_a_worker_that_came_later_with_another_version_says_so():
    from aldesign.execution.remote import Task, do

    with pytest.raises(AldesignError, match=rf"has aldesign {aldesign.__version__}, this process 0\.0\.9"):
        do(Task("", "0.0.9", tasks.square, (((2,), {}),)))


def test_one_place_is_asked_for():
    from aldesign.execution import JobQueue

    queue = JobQueue("slurm", 1, 1, {"cores": 1, "processes": 1, "memory": "1GB"})
    with pytest.raises(InputError, match="both an address and a cluster"):
        executor("dask", address="tcp://host:8786", cluster=queue)
    with pytest.raises(InputError, match="only dask"):
        executor("processes", cluster=queue)
