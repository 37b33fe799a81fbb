"""The child process that computes one crystal: ``python -m aldesign.dft.worker FOLDER PIPE PARENT KEEP``."""

from __future__ import annotations

import ctypes
import errno
import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

JOB = "job.json"
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of a disk, a quota or a size limit that is used up."""
_PR_SET_PDEATHSIG = 1
_GIB = 2**30


def main(folder: Path, pipe: int, parent: int, keep: bool) -> int:
    """Compute what `folder` asks for and write the answer, one JSON object, to the file descriptor `pipe`.

    A guard stays beside this process: when this one ends, however it ends, the guard kills what it has left running;
    if the process that asked is gone as well, it removes the folder unless `keep`.
    """
    _die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:  # it had ended before the line above
        _clear(folder, keep)
        return 1
    _stand_guard(folder, pipe, parent, keep)
    _be_the_first_to_go()
    try:
        job = json.loads((folder / JOB).read_text(encoding="utf-8"))
        _bound_memory(job["memory_gib"])
        content = json.dumps({"result": _compute(job, folder)}, allow_nan=False).encode()
    except BaseException as error:  # whatever it is, the parent must hear of it
        content = json.dumps({"error": describe(error)}).encode()
    while content:
        content = content[os.write(pipe, content) :]
    return 0


def describe(error: BaseException) -> dict[str, str]:
    """Return the kind, message and hint of an error, as of `CalculationError`."""
    from aldesign.errors import AldesignError, CalculationError, StructureError

    chain = list(_causes(error))
    for cause in chain:
        if isinstance(cause, CalculationError):
            return {"kind": cause.kind, "message": cause.message, "hint": cause.hint}
        if isinstance(cause, OSError) and cause.errno in FULL:
            where = f" while writing {Path(cause.filename).name}" if isinstance(cause.filename, str) else ""
            return {"kind": "disk", "message": f"{cause.strerror}{where}", "hint": ""}
        if isinstance(cause, MemoryError):
            return {"kind": "memory", "message": str(cause), "hint": ""}
    if isinstance(error, StructureError):
        return {"kind": "structure", "message": error.message, "hint": error.hint}
    if isinstance(error, AldesignError):
        return {"kind": "crash", "message": error.message, "hint": error.hint}
    traceback.print_exception(error)
    message = traceback.format_exception_only(error)[-1].strip()
    if frames := traceback.extract_tb(error.__traceback__):
        message += f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"
    return {"kind": "crash", "message": message, "hint": ""}


def _causes(error: BaseException | None) -> Any:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _compute(job: dict[str, Any], folder: Path) -> dict[str, Any]:
    from aldesign.dft.codes import code
    from aldesign.dft.results import crystal_from_json
    from aldesign.dft.settings import Settings

    settings, crystal = Settings.from_json(job["settings"]), crystal_from_json(job["crystal"])
    return code(settings.code).run(crystal, settings, folder).to_json()


def _die_with_parent(sign: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(sign), 0, 0, 0)


def _stand_guard(folder: Path, pipe: int, parent: int, keep: bool) -> None:
    """Leave a process beside this one that clears up after it."""
    worker = os.getpid()
    if os.fork():
        return

    def clear(*_: object) -> NoReturn:
        with suppress(ProcessLookupError):
            os.killpg(worker, signal.SIGKILL)
        if not _alive(parent):
            _clear(folder, keep)
        os._exit(0)

    os.setpgid(0, 0)
    os.close(pipe)
    signal.signal(signal.SIGTERM, clear)
    _die_with_parent(signal.SIGTERM)
    while os.getppid() == worker:
        time.sleep(1.0)
    clear()


def _clear(folder: Path, keep: bool) -> None:
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)


def _alive(process: int) -> bool:
    import psutil

    try:  # one that was killed and not yet reaped is dead, too
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True


def _be_the_first_to_go() -> None:
    """Let the system, when it is out of memory, end this process and not the campaign that asked."""
    with suppress(OSError):  # not Linux, or not allowed
        Path("/proc/self/oom_score_adj").write_text("900", encoding="ascii")


def _bound_memory(memory_gib: float | None) -> None:
    """Refuse a single huge array at once; the parent's watch over the resident memory is what decides.

    Address space asked for is far more than memory used, hence twice the limit and some for the libraries.
    """
    if memory_gib is not None and sys.platform == "linux":
        most = int((2.0 * memory_gib + 2.0) * _GIB)
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


if __name__ == "__main__":
    where, descriptor, asker, kept = sys.argv[1:]
    sys.exit(main(Path(where), int(descriptor), int(asker), kept == "keep"))
