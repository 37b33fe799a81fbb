"""What is wanted of the gap, and the acquisition that turns a surrogate's belief into proposals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, cast

import numpy as np
from scipy.optimize import minimize

from aldesign.errors import InputError

if TYPE_CHECKING:
    import torch

Kind = Literal["maximize", "minimize", "window"]
KINDS: tuple[Kind, ...] = ("maximize", "minimize", "window")

_JITTER = 0.25  # standard deviation of the starts' scatter, as a share of the trust radius
_SAME_POINT = 1e-6  # two proposals closer than this share of the box in every coordinate are one
_EDGE_EV = 0.05  # over which an edge of the window is rounded off for the climb
_STEPS = 50


class DifferentiableSurrogate(Protocol):
    """A surrogate whose belief can be followed uphill."""

    def evaluate(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mean (n,) and standard deviation (n,) in eV at points (n, d), differentiable in `x`."""


@dataclass(frozen=True)
class Objective:
    """What is wanted of a gap: as much as possible, as little, or a value inside a window.

    Attributes:
        kind: ``"maximize"``, ``"minimize"`` or ``"window"``.
        low: Lower edge of the window in eV; None otherwise.
        high: Upper edge of the window in eV; None otherwise.

    Raises:
        InputError: Unknown kind, or edges that are missing, superfluous, not finite or in the wrong order.

    """

    kind: Kind = "maximize"
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise InputError(f"no objective is called {self.kind!r}", f"allowed: {', '.join(KINDS)}")
        if self.kind != "window":
            if self.low is not None or self.high is not None:
                raise InputError(f"the objective {self.kind!r} has no edges", "give low and high to a window only")
            return
        if self.low is None or self.high is None or not np.isfinite([self.low, self.high]).all():
            raise InputError(f"the window is [{self.low}, {self.high}]", "give two finite edges in eV")
        if self.low > self.high:
            raise InputError(f"the window is [{self.low}, {self.high}]", "give the lower edge first")

    @property
    def edges(self) -> tuple[float, float]:
        """The window as ``(low, high)`` in eV; only a window has one."""
        return cast(float, self.low), cast(float, self.high)

    def utility(self, gap: np.ndarray) -> np.ndarray:
        """Return how good gaps (n,) in eV are, in eV, higher being better.

        The gap itself, its negative, or minus its distance to the window.
        """
        gap = np.asarray(gap, dtype=np.float64)
        if self.kind == "maximize":
            return gap
        if self.kind == "minimize":
            return -gap
        low, high = self.edges
        return -np.maximum(np.maximum(low - gap, gap - high), 0.0)

    def better(self, a: float, b: float) -> bool:
        """Return whether gap `a` is strictly better than gap `b`, both in eV."""
        first, second = self.utility(np.array([a, b]))
        return bool(first > second)

    def met(self, gap: float, threshold: float | None = None) -> bool:
        """Return whether `gap` in eV is good enough.

        Args:
            gap: The value.
            threshold: The least gap wanted (maximize), the largest tolerated (minimize), or how far from the
                window it may lie (window; None means inside). Without one, the first two are never met.

        """
        if self.kind == "window":
            return bool(self.utility(np.array([gap]))[0] >= -(threshold or 0.0))
        if threshold is None:
            return False
        return gap >= threshold if self.kind == "maximize" else gap <= threshold

    def describe(self) -> str:
        """Return the objective in words."""
        if self.kind == "window":
            return f"a gap between {self.low:g} and {self.high:g} eV"
        return "the largest gap" if self.kind == "maximize" else "the smallest gap"


@dataclass(frozen=True)
class UpperConfidenceBound:
    """Optimism in the face of uncertainty: the utility of the mean plus `kappa` standard deviations.

    For a window this is the straddle score of Bryan et al., "Active learning for identifying function
    threshold boundaries" (NIPS 2005): below zero it is minus the distance between the interval
    ``mean ± kappa * std`` and the window; among intervals that touch, the one reaching furthest wins.

    Attributes:
        objective: What is wanted.
        kappa: Weight of the uncertainty, 0 or more (0 is greedy).

    """

    objective: Objective
    kappa: float = 10.0

    def __post_init__(self) -> None:
        if not (np.isfinite(self.kappa) and self.kappa >= 0):
            raise InputError(f"kappa is {self.kappa}", "give a finite number of 0 or more")

    def score(self, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
        """Return the scores (n,) in eV of expected gaps `mean` (n,) with uncertainty `std` (n,) in eV."""
        score: np.ndarray = self.objective.utility(mean) + self.kappa * np.asarray(std, dtype=np.float64)
        return score

    def propose(
        self,
        surrogate: DifferentiableSurrogate,
        starts: np.ndarray,
        bounds: np.ndarray,
        n: int,
        rng: np.random.Generator,
        trust: float = 0.3,
        free: float = 0.7,
    ) -> np.ndarray:
        """Return n distinct points (n, d) that score highly near the starts.

        Each point climbs from one start, taken in turn and scattered, by L-BFGS-B on the gradient of the
        score. It stays inside the global box and within `trust` of its start in every coordinate, and moves in
        a random share `free` of the coordinates alone: in many dimensions that keeps searches from the same
        start apart (Regis and Shoemaker, Eng. Optim. 45, 529, 2013; Eriksson et al., NeurIPS 2019).

        Args:
            surrogate: A fitted surrogate with ``evaluate``.
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
        end = _climb(self._smooth_score(surrogate), begin, floor, ceiling, low, width)
        points = low + _distinct(end, begin, moving=width > 0) * width
        inside: np.ndarray = np.clip(points, *np.asarray(bounds, dtype=np.float64))
        return inside

    def _smooth_score(self, surrogate: DifferentiableSurrogate) -> Callable[[torch.Tensor], torch.Tensor]:
        import torch

        def score(x: torch.Tensor) -> torch.Tensor:
            mean, std = surrogate.evaluate(x)
            if self.objective.kind == "maximize":
                return mean + self.kappa * std
            if self.objective.kind == "minimize":
                return self.kappa * std - mean
            low, high = self.objective.edges
            # an edge is rounded off, or the climb would get stuck where the score has a kink
            below, above = (torch.nn.functional.softplus(e, beta=1 / _EDGE_EV) for e in (low - mean, mean - high))
            return self.kappa * std - below - above

        return score


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
    import torch

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
