"""What can be seen of a calculation from outside: its memory, its iterations, its last words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_GIB = 2**30
_TAIL_BYTES = 65_536
# How GPAW, Quantum ESPRESSO and VASP number their iterations in what they write as they go
_ITERATION = re.compile(rb"^(?:iter:\s*|\s+iteration #\s*|(?:DAV|RMM|CG[A-Z]?):\s*)(\d+)", re.MULTILINE)


def usual_memory_gib(workers: int = 1) -> float:
    """Return what each of so many calculations at once may use, GiB: together four fifths of the machine's memory."""
    import psutil

    total = int(psutil.virtual_memory().total)
    with suppress(OSError, ValueError):  # a container may have less
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    return 0.8 * total / _GIB / workers


def resident_gib(process: int) -> float:
    """Return the resident memory of a process and its descendants, GiB; 0 when they are gone."""
    import psutil

    total = 0
    try:
        parent = psutil.Process(process)
        family = [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return 0.0
    for member in family:
        try:
            total += member.memory_info().rss
        except psutil.Error:
            continue
    return total / _GIB


def oom_kills() -> int:
    """Return how many processes the system has ended for want of memory; 0 where it does not tell."""
    try:
        lines = Path("/proc/vmstat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def iterations_done(scratch: Path) -> int:
    """Return the highest number of an iteration in what a code has written so far; 0 before the first."""
    return max((n for path in _written(scratch) for n in _iterations(path)), default=0)


def _written(scratch: Path) -> Iterator[Path]:
    for path in scratch.rglob("*"):
        if path.is_file() and (path.suffix in {".txt", ".out", ".pwo"} or path.name in {"OSZICAR", "log"}):
            yield path


def _iterations(path: Path) -> Iterator[int]:
    found = _ITERATION.findall(_tail(path))
    if found:
        yield int(found[-1])


def last_line(path: Path) -> str:
    """Return the last line of a file that is not empty; an empty text where there is none."""
    lines = _tail(path).decode("utf-8", "replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _tail(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            stream.seek(max(path.stat().st_size - _TAIL_BYTES, 0))
            return stream.read()
    except OSError:
        return b""
