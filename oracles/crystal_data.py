"""What the shipped crystal networks learn from: crystals of the Materials Project, gaps at several levels of theory."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from aldesign.chemistry.formula import canonical_many
from aldesign.records import Crystal
from aldesign.structures.graph_store import GraphStore
from oracles.crystal_learning import Crystals, Examples
from oracles.pretraining import BASIS, parts_by_formula

LEVELS = ("PBE", "HSE", "GLLB-SC", "SCAN", "experiment")
COLUMNS = {"HSE": "gap_hse", "GLLB-SC": "gap_gllbsc", "SCAN": "gap_scan"}
# Gaps of other functionals were joined by an inferred identifier: where the PBE gap told that it is the right one.
TRUSTED = ("formula+spg unique, gap agrees", "formula+spg ambiguous, gap picks one")
PARTS = ("train", "validation", "test")
_MP = "Materials Project (VASP PBE and PBE+U, 2019) via Matbench v0.1"
ORIGIN = {
    "formation_energy_per_atom": _MP,
    "band_gap": f"{_MP}; HSE, GLLB-SC and SCAN gaps of its entries (MEGNet data, 2019); experimental gaps of Zhuo et "
    "al. 2018 via Matbench v0.1",
}
LICENCE = dict.fromkeys(ORIGIN, "CC BY 4.0 (Materials Project); MIT (Matbench)")


@dataclass(frozen=True)
class Labelled:
    """Crystals and the examples of the three parts, divided by formula.

    Attributes:
        crystals: All crystals.
        parts: Examples by the name of the part, see `PARTS`.
        levels: Levels of theory, in the order of the examples' indices.

    """

    crystals: Crystals
    parts: dict[str, Examples]
    levels: tuple[str, ...]


def read_crystals(path: Path) -> Iterator[Crystal]:
    """Yield the crystals of a ``.jsonl.gz`` file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            a, b, c, alpha, beta, gamma = record["lattice"]
            frac = np.array(record["frac"], dtype=float)
            yield Crystal(record["id"], (a, b, c, alpha, beta, gamma), tuple(record["species"]), frac)


def stored_graphs(data: Path, path: Path, cutoff: float, max_neighbours: int, processes: int) -> GraphStore:
    """Return the graphs of ``data/mp/structures.jsonl.gz``, kept in `path` from one call to the next."""
    if path.exists():
        return GraphStore.load(path)
    crystals = read_crystals(data / "mp" / "structures.jsonl.gz")
    store = GraphStore.build(crystals, cutoff, max_neighbours, processes)
    store.save(path)
    return store


def read_labelled(data: Path, store: GraphStore, target: str) -> Labelled:
    """Return the examples of a property, divided by formula as the composition oracles' are.

    All polymorphs of a formula, at all levels of theory, fall in one part, which is the one that `parts_by_formula`
    gives the formula among those of the whole table. An experimental gap, known by its formula alone, is given to
    the formula's crystal lowest above the hull.

    Args:
        data: Folder with ``mp/labels.csv.gz`` and, for gaps, ``expt_gap/all.csv``.
        store: Graphs of the table's crystals.
        target: ``band_gap`` or ``formation_energy_per_atom``.

    """
    table = pd.read_csv(data / "mp" / "labels.csv.gz", keep_default_na=False, na_values=[""])
    table["formula"] = [str(formula) for formula in canonical_many(table["formula"].tolist())]
    part = table["formula"].map(parts_by_formula(sorted(set(table["formula"]))))
    row = pd.Series(range(len(store)), index=list(store.ids))
    table["crystal"] = row.reindex(table["id"]).to_numpy()
    usable = table["crystal"].notna().to_numpy()
    usable[usable] &= store.nodes()[table.loc[usable, "crystal"].astype(int)] > 0
    known = table[target].notna() & usable
    if target == "formation_energy_per_atom":
        known &= table["e_form_basis"] == BASIS
    found = [(table.index[known].to_numpy(), 0, table.loc[known, target].to_numpy(float))]
    levels = LEVELS if target == "band_gap" else LEVELS[:1]
    for k, level in enumerate(levels):
        if level in COLUMNS:
            known = table[COLUMNS[level]].notna() & usable & table["mp_id_basis"].isin(TRUSTED)
            found.append((table.index[known].to_numpy(), k, table.loc[known, COLUMNS[level]].to_numpy(float)))
        elif level == "experiment":
            found.append(_measured(data, table[usable], k))
    rows = np.concatenate([rows for rows, _, _ in found])
    level_of = np.concatenate([np.full(len(rows), k) for rows, k, _ in found])
    label = np.concatenate([labels for _, _, labels in found])
    crystal = table["crystal"].to_numpy(float)[rows].astype(np.int64)
    every = Examples(crystal, level_of, label)
    lies = part.to_numpy()[rows]
    formulas = table.set_index("id")["formula"].reindex(list(store.ids)).tolist()
    parts = {name: every[np.flatnonzero(lies == k)] for k, name in enumerate(PARTS)}
    return Labelled(Crystals(store, formulas), parts, levels)


def _measured(data: Path, table: pd.DataFrame, level: int) -> tuple[np.ndarray, int, np.ndarray]:
    """Return rows of `table`, the level, and the experimental gaps of their formulas."""
    measured = pd.read_csv(data / "expt_gap" / "all.csv", keep_default_na=False, na_values=[""])
    measured["formula"] = [str(formula) for formula in canonical_many(measured["formula"].tolist())]
    gaps = measured.groupby("formula")["target"].mean()
    lowest = table.sort_values("e_above_hull", kind="stable", na_position="last").drop_duplicates("formula")
    lowest = lowest[lowest["formula"].isin(gaps.index)]
    return lowest.index.to_numpy(), level, gaps.loc[lowest["formula"]].to_numpy(float)
