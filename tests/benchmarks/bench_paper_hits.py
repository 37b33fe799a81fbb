"""Give the five hits that the AGD paper checked by DFT their crystals, energies and gaps, beside the paper's gaps.

Run: ``python tests/benchmarks/bench_paper_hits.py [FOLDER]`` with a folder of `aldesign data mp`, which lends templates
and known phases; the AFLOW prototypes and no phases without one. A formula's own entries are left out as templates.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from aldesign.records import Candidate
from aldesign.registry import load_oracle
from aldesign.structures.build import build
from aldesign.structures.hull import Hull
from aldesign.structures.making import Recipe
from aldesign.structures.templates import TemplateLibrary

HITS = {"SrYF5": 6.42, "RbSr2ClF4": 5.64, "CaClF5": 3.46, "YCl3": 2.18, "SrClF3": 3.18}
"""DFT gaps in eV of Xin et al., J. Phys. Chem. C 2021, 125, 16118, table 3."""


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    library = TemplateLibrary.from_path(folder) if folder else TemplateLibrary.from_aflow()
    spelled = library.formulas
    known = {formula for formula in HITS if formula in spelled}
    library = TemplateLibrary([c for c, f in zip(library.crystals, spelled, strict=True) if f not in known])
    hull = Hull.from_path(folder) if folder else None
    by_formula, by_crystal = load_oracle("stoichiometry_graph"), load_oracle("crystal_graph")
    print(f"{len(library)} templates; own entries left out of: {', '.join(sorted(known)) or 'none'}")
    print(
        f"{'formula':10} {'template':12} {'EMD':>6} {'space group':>12} {'Ef CHGNet':>10} {'Ef graph':>9} {'hull':>7}"
        f" {'gap, formula':>14} {'gap, crystal':>14} {'DFT':>5}"
    )
    start = time.perf_counter()
    for row in build(list(HITS), library, Recipe(), hull=hull):
        (first,) = by_formula.predict([Candidate(row.formula)])
        print(f"{row.formula:10}", end=" ")
        if row.made is None or row.made.crystal is None:
            print(row.reason)
            continue
        (second,) = by_crystal.predict([Candidate(row.formula, crystal=row.made.crystal)])
        details = row.details
        height = "" if row.e_above_hull is None else f"{row.e_above_hull:7.3f}"
        print(
            f"{row.template_formula:12} {row.emd:6.2f} {details['space_group']:>12} "
            f"{row.formation_energy_per_atom:10.3f} {details['formation_energy_graph_ev_per_atom']:9.3f} {height:>7}"
            f" {first.value:7.2f} ± {first.std:4.2f} {second.value:7.2f} ± {second.std:4.2f} {HITS[row.formula]:5.2f}"
        )
        if row.reason:
            print(f"{'':10} {row.reason}")
    print(f"{time.perf_counter() - start:.0f} s; energies in eV/atom, gaps in eV (PBE)")


if __name__ == "__main__":
    main()
