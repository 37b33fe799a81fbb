"""Print how long templates take to load and to search, beside ElMD's own distances over the same bucket.

Run: ``python tests/benchmarks/bench_structures.py [STRUCTURES]`` with a file or folder of crystals; the AFLOW
prototypes without one.
"""

from __future__ import annotations

import resource
import sys
import time
import types

from aldesign.structures.assign import assign
from aldesign.structures.templates import TemplateLibrary, amounts_of

FORMULAS = ["SrYF5", "YCl3", "SrClF3", "KMgF3", "CsPbBr3", "LiFeO2", "Cs2AgBiBr6", "KCl", "SrO", "CdSe"]
SAMPLE = 100  # pairs timed with ElMD, which takes milliseconds for each


def main() -> None:
    start = time.perf_counter()
    library = TemplateLibrary.from_path(sys.argv[1]) if len(sys.argv) > 1 else TemplateLibrary.from_aflow()
    print(f"load {len(library)} templates ({library.left_out} too large): {time.perf_counter() - start:.1f} s")
    start = time.perf_counter()
    for formula in FORMULAS:
        library.nearest(formula)
    print(f"first search of {len(FORMULAS)} formulas (index built): {time.perf_counter() - start:.2f} s")
    start = time.perf_counter()
    for formula in FORMULAS:
        library.nearest(formula)
    ours = (time.perf_counter() - start) / len(FORMULAS)
    print(f"later searches: {1e3 * ours:.2f} ms a formula")
    assign("NaCl", library)  # imports
    start = time.perf_counter()
    made = [assign(formula, library) for formula in FORMULAS]
    took = (time.perf_counter() - start) / len(FORMULAS)
    found = sum(m.crystal is not None for m in made)
    print(f"assign: {1e3 * took:.1f} ms a formula, {found} of {len(made)} got a crystal")
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")

    sys.modules.setdefault("pkg_resources", types.ModuleType("pkg_resources"))  # named by ElMD, not used
    from ElMD import ElMD

    formula = "KMgF3"
    bucket = sorted({f for f in library.formulas if amounts_of(f) == amounts_of(formula)})
    target = ElMD(formula, metric="fast")
    target.elmd(ElMD(bucket[0], metric="fast"))  # compiles
    start = time.perf_counter()
    for other in bucket[:SAMPLE]:
        target.elmd(ElMD(other, metric="fast"))
    theirs = (time.perf_counter() - start) / min(SAMPLE, len(bucket)) * len(bucket)
    print(f"{formula}: {len(bucket)} distinct formulas in the bucket, ElMD {theirs:.2f} s, ours {1e3 * ours:.2f} ms")


if __name__ == "__main__":
    main()
