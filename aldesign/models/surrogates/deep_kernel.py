"""A deep kernel: a Gaussian process that sees, beside the features, what small networks make of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import silu, smooth_l1_loss

from aldesign.errors import InputError
from aldesign.models.surrogates.gaussian_process import GaussianProcess
from aldesign.models.surrogates.kernels import Kernel
from aldesign.models.surrogates.training_rows import centre_and_scale, kept, kept_std, query
from aldesign.seeds import stream, torch_seed

_LEARNING_RATE, _WEIGHT_DECAY = 3e-3, 1e-2
_BATCH = 128
_ROBUST = 0.3  # standard deviations from which on an error counts linearly
_FEWEST = 4  # rows in a fold, below which networks learn nothing
_CHUNK = 8192


class DeepKernel:
    """Gaussian-process regression whose kernel has one block more: the answer of networks to the features.

    Deep kernel learning (Wilson, Hu, Salakhutdinov and Xing, AISTATS 2016) fits network and kernel to the same rows,
    which the network soon knows by heart: the process then takes its answers for facts. Here each of several networks
    leaves out one fold of the rows, and a training row is described by the network that has not seen it (stacking;
    Wolpert, Neural Networks 5, 241, 1992), so that the length scale of that block and the noise say how far networks
    can be trusted. New points are described by the mean of all networks.

    Args:
        blocks: Widths of the blocks of features; None for one block of all.
        networks: How many, 2 or more; the number of folds.
        width: Of their two hidden layers.
        steps: Of the optimiser.
        kernel: As for `GaussianProcess`.
        max_observations: Rows kept at most; see `training_rows.keep_rows` for which.
        fit_observations: As for `GaussianProcess`.
        start: What `hyperparameters` of an earlier fit returned; the networks always start afresh.
        seed: Of folds, batches and first weights.

    Attributes:
        notes: What was left out or could not be learned, in words, after `fit`.

    """

    def __init__(
        self,
        blocks: Sequence[int] | None = None,
        networks: int = 5,
        width: int = 64,
        steps: int = 300,
        kernel: Kernel = "matern52",
        max_observations: int = 4000,
        fit_observations: int = 500,
        start: Mapping[str, Sequence[float]] | None = None,
        seed: int = 0,
    ) -> None:
        if networks < 2 or width < 1 or steps < 1:
            raise InputError(f"networks={networks}, width={width}, steps={steps}", "give 2, 1 and 1 or more")
        self.networks, self.width, self.steps = networks, width, steps
        self.max_observations, self.seed = max_observations, seed
        self.notes: tuple[str, ...] = ()
        self._blocks = None if blocks is None else tuple(blocks)
        self._options = {"kernel": kernel, "fit_observations": fit_observations, "start": start}
        self._features = 0  # until `fit`

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise, in eV, after `fit`."""
        return self._process.noise_std

    def fit(self, x: np.ndarray, y: np.ndarray, std: np.ndarray | None = None) -> DeepKernel:
        """Learn from features (n, d) and labels (n,) in eV, rows in trial order; return self.

        Args:
            x: Features.
            y: Labels.
            std: As for `GaussianProcess`; the networks learn from all rows alike.

        Raises:
            InputError: No rows, shapes that do not match, or a value that is not finite.

        """
        std = kept_std(std, y, self.max_observations)
        x, y, notes = kept(x, y, self.max_observations)
        blocks = self._blocks or (x.shape[1],)
        self._process = GaussianProcess((*blocks, 1), max_observations=len(y) + 1, **self._options)  # type: ignore[arg-type]
        if sum(blocks) != x.shape[1]:
            raise InputError(f"{x.shape[1]} features do not make up blocks of {blocks}", "give the widths they have")
        self._mean, self._scale = (torch.from_numpy(v) for v in centre_and_scale(x, blocks))
        self._weights: list[Tensor] = []
        self._features = x.shape[1]
        answers = np.zeros(len(y))
        if len(y) >= _FEWEST * self.networks and np.ptp(y):
            answers = self._learn(torch.from_numpy(x), y)
        else:
            notes = (*notes, f"fewer rows than {_FEWEST} for each network, or all labels equal: there are no networks")
        self._process.fit(np.column_stack([x, answers]), y, std)
        self.notes = (*notes, *self._process.notes)
        return self

    def posterior(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (n,) and standard deviation (n,) in eV at features (n, d). Raises InputError."""
        described = self._described(x)
        return self._process.posterior(described)

    def joint(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (n,) in eV and noise-free covariance (n, n) in eV² at features (n, d). Raises InputError."""
        described = self._described(x)
        return self._process.joint(described)

    def evaluate(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean (n,) and noise-free standard deviation (n,) in eV at (n, d), differentiable in `x`."""
        return self._process.evaluate(torch.cat([x, self._answers(x)[:, None]], dim=1))

    def hyperparameters(self) -> dict[str, list[float]]:
        """Return those of the process, the block of the networks' answers last. Raises InputError before `fit`."""
        query(np.empty((0, self._features)), self._features)
        return self._process.hyperparameters()

    def _learn(self, x: Tensor, y: np.ndarray) -> np.ndarray:
        """Train the networks; return for each row (n,) the answer of the one that has not seen it, in deviations."""
        rng, k, n = stream(self.seed, 0, "deep kernel rows"), self.networks, len(y)
        generator = torch.Generator().manual_seed(torch_seed(self.seed, 0, "deep kernel weights"))
        points = ((x - self._mean) / self._scale).float()
        labels = torch.from_numpy((y - y.mean()) / y.std()).float()
        fold = rng.permutation(n) % k
        seen = [np.flatnonzero(fold != i) for i in range(k)]
        sizes = (self._features, self.width, self.width, 1)
        for first, second in pairwise(sizes):
            weight = torch.randn(k, first, second, generator=generator) * first**-0.5
            self._weights += [weight.requires_grad_(True), torch.zeros(k, 1, second, requires_grad=True)]
        optimiser = torch.optim.AdamW(self._weights, lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, _LEARNING_RATE, total_steps=self.steps)
        for _ in range(self.steps):
            rows = np.stack([rng.choice(own, _BATCH) for own in seen])
            loss = k * smooth_l1_loss(_forward(self._weights, points[rows]), labels[rows], beta=_ROBUST)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        self._weights = [weight.detach().double() for weight in self._weights]
        with torch.no_grad():
            answers = _forward(self._weights, points.double().expand(k, -1, -1)).numpy()
        return np.asarray(answers[fold, np.arange(n)])

    def _answers(self, x: Tensor) -> Tensor:
        if not self._weights:
            return torch.zeros(len(x), dtype=x.dtype)
        points = (x - self._mean) / self._scale
        return _forward(self._weights, points.expand(self.networks, -1, -1)).mean(0)

    def _described(self, x: np.ndarray) -> np.ndarray:
        x = query(x, self._features)
        with torch.no_grad():
            parts = [self._answers(torch.from_numpy(x[i : i + _CHUNK])).numpy() for i in range(0, len(x), _CHUNK)]
        return np.column_stack([x, np.concatenate([np.empty(0), *parts])])


def _forward(weights: Sequence[Tensor], x: Tensor) -> Tensor:
    """Return the answers (k, n) of k networks to points (k, n, d)."""
    first, b, second, c, last, d = weights
    h = silu(torch.baddbmm(b, x, first))
    h = silu(torch.baddbmm(c, h, second))
    return torch.baddbmm(d, h, last)[..., 0]
