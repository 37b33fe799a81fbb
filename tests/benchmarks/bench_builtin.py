"""Compare the built-in computed crystals with the Materials Project's.

``python tests/benchmarks/bench_builtin.py DATA`` matches crystals by formula and pymatgen's ``StructureMatcher`` with
those of ``DATA/mp`` and prints how gaps, formation energies and volumes differ. Gaps of the Materials Project are PBE,
too, at its own cells and with a Hubbard U for some metals of oxides and fluorides; its formation energies carry
corrections for anions, those here none.
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher

from aldesign.chemistry.formula import canonical_many
from aldesign.datasets.builtin import builtin_set
from aldesign.datasets.computed import Computed
from aldesign.structures.cif import from_record, to_pymatgen

Pair = tuple[Computed, dict[str, str], float]


def main(folder: Path) -> None:
    warnings.simplefilter("ignore")
    rows = builtin_set().rows
    pairs = list(matched(list(rows), folder / "mp"))
    print(f"{len(rows)} crystals, {len(pairs)} of them in the Materials Project of 2019")
    books = [row for row in rows if row.source == "textbook"]
    print(f"of {len(books)} textbook solids {sum(row.source == 'textbook' for row, _, _ in pairs)}")
    gaps = np.array([(row.gap_ev, float(there["band_gap"])) for row, there, _ in pairs])
    say("gap, eV", gaps[:, 0], gaps[:, 1])
    both = (gaps > 0).all(axis=1)
    say("gap where both have one, eV", gaps[both, 0], gaps[both, 1])
    print(f"metal here alone {int(((gaps[:, 0] == 0) & (gaps[:, 1] > 0)).sum())}, there alone", end=" ")
    print(int(((gaps[:, 0] > 0) & (gaps[:, 1] == 0)).sum()))
    energies = [
        (row.formation_energy_ev_per_atom, float(there["formation_energy_per_atom"]))
        for row, there, _ in pairs
        if row.formation_energy_ev_per_atom is not None and there["formation_energy_per_atom"]
    ]
    here, there_ = np.array(energies).T
    say("formation energy, eV/atom", here, there_)
    volumes = np.array([ratio for _, _, ratio in pairs])
    print(f"volume here over there: median {np.median(volumes):.3f}, middle 90 % {np.percentile(volumes, [5, 95])}")
    worst = sorted(pairs, key=lambda pair: -abs(pair[0].gap_ev - float(pair[1]["band_gap"])))
    print("farthest gaps: crystal, here, there, eV")
    for row, there, _ in worst[:10]:
        print(f"  {row.crystal.id:40} {row.gap_ev:6.2f} {float(there['band_gap']):6.2f}  {there['mp_id']}")


def say(what: str, here: np.ndarray, there: np.ndarray) -> None:
    apart = here - there
    errors = np.abs(apart)
    print(
        f"{what}: n {len(apart)}, MAE {errors.mean():.3f}, median {np.median(errors):.3f}, bias {apart.mean():+.3f}, "
        f"RMSE {np.sqrt((apart**2).mean()):.3f}"
    )


def matched(rows: list[Computed], folder: Path) -> list[Pair]:
    """Return each crystal with the label and the volume ratio of its like there."""
    wanted = {row.formula for row in rows}
    with gzip.open(folder / "labels.csv.gz", "rt") as file:
        labels = list(csv.DictReader(file))
    formulas = canonical_many([row["formula"] for row in labels])
    by_id = {row["id"]: (row, f) for row, f in zip(labels, formulas, strict=True) if f in wanted}
    found: dict[object, list[tuple[dict[str, str], object]]] = defaultdict(list)
    with gzip.open(folder / "structures.jsonl.gz", "rt") as file:
        for line in file:
            name = line[7 : line.index('"', 7)]  # {"id":"...
            if name in by_id:
                label, formula = by_id[name]
                found[formula].append((label, to_pymatgen(from_record(json.loads(line)))))
    matcher = StructureMatcher(ltol=0.2, stol=0.3, angle_tol=5, primitive_cell=True, scale=True)
    pairs = []
    for row in rows:
        structure = to_pymatgen(row.crystal)
        like = [(label, other) for label, other in found[row.formula] if matcher.fit(structure, other)]
        if like:
            label, other = min(like, key=lambda one: float(one[0]["e_above_hull"] or 9.0))
            ratio = structure.volume / len(structure) / (other.volume / len(other))  # type: ignore[attr-defined]
            pairs.append((row, label, float(ratio)))
    return pairs


if __name__ == "__main__":
    main(Path(sys.argv[1]))
