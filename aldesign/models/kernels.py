"""Kernels of unit variance with one length scale per block of features, and the length scales that fit best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

Kernel = Literal["matern52", "matern32", "rbf"]
KERNELS: tuple[Kernel, ...] = ("matern52", "matern32", "rbf")

# A feature spread evenly over [0, 1] has a standard deviation of 1/sqrt(12): the factor that carries a
# prior stated for the unit cube over to standardised features.
_UNIT_CUBE_TO_STANDARD = math.sqrt(12.0)
_SPREAD = math.sqrt(3.0)  # of the prior of a log length scale
_NOISE = (-4.0, 1.0)  # prior of the log noise variance: mean and standard deviation
LEAST_NOISE = 1e-4  # of the labels' variance: a Cholesky factor exists even for repeated rows
_LOG_LENGTH_SCALES = (math.log(2.5e-2), math.log(1e5))
_TINY = 1e-20  # squared distance below which the gradient of a root is not followed
_STEPS = 100


@dataclass(frozen=True)
class Hyperparameters:
    """What a Gaussian process on standardised labels has besides its rows.

    Attributes:
        length_scale: One per block, in standard deviations of the features.
        noise: Variance of the labels' noise, of a total of 1.

    """

    length_scale: tuple[float, ...]
    noise: float


def squared_distances(a: Sequence[Tensor], b: Sequence[Tensor]) -> list[Tensor]:
    """Return the squared distances (n, m) within each block between points (n, width) and (m, width) of it."""
    return [
        (p.square().sum(1)[:, None] + q.square().sum(1) - 2.0 * (p @ q.T)).clamp_min(0.0)
        for p, q in zip(a, b, strict=True)
    ]


def correlation(kernel: Kernel, squared: Tensor) -> Tensor:
    """Return the kernel at squared distances in units of its length scale; Rasmussen & Williams (2006), 4.2."""
    if kernel == "rbf":
        return torch.exp(-0.5 * squared)
    r = squared.clamp_min(_TINY).sqrt() * math.sqrt(5.0 if kernel == "matern52" else 3.0)
    return (1.0 + r + r.square() / 3.0) * torch.exp(-r) if kernel == "matern52" else (1.0 + r) * torch.exp(-r)


def scaled(squared: Sequence[Tensor], length_scale: Sequence[float] | Tensor) -> Tensor:
    """Return the squared distances over all blocks, each in units of its length scale."""
    total = squared[0] / length_scale[0] ** 2
    for block, scale in zip(squared[1:], length_scale[1:], strict=True):
        total = total + block / scale**2
    return total


def usual(blocks: Sequence[int]) -> Hyperparameters:
    """Return the hyper-parameters that the priors favour, for blocks of these widths."""
    scale = math.exp(_log_length_scale(sum(blocks)) - _SPREAD**2)
    return Hyperparameters((scale,) * len(blocks), math.exp(_NOISE[0] - _NOISE[1] ** 2))


def most_probable(
    kernel: Kernel, points: Sequence[Tensor], labels: Tensor, start: Hyperparameters
) -> tuple[Hyperparameters, str]:
    """Return the hyper-parameters of greatest posterior density near `start`, and a note if the search stopped early.

    The priors are log-normal. That of a length scale is of Hvarfner et al., "Vanilla Bayesian Optimization Performs
    Great in High Dimensions" (ICML 2024): it grows with the square root of the number of features. The constant
    mean has a flat prior and is solved for.

    Args:
        kernel: Its name.
        points: Blocks (n, width) of standardised features.
        labels: Standardised labels, (n,).
        start: Where the search begins.

    """
    squared = squared_distances(points, points)
    expected = _log_length_scale(sum(block.shape[1] for block in points))
    eye = torch.eye(len(labels), dtype=labels.dtype)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        logs = torch.from_numpy(flat.copy()).requires_grad_(True)
        factor = torch.linalg.cholesky(correlation(kernel, scaled(squared, logs[:-1].exp())) + logs[-1].exp() * eye)
        _, residual = centred(factor, labels)
        evidence = 0.5 * residual.square().sum() + factor.diagonal().log().sum()
        prior = (logs[:-1] - expected).square().sum() / (2 * _SPREAD**2)
        prior = prior + (logs[-1] - _NOISE[0]).square() / (2 * _NOISE[1] ** 2)
        total = evidence + prior + logs.sum()  # the densities are those of the parameters, not of their logarithms
        (slope,) = torch.autograd.grad(total, logs)
        return float(total.detach()) / len(labels), slope.numpy() / len(labels)

    begin = np.log([*start.length_scale, start.noise])
    box = [_LOG_LENGTH_SCALES] * len(points) + [(math.log(LEAST_NOISE), 1.0)]
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=box, options={"maxiter": _STEPS})
    *length_scale, noise = np.exp(found.x).tolist()
    note = "" if found.success else f"the search for hyper-parameters stopped early: {found.message}"
    return Hyperparameters(tuple(length_scale), noise), note


def centred(factor: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the most probable constant mean of labels (n,), and what is left of them, whitened by `factor` (n, n)."""
    both = torch.stack([labels, torch.ones_like(labels)], dim=1)
    white, ones = torch.linalg.solve_triangular(factor, both, upper=False).unbind(1)
    constant = (white * ones).sum() / ones.square().sum()
    return constant, white - constant * ones


def _log_length_scale(features: int) -> float:
    return math.sqrt(2.0) + math.log(features) / 2 + math.log(_UNIT_CUBE_TO_STANDARD)
