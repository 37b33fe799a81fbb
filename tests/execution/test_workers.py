"""Executors that give equal answers, and batches that survive the death of a worker."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import Executor
from functools import partial
from pathlib import Path

import pytest

from aldesign.errors import AldesignError, InputError, OracleError
from aldesign.execution import LostWorker, Workers, executor, worker_count
from aldesign.execution.kinds import AHEAD

ITEMS = list(range(12))
OFFSET = 0


def set_offset(value):
    global OFFSET
    OFFSET = value


def square(item):
    return item * item + OFFSET


def die_on(fatal, folder, item):
    with (Path(folder) / f"{item}-{time.monotonic_ns()}").open("w"):
        pass
    if item in fatal:
        time.sleep(0.05)
        os._exit(13)
    return item * item


def refuse(item):
    if item == 5:
        raise ValueError("five")
    return item


def threads(_):
    import numpy  # noqa: F401 - loads the BLAS that is asked about
    from threadpoolctl import threadpool_info

    return os.environ["OMP_NUM_THREADS"], [pool["num_threads"] for pool in threadpool_info()]


def sleep_and_tell(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)


def no_start(path):
    raise FileNotFoundError(path)


def run_all(factory, function, items, attempts=3):
    with Workers(factory) as pool:
        yield from pool.run(function, items, attempts)


def results(kind, workers, **options):
    factory = partial(executor, kind, workers, set_offset, (1,), **options)
    return sorted(run_all(factory, square, ITEMS))


@pytest.fixture(scope="module")
def expected():
    return [(i, i * i + 1) for i in ITEMS]


def test_serial_and_any_number_of_processes_agree(expected):
    assert results("serial", 1) == expected
    for workers in (1, 2, 4):
        assert results("processes", workers) == expected
    set_offset(0)


@pytest.mark.parametrize("workers", [1, 3])
def test_only_the_item_that_kills_workers_is_lost_after_three_attempts(workers, tmp_path):
    got = dict(run_all(partial(executor, "processes", workers), partial(die_on, {3, 8}, tmp_path), ITEMS))
    for fatal in (3, 8):
        lost = got.pop(fatal)
        assert isinstance(lost, LostWorker)
        assert lost.attempts == 3
        assert "died each of the 3 times" in lost.reason
    assert got == {i: i * i for i in ITEMS if i not in (3, 8)}
    ran = Counter(int(path.name.split("-")[0]) for path in tmp_path.iterdir())
    assert ran[3] == ran[8] == 3
    # an innocent may be dropped once by each of the two deaths, never more
    assert all(ran[i] <= 3 for i in got)
    if workers == 1:
        assert all(ran[i] == 1 for i in got)


def test_items_may_come_from_anywhere_and_are_taken_a_few_ahead():
    taken = []
    with Workers(partial(executor, "processes", 2)) as workers:
        run = workers.run(square, (taken.append(i) or i for i in range(10**9)))
        for number in range(1, 50):
            next(run)
            assert len(taken) <= number + 2 * AHEAD
        run.close()
        assert list(workers.run(square, [])) == []


def test_workers_serve_batch_after_batch_with_the_same_processes():
    with Workers(partial(executor, "processes", 1)) as workers:
        first, second = ({pid for _, pid in workers.run(pid_of, ITEMS)} for _ in range(2))
        assert first == second
        assert len(first) == 1
        assert os.getpid() not in first


def pid_of(_):
    return os.getpid()


def test_an_exception_of_the_function_ends_the_run_and_the_pool_can_be_used_again():
    for kind in ("serial", "processes"):
        with Workers(partial(executor, kind, 2)) as workers:
            with pytest.raises(ValueError, match="five"):
                list(workers.run(refuse, ITEMS))
            assert dict(workers.run(refuse, [1, 2])) == {0: 1, 1: 2}


def test_serial_is_an_executor_with_exceptions_in_the_future():
    with executor("serial") as pool:
        assert isinstance(pool, Executor)
        future = pool.submit(refuse, 5)
        assert isinstance(future.exception(), ValueError)
        assert list(pool.map(square, [2, 3])) == [4, 9]


@pytest.mark.parametrize("kind", ["serial", "processes"])
def test_a_failing_initializer_is_named(kind):
    with pytest.raises(OracleError, match="could not start: FileNotFoundError: weights"):
        list(run_all(partial(executor, kind, 2, no_start, ("weights",)), square, ITEMS))


def test_workers_that_die_while_they_start_are_reported_not_blamed_on_items():
    with pytest.raises(OracleError, match="die while they start"):
        list(run_all(partial(executor, "processes", 2, os._exit, (1,)), square, ITEMS))


def test_worker_processes_have_one_thread_and_leave_the_parent_s_environment_alone(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    ((_, (variable, pools)),) = run_all(partial(executor, "processes", 1), threads, [0])
    assert variable == "1"
    assert pools
    assert set(pools) == {1}
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def stop_after_the_first():
    with Workers(partial(executor, "processes", 2)) as workers:
        for _ in workers.run(sleep_or_answer, [0, 60]):
            raise KeyboardInterrupt


def test_stopping_early_kills_the_workers():
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        stop_after_the_first()
    assert time.monotonic() - begin < 30


def sleep_or_answer(seconds):
    time.sleep(seconds)
    return seconds


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_workers_end_when_their_parent_is_killed(tmp_path):
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from functools import partial\n"
        "import test_workers as t\n"
        "if __name__ == '__main__':\n"
        "    list(t.run_all(partial(t.executor, 'processes', 1), t.sleep_and_tell, [sys.argv[2]]))\n"
    )
    script = tmp_path / "campaign.py"
    script.write_text(code)
    told = tmp_path / "told"
    told.mkdir()
    parent = subprocess.Popen([sys.executable, str(script), str(Path(__file__).parent), str(told)])
    deadline = time.monotonic() + 60
    while not (found := list(told.iterdir())) and time.monotonic() < deadline:
        time.sleep(0.05)
    worker = int(found[0].name)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not alive(worker)


def test_bad_arguments_are_named(monkeypatch):
    with pytest.raises(InputError, match="allowed: serial, processes, dask"):
        executor("threads")
    with pytest.raises(InputError, match="only dask"):
        executor("serial", address="tcp://host:8786")
    for bad in (0, -1, 2.5, True, "many"):
        with pytest.raises(InputError, match="whole number"):
            worker_count(bad)
    assert 1 <= worker_count("auto") <= 16
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(AldesignError, match=r'pip install "aldesign\[dask\]"'):
        executor("dask", 2)
