"""Print how fast crystals relax together, one by one, and with CHGNet's own optimiser, and how far the results differ.

Run: ``python tests/benchmarks/bench_energy.py STRUCTURES.jsonl[.gz] [N]``; N crystals (default 12) of 2 to 20 atoms
are taken from all over the file, their cells widened by 4 % and their atoms shaken by 0.01 of the cell. Seconds are
of the processor, so that other programs on the machine hardly count.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from aldesign.records import Crystal
from aldesign.structures.cif import read_jsonl, to_pymatgen
from aldesign.structures.energy import evaluate_many, evaluate_one
from aldesign.structures.energy.potential import network
from aldesign.structures.geometry import volume

T = TypeVar("T")


def shaken(crystals: list[Crystal]) -> list[Crystal]:
    random = np.random.default_rng(0)
    made = []
    for crystal in crystals:
        a, b, c, *angles = crystal.lattice
        lattice = (1.04 * a, 1.04 * b, 1.04 * c, *angles)
        made.append(
            Crystal(crystal.id, lattice, crystal.species, crystal.frac + random.normal(0, 0.01, crystal.frac.shape))
        )
    return made


def timed(name: str, n: int, work: Callable[[], T]) -> T:
    start, wall = time.process_time(), time.perf_counter()
    result = work()
    spent, wall = time.process_time() - start, time.perf_counter() - wall
    print(
        f"{name}: {n / spent:.2f} crystals/s of processor time ({1e3 * spent / n:.0f} ms each), {n / wall:.2f} of wall"
    )
    return result


def main() -> None:
    warnings.simplefilter("ignore")
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 12
    every = [c for c in read_jsonl(Path(sys.argv[1])) if isinstance(c, Crystal) and 2 <= len(c) <= 20]
    crystals = shaken(every[:: max(len(every) // n, 1)][:n])
    n = len(crystals)
    print(f"{n} crystals, {np.mean([len(c) for c in crystals]):.1f} atoms on average")
    network()
    evaluate_one(crystals[0], relax=False)

    together = timed("together", n, lambda: evaluate_many(crystals))
    alone = timed("one by one", n, lambda: [evaluate_one(crystal) for crystal in crystals])
    unrelaxed = timed("together, as given", n, lambda: evaluate_many(crystals, relax=False))

    from chgnet.model import CHGNet, StructOptimizer

    optimiser = StructOptimizer(CHGNet.load(use_device="cpu", verbose=False), use_device="cpu")
    structures = [to_pymatgen(crystal) for crystal in crystals]
    theirs = timed(
        "chgnet.StructOptimizer",
        n,
        lambda: [optimiser.relax(s, fmax=0.1, steps=100, verbose=False) for s in structures],
    )

    good = [i for i in range(n) if not together[i].error and not alone[i].error]
    print(f"{n - len(good)} failed; steps {np.mean([together[i].steps for i in good]):.1f} on average")
    print(f"converged: {sum(together[i].converged for i in good)} of {len(good)}")
    company = [abs(together[i].energy_ev_per_atom - alone[i].energy_ev_per_atom) for i in good]
    energy = [
        abs(together[i].energy_ev_per_atom - theirs[i]["trajectory"].energies[-1] / len(crystals[i])) for i in good
    ]
    ratio = [abs(volume(together[i].crystal) / theirs[i]["final_structure"].volume - 1) for i in good]
    print(f"company changes an energy by {1e3 * max(company):.4f} meV/atom at most")
    print(f"against chgnet: energy {1e3 * max(energy):.4f} meV/atom, volume {100 * max(ratio):.5f} % at most")
    del unrelaxed


if __name__ == "__main__":
    main()
