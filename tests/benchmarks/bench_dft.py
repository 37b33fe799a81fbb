"""Measure the computed gaps: ``python tests/benchmarks/bench_dft.py presets|textbook|experiment|cost STORE``.

STORE is a file of results, e.g. ``runs/dft.sqlite``; what is in it is not computed again. Crystals are those of ``mp/``
in the folder that ALDESIGN_DATA names (PBE-relaxed). ``presets`` compares gaps and formation energies of ten solids
with the preset ``tight``; ``textbook`` compares PBE gaps of twenty with those of the Materials Project of 2019, crystal
by crystal; ``experiment`` compares PBE and GLLB-SC with measured gaps; ``cost`` sums up seconds and memory of all
results in the store by the number of electrons. One core; about 20 minutes for the first three.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import sys
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import numpy as np

from aldesign.dft import elements, gllb
from aldesign.dft.jobs import Limits
from aldesign.dft.laboratory import Laboratory
from aldesign.dft.results import Result, crystal_from_json
from aldesign.dft.settings import Settings
from aldesign.dft.store import ResultStore
from aldesign.errors import CalculationError
from aldesign.records import Crystal

DATA = Path(os.environ.get("ALDESIGN_DATA", Path(__file__).parents[3] / "shared" / "data"))
# Space group; measured fundamental gap at low temperature in eV, as in the tables of Heyd et al., J. Chem. Phys. 123,
# 174101 (2005) [H], Tran and Blaha, Phys. Rev. Lett. 102, 226401 (2009) [T], Madelung, Semiconductors: Data Handbook
# (2004) [M], Kuisma et al. (2010) [K]; [P] photoemission and inverse photoemission or absorption, as named.
SOLIDS: dict[str, tuple[int, float, str]] = {
    "C": (227, 5.48, "H, T"),
    "Si": (227, 1.17, "H, T"),
    "SiC": (216, 2.42, "H"),
    "BN": (216, 6.25, "T"),
    "AlAs": (216, 2.23, "H, M"),
    "AlN": (186, 6.28, "T"),
    "GaN": (186, 3.50, "H, M"),
    "GaP": (216, 2.35, "H, M"),
    "GaAs": (216, 1.52, "H, T"),
    "InP": (216, 1.42, "H, M"),
    "CaO": (225, 7.0, "P, reflectance: Whited, Flaten and Walker, 1973"),
    "LiF": (225, 14.20, "T"),
    "LiCl": (225, 9.40, "T"),
    "NaCl": (225, 8.50, "P, two-photon absorption: Froehlich and Staginnus, 1967"),
    "CaF2": (225, 12.1, "P, reflectance: Rubloff, 1972"),
    "ZnO": (186, 3.44, "H, T"),
    "ZnS": (216, 3.91, "T"),
    "CdTe": (216, 1.61, "H, M"),
    "TiO2": (136, 3.3, "P: Tezuka et al., 1994; the optical edge is at 3.03"),
    "SrTiO3": (221, 3.25, "P, indirect: van Benthem, Elsaesser and French, 2001"),
}
TEN = ("Si", "GaAs", "CaO", "NaCl", "LiF", "ZnS", "AlN", "CaF2", "SrTiO3", "ZnO")


def solids(formulas: Iterable[str]) -> dict[str, tuple[Crystal, float]]:
    """Return the crystal of fewest sites with the wanted space group, and its gap in the table, eV."""
    wanted = {formula: SOLIDS[formula][0] for formula in formulas}
    best: dict[str, tuple[int, float, str, float]] = {}
    with gzip.open(DATA / "mp" / "labels.csv.gz", "rt", newline="") as file:
        for row in csv.DictReader(file):
            formula = row["formula"]
            if wanted.get(formula) == int(float(row["spacegroup"] or 0)):
                found = (int(row["nsites"]), float(row["e_above_hull"] or 1.0), row["id"], float(row["band_gap"]))
                best[formula] = min(best.get(formula, found), found)
    ids = {entry[2]: formula for formula, entry in best.items()}
    crystals = {}
    with gzip.open(DATA / "mp" / "structures.jsonl.gz", "rt") as file:
        for line in file:
            content = json.loads(line)
            if content["id"] in ids:
                crystals[ids[content["id"]]] = crystal_from_json(content)
    return {formula: (crystals[formula], best[formula][3]) for formula in wanted}


def presets(laboratory: Laboratory) -> None:
    """Print the errors of gap and formation energy of each preset against ``tight``."""
    crystals = solids(TEN)
    gaps: dict[str, dict[str, Result]] = {preset: {} for preset in ("fast", "production", "tight")}
    print("solid     tight  error of gap: fast  production   seconds: fast  production  tight")
    for formula, (crystal, _) in crystals.items():
        for preset, results in gaps.items():
            results[formula] = laboratory.compute(crystal, Settings.of(preset))
        fast, production, tight = (gaps[preset][formula] for preset in gaps)
        print(
            f"{formula:8s}{tight.gap_ev:7.3f}{fast.gap_ev - tight.gap_ev:18.3f}{production.gap_ev - tight.gap_ev:12.3f}"
            f"{fast.seconds:16.0f}{production.seconds:12.0f}{tight.seconds:7.0f}",
            flush=True,
        )
    for preset in ("fast", "production"):
        print(f"{preset}, gap: {_errors([gaps[preset][f].gap_ev - gaps['tight'][f].gap_ev for f in TEN])}", flush=True)
    formation = {preset: _formation(gaps[preset], Settings.of(preset), laboratory) for preset in gaps}
    for formula in TEN:
        print(formula, "formation energy:", *(f"{p} {formation[p][formula]:.4f}" for p in formation))
    for preset in ("fast", "production"):
        difference = [formation[preset][f] - formation["tight"][f] for f in TEN]
        print(f"{preset}, formation energy per atom: {_errors(difference)}")


def textbook(laboratory: Laboratory) -> None:
    """Print PBE gaps of twenty solids beside those of the Materials Project."""
    settings, differences = Settings.of("production"), {}
    for formula, (crystal, theirs) in solids(SOLIDS).items():
        result = laboratory.compute(crystal, settings)
        differences[formula] = result.gap_ev - theirs
        print(
            f"{formula:8s}{crystal.id:18s}{result.gap_ev:8.3f}{theirs:8.3f}{result.gap_ev - theirs:8.3f}"
            f"{result.seconds:7.0f} s",
            flush=True,
        )
    worst = max(differences, key=lambda formula: abs(differences[formula]))
    print(f"{_errors(list(differences.values()))}; worst {worst}")


def experiment(laboratory: Laboratory) -> None:
    """Print gaps at both levels beside measured ones."""
    errors: dict[str, list[float]] = {"PBE": [], "GLLB-SC": []}
    seconds: dict[str, float] = {"PBE": 0.0, "GLLB-SC": 0.0}
    print("solid   measured     PBE  GLLB-SC = Kohn-Sham + discontinuity")
    for formula, (crystal, _) in solids(SOLIDS).items():
        measured = SOLIDS[formula][1]
        found: dict[str, Result] = {}
        for level in errors:
            try:
                found[level] = laboratory.compute(crystal, Settings.of("production", level=level))
            except CalculationError as error:
                print(f"{formula} at {level}: {error}")
                continue
            errors[level].append(found[level].gap_ev - measured)
            seconds[level] += found[level].seconds
        if len(found) == 2:
            parts = found["GLLB-SC"].extra
            print(
                f"{formula:8s}{measured:8.2f}{found['PBE'].gap_ev:8.2f}{found['GLLB-SC'].gap_ev:9.2f}"
                f" = {parts.get(gllb.KOHN_SHAM, 0.0):.2f} + {parts.get(gllb.DISCONTINUITY, 0.0):.2f}"
                f"   {SOLIDS[formula][2]}",
                flush=True,
            )
    for level, values in errors.items():
        print(f"{level:8s}{_errors(values)}; mean {np.mean(values):+.3f} eV; {seconds[level]:.0f} s")


def cost(laboratory: Laboratory) -> None:
    """Print seconds and memory of the results in a batch's table, by number of valence electrons."""
    with (laboratory.store.path.parent / "results.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["seconds"] and not row["error"]]
    electrons = np.array([float(row["n_electrons"]) for row in rows])
    sites = np.array([int(row["n_sites"]) for row in rows])
    seconds = np.array([float(row["seconds"]) for row in rows])
    memory = np.array([float(row["peak_gib"]) for row in rows])
    print("electrons  crystals  sites (median)  seconds: median  90 %  longest   GiB: largest")
    edges = [0, 10, 20, 40, 80, 160, 10000]
    for low, high in pairwise(edges):
        here = (electrons > low) & (electrons <= high)
        if here.any():
            s = seconds[here]
            print(
                f"{low + 1:4d} to {min(high, int(electrons.max())):4d}{here.sum():8d}{np.median(sites[here]):12.0f}"
                f"{np.median(s):20.0f}{np.quantile(s, 0.9):8.0f}{s.max():8.0f}{memory[here].max():14.2f}"
            )


def _formation(results: dict[str, Result], settings: Settings, laboratory: Laboratory) -> dict[str, float]:
    symbols = {symbol for result in results.values() for symbol in result.crystal.species}
    energies = elements.reference_energies(symbols, settings, laboratory)
    return {formula: elements.formation_energy_per_atom(result, energies) for formula, result in results.items()}


def _errors(values: list[float]) -> str:
    size = np.abs(values)
    return f"mean absolute error {size.mean():.3f} eV, largest {size.max():.3f} ({len(values)})"


if __name__ == "__main__":
    task = {"presets": presets, "textbook": textbook, "experiment": experiment, "cost": cost}[sys.argv[1]]
    task(Laboratory(ResultStore(sys.argv[2]), Limits(seconds=7200, memory_gib=8)))
