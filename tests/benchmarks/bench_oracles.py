"""Print what every installed oracle takes: seconds to load, formulas (or crystals) per second, memory.

Each oracle has a process of one thread for itself. First it answers through its `predict`, by CPU time, so that
other programs on the machine do not count; then a user's whole command is run, ``aldesign predict --input FILE
--output FILE``, by the clock. Formulas and crystals are those of mp/ in the folder that ALDESIGN_DATA names (default
../shared/data), and random formulas where these do not suffice; else random formulas and the built-in prototypes.

Run: python tests/benchmarks/bench_oracles.py [--formulas 100000] [--crystals 2000] [ORACLE[=FOLDER OF WEIGHTS]]...
"""

import argparse
import gzip
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.chemistry.elements import SYMBOLS
from aldesign.chemistry.formula import canonical_many
from aldesign.datasets.builtin import builtin_crystals
from aldesign.datasets.formulas import read_formulas
from aldesign.errors import AldesignError, InputError
from aldesign.learning.threads import pin_threads
from aldesign.records import Candidate
from aldesign.registry import load_oracle, oracle_class, oracle_entries

DATA = Path(os.environ.get("ALDESIGN_DATA", Path(__file__).resolve().parents[3] / "shared" / "data"))
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
FEW = 1000
COMMAND = {"wall": 1, "cpu": 1, "memory": 0}
WIDTHS = (10, 8, 8, 10, 10, 8, 10, 8, 8)


def write_formulas(path: Path, count: int) -> None:
    """Write so many different formulas as a CSV: known ones in random order, then random ones."""
    rng = np.random.default_rng(0)
    known = DATA / "mp" / "formulas.txt"
    found = dict.fromkeys(known.read_text(encoding="utf-8").split() if known.exists() else ())
    while len(found) < count:
        rows = [rng.choice(np.arange(1, 84), rng.integers(2, 6), replace=False) for _ in range(count)]
        texts = ["".join(f"{SYMBOLS[z]}{rng.integers(1, 9)}" for z in row) for row in rows]
        found.update(dict.fromkeys(text for text in canonical_many(texts) if isinstance(text, str)))
    names = list(found)
    lines = [names[i] for i in rng.permutation(len(names))[:count]]
    path.write_text("\n".join(["formula", *lines, ""]), encoding="utf-8")


def write_crystals(path: Path, count: int) -> None:
    """Write so many crystals as JSON lines, evenly spread over those there are."""
    stored = DATA / "mp" / "structures.jsonl.gz"
    if stored.exists():
        with gzip.open(stored, "rt", encoding="utf-8") as stream:
            lines = [line.strip() for line in islice(stream, 0, None, max(1, 100_000 // count))]
    else:
        crystals = builtin_crystals().values()
        lines = [
            json.dumps({"id": c.id, "lattice": c.lattice, "species": c.species, "frac": c.frac.tolist()})
            for c in crystals
        ]
    path.write_text("".join(f"{lines[i % len(lines)]}\n" for i in range(count)), encoding="utf-8")


def measure(name: str, folder: Path | None, source: Path) -> dict[str, Any]:
    """Return an oracle's CPU seconds to load, its rates on few and on all candidates, and the memory in MB."""
    pin_threads(1)
    started = time.process_time()
    oracle = load_oracle(name, folder)
    loaded = time.process_time()
    if oracle.card.answers == "tell":
        raise InputError(f"oracle {name!r} answers from outside")
    with read_formulas(source) as file:
        rows = [row for row in file.rows if row.formula is not None]
    candidates = [Candidate(row.formula or "", crystal=row.crystal) for row in rows]
    oracle.predict(candidates[:10])  # what is set up once
    rates = []
    for part in (candidates[:1], candidates[:FEW], candidates):
        runs = 20 if len(part) == 1 else 1
        begun = time.process_time()
        for _ in range(runs):
            answers = oracle.predict(part)
        rates.append(runs * len(part) / (time.process_time() - begun))
    failed = sum(not answer.ok for answer in answers)
    return {"load": loaded - started, "rates": rates, "failed": failed, "memory": memory(resource.RUSAGE_SELF)}


def memory(who: int) -> float:
    """Return the largest resident memory in MB."""
    return resource.getrusage(who).ru_maxrss / (1024 if sys.platform == "linux" else 1024**2)


def command(name: str, folder: Path | None, source: Path) -> dict[str, float]:
    """Return the wall and CPU seconds of ``aldesign predict`` and its memory in MB."""
    output = source.with_name("predicted.csv")
    words = ["predict", "--oracle", name, "--input", str(source), "--output", str(output)]
    words += ["--model", str(folder)] if folder else []
    started = time.perf_counter()
    run = [sys.executable, "-m", "aldesign", *words]
    subprocess.run(run, env={**os.environ, **THREADS}, check=True, capture_output=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "wall": time.perf_counter() - started,
        "cpu": used.ru_utime + used.ru_stime,
        "memory": memory(resource.RUSAGE_CHILDREN),
    }


def child(kind: str, name: str, folder: Path | None, source: Path) -> dict[str, Any]:
    """Return what one of the two functions above finds in a process of its own."""
    run = [sys.executable, __file__, "--child", kind, str(source), f"{name}={folder or ''}"]
    found = subprocess.run(run, env={**os.environ, **THREADS}, check=False, capture_output=True, text=True)
    if found.returncode:
        lines = found.stderr.strip().splitlines() or [f"ended with {found.returncode}"]
        return {"error": lines[-1]}
    result: dict[str, Any] = json.loads(found.stdout)
    return result


def main(oracles: list[str], formulas: int, crystals: int) -> None:
    """Print a line for each oracle."""
    print(f"{'':48}{'rows/s, asked together':>28}{'':9}   aldesign predict --input")
    heads = ("rows", "load s", "one", f"{FEW:,}", "all", "MB", "s", "CPU s", "MB")
    print(f"{'oracle':24}" + "".join(f"{head:>{width}}" for head, width in zip(heads, WIDTHS, strict=True)))
    with tempfile.TemporaryDirectory() as place:
        inputs = {"formula": (Path(place, "formulas.csv"), formulas), "structure": (Path(place, "c.jsonl"), crystals)}
        write_formulas(*inputs["formula"])
        write_crystals(*inputs["structure"])
        for given in oracles or list(oracle_entries()):
            name, _, weights = given.partition("=")
            folder = Path(weights) if weights else None
            try:
                needs = getattr(oracle_class(name), "needs", "formula")
            except AldesignError as error:
                print(f"{given:24} {str(error)[:120]}")
                continue
            source, count = inputs["structure" if needs == "structure" else "formula"]
            found = child("measure", name, folder, source)
            if "error" in found:
                print(f"{given:24} {found['error'][:120]}")
                continue
            whole = child("command", name, folder, source)
            texts = [f"{count:,}", f"{found['load']:.2f}", *(f"{rate:,.0f}" for rate in found["rates"])]
            texts.append(f"{found['memory']:.0f}")
            texts += [f"{whole[key]:.{digits}f}" for key, digits in COMMAND.items() if key in whole]
            line = f"{given:24}" + "".join(f"{text:>{width}}" for text, width in zip(texts, WIDTHS, strict=False))
            failed = f"  {found['failed']} without answer" if found["failed"] else ""
            print(f"{line}{failed}  {whole.get('error', '')[:80]}".rstrip(), flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Time every installed oracle.")
    parser.add_argument("oracles", nargs="*")
    parser.add_argument("--formulas", type=int, default=100_000)
    parser.add_argument("--crystals", type=int, default=2_000)
    parser.add_argument("--child", nargs=2, metavar=("KIND", "SOURCE"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        oracle, _, weights = chosen.oracles[0].partition("=")
        try:
            work = {"measure": measure, "command": command}[chosen.child[0]]
            print(json.dumps(work(oracle, Path(weights) if weights else None, Path(chosen.child[1]))))
        except AldesignError as error:
            sys.exit(str(error))
        except subprocess.CalledProcessError as error:
            sys.exit(error.stderr.decode() or str(error))
    else:
        main(chosen.oracles, chosen.formulas, chosen.crystals)
