"""Print how many formulas per second the descriptor and each formula oracle take, beside matminer and scikit-learn.

Run: python tests/benchmarks/bench_oracles.py [number of formulas]
"""

import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
from pymatgen.core import Composition

from aldesign.chemistry.elements import SYMBOLS
from aldesign.chemistry.formula import canonical_many, compositions
from aldesign.errors import AldesignError
from aldesign.learning.threads import pin_threads
from aldesign.records import Candidate
from aldesign.registry import load_oracle
from oracles.features.magpie import descriptor


def rate(work: Callable[[], object], n: int) -> str:
    """Return formulas per second of one run."""
    started = time.perf_counter()
    work()
    return f"{n / (time.perf_counter() - started):12,.0f} formulas/s"


def main(n: int) -> None:
    """Compare on n random formulas of two to five elements."""
    rng = np.random.default_rng(0)
    names = []
    for _ in range(n):
        picked = rng.choice(np.arange(1, 84), rng.integers(2, 6), replace=False)
        names.append("".join(f"{SYMBOLS[z]}{a}" for z, a in zip(picked, rng.integers(1, 9, len(picked)), strict=True)))
    formulas = [f for f in canonical_many(names) if isinstance(f, str)]
    parsed = compositions(formulas)
    print(f"descriptor (145)        {rate(lambda: descriptor(parsed), n)}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from matminer.featurizers.composition import ElementProperty

        magpie, few = ElementProperty.from_preset("magpie"), [Composition(f) for f in formulas[:300]]
        print(f"matminer Magpie (132)   {rate(lambda: [magpie.featurize(c) for c in few], len(few))}")
    candidates = [Candidate(f) for f in formulas]
    for name in ("random_forest", "dense", "stoichiometry_graph"):
        try:
            oracle = load_oracle(name)
        except AldesignError as error:
            print(f"{name}: {error}")
            continue
        print(f"{name:24}{rate(lambda o=oracle: o.predict(candidates), n)}")  # type: ignore[misc]
        print(f"{'  one at a time':24}{rate(lambda o=oracle: [o.predict([c]) for c in candidates[:100]], 100)}")  # type: ignore[misc]


if __name__ == "__main__":
    pin_threads(1)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
