"""Print how long templates take to load, to index and to search, and how exact the search is beside ElMD.

Run: ``python tests/benchmarks/bench_structures.py [STRUCTURES]`` with a file or folder of crystals; the AFLOW
prototypes without one. ElMD is compared where it can be imported (``pip install --no-deps --target DIR ElMD==0.5.14``
and PYTHONPATH=DIR).
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.chemistry.distance import emd_matrix
from aldesign.chemistry.formula import compositions
from aldesign.structures.assign import assign
from aldesign.structures.bond_valence import bond_valences
from aldesign.structures.cif import write_cif
from aldesign.structures.templates import TemplateLibrary, amounts_of

FORMULAS = ["SrYF5", "YCl3", "SrClF3", "KMgF3", "CsPbBr3", "LiFeO2", "Cs2AgBiBr6", "KCl", "SrO", "CdSe"]
CANDIDATES = 1000
PAIRS = 1000  # compared with ElMD
WHOLE = 50  # candidates measured against every reference
CRYSTALS = 100  # whose bond valences and CIFs are timed


@contextmanager
def timed(what: str) -> Iterator[None]:
    wall, processor = time.perf_counter(), time.process_time()
    yield
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    print(f"{what}: {wall:.3f} s ({processor:.3f} s of processor time)", flush=True)


def memory() -> str:
    return f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB"


def generated(n: int) -> list[str]:
    """Return distinct formulas of the shipped generator, all of them plausible."""
    from aldesign.models.counting import decoded
    from aldesign.models.gan import FormulaGAN
    from aldesign.seeds import stream

    tables = FormulaGAN.load(None).stream_tables(stream(0, 0, "benchmark"), 2 * n, plausible=True, distinct=True)
    found: list[str] = []
    while len(found) < n:
        found += decoded(next(tables))
    return found[:n]


def main() -> None:
    with timed("load"):
        library = (
            TemplateLibrary.from_path(sys.argv[1], max_sites=10**6)
            if len(sys.argv) > 1
            else TemplateLibrary.from_aflow(max_sites=10**6)
        )
    print(f"{len(library)} templates, {len(library.bad)} rows refused; {memory()}")
    with timed("formulas"):
        distinct = len(set(library.formulas))
    with timed("index"):
        library.nearest_many([])
    print(f"{distinct} distinct formulas; {memory()}")
    candidates = generated(CANDIDATES)
    table = {formula: amounts_of(formula) for formula in set(library.formulas)}
    sizes = {}
    for amounts in table.values():
        sizes[amounts] = sizes.get(amounts, 0) + 1
    pairs = sum(sizes.get(amounts_of(formula), 0) for formula in candidates)
    print(f"{CANDIDATES} generated candidates, {pairs:,} pairs of equal amounts, {distinct * CANDIDATES:,} in all")
    for options, what in (({}, "equal amounts"), ({"any_amounts": True}, "all references")):
        for k in (1, 5):
            with timed(f"search {what}, k={k}, trees grown on the way"):
                library.nearest_many(candidates, k, **options)
            with timed(f"search {what}, k={k}, again"):
                found = library.nearest_many(candidates, k, **options)
            print(f"  {sum(map(bool, found))} of {CANDIDATES} have a match")
            library.__dict__.pop("_search", None)
            library.nearest_many([])
    with timed(f"{len(FORMULAS)} single searches"):
        for formula in FORMULAS:
            library.nearest(formula)
    check_whole(library, candidates)
    check_elmd(library, candidates)
    rest(library)
    print(memory())


def check_whole(library: TemplateLibrary, candidates: list[str]) -> None:
    known = sorted(set(library.formulas))
    some = candidates[:WHOLE]
    with timed(f"whole table of {WHOLE} x {len(known)} distances by cdist"):
        table = emd_matrix(compositions(some), compositions(known))
    apart = [
        abs(matches[0].emd - row.min())
        for row, matches in zip(table, library.nearest_many(some, 1, any_amounts=True), strict=True)
    ]
    amounts = [amounts_of(formula) for formula in known]
    own = []
    for row, formula in zip(table, some, strict=True):
        wanted = amounts_of(formula)
        own.append(row[[a == wanted for a in amounts]])
    for row, matches in zip(own, library.nearest_many(some, 1), strict=True):
        assert bool(matches) == bool(len(row))
        apart += [abs(matches[0].emd - row.min())] if matches else []
    print(f"  largest difference of a nearest distance from the whole table's: {max(apart):.1e}")


def check_elmd(library: TemplateLibrary, candidates: list[str]) -> None:
    sys.modules.setdefault("pkg_resources", types.ModuleType("pkg_resources"))  # named by ElMD, not used
    try:
        from ElMD import ElMD
    except ImportError:
        print("ElMD is not installed: not compared")
        return
    module: Any = sys.modules[ElMD.__module__]
    module.getsitepackages = lambda: [str(Path(module.__file__).parents[1])]  # it looks for its tables there alone
    # half of them as found by either search, half at random
    rng = np.random.default_rng(0)
    found = [
        (formula, matches[0].template_formula, matches[0].emd)
        for options in ({}, {"any_amounts": True})
        for formula, matches in zip(candidates, library.nearest_many(candidates, 1, **options), strict=True)
        if matches
    ]
    chosen = [found[i] for i in rng.choice(len(found), min(PAIRS // 2, len(found)), replace=False)]
    others = [library.formulas[i] for i in rng.integers(len(library), size=PAIRS - len(chosen))]
    mine = [candidates[i] for i in rng.integers(len(candidates), size=len(others))]
    table = emd_matrix(compositions(mine), compositions(others)).diagonal()
    chosen += list(zip(mine, others, table.tolist(), strict=True))
    theirs = [ElMD(a, metric="fast").elmd(ElMD(b, metric="fast")) for a, b, _ in chosen[:10]]  # compiles
    start = time.perf_counter()
    theirs = [ElMD(a, metric="fast").elmd(ElMD(b, metric="fast")) for a, b, _ in chosen]
    took = time.perf_counter() - start
    worst = max(abs(ours - value) for (_, _, ours), value in zip(chosen, theirs, strict=True))
    print(f"ElMD: {len(chosen)} pairs in {took:.1f} s, largest difference from ours {worst:.1e}")
    every = CANDIDATES * len(set(library.formulas))
    print(f"  at this rate {every:,} pairs take it {took / len(chosen) * every / 3600:.1f} h")


def rest(library: TemplateLibrary) -> None:
    assign("NaCl", library)  # imports
    start = time.process_time()
    made = [assign(formula, library) for formula in FORMULAS]
    took = (time.process_time() - start) / len(FORMULAS)
    found = sum(m.crystal is not None for m in made)
    print(f"assign: {1e3 * took:.1f} ms a formula (processor time), {found} of {len(made)} got a crystal")
    step = max(len(library) // CRYSTALS, 1)
    crystals = [crystal for crystal in library.crystals[::step] if len(crystal) <= 60]
    bond_valences(crystals[0])  # tables
    start = time.process_time()
    judged = [bond_valences(crystal) for crystal in crystals]
    took = (time.process_time() - start) / len(crystals)
    values = [value.deviation for value in judged if value.deviation is not None]
    median = f"{np.median(values):.2f} v.u." if values else "none"
    print(f"bond valences: {1e3 * took:.2f} ms a crystal, {len(values)} of {len(crystals)} judged, median {median}")
    with tempfile.TemporaryDirectory() as folder:
        write_cif(crystals[0], Path(folder) / "x.cif")  # imports
        start = time.process_time()
        symbols = [write_cif(crystal, Path(folder) / "x.cif") for crystal in crystals]
        took = (time.process_time() - start) / len(crystals)
    print(f"CIFs written and read back: {1e3 * took:.0f} ms each, {len(set(symbols))} space groups")


if __name__ == "__main__":
    main()
