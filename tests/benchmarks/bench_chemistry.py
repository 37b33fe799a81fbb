"""Time the chemistry floor beside pymatgen, SMACT and ElMD, and compare the answers: one run, one table.

    python tests/benchmarks/bench_chemistry.py [--formulas FILE] [-n 10000] [--only screening]

FILE holds one formula a line; without it, formulas are drawn at random. Figures are formulas (or pairs) a second of
processor time on one thread; peers are timed on fewer rows where they are slow. ``--only screening`` judges n formulas,
half of them drawn from FILE and half at random (2 to 7 elements, H to Lr, 1 to 20 atoms of each), by SMACT and here,
and says on how many the verdicts agree.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import types
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.chemistry import distance, neutrality, onehot, sketch
from aldesign.chemistry.elements import SYMBOLS
from aldesign.chemistry.formula import canonical_many, compositions, parse_many


def timed(work: Callable[[], Any], repeats: int = 3) -> tuple[float, Any]:
    best, answer = float("inf"), None
    for _ in range(repeats):
        start = time.process_time()
        answer = work()
        best = min(best, time.process_time() - start)
    return best, answer


def row(what: str, ours: float, peer: str, theirs: float | None, agreement: str = "") -> None:
    beside = f"{theirs:12,.0f} {ours / theirs:9,.0f}x" if theirs else f"{'':12} {'':10}"
    print(f"{what:42} {ours:14,.0f}   {peer:24} {beside}   {agreement}")


def drawn(n: int, seed: int, least: int = 1) -> list[str]:
    rng = random.Random(seed)
    chosen = [rng.sample(SYMBOLS[1:104], rng.randint(least, 7)) for _ in range(n)]
    return ["".join(f"{symbol}{rng.randint(1, 20)}" for symbol in symbols) for symbols in chosen]


def bench_formulas(texts: list[str]) -> None:
    from pymatgen.core import Composition

    seconds, parsed = timed(lambda: compositions(texts))
    row("parse", len(texts) / seconds, "", None)
    seconds, ours = timed(lambda: canonical_many(texts))
    few = texts[:10_000]
    theirs, expected = timed(lambda: [Composition(text).reduced_formula for text in few], 1)
    same = sum(a == b for a, b in zip(ours, expected, strict=False))
    row("parse and spell", len(texts) / seconds, "pymatgen", len(few) / theirs, f"{same}/{len(few)} equal")
    fits = np.flatnonzero([reason is None for reason in onehot.refusals(parsed)])
    seconds, table = timed(lambda: onehot.indices(parsed[fits]))
    row("one-hot indices", len(fits) / seconds, "", None, f"{len(fits)}/{len(texts)} fit 20 counts")
    seconds, _ = timed(lambda: onehot.decode_indices(table))
    row("one-hot decode", len(fits) / seconds, "", None)
    known = sketch.known()
    seconds, _ = timed(lambda: known.contains(texts))
    row("known formulas", len(texts) / seconds, "", None)


def bench_neutrality(name: str, texts: list[str]) -> None:
    from smact.screening import smact_validity

    parsed = compositions(texts)
    neutrality.valid_mask(parsed[:10])
    seconds, ours = timed(lambda: neutrality.valid_mask(parsed))
    theirs, expected = timed(lambda: [smact_validity(text) for text in texts], 1)
    same = int((ours == np.array(expected)).sum())
    agreement = f"{same}/{len(texts)} equal, {np.mean(expected):.1%} valid"
    row(f"valid_mask, {name}", len(texts) / seconds, "smact_validity", len(texts) / theirs, agreement)
    few = texts[:2000]
    seconds, _ = timed(lambda: neutrality.assess(few), 1)
    row(f"assess with states and reasons, {name}", len(few) / seconds, "smact_validity", len(texts) / theirs)


def bench_screening(real: list[str], n: int) -> None:
    """Judge a mixture of real and random formulas by SMACT and here, all of them by both."""
    from smact.screening import smact_validity

    rng = random.Random(20261122)
    texts = rng.sample(real, n // 2) + drawn(n - n // 2, 20261123, least=2)
    rng.shuffle(texts)
    neutrality.valid_mask(compositions(texts[:10]))
    smact_validity(texts[0])
    theirs, expected = timed(lambda: [bool(smact_validity(text)) for text in texts], 1)
    whole, ours = timed(lambda: neutrality.valid_mask(parse_many(texts)[0]), 5)
    parsed = compositions(texts)
    judged, again = timed(lambda: neutrality.valid_mask(parsed), 5)
    same = int((ours == np.array(expected)).sum())
    agreement = f"{same}/{n} equal, {np.mean(expected):.1%} valid"
    row("text to verdict, real and random", n / whole, "smact_validity", n / theirs, agreement)
    agreement = f"{int((again == np.array(expected)).sum())}/{n} equal"
    row("parsed to verdict, real and random", n / judged, "smact_validity", n / theirs, agreement)
    found: list[Any] = []
    seconds, found = timed(lambda: neutrality.assess(texts), 1)
    same = int((np.array([one.valid for one in found]) == np.array(expected)).sum())
    row("text to states and reasons", n / seconds, "smact_validity", n / theirs, f"{same}/{n} equal")


def bench_distance(texts: Sequence[str]) -> None:
    sys.modules.setdefault("pkg_resources", types.ModuleType("pkg_resources"))  # named by ElMD, not used
    try:
        from ElMD import ElMD
    except ImportError as error:
        print(f"ElMD cannot be imported: {error}")
        return
    rng = random.Random(1)
    first, second = rng.choices(texts, k=1000), rng.choices(texts, k=1000)
    a, b = compositions(first), compositions(second)
    pairs, ours = timed(lambda: distance.emd(a, b))
    ElMD("NaCl", metric="fast").elmd(ElMD("KCl", metric="fast"))  # compiles

    def fast() -> list[float]:
        return [ElMD(x, metric="fast").elmd(ElMD(y, metric="fast")) for x, y in zip(first, second, strict=True)]

    theirs, expected = timed(fast, 1)
    error = np.abs(ours - np.array(expected)).max()
    row("EMD, pairs", 1000 / pairs, "ElMD, metric fast", 1000 / theirs, f"largest difference {error:.1e}")
    seconds, _ = timed(lambda: distance.emd_matrix(a, b))
    row("EMD, matrix", 1_000_000 / seconds, "ElMD, metric fast", 1000 / theirs)
    try:
        from ElMD import elmd

        elmd("NaCl", "KCl")
        theirs, expected = timed(lambda: [elmd(x, y) for x, y in zip(first, second, strict=True)], 1)
    except Exception as error:  # its compiled simplex fails with some versions of numba
        print(f"ElMD's network simplex does not run here: {type(error).__name__}; try NUMBA_DISABLE_JIT=1")
        return
    error = np.abs(ours - np.array(expected)).max()
    row("EMD, pairs", 1000 / pairs, "ElMD, simplex", 1000 / theirs, f"largest difference {error:.1e} (it cuts at 1e-6)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--formulas", type=Path)
    parser.add_argument("-n", type=int, default=10_000, help="formulas judged by SMACT")
    parser.add_argument("--only", choices=("screening",), help="this part alone")
    options = parser.parse_args()
    rng = random.Random(20261121)
    texts = options.formulas.read_text().split() if options.formulas else drawn(80_000, 2)
    warnings.simplefilter("ignore")
    print(f"{'what':42} {'ours, per s':>14}   {'peer':24} {'per s':>12} {'':10}   agreement")
    if options.only:
        bench_screening(texts, options.n)
        return
    bench_formulas(texts)
    if options.formulas:
        bench_neutrality("from file", rng.sample(texts, min(options.n, len(texts))))
    bench_neutrality("random", drawn(options.n, 20261121))
    bench_distance(texts)


if __name__ == "__main__":
    main()
