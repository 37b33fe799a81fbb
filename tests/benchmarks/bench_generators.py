"""Formulas a second through the shipped autoencoder and generator, beside the networks' products alone.

Run: python tests/benchmarks/bench_generators.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch

from aldesign.learning.threads import pin_threads
from aldesign.models.autoencoder import FormulaAutoencoder
from aldesign.models.gan import FormulaGAN

N = 8192


def rate(work: Callable[[], object]) -> float:
    """Formulas a second, best of three."""
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return N / min(seconds)


def main() -> None:
    pin_threads(1)
    encoder, generator = FormulaAutoencoder.load(), FormulaGAN.load()
    formulas = generator.sample(N, np.random.default_rng(0))
    formulas = [f for f, g in zip(formulas, encoder.decode(encoder.encode(formulas)), strict=True) if g][:N]
    points = encoder.encode(formulas)
    tensor = torch.from_numpy(points)
    noise = torch.randn(N, generator.config.noise_size, dtype=torch.float64)
    with torch.no_grad():
        print(f"encode    {rate(lambda: encoder.encode(formulas)):10.0f} formulas/s")
        print(f"decode    {rate(lambda: encoder.decode(points)):10.0f} formulas/s")
        print(f"  network {rate(lambda: encoder.network.decode(tensor)):10.0f} points/s")
        print(f"sample    {rate(lambda: generator.sample(N, np.random.default_rng(1))):10.0f} formulas/s")
        print(f"  network {rate(lambda: generator.network(noise)):10.0f} draws/s")


if __name__ == "__main__":
    main()
