"""One calculation in a process of its own, within limits of time and memory; each way to fail has its reason."""

from __future__ import annotations

import errno
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any, NoReturn

from aldesign.dft.results import Result, crystal_to_json
from aldesign.dft.settings import Settings
from aldesign.dft.watching import iterations_done, last_line, oom_kills, resident_gib
from aldesign.dft.worker import FULL, JOB
from aldesign.errors import CalculationError, InputError
from aldesign.records import Crystal

LOG = "log.txt"
HOUR = 3600.0
_LOOK_SECONDS = 0.1  # how often time and memory are looked at
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_HINTS = {
    "time": "give more time, a faster preset, or a smaller cell",
    "memory": "give more memory, a faster preset, or a smaller cell",
    "disk": "make room in the scratch folder (the environment variable TMPDIR, or --out) and ask again",
    "killed": "is there memory for it beside the other processes? A limit (memory) tells before the system does",
}


@dataclass(frozen=True)
class Limits:
    """What one calculation may cost.

    Attributes:
        seconds: Wall time; None is no limit.
        memory_gib: Resident memory of all its processes together, GiB; None is no limit.

    Raises:
        InputError: A limit is not above 0.

    """

    seconds: float | None = HOUR
    memory_gib: float | None = None

    def __post_init__(self) -> None:
        for name, unit in (("seconds", "s"), ("memory_gib", "GiB")):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and value > 0):
                raise InputError(f"the limit {name} is {value!r} {unit}", "give a number above 0, or none")


def run_job(
    crystal: Crystal,
    settings: Settings,
    limits: Limits | None = None,
    folder: Path | None = None,
    keep_failed: bool = False,
    stop: Event | None = None,
) -> Result:
    """Compute one crystal in a child process, on one core.

    The child and all that it starts are killed when a limit is passed, when this process is interrupted, and by the
    system when this process dies.

    Args:
        crystal: What is to be computed.
        settings: With what.
        limits: What it may cost; an hour where None.
        folder: Where a scratch folder is made; the system's folder for temporary files where None.
        keep_failed: Whether the scratch folder of a failure is left for people to look at; else it is removed.
        stop: Once it is set, the calculation is killed: for threads, which no signal reaches.

    Raises:
        CalculationError: There is no result; its `kind` and text say why.

    """
    limits = limits or Limits()
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix="aldesign-dft-", dir=folder)).absolute()  # the child works elsewhere
    except OSError as error:
        raise _no_place(error, folder or Path(tempfile.gettempdir())) from error
    done = False
    try:
        result = _Job(crystal, settings, limits, scratch, keep_failed).answer(stop)
        done = True
        return result
    except OSError as error:
        raise _no_place(error, scratch) from error
    finally:
        if done or not keep_failed:
            shutil.rmtree(scratch, ignore_errors=True)


class _Job:
    """A child process and what is known of it."""

    def __init__(self, crystal: Crystal, settings: Settings, limits: Limits, scratch: Path, keep: bool) -> None:
        self._limits, self._scratch = limits, scratch
        self._iterations = settings.max_iterations
        self._peak_gib = 0.0
        job = {
            "crystal": crystal_to_json(crystal),
            "settings": settings.to_json(),
            "memory_gib": limits.memory_gib,
        }
        (scratch / JOB).write_text(json.dumps(job), encoding="utf-8")
        self._oom_kills = oom_kills()
        self._begun = time.monotonic()
        self._pipe, theirs = os.pipe()
        try:
            with (scratch / LOG).open("wb") as log:
                self._child = subprocess.Popen(  # noqa: S603 (our own module)
                    [
                        *(sys.executable, "-m", "aldesign.dft.worker"),
                        *(str(scratch), str(theirs), str(os.getpid()), "keep" if keep else "remove"),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=scratch,
                    env=_environment(scratch),
                    start_new_session=True,
                    pass_fds=(theirs,),
                )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(theirs)

    def answer(self, stop: Event | None = None) -> Result:
        """Wait for the result; raise CalculationError where there is none."""
        content = bytearray()
        try:
            while not self._ended():
                if select.select([self._pipe], [], [], _LOOK_SECONDS)[0]:
                    part = os.read(self._pipe, 1 << 20)
                    content += part
                    if not part:  # the end: nothing more will come, and looking would not pause
                        time.sleep(_LOOK_SECONDS / 10)
                if stop is not None and stop.is_set():
                    self._fail("killed", f"interrupted: {self._how_far()}", "ask again")
                self._look()
            while part := os.read(self._pipe, 1 << 20):
                content += part
        finally:
            self._kill()
            os.close(self._pipe)
        return self._read(bytes(content))

    def _look(self) -> None:
        """Raise CalculationError where a limit is passed."""
        seconds = time.monotonic() - self._begun
        if self._limits.seconds is not None and seconds > self._limits.seconds:
            self._fail("time", f"not finished within {_duration(self._limits.seconds)}: {self._how_far()}")
        used = resident_gib(self._child.pid)
        self._peak_gib = max(self._peak_gib, used)
        most = self._limits.memory_gib
        if most is not None and used > most:
            self._fail("memory", f"{used:.3g} GiB of memory in use, {most:g} GiB allowed: {self._how_far()}")

    def _read(self, content: bytes) -> Result:
        code = self._child.returncode
        try:
            answer: dict[str, Any] = json.loads(content)
        except ValueError:
            self._explain_end(code)
        if "error" in answer:
            self._pass_on(answer["error"])
        return Result.from_json(answer["result"])

    def _pass_on(self, error: dict[str, str]) -> NoReturn:
        kind, message, hint = (error[key] for key in ("kind", "message", "hint"))
        if kind == "memory":
            message = f"not enough memory: {message or 'an array could not be made'}"
        if kind == "disk":
            message = f"the disk is full: {message} in {self._scratch.parent}"
        if kind == "convergence" and not re.search(r"\d", message):
            message = f"{message}: {self._how_far()}"
        self._fail(kind, message, hint)

    def _explain_end(self, code: int) -> NoReturn:
        """Say why the child ended without a word."""
        if code == -signal.SIGKILL:
            reclaimed = oom_kills() > self._oom_kills
            who = "by the system, which was out of memory" if reclaimed else "by someone or by the system"
            self._fail("killed", f"killed {who} at {self._peak_gib:.2f} GiB: {self._how_far()}")
        if code < 0 and -code in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            self._fail("killed", f"ended by {signal.Signals(-code).name}: {self._how_far()}")
        last = last_line(self._scratch / LOG)
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        self._fail("crash", f"the calculation broke off {how}: {last or 'it left no word'}")

    def _fail(self, kind: str, message: str, hint: str = "") -> NoReturn:
        raise CalculationError(kind, message, hint or _HINTS.get(kind, ""))

    def _how_far(self) -> str:
        done = iterations_done(self._scratch)
        if not done:
            return "no iteration was finished"
        return f"{done} of at most {self._iterations} iterations were done"

    def _ended(self) -> bool:
        """Return whether the child has ended; it is not yet reaped, so that its number stays its own."""
        return os.waitid(os.P_PID, self._child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait()


def _environment(scratch: Path) -> dict[str, str]:
    threads = dict.fromkeys(_THREADS, "1")
    return {**os.environ, **threads, "PYTHONFAULTHANDLER": "1", "PYTHONSAFEPATH": "1", "TMPDIR": str(scratch)}


def _duration(seconds: float) -> str:
    return (
        f"{seconds:g} s"
        if seconds < 120
        else f"{seconds / 60:.3g} min"
        if seconds < 7200
        else f"{seconds / 3600:.3g} h"
    )


def _no_place(error: OSError, place: Path) -> CalculationError:
    if error.errno in FULL:
        return CalculationError("disk", f"the disk is full: {place}: {error.strerror}", _HINTS["disk"])
    if error.errno in (errno.ENOMEM, errno.EAGAIN):
        return CalculationError("memory", f"no process could be started: {error.strerror}", _HINTS["memory"])
    return CalculationError("disk", f"{place} cannot be used: {error.strerror}", "choose a place that may be written")
