"""Print what it costs to share work out: microseconds per item, bytes per item, and how much faster two workers are.

`toy` is a loop of Python of about ten milliseconds, `graph` the shipped ``stoichiometry_graph`` oracle on 2,000
formulas at a time, known to each worker before the clock starts. Both are timed with one worker and with two, for
worker processes and for a Dask cluster on this machine, which shares the processors with this process. Where other
programs run, too, the clock says little: `cpu` is the time of this process per item, and does not count them.

Run: python tests/benchmarks/bench_execution.py [--kinds processes dask] [--chunks 40] [--formulas 2000] [--toys 1000]
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import cloudpickle
import numpy as np

from aldesign.campaign.parts import OracleReference
from aldesign.chemistry.elements import SYMBOLS
from aldesign.chemistry.formula import canonical_many
from aldesign.datasets.builtin import builtin_crystals
from aldesign.execution import Workers, executor
from aldesign.records import Candidate

_oracle: Any = None


def nothing(item: int) -> int:
    """Return the item."""
    return item


def toy(turns: int) -> int:
    """Work on Python numbers."""
    total = 0
    for number in range(turns):
        total += number * number
    return total


def load() -> None:
    """Prepare a worker."""
    from aldesign.registry import load_oracle

    global _oracle
    _oracle = load_oracle("stoichiometry_graph")
    predict(["NaCl", "SrTiO3"])


def predict(formulas: Sequence[str]) -> float:
    """Return the mean gap of some formulas in eV."""
    answers = _oracle.predict([Candidate(formula) for formula in formulas])
    return float(np.mean([answer.value for answer in answers]))


def random_formulas(count: int) -> list[str]:
    """Return that many formulas of two to five elements."""
    rng = np.random.default_rng(0)
    rows = [rng.choice(np.arange(1, 84), rng.integers(2, 6), replace=False) for _ in range(count)]
    texts = ["".join(f"{SYMBOLS[z]}{rng.integers(1, 9)}" for z in row) for row in rows]
    return [text for text in canonical_many(texts) if isinstance(text, str)]


def seconds(workers: Workers, function: Callable[[Any], Any], items: Iterable[Any]) -> tuple[float, float]:
    """Return the time that the items take by the clock, and that of this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in workers.run(function, items):
        pass
    return time.perf_counter() - wall, time.process_time() - cpu


def bench(kind: Any, toys: int, chunks: list[list[str]]) -> None:
    """Print a line per number of workers, and how much faster two are than one."""
    turns = 100_000
    taken: dict[str, list[float]] = {"toy": [], "graph": []}
    for count in (1, 2):
        began = time.perf_counter()
        with Workers(partial(executor, kind, count, load)) as workers:
            seconds(workers, toy, [turns] * 40 * count)
            start = time.perf_counter() - began
            seconds(workers, nothing, range(2000))
            empty, cpu = seconds(workers, nothing, range(5000))
            taken["toy"].append(seconds(workers, toy, [turns] * toys)[0])
            wall, feeding = seconds(workers, predict, chunks)
            taken["graph"].append(wall)
        formulas = sum(map(len, chunks))
        print(
            f"{kind:10} {count} workers: ready after {start:.1f} s; {empty / 5000 * 1e6:.0f} us per empty item (cpu "
            f"{cpu / 5000 * 1e6:.0f}); toy {toys / taken['toy'][-1]:.0f} items/s; "
            f"graph {formulas / taken['graph'][-1]:.0f} formulas/s, "
            f"of which this process works {feeding / len(chunks) * 1e3:.1f} ms per {len(chunks[0])}",
            flush=True,
        )
    print(f"{kind:10} 2 against 1: " + ", ".join(f"{name} {one / two:.2f} x" for name, (one, two) in taken.items()))


def sizes() -> None:
    """Print how many bytes travel with an item; nothing else does after a worker's first."""
    crystal = next(iter(builtin_crystals().values()))
    reference = OracleReference("crystal_graph", None, "{}")
    oracle_call = (reference, Candidate("NaCl", crystal=crystal))
    for name, item in {
        "oracle call, formula": (reference, Candidate("NaCl")),
        f"oracle call, crystal of {len(crystal.species)} atoms": oracle_call,
        "2,000 formulas": random_formulas(2000),
    }.items():
        print(f"{name}: {len(cloudpickle.dumps(item))} bytes")


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", default=["processes", "dask"])
    parser.add_argument("--chunks", type=int, default=40)
    parser.add_argument("--formulas", type=int, default=2000)
    parser.add_argument("--toys", type=int, default=1000)
    options = parser.parse_args()
    formulas = random_formulas(options.chunks * options.formulas)
    chunks = [formulas[start : start + options.formulas] for start in range(0, len(formulas), options.formulas)]
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")
    sizes()
    for kind in options.kinds:
        bench(kind, options.toys, chunks)


if __name__ == "__main__":
    import bench_execution  # under its own name, so that workers have one copy of what is above

    bench_execution.main()
