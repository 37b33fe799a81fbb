"""Print how many formulas per second our composition features and matminer's take, each in a process of one thread.

Both begin from parsed compositions; the last line adds the parsing of the text. The formulas are those of mp/ in the
folder that ALDESIGN_DATA names (default ../shared/data), or random ones where it is absent. Matminer gets formulas of
at most 20 atoms: its search for oxidation states takes minutes on some larger ones. Ours get all sizes.

Run: python tests/benchmarks/bench_features.py [number of formulas for ours] [number for matminer]
"""

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from aldesign.chemistry.elements import SYMBOLS
from aldesign.chemistry.formula import compositions

SETS = ("Magpie statistics (132)", "shipped descriptor (145)", "whole matminer set (149)", "  with parsing the text")
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def formulas(count: int, most_atoms: float = np.inf) -> list[str]:
    """Return so many different formulas, real ones where there are any."""
    rng = np.random.default_rng(0)
    data = Path(os.environ.get("ALDESIGN_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
    if (data / "mp" / "formulas.txt").exists():
        known = (data / "mp" / "formulas.txt").read_text(encoding="utf-8").split()
    else:
        known = []
        for _ in range(4 * count):
            picked = rng.choice(np.arange(1, 84), rng.integers(2, 6), replace=False)
            known.append("".join(f"{SYMBOLS[z]}{a}" for z, a in zip(picked, rng.integers(1, 9, 5), strict=False)))
    small = np.flatnonzero(compositions(known).n_atoms() <= most_atoms)
    return [known[i] for i in rng.permutation(small)[:count]]


def seconds(work: Callable[[], object], runs: int) -> float:
    """Return the CPU time of the shortest of some runs: other programs on the machine do not count."""
    spent = []
    for _ in range(runs):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return min(spent)


def ours(texts: Sequence[str]) -> list[float | None]:
    """Return formulas per second of each of `SETS`."""
    from oracles.features.magpie import descriptor, magpie
    from oracles.features.matminer_set import matminer_features

    parsed = compositions(texts)
    works: list[Callable[[], object]] = [
        lambda: magpie(parsed),
        lambda: descriptor(parsed),
        lambda: matminer_features(parsed),
        lambda: matminer_features(compositions(texts)),
    ]
    return [len(texts) / seconds(work, 3) for work in works]


def matminers(texts: Sequence[str]) -> list[float | None]:
    """Return formulas per second of each of `SETS`."""
    warnings.simplefilter("ignore")
    from matminer.featurizers.composition import ElementProperty, IonProperty, Stoichiometry, ValenceOrbital
    from pymatgen.core import Composition

    magpie = ElementProperty.from_preset("magpie")
    parts = [magpie, Stoichiometry(), ValenceOrbital(), IonProperty()]
    parsed = [Composition(text) for text in texts]
    for part in parts:  # reads its tables
        part.featurize(parsed[0])
    works: list[Callable[[], object] | None] = [
        lambda: [magpie.featurize(c) for c in parsed],
        None,
        lambda: [[part.featurize(c) for part in parts] for c in parsed],
        lambda: [[part.featurize(c) for part in parts] for c in map(Composition, texts)],
    ]
    return [len(texts) / seconds(work, 1) if work else None for work in works]


def main(count: int, few: int) -> None:
    """Run both sides one after the other, each in its own process, and print them side by side."""
    rates = []
    for side, number in (("matminer", few), ("ours", count)):
        command = [sys.executable, __file__, side, str(number)]
        found = subprocess.run(command, env={**os.environ, **THREADS}, check=True, capture_output=True, text=True)
        rates.append(json.loads(found.stdout))
    print(f"{'formulas per second':28}{f'matminer, {few}':>16}{f'ours, {count}':>16}{'ratio':>10}")
    for name, slow, fast in zip(SETS, *rates, strict=True):
        beside = f"{slow:16,.0f}{fast:16,.0f}{fast / slow:10,.0f}" if slow else f"{'':16}{fast:16,.0f}"
        print(f"{name:28}{beside}")


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments and arguments[0] in ("ours", "matminer"):
        side, number = arguments[0], int(arguments[1])
        texts = formulas(number) if side == "ours" else formulas(number, 20)
        print(json.dumps(ours(texts) if side == "ours" else matminers(texts)))
    else:
        main(*(int(given) for given in (arguments + ["50000", "300"][len(arguments) :])[:2]))
