"""The search for good points of a latent space, uphill from the best ones known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from scipy.optimize import minimize

from aldesign.errors import InputError
from aldesign.models.acquisition import Objective

_JITTER = 0.25  # standard deviation of the starts' scatter, as a share of the trust radius
_SAME_POINT = 1e-6  # two proposals closer than this share of the box in every coordinate are one
_EDGE_EV = 0.05  # over which an edge of the window is rounded off for the climb
_STEPS = 50


class DifferentiableSurrogate(Protocol):
    """A surrogate whose belief can be followed uphill."""

    def evaluate(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean (n,) and standard deviation (n,) in eV at points (n, d), differentiable in `x`."""


def search(
    surrogate: DifferentiableSurrogate,
    objective: Objective,
    kappa: float,
    starts: np.ndarray,
    bounds: np.ndarray,
    n: int,
    rng: np.random.Generator,
    trust: float = 0.3,
    free: float = 0.7,
) -> np.ndarray:
    """Return n distinct points (n, d) near the starts where the upper confidence bound of the utility is high.

    Each point climbs from one start, taken in turn and scattered, by L-BFGS-B on the gradient of the
    bound. It stays inside the global box and within `trust` of its start in every coordinate, and moves in
    a random share `free` of the coordinates alone: in many dimensions that keeps searches from the same
    start apart (Regis and Shoemaker, Eng. Optim. 45, 529, 2013; Eriksson et al., NeurIPS 2019).

    Args:
        surrogate: A fitted surrogate with ``evaluate``.
        objective: What is wanted.
        kappa: Weight of the uncertainty.
        starts: Points (m, d) to search around, best first: latents of the best measured rows.
        bounds: Lower and upper corner (2, d) of the global box.
        n: How many points.
        rng: Source of the scatter; the same state gives the same points.
        trust: Radius of the search around a start, as a share (0, 1] of the box's width.
        free: Share (0, 1] of the coordinates that a point may change.

    Raises:
        InputError: Arguments that do not fit together, or a surrogate without gradients.

    """
    if not hasattr(surrogate, "evaluate"):
        raise InputError(
            f"{type(surrogate).__name__} has no gradient to follow through the latent space",
            "use the surrogate 'gp', or propose from a generator only",
        )
    starts, low, width = _checked(starts, bounds, n, trust, free)
    centre = np.clip((starts[np.arange(n) % len(starts)] - low) / np.where(width > 0, width, 1.0), 0, 1)
    radius = trust * _some_coordinates(n, width > 0, free, rng)
    floor, ceiling = np.maximum(centre - radius, 0.0), np.minimum(centre + radius, 1.0)
    begin = np.clip(centre + rng.normal(scale=_JITTER * trust, size=centre.shape), floor, ceiling)
    end = _climb(_smooth_bound(surrogate, objective, kappa), begin, floor, ceiling, low, width)
    points = low + _distinct(end, begin, moving=width > 0) * width
    inside: np.ndarray = np.clip(points, *np.asarray(bounds, dtype=np.float64))
    return inside


def _smooth_bound(
    surrogate: DifferentiableSurrogate, objective: Objective, kappa: float
) -> Callable[[torch.Tensor], torch.Tensor]:
    def bound(x: torch.Tensor) -> torch.Tensor:
        mean, std = surrogate.evaluate(x)
        if objective.kind == "maximize":
            return mean + kappa * std
        if objective.kind == "minimize":
            return kappa * std - mean
        low, high = objective.edges
        # an edge is rounded off, or the climb would get stuck where the bound has a kink
        below, above = (torch.nn.functional.softplus(e, beta=1 / _EDGE_EV) for e in (low - mean, mean - high))
        return kappa * std - below - above

    return bound


def _some_coordinates(n: int, moving: np.ndarray, free: float, rng: np.random.Generator) -> np.ndarray:
    """Return which coordinates each of n points may change, bool (n, d): a share of the `moving` ones, at least one."""
    draw = np.where(moving, rng.random((n, len(moving))), np.inf)
    rank = draw.argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    return np.asarray((rank < max(1, round(free * int(moving.sum())))) & moving)


def _checked(
    starts: np.ndarray, bounds: np.ndarray, n: int, trust: float, free: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    starts, bounds = np.asarray(starts, dtype=np.float64), np.asarray(bounds, dtype=np.float64)
    if starts.ndim != 2 or not len(starts) or bounds.shape != (2, starts.shape[1]):
        raise InputError(
            f"starts of shape {starts.shape} and bounds of shape {bounds.shape}", "expected (m, d) and (2, d)"
        )
    if not (np.isfinite(starts).all() and np.isfinite(bounds).all()):
        raise InputError("starts or bounds of the search are not finite")
    width = bounds[1] - bounds[0]
    if (width < 0).any():
        raise InputError(f"the lower bound of coordinate {int(width.argmin())} lies above the upper one")
    for name, share in (("trust", trust), ("free", free)):
        if not 0 < share <= 1:
            raise InputError(f"{name} is {share}", "give a share above 0, at most 1")
    if n > 1 and not (width > 0).any():
        raise InputError(f"{n} distinct points were asked for in a box without extent", "encode more formulas")
    return starts, bounds[0], width


def _climb(
    score: Callable[[torch.Tensor], torch.Tensor],
    begin: np.ndarray,
    floor: np.ndarray,
    ceiling: np.ndarray,
    low: np.ndarray,
    width: np.ndarray,
) -> np.ndarray:
    """Return where all points (n, d) arrive together; coordinates are shares of the box."""
    origin, extent = torch.from_numpy(low), torch.from_numpy(width)

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        unit = torch.from_numpy(flat.reshape(begin.shape)).requires_grad_(True)
        # points do not interact, so the gradient of the sum is each point's own
        total = -score(origin + unit * extent).sum()
        (slope,) = torch.autograd.grad(total, unit)
        return float(total.detach()), slope.numpy().ravel()

    box = np.stack([floor.ravel(), ceiling.ravel()], axis=1)
    found = minimize(loss, begin.ravel(), jac=True, method="L-BFGS-B", bounds=box, options={"maxiter": _STEPS})
    end: np.ndarray = np.clip(found.x.reshape(begin.shape), floor, ceiling)
    return end


def _distinct(end: np.ndarray, begin: np.ndarray, moving: np.ndarray) -> np.ndarray:
    """Return `end` (n, d), with points that arrived where an earlier one did put back where they began."""
    points = end.copy()
    for i in range(1, len(points)):
        gaps = np.abs(points[:i, moving] - points[i, moving])
        if (gaps.max(axis=1) < _SAME_POINT).any():
            points[i] = begin[i]
    return points
