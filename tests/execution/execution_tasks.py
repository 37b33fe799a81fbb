"""What workers are given to do in tests."""

from __future__ import annotations

import os
import time
from pathlib import Path

OFFSET = 0


def set_offset(value):
    global OFFSET
    OFFSET = value


def square(item):
    return item * item + OFFSET


def pid_of(_):
    return os.getpid()


def pid_after(seconds):
    time.sleep(seconds)
    return os.getpid()


def refuse(item):
    if item == 5:
        raise ValueError("five")
    return item


def die_on(fatal, folder, item):
    with (Path(folder) / f"{item}-{time.monotonic_ns()}").open("w"):
        pass
    if item in fatal:
        time.sleep(0.05)
        os._exit(13)
    return item * item


def told(folder, item):
    """Leave word of who works on what, and for how long it must last."""
    path = Path(folder) / f"{item}-{os.getpid()}"
    path.touch()
    while not (Path(folder) / "go").exists():
        time.sleep(0.02)
    return os.getpid()


def sleep_and_tell(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(60)


def threads(_):
    import numpy  # noqa: F401 - loads the BLAS that is asked about
    import torch
    from threadpoolctl import threadpool_info

    return os.environ["OMP_NUM_THREADS"], [pool["num_threads"] for pool in threadpool_info()], torch.get_num_threads()


def no_start(path):
    raise FileNotFoundError(path)
