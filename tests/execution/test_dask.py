"""Two workers of a Dask cluster on this machine: the answers of one process, whoever dies."""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import execution_tasks as tasks
import pytest

from aldesign.errors import OracleError
from aldesign.execution import LostWorker, Workers, executor

pytest.importorskip("distributed")
HERE = Path(__file__).parent


def environment():
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@pytest.fixture(scope="module")
def local():
    before = environment()
    with Workers(partial(executor, "dask", 2, tasks.set_offset, (1,))) as workers:
        yield workers
    assert environment() == before


def waited_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


def test_a_cluster_gives_each_of_many_items_its_answer_however_many_travel_together(local):
    items = range(3000)
    assert sorted(local.run(tasks.square, iter(items))) == [(i, i * i + 1) for i in items]
    assert local._pool.together > 1


def test_items_are_taken_only_as_they_are_needed(local):
    taken = []
    run = local.run(tasks.square, (taken.append(i) or i for i in range(10**9)))
    next(run)
    window = local._pool.window
    assert len(taken) <= 2 * window
    run.close()


def test_a_worker_killed_with_work_in_hand_loses_nothing(local, tmp_path):
    run = local.run(partial(tasks.told, tmp_path), range(6))
    killed = []

    def kill_one():
        for path in tmp_path.iterdir():
            if not killed and "-" in path.name:
                killed.append(int(path.name.split("-")[1]))
                os.kill(killed[0], signal.SIGKILL)
                (tmp_path / "go").touch()
        return killed

    thread = threading.Thread(target=waited_for, args=(kill_one,))
    thread.start()
    got = dict(run)
    thread.join()
    assert sorted(got) == list(range(6))
    assert killed
    assert killed[0] not in got.values()


def test_only_the_item_that_kills_its_workers_is_given_up(local, tmp_path):
    got = dict(local.run(partial(tasks.die_on, {3}, tmp_path), range(12)))
    lost = got.pop(3)
    assert isinstance(lost, LostWorker)
    assert lost.attempts >= 3
    assert f"died each of the {lost.attempts} times" in lost.reason
    assert got == {i: i * i for i in range(12) if i != 3}
    assert len(list(tmp_path.glob("3-*"))) == lost.attempts


def test_workers_have_one_thread(local):
    ((_, (variable, pools, torch)),) = local.run(tasks.threads, [0])
    assert (variable, torch) == ("1", 1)
    assert set(pools) == {1}


def test_an_exception_ends_the_run_and_the_cluster_can_be_used_again(local):
    with pytest.raises(ValueError, match="five"):
        list(local.run(tasks.refuse, range(8)))
    assert dict(local.run(tasks.refuse, [1, 2])) == {0: 1, 1: 2}


def test_a_failing_initializer_is_named_with_its_machine():
    with (
        Workers(partial(executor, "dask", 1, tasks.no_start, ("weights",))) as workers,
        pytest.raises(OracleError, match=r"could not start: FileNotFoundError: weights \[on "),
    ):
        list(workers.run(tasks.square, [1]))


SCRIPT = """
import sys
from functools import partial
sys.path.insert(0, sys.argv[1])
import execution_tasks as tasks
from aldesign.execution import Workers, executor

if __name__ == "__main__":
    with Workers(partial(executor, "dask", 2)) as workers:
        {body}
"""


def started(tmp_path, body, *more):
    script = tmp_path / "campaign.py"
    script.write_text(SCRIPT.format(body=body))
    command = [sys.executable, "-W", "error", str(script), str(HERE), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)


def members(session):
    """Return the processes of a session that are alive."""
    alive = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] != "Z":
            alive.append(int(stat.parent.name))
    return alive


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")
def test_ctrl_c_leaves_no_processes_and_no_noise(tmp_path):
    told = tmp_path / "told"
    told.mkdir()
    parent = started(tmp_path, "list(workers.run(tasks.sleep_and_tell, [sys.argv[2]] * 2))", str(told))
    assert waited_for(lambda: len(list(told.iterdir())) == 2)
    os.killpg(parent.pid, signal.SIGINT)
    _, stderr = parent.communicate(timeout=60)
    assert waited_for(lambda: not members(parent.pid), 10)
    assert stderr.count("Traceback") == 1
    assert stderr.rstrip().endswith("KeyboardInterrupt")
    assert "distributed" not in stderr


def test_dask_says_nothing_of_its_own_about_dying_workers(tmp_path):
    told = tmp_path / "told"
    told.mkdir()
    body = "print(*sorted(workers.run(partial(tasks.die_on, {3}, sys.argv[2]), range(6))), file=sys.stdout)"
    parent = started(tmp_path, body, str(told))
    stdout, stderr = parent.communicate(timeout=100)
    assert "LostWorker" in stdout
    assert stderr == ""
