"""The surrogate: an exact Gaussian process with a length scale per block, in double precision, the same every time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from aldesign.errors import InputError
from aldesign.models.surrogates.kernels import (
    KERNELS,
    LEAST_NOISE,
    Hyperparameters,
    Kernel,
    centred,
    correlation,
    most_probable,
    usual,
)
from aldesign.models.surrogates.training_rows import centre_and_scale, kept, kept_std, query, spread

_CHUNK = 2048  # query rows held against all training rows at once


class GaussianProcess:
    """Gaussian-process regression of a property over latent points, descriptors or both.

    Labels and each block of features are standardised on the training rows: the features of a block are centred and
    share one scale, so that their weights against each other are those that the descriptor gave them (a constant
    block is centred only, constant labels keep the scale of 1 eV). The hyper-parameters, one length scale for each
    block and the noise, are those of greatest posterior density; see `kernels.most_probable`. Everything runs in
    float64 through Cholesky factors: the same rows and the same start give the same bits on the same number of
    threads. Where standard deviations of labels are stated, each label's noise is what was learnt plus its own.

    Args:
        blocks: Widths of the blocks of features that share a length scale, e.g. ``(128, 149)``; None for one block
            of all, ``(1,) * d`` for one length scale per feature (slow beyond some dozens).
        kernel: ``"matern52"``, ``"matern32"`` or ``"rbf"``.
        max_observations: Rows kept at most; see `training_rows.keep_rows` for which.
        fit_observations: Rows, spread evenly over those kept, from which the hyper-parameters are learned;
            the posterior uses all that are kept.
        start: What `hyperparameters` of an earlier fit returned: the search begins there.

    Attributes:
        notes: What was left out or could not be learned, in words, after `fit`.
        noise_std: Standard deviation of the noise, in eV, after `fit`.

    """

    def __init__(
        self,
        blocks: Sequence[int] | None = None,
        kernel: Kernel = "matern52",
        max_observations: int = 4000,
        fit_observations: int = 500,
        start: Mapping[str, Sequence[float]] | None = None,
    ) -> None:
        if kernel not in KERNELS:
            raise InputError(f"no surrogate kernel is called {kernel!r}", f"allowed: {', '.join(KERNELS)}")
        if max_observations < 2 or fit_observations < 2:
            raise InputError(
                f"max_observations is {max_observations}, fit_observations {fit_observations}",
                "a Gaussian process needs room for two rows or more",
            )
        self.kernel: Kernel = kernel
        self.max_observations = max_observations
        self.fit_observations = fit_observations
        self.notes: tuple[str, ...] = ()
        self.noise_std = float("nan")
        self._blocks = None if blocks is None else tuple(blocks)
        self._start = start
        self._width = 0  # of the features; 0 until `fit`

    def fit(self, x: np.ndarray, y: np.ndarray, std: np.ndarray | None = None) -> GaussianProcess:
        """Learn from features (n, d) and labels (n,) in eV, rows in trial order; return self.

        Args:
            x: Features.
            y: Labels.
            std: Stated standard deviation of each label in eV, (n,), 0 where none is stated; None for none at all.

        Raises:
            InputError: No rows, shapes that do not match, or a value that is not finite.

        """
        std = kept_std(std, y, self.max_observations)
        x, y, notes = kept(x, y, self.max_observations)
        blocks = self._blocks or (x.shape[1],)
        if sum(blocks) != x.shape[1]:
            raise InputError(
                f"{x.shape[1]} features do not make up blocks of {blocks}", "give the widths that they have"
            )
        self._x_mean, self._x_scale = (torch.from_numpy(v) for v in centre_and_scale(x, blocks))
        self._y_mean, self._y_scale = (float(v[0]) for v in centre_and_scale(y[:, None], (1,)))
        self._widths, self._width = list(blocks), x.shape[1]
        points = self._standardised(torch.from_numpy(x))
        labels = torch.from_numpy((y - self._y_mean) / self._y_scale)
        stated = None if std is None else torch.from_numpy(np.square(std / self._y_scale))
        found = started(self._start, blocks)
        if len(y) < 3 or not np.ptp(y):
            note = "too few rows, or all labels equal: the hyper-parameters are those of the prior"
            notes, found = (*notes, note), usual(blocks)
        else:
            some = spread(len(y), min(len(y), self.fit_observations))
            if len(some) < len(y):
                notes = (*notes, f"its hyper-parameters come from {len(some)} rows spread evenly over those")
            own = None if stated is None else stated[some]
            found, note = most_probable(self.kernel, [block[some] for block in points], labels[some], found, own)
            notes = (*notes, note) if note else notes
        self.notes = notes
        self._condition(found, points, labels, stated)
        return self

    def posterior(self, x: np.ndarray, noise: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (n,) and standard deviation (n,) in eV at features (n, d).

        Args:
            x: Features.
            noise: False for the uncertainty of the learned function, which an acquisition needs; True to add
                the noise, for what a new measurement is expected to show (calibration, reports).

        Raises:
            InputError: Not fitted, another number of features, or a value that is not finite.

        """
        x = query(x, self._width)
        mean, std = np.empty(len(x)), np.empty(len(x))
        with torch.no_grad():
            for i in range(0, len(x), _CHUNK):
                m, s = self.evaluate(torch.from_numpy(x[i : i + _CHUNK]))
                mean[i : i + _CHUNK], std[i : i + _CHUNK] = m.numpy(), s.numpy()
        return mean, np.sqrt(std**2 + self.noise_std**2) if noise else std

    def joint(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (n,) in eV and noise-free covariance (n, n) in eV² at features (n, d). Raises InputError."""
        points = self._standardised(torch.from_numpy(query(x, self._width)))
        with torch.no_grad():
            cross = self._correlation(self._points, points)
            whitened = torch.linalg.solve_triangular(self._factor, cross, upper=False)
            covariance = self._correlation(points, points) - whitened.T @ whitened
            mean = self._constant + self._weights @ cross
        return mean.numpy() * self._y_scale + self._y_mean, covariance.numpy() * self._y_scale**2

    def evaluate(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean (n,) and noise-free standard deviation (n,) in eV at (n, d), differentiable in `x`.

        Rasmussen & Williams, Gaussian Processes for Machine Learning (2006), Algorithm 2.1.
        """
        cross = self._correlation(self._points, self._standardised(x))
        variance = 1.0 - torch.linalg.solve_triangular(self._factor, cross, upper=False).square().sum(0)
        mean = self._constant + self._weights @ cross
        # the floor keeps the gradient of the root finite on top of a training row
        return mean * self._y_scale + self._y_mean, variance.clamp_min(1e-12).sqrt() * self._y_scale

    def hyperparameters(self) -> dict[str, list[float]]:
        """Return length scales and noise, in standard deviations of features and labels; `start` takes them back.

        Raises:
            InputError: Nothing was learned yet.

        """
        query(np.empty((0, self._width)), self._width)
        return {"length_scale": list(self._found.length_scale), "noise": [self._found.noise]}

    def _condition(
        self, found: Hyperparameters, points: list[torch.Tensor], labels: torch.Tensor, stated: torch.Tensor | None
    ) -> None:
        self._found, self._points = found, points
        self.noise_std = math.sqrt(found.noise) * self._y_scale
        with torch.no_grad():
            gram = self._correlation(points, points) + found.noise * torch.eye(len(labels), dtype=labels.dtype)
            gram = gram if stated is None else gram + torch.diag(stated)
            self._factor = torch.linalg.cholesky(gram)
            constant, residual = centred(self._factor, labels)
            self._weights = torch.linalg.solve_triangular(self._factor.T, residual[:, None], upper=True)[:, 0]
        self._constant = float(constant)

    def _correlation(self, a: Sequence[torch.Tensor], b: Sequence[torch.Tensor]) -> torch.Tensor:
        return correlation(self.kernel, a, b, self._found.length_scale)

    def _standardised(self, x: torch.Tensor) -> list[torch.Tensor]:
        return list(torch.split((x - self._x_mean) / self._x_scale, self._widths, dim=1))


def started(start: Mapping[str, Sequence[float]] | None, blocks: Sequence[int]) -> Hyperparameters:
    """Return the hyper-parameters that a fit begins with: those given, else those that the priors favour.

    Raises:
        InputError: They are not those of such blocks.

    """
    if start is None:
        return usual(blocks)
    try:
        length_scale = tuple(float(value) for value in start["length_scale"])
        (noise,) = (float(value) for value in start["noise"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"a fit cannot start from {start!r}: {error!r}", "give what hyperparameters() returned"
        ) from error
    if len(length_scale) != len(blocks) or not all(0 < v < math.inf for v in (*length_scale, noise)):
        raise InputError(f"a fit of {len(blocks)} blocks cannot start from {start!r}", "start from a fit of the same")
    return Hyperparameters(length_scale, max(noise, LEAST_NOISE))
