"""Neighbour lists: ours beside pymatgen's, crystals a second. Run with ``python tests/benchmarks/bench_graphs.py``."""

from __future__ import annotations

import os
import time
from itertools import islice
from pathlib import Path

from aldesign.records import BadRow
from aldesign.structures.cif import read_jsonl, to_pymatgen
from aldesign.structures.graphs import GraphStore, build_graph

ROOT = Path(__file__).resolve().parent.parent.parent
COUNT = 1000


def main() -> None:
    folder = Path(os.environ.get("ALDESIGN_DATA", ROOT.parent / "shared" / "data"))
    lines = read_jsonl(folder / "mp" / "structures.jsonl.gz")
    crystals = list(islice((c for c in lines if not isinstance(c, BadRow) and 1 < len(c) <= 30), COUNT))
    build_graph(crystals[0])
    started = time.perf_counter()
    edges = len(GraphStore.build(crystals).source)
    ours = time.perf_counter() - started
    structures = [to_pymatgen(crystal) for crystal in crystals]
    started = time.perf_counter()
    for structure in structures:
        structure.get_neighbor_list(6.0)
    lists = time.perf_counter() - started
    few = structures[: COUNT // 20]
    started = time.perf_counter()
    for structure in few:
        structure.get_all_neighbors(6.0)
    objects = (time.perf_counter() - started) * len(structures) / len(few)
    print(f"{COUNT} crystals of 2 to 30 atoms, 6 Å; {edges} edges kept, twelve nearest with whole shells")
    print(f"aldesign, from cell to graph              {COUNT / ours:8.0f} crystals/s")
    print(f"pymatgen get_neighbor_list, from Structure {COUNT / lists:7.0f} crystals/s, all neighbours, unsorted")
    print(f"pymatgen get_all_neighbors (CGCNN's input) {COUNT / objects:7.0f} crystals/s")


if __name__ == "__main__":
    main()
