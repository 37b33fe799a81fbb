"""What is wanted of the gap, and the acquisitions that turn a surrogate's belief into a ranking."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, cast

import numpy as np
from scipy.special import erfcx, log_ndtr, logsumexp, ndtr

from aldesign.errors import InputError

Kind = Literal["maximize", "minimize", "window"]
KINDS: tuple[Kind, ...] = ("maximize", "minimize", "window")
Acquisition = Literal["ucb", "ei", "thompson", "probability", "random"]
ACQUISITIONS: tuple[Acquisition, ...] = ("ucb", "ei", "thompson", "probability", "random")

# As long as nothing measured is good enough, what is unknown is worth more than what is expected: from 300 rows below
# 3 eV, a gap above 6 eV is met after 92 labels with a kappa of 1, 43 with 4, 27 with 8 (means of 12 draws of rows).
BOLD = 8.0

_LOG_ROOT_2PI = 0.5 * math.log(2.0 * math.pi)
_FAR = -1e4  # below it, the asymptote of the expected excess is the more precise
_LEAST_STD = 1e-9  # eV
_INSIDE = 1e-4  # eV; an incumbent this close to a window is inside it


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


class Acquirer(Protocol):
    """What decides which candidates are worth an answer."""

    @property
    def objective(self) -> Objective:
        """Return what is wanted."""

    @property
    def sampled(self) -> bool:
        """Return whether scores are draws: a batch then takes one joint sample of the surrogate for each place."""

    def score(self, mean: np.ndarray, std: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return scores (n,), higher being better, of expected gaps (n,) of uncertainty `std` (n,), both in eV."""


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
    sampled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not (np.isfinite(self.kappa) and self.kappa >= 0):
            raise InputError(f"kappa is {self.kappa}", "give a finite number of 0 or more")

    def score(self, mean: np.ndarray, std: np.ndarray, _: np.random.Generator | None = None) -> np.ndarray:
        """Return the scores (n,) in eV of expected gaps `mean` (n,) with uncertainty `std` (n,) in eV."""
        score: np.ndarray = self.objective.utility(mean) + self.kappa * np.asarray(std, dtype=np.float64)
        return score


@dataclass(frozen=True)
class ExpectedImprovement:
    """The logarithm of how much closer to the objective than the incumbent a candidate is expected to be, in log eV.

    Jones, Schonlau and Welch, J. Glob. Optim. 13, 455 (1998), in the numerically safe form of Ament et al.,
    "Unexpected improvements to expected improvement" (NeurIPS 2023). For a window the improvement is what the
    distance to it shrinks by; for an incumbent inside, where nothing is left to improve, it is the limit of the
    improvement per distance: the probability to be inside as well.

    Attributes:
        objective: What is wanted.
        incumbent: The gap to improve on, in eV.

    """

    objective: Objective
    incumbent: float
    sampled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not np.isfinite(self.incumbent):
            raise InputError(f"the incumbent is {self.incumbent}", "give the best gap measured, in eV")

    def score(self, mean: np.ndarray, std: np.ndarray, _: np.random.Generator | None = None) -> np.ndarray:
        """Return the scores (n,) of expected gaps `mean` (n,) with uncertainty `std` (n,) in eV."""
        mean, std = _belief(mean, std)
        if self.objective.kind == "maximize":
            return _log_excess(mean, std, self.incumbent)
        if self.objective.kind == "minimize":
            return _log_excess(-mean, std, -self.incumbent)
        low, high = self.objective.edges
        distance = -float(self.objective.utility(np.array([self.incumbent]))[0])
        if distance <= _INSIDE:
            return log_probability(low, high, mean, std)
        # a trapezoid over the gap is the sum of four ramps; seen from the window's far side, the small ones go first
        above = mean > 0.5 * (low + high)
        ramps = np.array([low - distance, low, high, high + distance])[:, None]
        towards = np.where(above, -mean, mean)
        terms = _log_excess(towards, std, np.where(above, -ramps[::-1], ramps))
        found: np.ndarray = logsumexp(terms, axis=0, b=np.array([1.0, -1.0, -1.0, 1.0])[:, None])
        return found


@dataclass(frozen=True)
class ProbabilityOfSuccess:
    """The logarithm of the probability that a candidate is good enough.

    Attributes:
        objective: What is wanted.
        threshold: The least gap wanted (maximize), the largest tolerated (minimize), or how far from the window it
            may lie, in eV; as for `Objective.met`.

    """

    objective: Objective
    threshold: float
    sampled: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not np.isfinite(self.threshold):
            raise InputError(f"the threshold is {self.threshold}", "give a finite gap in eV")

    def score(self, mean: np.ndarray, std: np.ndarray, _: np.random.Generator | None = None) -> np.ndarray:
        """Return the scores (n,) of expected gaps `mean` (n,) with uncertainty `std` (n,) in eV."""
        mean, std = _belief(mean, std)
        if self.objective.kind == "window":
            low, high = self.objective.edges
            return log_probability(low - self.threshold, high + self.threshold, mean, std)
        sign = 1.0 if self.objective.kind == "maximize" else -1.0
        return np.asarray(log_ndtr(sign * (mean - self.threshold) / std))


@dataclass(frozen=True)
class ThompsonSampling:
    """The utility, in eV, of a gap drawn from what is believed of each candidate.

    Draws of single candidates are independent here; `batch.choose_batch` draws jointly where the surrogate can.

    Attributes:
        objective: What is wanted.

    """

    objective: Objective
    sampled: ClassVar[bool] = True

    def score(self, mean: np.ndarray, std: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Return the utilities (n,) in eV of draws. Raises InputError without a source of randomness."""
        if rng is None:
            raise InputError("Thompson sampling draws, and was given no random generator", "pass rng")
        mean, std = np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64)
        return self.objective.utility(mean + std * rng.normal(size=mean.shape))


@dataclass(frozen=True)
class RandomChoice:
    """A number between 0 and 1 drawn for each candidate, whatever is believed of it: the baseline of any search.

    Attributes:
        objective: What is wanted; it changes nothing.

    """

    objective: Objective
    sampled: ClassVar[bool] = True

    def score(self, mean: np.ndarray, std: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:  # noqa: ARG002
        """Return n draws (n,). Raises InputError without a source of randomness."""
        if rng is None:
            raise InputError("a random choice draws, and was given no random generator", "pass rng")
        return rng.random(np.shape(mean))


def make_acquirer(
    kind: str,
    objective: Objective,
    *,
    kappa: float = 1.0,
    incumbent: float | None = None,
    threshold: float | None = None,
) -> Acquirer:
    """Return the acquisition called `kind`.

    Args:
        kind: ``"ucb"``, ``"ei"``, ``"thompson"``, ``"probability"`` or ``"random"``.
        objective: What is wanted.
        kappa: Weight of the uncertainty, for ``ucb``; `BOLD` or more as long as `incumbent` misses `threshold`.
        incumbent: The best gap measured in eV, which ``ei`` needs.
        threshold: What is good enough in eV, for ``probability``; by default `incumbent`, and 0 for a window.

    Raises:
        InputError: Unknown kind, or what it needs is missing or not finite.

    """
    if kind == "ucb":
        unmet = None not in (threshold, incumbent) and not objective.met(cast(float, incumbent), threshold)
        return UpperConfidenceBound(objective, max(kappa, BOLD) if unmet and objective.kind != "window" else kappa)
    if kind == "random":
        return RandomChoice(objective)
    if kind == "thompson":
        return ThompsonSampling(objective)
    if kind == "ei":
        if incumbent is None:
            raise InputError("expected improvement was given nothing to improve on", "give the best gap measured")
        return ExpectedImprovement(objective, incumbent)
    if kind == "probability":
        enough = threshold
        if enough is None:
            enough = 0.0 if objective.kind == "window" else incumbent
        if enough is None:
            raise InputError(f"the objective is {objective.describe()}, without a threshold", "say what is good enough")
        return ProbabilityOfSuccess(objective, enough)
    raise InputError(f"no acquisition is called {kind!r}", f"allowed: {', '.join(ACQUISITIONS)}")


def log_probability(low: float, high: float, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    """Return the log probability (n,) that normal variables lie in [low, high]; the log density if that is a point."""
    a, b = (low - mean) / std, (high - mean) / std
    if low == high:
        return np.asarray(-0.5 * a**2 - _LOG_ROOT_2PI - np.log(std))
    # both bounds in the lower tail, where the distribution function has digits
    a, b = np.where(a > 0, -b, a), np.where(a > 0, -a, b)
    upper, lower = log_ndtr(b), log_ndtr(a)
    return np.asarray(upper + np.log(-np.expm1(np.minimum(lower - upper, -1e-300))))


def log_expected_excess(z: np.ndarray) -> np.ndarray:
    """Return log E[max(0, z + e)] for standard normal e, at any z; Ament et al. (2023), equation 9."""
    z = np.asarray(z, dtype=np.float64)
    near, tail = np.maximum(z, -1.0), np.clip(z, _FAR, -1.0)
    direct = np.log(np.exp(-0.5 * near**2 - _LOG_ROOT_2PI) + near * ndtr(near))
    ratio = np.log1p(-math.sqrt(math.pi / 2.0) * erfcx(-tail / math.sqrt(2.0)) * -tail)
    far = np.where(z > _FAR, ratio, -2.0 * np.log(np.maximum(-z, 1.0)))
    return np.asarray(np.where(z > -1.0, direct, -0.5 * z**2 - _LOG_ROOT_2PI + far))


def _log_excess(mean: np.ndarray, std: np.ndarray, level: Any) -> np.ndarray:
    return np.asarray(log_expected_excess((mean - level) / std) + np.log(std))


def _belief(mean: np.ndarray, std: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(mean, dtype=np.float64), np.maximum(np.asarray(std, dtype=np.float64), _LEAST_STD)
