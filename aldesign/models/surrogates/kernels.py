"""Kernels of unit variance with one length scale per block of features, and the length scales that fit best."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor

with warnings.catch_warnings():  # linear_operator still compiles helpers the old way when it is imported
    warnings.filterwarnings("ignore", ".*torch.jit.script.*", DeprecationWarning)
    from gpytorch.kernels import MaternKernel, RBFKernel
    from gpytorch.priors import LogNormalPrior

Kernel = Literal["matern52", "matern32", "rbf"]
KERNELS: tuple[Kernel, ...] = ("matern52", "matern32", "rbf")

# A feature spread evenly over [0, 1] has a standard deviation of 1/sqrt(12): the factor that carries a
# prior stated for the unit cube over to standardised features.
_UNIT_CUBE_TO_STANDARD = math.sqrt(12.0)
_SPREAD = math.sqrt(3.0)  # of the prior of a log length scale
_NOISE = (-4.0, 1.0)  # prior of the log noise variance: mean and standard deviation
LEAST_NOISE = 1e-4  # of the labels' variance: a Cholesky factor exists even for repeated rows
_LOG_LENGTH_SCALES = (math.log(2.5e-2), math.log(1e5))
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


def correlation(
    kernel: Kernel, a: Sequence[Tensor], b: Sequence[Tensor], length_scale: Sequence[float] | Tensor
) -> Tensor:
    """Return the correlation (n, m) of points given as blocks (n, width) and (m, width) of features.

    The distance over all blocks, each in units of its length scale, is what the kernel is a function of.
    """
    found: Tensor = _covariance(kernel)(_scaled(a, length_scale), _scaled(b, length_scale)).to_dense()
    return found


@lru_cache(maxsize=len(KERNELS))
def _covariance(kernel: Kernel) -> Any:
    """Return gpytorch's kernel of unit length scale."""
    made = RBFKernel() if kernel == "rbf" else MaternKernel(nu=2.5 if kernel == "matern52" else 1.5)
    made.double().requires_grad_(False)
    made.lengthscale = 1.0
    return made


def _scaled(points: Sequence[Tensor], length_scale: Sequence[float] | Tensor) -> Tensor:
    return torch.cat([block / scale for block, scale in zip(points, length_scale, strict=True)], dim=1)


def usual(blocks: Sequence[int]) -> Hyperparameters:
    """Return the hyper-parameters that the priors favour, for blocks of these widths."""
    scale = math.exp(_log_length_scale(sum(blocks)) - _SPREAD**2)
    return Hyperparameters((scale,) * len(blocks), math.exp(_NOISE[0] - _NOISE[1] ** 2))


def most_probable(
    kernel: Kernel, points: Sequence[Tensor], labels: Tensor, start: Hyperparameters, stated: Tensor | None = None
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
        stated: Variance of each label's own noise, (n,), beside the noise that is learnt; None for none.

    """
    length_scale_prior = LogNormalPrior(_log_length_scale(sum(block.shape[1] for block in points)), _SPREAD)
    noise_prior = LogNormalPrior(*_NOISE)
    eye = torch.eye(len(labels), dtype=labels.dtype)
    own = None if stated is None else torch.diag(stated)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        logs = torch.from_numpy(flat.copy()).requires_grad_(True)
        scales, noise = logs[:-1].exp(), logs[-1].exp()
        gram = correlation(kernel, points, points, scales) + noise * eye
        factor = torch.linalg.cholesky(gram if own is None else gram + own)
        _, residual = centred(factor, labels)
        evidence = 0.5 * residual.square().sum() + factor.diagonal().log().sum()
        prior = length_scale_prior.log_prob(scales).sum() + noise_prior.log_prob(noise)
        total = evidence - prior
        (slope,) = torch.autograd.grad(total, logs)
        return float(total.detach()) / len(labels), slope.numpy() / len(labels)

    begin = np.log([*start.length_scale, start.noise])
    box = [_LOG_LENGTH_SCALES] * len(points) + [(math.log(LEAST_NOISE), 1.0)]
    found = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=box, options={"maxiter": _STEPS})
    *length_scale, noise_variance = np.exp(found.x).tolist()
    note = "" if found.success else f"the search for hyper-parameters stopped early: {found.message}"
    return Hyperparameters(tuple(length_scale), noise_variance), note


def centred(factor: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the most probable constant mean of labels (n,), and what is left of them, whitened by `factor` (n, n)."""
    both = torch.stack([labels, torch.ones_like(labels)], dim=1)
    white, ones = torch.linalg.solve_triangular(factor, both, upper=False).unbind(1)
    constant = (white * ones).sum() / ones.square().sum()
    return constant, white - constant * ones


def _log_length_scale(features: int) -> float:
    return math.sqrt(2.0) + math.log(features) / 2 + math.log(_UNIT_CUBE_TO_STANDARD)
