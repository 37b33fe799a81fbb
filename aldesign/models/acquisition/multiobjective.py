"""Two properties wanted at once: what a candidate is expected to add to the best trade-offs measured."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from aldesign.errors import InputError
from aldesign.models.acquisition import Objective

with warnings.catch_warnings():  # linear_operator still compiles helpers the old way when it is imported
    warnings.filterwarnings("ignore", ".*torch.jit.script.*", DeprecationWarning)
    from botorch.acquisition.multi_objective.analytic import ExpectedHypervolumeImprovement
    from botorch.models.model import Model
    from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning
    from botorch.utils.multi_objective.hypervolume import infer_reference_point
    from botorch.utils.multi_objective.pareto import is_non_dominated

_CHUNK = 4096


def expected_hypervolume_improvement(
    objectives: Sequence[Objective],
    mean: np.ndarray,
    std: np.ndarray,
    observed: np.ndarray,
    reference: np.ndarray | None = None,
) -> np.ndarray:
    """Return by how much each candidate is expected to enlarge the space that the measured materials dominate.

    The properties of a candidate are taken for independent normal variables. Closed form of Yang et al., J. Glob.
    Optim. 75, 3 (2019), as botorch computes it.

    Args:
        objectives: What is wanted of each of the k properties, as much or as little as possible.
        mean: Expected properties of n candidates, (n, k), in the properties' units.
        std: Their standard deviations, (n, k).
        observed: Properties of the m materials measured, (m, k).
        reference: The worst values that count, (k,); by default slightly worse than the worst among the best
            trade-offs.

    Returns:
        The expected improvement, (n,), in the product of the units.

    Raises:
        InputError: Shapes that do not match, values that are not finite, or a window among the objectives.

    """
    signs = _signs(objectives)
    mean, std, observed = (
        _checked(name, v, len(signs)) for name, v in (("mean", mean), ("std", std), ("observed", observed))
    )
    if mean.shape != std.shape or not len(observed):
        raise InputError(
            f"{mean.shape} means, {std.shape} stds, {len(observed)} measured rows", "expected (n, k), (n, k), 1 or more"
        )
    values = torch.from_numpy(signs * observed)
    worst = (
        _reference(values) if reference is None else torch.from_numpy(signs * np.asarray(reference, dtype=np.float64))
    )
    partition = FastNondominatedPartitioning(ref_point=worst, Y=values)
    gain = ExpectedHypervolumeImprovement(_Told(), worst.tolist(), partition)
    beliefs = torch.from_numpy(np.stack([signs * mean, np.maximum(std, 1e-9)], axis=1))
    found = np.empty(len(mean))
    with torch.no_grad():
        for i in range(0, len(mean), _CHUNK):
            found[i : i + _CHUNK] = gain(beliefs[i : i + _CHUNK].flatten(1)[:, None]).numpy()
    return found


def choose_trade_offs(
    objectives: Sequence[Objective],
    mean: np.ndarray,
    std: np.ndarray,
    observed: np.ndarray,
    n: int,
    reference: np.ndarray | None = None,
) -> np.ndarray:
    """Return the row numbers of the n candidates to pay for, or of all if there are fewer, the best first.

    After each choice its expected properties count as measured, so that the next one has to add something else.
    Arguments and errors are those of `expected_hypervolume_improvement`.
    """
    signs = _signs(objectives)
    mean, std = np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64)
    free, known = np.ones(len(mean), dtype=bool), np.asarray(observed, dtype=np.float64)
    if reference is None:
        # the reference stays where the measured materials put it
        reference = signs * _reference(torch.from_numpy(signs * known)).numpy()
    chosen: list[int] = []
    for _ in range(min(n, len(mean))):
        gain = expected_hypervolume_improvement(objectives, mean, std, known, reference)
        chosen.append(int(np.argmax(np.where(free, gain, -np.inf))))
        free[chosen[-1]] = False
        known = np.vstack([known, mean[chosen[-1]]])
    return np.array(chosen, dtype=np.int64)


def non_dominated(objectives: Sequence[Objective], values: np.ndarray) -> np.ndarray:
    """Return which of m rows of properties (m, k) no other row betters in one without being worse in another, (m,)."""
    signs = _signs(objectives)
    found: np.ndarray = is_non_dominated(torch.from_numpy(signs * _checked("values", values, len(signs)))).numpy()
    return found


class _Posterior:
    def __init__(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        self.mean, self.variance = mean, std.square()


class _Told(Model):  # type: ignore[misc]
    """A botorch model whose points are the means and standard deviations that it answers with."""

    def posterior(self, X: torch.Tensor, *_: Any, **__: Any) -> _Posterior:  # noqa: N803 (botorch's name)
        """Return the belief that each point (n, 1, 2 k) spells out."""
        return _Posterior(*X.chunk(2, dim=-1))


def _signs(objectives: Sequence[Objective]) -> np.ndarray:
    if len(objectives) < 2 or any(objective.kind == "window" for objective in objectives):
        wanted = "; ".join(objective.describe() for objective in objectives)
        raise InputError(f"trade-offs were sought between: {wanted}", "name two or more, to maximize or minimize")
    return np.array([1.0 if objective.kind == "maximize" else -1.0 for objective in objectives])


def _checked(name: str, values: np.ndarray, k: int) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] != k or not np.isfinite(values).all():
        raise InputError(f"{name} has shape {values.shape}", f"expected finite numbers, (n, {k})")
    return values


def _reference(values: torch.Tensor) -> torch.Tensor:
    best = values[is_non_dominated(values)]
    reference: torch.Tensor = infer_reference_point(best, scale=0.1)
    # one best trade-off has no extent to go by
    return torch.minimum(reference, best.min(dim=0).values - 1e-3)
