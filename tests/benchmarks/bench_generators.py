"""The shipped generator beside MATGAN, and formulas a second through the autoencoder and the generator.

Run: python tests/benchmarks/bench_generators.py --formulas FILE [--draws 2000000] [--model DIR] [--smact 5000]

FILE holds the formulas that the generator was trained on, held-out ones included: they are split as in training.
Without it, only speeds are measured.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from smact.screening import smact_validity

from aldesign.learning.threads import pin_threads
from aldesign.models.autoencoder import FormulaAutoencoder
from aldesign.models.gan import FormulaGAN
from aldesign.models.gan_quality import UNIQUE_DRAWS, judge, training_figures
from aldesign.models.train import split, usable
from aldesign.seeds import stream

N = 8192
MATGAN = {  # Dan et al., npj Comput. Mater. 6, 84 (2020): MATGAN-MP, 57,530 formulas
    "neutral": 84.8,
    "balanced": 73.4,
    "neutral, training set": 83.5,
    "balanced, training set": 79.3,
    "unique": 85.9,
    "recovered": 48.8,
    "2": 81.9,
    "3": 38.8,
    "4": 14.1,
}


def rate(work: Callable[[], object], n: int = N) -> float:
    """Formulas a second, best of three."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return n / min(seconds)


def _draw(model: Path | None, n: int, seed: int) -> float:
    """Return the seconds of `n` samples in a process of its own, loading and warming up apart."""
    pin_threads(1)
    generator = FormulaGAN.load(model)
    generator.sample(N, np.random.default_rng(0))
    started = time.perf_counter()
    generator.sample(n, stream(seed, 0, "speed"))
    return time.perf_counter() - started


def speeds(model: Path | None) -> None:
    encoder, generator = FormulaAutoencoder.load(), FormulaGAN.load(model)
    formulas = generator.sample(N, np.random.default_rng(0))
    formulas = [f for f, g in zip(formulas, encoder.decode(encoder.encode(formulas)), strict=True) if g][:N]
    points = encoder.encode(formulas)
    tensor = torch.from_numpy(points)
    many = 16 * N
    with torch.no_grad():
        print(f"encode          {rate(lambda: encoder.encode(formulas)):10.0f} formulas/s")
        print(f"decode          {rate(lambda: encoder.decode(points)):10.0f} formulas/s")
        print(f"  network       {rate(lambda: encoder.network.decode(tensor)):10.0f} points/s")
    for name, raw in (("sample", False), ("sample, raw", True)):
        found = rate(lambda raw=raw: generator.sample(many, np.random.default_rng(1), plausible=not raw), many)
        print(f"{name:15} {found:10.0f} formulas/s, one core")
    found = rate(lambda: generator.sample_table(many, np.random.default_rng(1)), many)
    print(f"sample_table    {found:10.0f} formulas/s, one core")
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        seconds = [pool.submit(_draw, model, many, seed) for seed in (1, 2)]
        print(f"sample          {2 * many / max(s.result() for s in seconds):10.0f} formulas/s, two processes")


def smact_share(model: FormulaGAN, n: int, **wishes: Any) -> float:
    """Return the share of `n` samples that SMACT's own function accepts with its default arguments."""
    return float(np.mean([smact_validity(f) for f in model.sample(n, stream(0, 0, "smact"), **wishes)]))


def quality(model: Path | None, formulas: Path, draws: int, smact: int) -> None:
    generator = FormulaGAN.load(model)
    table, _ = usable(formulas.read_text().split("\n"))
    held_out, validation, train = split(len(table), int(generator.card["split"]["seed"]))
    train = np.concatenate([train, validation])
    about = training_figures(table[train])
    columns: dict[str, tuple[dict[str, Any], float]] = {}
    for name, wishes in (("default", {}), ("raw", {"plausible": False}), ("no alloys", {"alloys": False})):
        found = judge(generator, table[train], table[held_out], draws, stream(0, 0, name), **wishes)
        columns[name] = found, smact_share(generator, smact, **wishes)
    print(f"{len(train)} formulas to train on, {len(held_out)} held out, {draws} draws")
    print(f"{'%':44}" + "".join(f"{name:>12}" for name in ("MATGAN-MP", "training", *columns)))

    def line(name: str, matgan: float | None, training: float | None, values: list[float]) -> None:
        cells = [matgan, *(None if v is None else 100 * v for v in (training, *values))]
        print(f"{name:44}" + "".join(f"{'' if v is None else f'{v:.1f}':>12}" for v in cells))

    line(f"valid by smact_validity ({smact} draws)", None, about["valid_train"], [s for _, s in columns.values()])
    figures = [found for found, _ in columns.values()]
    for key, matgan in (("valid", None), ("neutral", MATGAN["neutral"]), ("balanced", MATGAN["balanced"])):
        line(f"{key} (50,000 draws)", matgan, about[f"{key}_train"], [f[key] for f in figures])
    line(f"unique of the first {UNIQUE_DRAWS}", MATGAN["unique"], None, [f["unique"] for f in figures])
    line("new beside all known, of the same", None, None, [f["novel"] for f in figures])
    for k in ("2", "3", "4"):
        line(f"held-out with {k} elements found", MATGAN[k], None, [f["recovered_by_elements"][k] for f in figures])
    line("held-out with 2-4 elements found", MATGAN["recovered"], None, [f["recovered"] for f in figures])
    line("of those that pass the generator's filter", None, None, [f["recovered_admitted"] for f in figures])
    print(f"{'mean number of elements':68}" + "".join(f"{f['mean_elements']:12.2f}" for f in figures))
    print(f"{'formulas/s, as counts':68}" + "".join(f"{f['samples_per_second']:12.0f}" for f in figures))
    print(
        f"MATGAN's own training set: {MATGAN['neutral, training set']} % neutral, {MATGAN['balanced, training set']} %"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formulas", type=Path)
    parser.add_argument("--draws", type=int, default=2_000_000)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--smact", type=int, default=5000)
    arguments = parser.parse_args()
    pin_threads(1)
    speeds(arguments.model)
    if arguments.formulas:
        quality(arguments.model, arguments.formulas, arguments.draws, arguments.smact)


if __name__ == "__main__":
    main()
