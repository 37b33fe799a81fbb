"""How the shipped weights of `crystal_graph` were made: both properties at once, from Materials Project crystals.

Run ``python -m oracles.crystal_pretraining DATA OUT [--checkpoint DIR]`` with DATA a folder that holds
``labels.csv.gz`` and ``structures.jsonl.gz``.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from aldesign.chemistry.formula import canonical_many
from aldesign.learning.threads import pin_threads
from aldesign.records import Crystal
from aldesign.seeds import stream
from aldesign.structures.graphs import GraphStore
from oracles.common import Progress
from oracles.crystal_graph import CrystalGraphOracle

TARGETS = ("band_gap", "formation_energy_per_atom")
SHARES = (0.8, 0.1, 0.1)  # train, validation, test
# A formation energy joined to its crystal by an ambiguous key may be a polymorph's.
BASIS = "composition+spg unique"
ORIGIN = "Materials Project (2019), PBE(+U), through Matbench v0.1"
LICENCE = "CC BY 4.0 (Materials Project); MIT (Matbench)"


def read_crystals(path: Path, max_atoms: int) -> Iterator[Crystal]:
    """Yield the crystals of a ``.jsonl.gz`` file that have at most `max_atoms` sites."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if len(record["species"]) <= max_atoms:
                a, b, c, alpha, beta, gamma = record["lattice"]
                frac = np.array(record["frac"], dtype=float)
                yield Crystal(record["id"], (a, b, c, alpha, beta, gamma), tuple(record["species"]), frac)


def split_by_formula(formulas: list[str], seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows of the training, validation and test sets; all rows of a formula fall in one of them."""
    names = sorted(set(formulas))
    order = stream(seed, 0, "crystal_graph split").permutation(len(names))
    ends = np.cumsum([round(share * len(names)) for share in SHARES[:2]])
    part = np.empty(len(names), dtype=np.int64)
    for k, chosen in enumerate(np.split(order, ends)):
        part[chosen] = k
    number = {name: i for i, name in enumerate(names)}
    rows = part[[number[formula] for formula in formulas]]
    train, validation, test = (np.flatnonzero(rows == k) for k in range(3))
    return train, validation, test


def pretrain(
    data: Path,
    out: Path,
    *,
    max_atoms: int = 30,
    seed: int = 0,
    processes: int = 1,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    **config: Any,
) -> CrystalGraphOracle:
    """Train on gaps and formation energies together, save the oracle to `out`, and return it.

    Args:
        data: Folder with ``labels.csv.gz`` and ``structures.jsonl.gz``.
        out: Folder for weights and card.
        max_atoms: Larger cells are left out, for speed.
        seed: Of the split, the weights and the batches.
        processes: Workers that build neighbour lists.
        checkpoint: Folder to go on from after an interruption; keeps the graphs, too.
        progress: Takes lines of text.
        config: Settings of `CrystalGraphOracle`.

    """
    pin_threads(1)
    oracle = CrystalGraphOracle(targets=list(TARGETS), **config)
    cached = checkpoint / f"graphs_{max_atoms}.safetensors" if checkpoint else None
    if cached and cached.exists():
        store = GraphStore.load(cached)
    else:
        crystals = read_crystals(data / "structures.jsonl.gz", max_atoms)
        settings = float(oracle.config["cutoff"]), int(oracle.config["max_neighbours"])
        store = GraphStore.build(crystals, *settings, processes=processes)
        if cached:
            cached.parent.mkdir(parents=True, exist_ok=True)
            store.save(cached)
    if progress:
        progress(f"{len(store)} crystals, {len(store.reasons)} without a graph")
    table = pd.read_csv(data / "labels.csv.gz", keep_default_na=False, na_values=[""]).set_index("id")
    table = table.loc[list(store.ids)]
    energy = table["formation_energy_per_atom"].where(table["e_form_basis"] == BASIS)
    truth = np.stack([table["band_gap"].to_numpy(float), energy.to_numpy(float)], axis=1)
    usable = store.sizes() > 0
    formulas = [str(formula) for formula in canonical_many(table["formula"].tolist())]
    train, validation, test = (rows[usable[rows]] for rows in split_by_formula(formulas, seed))
    oracle.fit_joint(store, truth, train, validation, seed=seed, checkpoint=checkpoint, progress=progress)
    metrics = oracle.measure("test", store, truth, test)
    split = {**oracle.training["split"], "test": len(test), "by": "formula", "max_atoms": max_atoms}
    oracle.describe(origin=ORIGIN, licence=LICENCE, split=split)
    oracle.save(out)
    if progress:
        progress(json.dumps(metrics))
    return oracle


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="Train the shipped crystal_graph weights.")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--max-minutes", type=float)
    given = parser.parse_args()
    pretrain(
        given.data,
        given.out,
        checkpoint=given.checkpoint,
        epochs=given.epochs,
        max_minutes=given.max_minutes,
        progress=lambda line: (sys.stderr.write(line + "\n"), None)[1],
    )


if __name__ == "__main__":
    main()
