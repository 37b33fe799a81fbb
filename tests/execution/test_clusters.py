"""Jobs of a queue as workers: what is submitted, and, with a stand-in for Slurm's commands, that work gets done."""

import os
import sys
from functools import partial
from pathlib import Path

import execution_tasks as tasks
import pytest

from aldesign.campaign.spec import read_spec, validate
from aldesign.campaign.spec.source import Source
from aldesign.errors import AldesignError, InputError, SpecError
from aldesign.execution import JobQueue, Workers, job_script

pytest.importorskip("dask_jobqueue")

EXAMPLE = """\
name: wide-gaps
target: {maximize: true}
stop: {iterations: 3}
execution:
  kind: dask
  cluster:
    kind: slurm
    queue: regular
    account: m1234
    cores: 32
    memory: 120GB
    walltime: 04:00:00
    minimum_jobs: 1
    maximum_jobs: 10
    interface: ib0
    job_script_prologue: [module load python, source ~/aldesign/bin/activate]
    job_extra_directives: [--constraint=cpu]
    worker_extra_args: [--lifetime, 3h50m, --lifetime-stagger, 5m]
"""


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def spec(execution, text="name: a\ntarget: {maximize: true}\nstop: {iterations: 1}\n"):
    return validate(Source(f"{text}execution: {execution}\n", "a.yaml"))


def test_the_example_asks_slurm_for_what_it_says(tmp_path):
    path = tmp_path / "example.yaml"
    path.write_text(EXAMPLE)
    read = read_spec(path)
    script = job_script(read.execution.cluster.job_queue())
    lines = script.splitlines()
    for line in (
        "#!/usr/bin/env bash",
        "#SBATCH -p regular",
        "#SBATCH -A m1234",
        "#SBATCH -n 1",
        "#SBATCH --cpus-per-task=32",
        "#SBATCH --mem=112G",  # 120e9 bytes, in Slurm's GiB, rounded up
        "#SBATCH -t 04:00:00",
        "#SBATCH --constraint=cpu",
        "module load python",
        "export OMP_NUM_THREADS=1",
    ):
        assert line in lines
    assert lines.index("source ~/aldesign/bin/activate") < lines.index("export OMP_NUM_THREADS=1") < len(lines) - 1
    command = lines[-1]
    assert command.startswith(f"{sys.executable} -m distributed.cli.dask_worker tcp://SCHEDULER:8786 ")
    for option in ("--nthreads 1", "--nworkers 32", "--interface ib0", "--lifetime 3h50m", "--nanny"):
        assert option in command
    assert read.execution.describe() == "dask: 1 to 10 slurm jobs of 32 workers"
    assert list(tmp_path.iterdir()) == [path]


def test_a_check_shows_the_job_script_and_submits_nothing(tmp_path, monkeypatch):
    from aldesign.campaign.checking import check_campaign

    monkeypatch.setenv("PATH", str(tmp_path))
    path = tmp_path / "example.yaml"
    path.write_text(EXAMPLE)
    facts = check_campaign(read_spec(path))
    assert facts["execution"] == "dask: 1 to 10 slurm jobs of 32 workers"
    assert "#SBATCH -A m1234" in facts["job_script"].splitlines()


def test_the_digest_of_a_campaign_is_the_same_wherever_it_runs(tmp_path):
    path = tmp_path / "example.yaml"
    path.write_text(EXAMPLE)
    cluster = read_spec(path)
    path.write_text(EXAMPLE.split("execution:")[0])
    assert read_spec(path).digest() == cluster.digest()
    path.write_text(cluster.to_yaml())
    assert read_spec(path) == cluster


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("{kind: pbs, account: p, resource_spec: 'select=1:ncpus=4'}", ["#PBS -A p", "#PBS -l select=1:ncpus=4"]),
        ("{kind: sge, project: p}", ["#$ -P p", "#$ -l h_rt=00:30:00"]),
        ("{kind: lsf, project: p, walltime: '01:00'}", ['#BSUB -P "p"', "#BSUB -n 4", "#BSUB -W 01:00"]),
    ],
)
def test_other_queues(kind, expected):
    read = spec(f"{{kind: dask, cluster: {kind[:-1]}, cores: 4, memory: 8GB, processes: 2}}}}")
    script = job_script(read.execution.cluster.job_queue())
    for line in expected:
        assert line in script.splitlines()
    # two processes of two cores, and yet one thing at a time for each
    assert script.rstrip().split("--nthreads")[-1].startswith(" 1")


def test_a_walltime_without_quotes_is_read_as_it_is_meant():
    # YAML 1.1 takes 12:00:00 for a number of base 60
    read = spec("{kind: dask, cluster: {cores: 1, memory: 1GB, walltime: 12:00:00}}")
    assert read.execution.cluster.walltime == "12:00:00"


@pytest.mark.parametrize(
    ("execution", "message"),
    [
        ("{cluster: {cores: 1, memory: 1GB}}", "cluster is for kind: dask, and kind is serial"),
        ("{kind: processes, address: 'tcp://a:1'}", "address is for kind: dask, and kind is processes"),
        ("{kind: dask, address: 'tcp://a:1', cluster: {cores: 1, memory: 1GB}}", "not both"),
        ("{kind: dask, workers: 4, cluster: {cores: 1, memory: 1GB}}", r"leave workers out; .*cluster\.maximum_jobs"),
        ("{kind: dask, workers: 4, address: 'tcp://a:1'}", "leave workers out"),
        ("{kind: dask, cluster: {kind: slurm, memory: 1GB}}", r"execution\.cluster\.cores"),
        ("{kind: dask, cluster: {cores: 1, memory: 12}}", "memory"),
        ("{kind: dask, cluster: {cores: 1, memory: lots}}", "a number and a unit, such as 64GB, not 'lots'"),
        ("{kind: dask, cluster: {cores: 1, memory: 1GB, project: p}}", "project is for sge and lsf, and kind is slurm"),
        ("{kind: dask, cluster: {cores: 1, memory: 1GB, processes: 2}}", "2 processes need as many cores"),
        ("{kind: dask, cluster: {cores: 1, memory: 1GB, minimum_jobs: 2}}", "minimum_jobs 2 is above maximum_jobs 1"),
        ("{kind: dask, cluster: {cores: 1, memory: 1GB, wall_time: x}}", "walltime"),
    ],
)
def test_faults_of_the_section_are_named(execution, message):
    with pytest.raises(SpecError, match=message):
        spec(execution)


QUEUE = JobQueue("slurm", 1, 1, {"cores": 2, "processes": 2, "memory": "2GB", "interface": "lo"})


def commands(folder, **scripts):
    folder.mkdir()
    for name, body in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    return str(folder)


def test_jobs_do_the_work_and_are_cancelled_at_the_end(tmp_path, monkeypatch):
    submitted, cancelled = tmp_path / "submitted.sh", tmp_path / "cancelled"
    path = commands(
        tmp_path / "bin",
        sbatch=f'cp "$1" {submitted}\nsetsid sh {submitted} >{tmp_path}/log 2>&1 &\necho "Submitted batch job $!"',
        scancel=f'echo "$1" >>{cancelled}\nkill -TERM -- "-$1"',
    )
    monkeypatch.setenv("PATH", f"{path}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(Path(__file__).parent), *sys.path])))
    from aldesign.execution import executor

    with Workers(partial(executor, "dask", initializer=tasks.set_offset, initargs=(1,), cluster=QUEUE)) as workers:
        assert dict(workers.run(tasks.square, range(50))) == {i: i * i + 1 for i in range(50)}
        pids = {pid for _, pid in workers.run(tasks.pid_after, [0.2] * 8)}
    assert 1 <= len(pids) <= 2
    assert os.getpid() not in pids
    assert "--nworkers 2" in submitted.read_text()
    assert cancelled.read_text().split()


def test_a_machine_that_cannot_submit_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    from aldesign.execution import executor

    with pytest.raises(AldesignError, match="submits jobs by 'sbatch', and this machine has no such command"):
        executor("dask", cluster=QUEUE)


def test_a_queue_that_refuses_is_quoted(tmp_path, monkeypatch):
    refuse = 'echo "sbatch: error: invalid partition specified: regular" >&2\nexit 1'
    monkeypatch.setenv("PATH", f"{commands(tmp_path / 'bin', sbatch=refuse, scancel='')}:{os.environ['PATH']}")
    from aldesign.execution import executor

    with (
        Workers(partial(executor, "dask", cluster=QUEUE)) as workers,
        pytest.raises(AldesignError, match="the queue refuses the jobs: sbatch: error: invalid partition"),
    ):
        list(workers.run(tasks.square, range(4)))


def test_an_option_that_dask_jobqueue_refuses_is_a_fault_of_the_input():
    with pytest.raises(InputError, match=r"execution\.cluster: .*nonsense"):
        job_script(JobQueue("slurm", 1, 1, {**QUEUE.options, "nonsense": 1}))
