"""Time surveys and screening of many formulas, and measure the memory of all processes together.

    python tests/benchmarks/bench_survey.py survey --input FILE --workers 2 1 [--execution dask] [-- OPTIONS]
    python tests/benchmarks/bench_survey.py screen --input FILE [-- OPTIONS]

Each number of workers is a survey of its own, in an empty folder; what they found is compared. What follows ``--`` goes
to the command. Memory is the sum of the proportional sets (PSS) of the command and all its children, read twice a
second where the system tells it (Linux), else the sum of their resident sets, which counts shared pages again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import psutil


def memory(process: psutil.Process) -> tuple[int, int]:
    """Return the bytes of a process and its children: shared pages counted once (0 if unknown), and resident."""
    proportional = resident = 0
    for one in (process, *process.children(recursive=True)):
        try:
            resident += one.memory_info().rss
            proportional += getattr(one.memory_full_info(), "pss", 0)
        except psutil.Error:
            continue  # it has just ended
    return proportional, resident


def measured(command: Sequence[str]) -> tuple[float, float, float, float]:
    """Run a command; return its wall and processor time in s, and the peaks of `memory` in GiB."""
    before, started = psutil.Process().cpu_times(), time.monotonic()
    running = subprocess.Popen(command)
    peaks = [0, 0]
    while running.poll() is None:
        try:
            peaks = [max(pair) for pair in zip(peaks, memory(psutil.Process(running.pid)), strict=True)]
        except psutil.Error:
            break
        time.sleep(0.5)
    if running.wait():
        raise SystemExit(f"{' '.join(command)} ended with {running.returncode}")
    after = psutil.Process().cpu_times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - started, spent, peaks[0] / 2**30, peaks[1] / 2**30


def bench_survey(source: Path, execution: str, counts: Sequence[int], rest: Sequence[str], folder: Path) -> None:
    walls: dict[int, float] = {}
    tables: dict[int, bytes] = {}
    for count in counts:
        out = folder / f"workers{count}"
        command = [sys.executable, "-m", "aldesign", "survey", "--input", str(source), "--out", str(out)]
        command += ["--execution", execution, "--workers", str(count), *rest]
        wall, spent, shared, resident = measured(command)
        facts = json.loads((out / "summary.json").read_text())
        walls[count], tables[count] = wall, (out / "ranked.csv").read_bytes()
        print(
            f"{count} workers ({execution}): {wall:.0f} s = {wall / 60:.1f} min wall with start and end, "
            f"{facts['seconds']:.0f} s of work, {spent:.0f} s processor time; peak memory of all processes "
            f"{shared:.2f} GiB (resident sets added up: {resident:.2f} GiB)"
        )
        print(json.dumps(facts, indent=1))
    if len(counts) > 1:
        slow, fast = max(walls.values()), min(walls.values())
        print(
            f"wall time {slow:.0f} s / {fast:.0f} s = {slow / fast:.2f}; equal tables: {len(set(tables.values())) == 1}"
        )


def bench_screen(source: Path, rest: Sequence[str], folder: Path) -> None:
    out = folder / "screened.csv"
    command = [sys.executable, "-m", "aldesign", "screen", "--input", str(source), "--output", str(out), *rest]
    wall, spent, shared, resident = measured(command)
    with out.open() as stream:
        rows = sum(1 for _ in stream) - 1
    print(
        f"screen: {rows} rows out, {wall:.0f} s wall, {spent:.0f} s processor time; peak memory {shared:.2f} GiB "
        f"(resident {resident:.2f} GiB)"
    )


def main() -> None:
    given = sys.argv[1:]
    cut = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("survey", "screen"))
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 1])
    parser.add_argument("--execution", default="dask")
    parser.add_argument("--out", type=Path, help="folder to keep the results in; default a temporary one")
    options = parser.parse_args(given[:cut])
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.out or Path(temporary)
        if options.what == "survey":
            bench_survey(options.input, options.execution, options.workers, given[cut + 1 :], folder)
        else:
            bench_screen(options.input, given[cut + 1 :], folder)


if __name__ == "__main__":
    main()
