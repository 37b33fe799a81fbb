"""Print how distances to the hull compare with pymatgen's and with the Materials Project's column, and how fast.

Run: ``python tests/benchmarks/bench_hull.py DATA [N]`` with the folder that holds ``mp/``; N rows (default 2,000; 0
for all) are compared with the column and 300 of at most 5 elements with pymatgen's phase diagrams.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

from aldesign.structures.hull import Hull

SAMPLE = 300


def against_the_column(hull: Hull, rows: pd.DataFrame) -> None:
    start, wall = time.process_time(), time.perf_counter()
    found = hull.distances(rows["formula"].tolist(), rows["formation_energy_per_atom"].tolist())
    spent, wall = time.process_time() - start, time.perf_counter() - wall
    print(f"{60 * len(rows) / spent:.0f} a minute of processor time, {60 * len(rows) / wall:.0f} of wall")
    ours = np.array([answer.e_above_hull_ev_per_atom for answer in found], dtype=float)
    difference = ours - rows["e_above_hull"].to_numpy()
    size = np.abs(difference)
    print(f"{len(rows)} rows, {np.isnan(ours).sum()} without a distance")
    print(f"median |difference| from the column {1e3 * np.median(size):.6f} meV/atom, mean {1e3 * size.mean():.3f}")
    shares = ", ".join(f"{100 * q:g} %: {1e3 * np.quantile(size, q):.2f}" for q in (0.75, 0.9, 0.95, 0.99, 1.0))
    print(f"quantiles in meV/atom: {shares}")
    print(
        f"within 1 meV/atom {100 * (size < 1e-3).mean():.1f} %; nearer to the hull by more (entries are missing) "
        f"{100 * (difference < -1e-3).mean():.1f} %, farther {100 * (difference > 1e-3).mean():.1f} %"
    )


def against_pymatgen(hull: Hull, rows: pd.DataFrame) -> None:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition, Element

    systems: dict[frozenset[str], list[PDEntry]] = {}
    for formula, energy in zip(hull.formulas, hull.energies_ev_per_atom.tolist(), strict=True):
        composition = Composition(formula)
        entry = PDEntry(composition, energy * composition.num_atoms)
        systems.setdefault(frozenset(e.symbol for e in composition), []).append(entry)
    ours = theirs = worst = 0.0
    products = 0
    for formula in rows["formula"]:
        composition = Composition(formula)
        elements = frozenset(e.symbol for e in composition)
        start = time.process_time()
        entries = [e for system, some in systems.items() if len(system) > 1 and system <= elements for e in some]
        diagram = PhaseDiagram(
            [*entries, *(PDEntry(Composition(x), 0.0) for x in elements)], [Element(x) for x in elements]
        )
        decomposition, lowest = diagram.get_decomp_and_hull_energy_per_atom(composition)
        theirs += time.process_time() - start
        start = time.process_time()
        found = hull.distance(formula, 0.0, scale=hull.scale)
        ours += time.process_time() - start
        worst = max(worst, abs(-found.e_above_hull_ev_per_atom - lowest))
        names = {Composition(name).reduced_formula for name, _ in found.products}
        products += names == {e.composition.reduced_formula for e in decomposition}
    print(f"{len(rows)} formulas: largest difference from pymatgen {worst:.2e} eV/atom, same products {products}")
    print(f"ours {1e3 * ours / len(rows):.2f} ms each, pymatgen {1e3 * theirs / len(rows):.1f} (diagrams built anew)")


def main() -> None:
    folder = Path(sys.argv[1]) / "mp"
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    start = time.perf_counter()
    hull = Hull.from_path(folder)
    print(f"{len(hull)} formulas read in {time.perf_counter() - start:.1f} s; scale {hull.scale}, digest {hull.digest}")
    table = pd.read_csv(folder / "labels.csv.gz", keep_default_na=False, na_values=[""])
    table = table[table["e_above_hull"].notna() & table["formation_energy_per_atom"].notna()]
    against_the_column(hull, table.sample(n, random_state=0) if n else table)
    against_pymatgen(hull, table[table["nelements"] <= 5].sample(SAMPLE, random_state=1))


if __name__ == "__main__":
    main()
