"""Seconds to learn and to choose a batch in 128 dimensions: ours beside BoTorch's default model and bayes_opt.

python tests/benchmarks/bench_surrogate.py [ROWS ...]

The three learn from the same rows on one thread. Ours is asked for 64 points of a latent search and for a batch of 50
out of 20,000 candidates; BoTorch's model (one length scale per dimension) for one point by 64 restarts;
bayesian-optimization, if installed (3.x), for one suggestion. Above 300 rows the others take minutes and are left out
unless ``--all`` is given.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from aldesign.models.acquisition import Objective, make_acquirer
from aldesign.models.acquisition.batch import choose_batch
from aldesign.models.acquisition.latent_search import search
from aldesign.models.surrogates import make_surrogate

D, POOL, KAPPA = 128, 20_000, 1.0


def data(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = np.tanh(rng.normal(size=(n, 20)) @ rng.normal(size=(20, D)) / 4) + 0.1 * rng.normal(size=(n, D))
    return x, x[:, :5].sum(1) ** 2 / 4 + x[:, 6]


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.perf_counter()
    return work(), time.perf_counter() - began


def show(rows: int, who: str, **seconds: float) -> None:
    print(f"{rows:5d} rows  {who:22s}" + "".join(f"  {what} {value:7.2f} s" for what, value in seconds.items()))


def ours(x: np.ndarray, y: np.ndarray, pool: np.ndarray) -> None:
    box, start = np.stack([x.min(0), x.max(0)]), None
    for kind in ("gp", "trees", "deep_kernel"):
        model = make_surrogate(kind, blocks=(D,))
        _, cold = timed(lambda: model.fit(x, y))  # noqa: B023 (called at once)
        start = model.hyperparameters()
        _, warm = timed(lambda: make_surrogate(kind, blocks=(D,), start=start).fit(x, y))  # noqa: B023
        acquirer, rng = make_acquirer("ucb", Objective(), kappa=KAPPA), np.random.default_rng(0)
        _, batch = timed(lambda: choose_batch(model, pool, acquirer, 50, rng))  # noqa: B023
        seconds = {"fit": cold, "refit": warm, "50 of 20,000": batch}
        if kind == "gp":
            best = x[np.argsort(-y)[:20]]
            _, seconds["64 points"] = timed(lambda: search(model, Objective(), KAPPA, best, box, 64, rng))  # noqa: B023
        show(len(y), f"ours, {kind}", **seconds)


def botorchs(x: np.ndarray, y: np.ndarray) -> None:
    from botorch.acquisition import UpperConfidenceBound
    from botorch.fit import fit_gpytorch_mll
    from botorch.models import SingleTaskGP
    from botorch.optim import optimize_acqf
    from gpytorch.mlls import ExactMarginalLogLikelihood

    unit = torch.from_numpy((x - x.min(0)) / np.ptp(x, axis=0))
    model = SingleTaskGP(unit, torch.from_numpy((y - y.mean()) / y.std())[:, None])
    _, fit = timed(lambda: fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model)))
    cube = torch.stack([torch.zeros(D), torch.ones(D)]).double()
    bound = UpperConfidenceBound(model, beta=KAPPA**2)
    _, point = timed(lambda: optimize_acqf(bound, cube, q=1, num_restarts=64, raw_samples=64))
    show(len(y), "BoTorch SingleTaskGP", fit=fit, **{"1 point": point})


def bayes_opts(x: np.ndarray, y: np.ndarray) -> None:
    try:
        from bayes_opt import BayesianOptimization
        from bayes_opt.acquisition import UpperConfidenceBound
    except ImportError:
        print("            bayesian-optimization is not installed: pip install bayesian-optimization")
        return
    bounds = {f"x{i:03d}": (float(x[:, i].min()), float(x[:, i].max())) for i in range(D)}
    theirs = BayesianOptimization(
        None, bounds, acquisition_function=UpperConfidenceBound(kappa=KAPPA), random_state=0, verbose=0
    )
    for point, value in zip(x, y, strict=True):
        theirs.register(dict(zip(bounds, point.tolist(), strict=True)), float(value))
    _, point = timed(theirs.suggest)
    show(len(y), "bayesian-optimization", **{"1 suggestion": point})


def main(sizes: list[int], everything: bool) -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(1)
    for n in sizes:
        x, y = data(n)
        ours(x, y, x[rng.integers(n, size=POOL)] + 0.2 * rng.normal(size=(POOL, D)))
        if n <= 300 or everything:
            botorchs(x, y)
            bayes_opts(x, y)


if __name__ == "__main__":
    numbers = [int(a) for a in sys.argv[1:] if a.isdigit()]
    main(numbers or [300, 1000, 4000], everything="--all" in sys.argv)
