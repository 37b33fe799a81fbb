"""Seconds to learn and to propose in 128 dimensions: ours beside BoTorch's default model.

python tests/benchmarks/bench_surrogate.py [ROWS ...]
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import sys
import time
import warnings

import numpy as np
import torch
from botorch.acquisition import UpperConfidenceBound as TheirBound
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.optim import optimize_acqf
from gpytorch.mlls import ExactMarginalLogLikelihood

from aldesign.models.acquisition import Objective, UpperConfidenceBound
from aldesign.models.surrogate import GaussianProcess


def data(n: int, d: int = 128) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = np.tanh(rng.normal(size=(n, 20)) @ rng.normal(size=(20, d)) / 4) + 0.1 * rng.normal(size=(n, d))
    return x, x[:, :5].sum(1) ** 2 / 4 + x[:, 6]


def main(sizes: list[int]) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for n in sizes:
        x, y = data(n)
        box = np.stack([x.min(0), x.max(0)])
        began = time.perf_counter()
        ours = GaussianProcess().fit(x, y)
        fitted = time.perf_counter()
        starts = x[np.argsort(-y)[:20]]
        UpperConfidenceBound(Objective(), 10).propose(ours, starts, box, 64, np.random.default_rng(0))
        done = time.perf_counter()
        print(f"{n} rows: ours    fit {fitted - began:6.2f} s   64 proposals {done - fitted:6.2f} s")
        if n > 300:  # theirs takes minutes
            continue
        began = time.perf_counter()
        unit = torch.from_numpy((x - box[0]) / (box[1] - box[0]))
        theirs = SingleTaskGP(unit, torch.from_numpy((y - y.mean()) / y.std())[:, None])
        fit_gpytorch_mll(ExactMarginalLogLikelihood(theirs.likelihood, theirs))
        fitted = time.perf_counter()
        cube = torch.stack([torch.zeros(128), torch.ones(128)]).double()
        optimize_acqf(TheirBound(theirs, beta=100.0), cube, q=1, num_restarts=64, raw_samples=64)
        done = time.perf_counter()
        print(f"{n} rows: BoTorch fit {fitted - began:6.2f} s   64 restarts  {done - fitted:6.2f} s")


if __name__ == "__main__":
    main([int(n) for n in sys.argv[1:]] or [300, 1000, 4000])
