"""Neighbour lists: ours beside pymatgen's, crystals a second, and what merging atoms of equal environments saves.

Run with ``python tests/benchmarks/bench_graphs.py``.
"""

from __future__ import annotations

import os
import time
from itertools import islice
from pathlib import Path

import numpy as np

from aldesign.learning.threads import pin_threads
from aldesign.records import BadRow
from aldesign.structures.cif import read_jsonl, to_pymatgen
from aldesign.structures.graph_store import GraphStore
from aldesign.structures.graphs import build_graph, merged
from oracles.crystal_graph import CrystalGraphOracle

ROOT = Path(__file__).resolve().parent.parent.parent
COUNT = 1000


def main() -> None:
    pin_threads(1)
    folder = Path(os.environ.get("ALDESIGN_DATA", ROOT.parent / "shared" / "data"))
    lines = read_jsonl(folder / "mp" / "structures.jsonl.gz")
    small_cells = (c for c in lines if not isinstance(c, BadRow) and 1 < len(c) <= 30)
    # one in the data is no crystal: its atoms have no neighbours
    crystals = list(islice((c for c in small_cells if c.id != "matbench_000778"), COUNT))
    build_graph(crystals[0])
    started = time.process_time()
    graphs = [build_graph(crystal) for crystal in crystals]
    ours = time.process_time() - started
    started = time.process_time()
    small = [merged(graph) for graph in graphs]
    merging = time.process_time() - started
    structures = [to_pymatgen(crystal) for crystal in crystals]
    started = time.process_time()
    for structure in structures:
        structure.get_neighbor_list(6.0)
    lists = time.process_time() - started
    few = structures[: COUNT // 20]
    started = time.process_time()
    for structure in few:
        structure.get_all_neighbors(6.0)
    objects = (time.process_time() - started) * len(structures) / len(few)
    print(f"{COUNT} crystals of 2 to 30 atoms, 6 Å, twelve nearest with whole shells; processor time of one core")
    print(f"aldesign, from cell to graph, with angles {COUNT / ours:8.0f} crystals/s")
    print(f"aldesign, merging equal atoms             {COUNT / merging:8.0f} crystals/s")
    print(f"pymatgen get_neighbor_list, from Structure {COUNT / lists:7.0f} crystals/s, all neighbours, unsorted")
    print(f"pymatgen get_all_neighbors (CGCNN's input) {COUNT / objects:7.0f} crystals/s")
    for name, kind in (("atoms", "numbers"), ("edges", "distance")):
        whole, kept = (sum(len(getattr(g, kind)) for g in some) for some in (graphs, small))
        print(f"{name} {whole} -> {kept}, {whole / kept:.1f} times fewer")
    store = GraphStore.build(crystals)
    started = time.process_time()
    for rows in np.array_split(np.arange(COUNT), 15):
        store.batch(rows)
    print(f"batches of 64 from the store              {COUNT / (time.process_time() - started):8.0f} crystals/s")
    oracle = CrystalGraphOracle.load()
    started = time.process_time()
    oracle.predict_crystals(crystals)
    print(f"crystal_graph, from cell to gap and std   {COUNT / (time.process_time() - started):8.0f} crystals/s")


if __name__ == "__main__":
    main()
