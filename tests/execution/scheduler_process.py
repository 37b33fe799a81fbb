"""A Dask scheduler and workers in processes of their own, as on other machines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent


def waited_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


class Scheduler:
    """A scheduler in a process of its own, and workers that it is given one by one."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.processes = []
        self.scheduler = self.start("scheduler", "--port", "0", "--scheduler-file", str(self.file), "--no-dashboard")
        if not waited_for(self._told):
            self.end()
            raise AssertionError(f"the scheduler wrote no {self.file}")
        self.address = f"tcp://127.0.0.1:{self.port}"

    def _told(self):
        # the file is there a moment before its content
        try:
            return bool(self.port)
        except (FileNotFoundError, ValueError):
            return False

    @property
    def port(self):
        return json.loads(self.file.read_text())["address"].rsplit(":", 1)[1]

    def start(self, what, *options, path=""):
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [path, str(HERE), *sys.path]))}
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", "--host", "127.0.0.1", *options]
        with (self.folder / f"{what}{len(self.processes)}.log").open("w") as log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=self.folder)
        self.processes.append(process)
        return process

    def worker(self, path=""):
        return self.start("worker", "--nthreads", "1", "--no-nanny", "--no-dashboard", self.address, path=path)

    def end(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()
