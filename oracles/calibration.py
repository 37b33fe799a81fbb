"""From the standard deviations that a model states to those that its errors have on rows it was not trained on.

The map is fitted so that 68 % of the truths lie within one reported std of the answer and 95 % within 1.96 of it, over
all rows and, as nearly as possible, in each group of rows of like stated std, among predicted metals and among
predicted non-metals. Recalibration on held-out rows: Kuleshov, Fenner and Ermon, "Accurate uncertainties for deep
learning using calibrated regression" (ICML 2018). That it is the conditional quantile of the error that should be
learned, not its variance: Romano, Patterson and Candès, "Conformalized quantile regression" (NeurIPS 2019).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

FLOOR = 1e-3  # eV or eV/atom; no std is less, as no label is that exact
NONMETAL_EV = 0.1  # a gap predicted above it is called a non-metal's
SOFT_EV = 5e-3  # the gap reported for a location of exactly 0
WIDTHS, COVERED = (1.0, 1.96), (0.6827, 0.95)  # the share of a normal distribution within so many std

_LEAST_ROWS = 10  # with fewer nothing can be said
_ROWS_PER_KNOT = 250
_MOST_KNOTS = 8
_VALUE_KNOTS = ((1000, 4), (300, 2))  # at least so many rows: so many knots; one with fewer rows
_VALUE_UNIT = 0.2  # eV; values far below it count as equal
_BEYOND = 10.0  # how far above the largest stated std the map goes on
_BANDWIDTH = 0.1  # of the smoothed quantile loss, in logarithms of a std
_SWEEPS = 4
_STARTS = (0.0, -0.3, -0.6, 0.3)  # shifts of the least std, in its logarithm
_STEPS = (0.2, 0.1, 0.05, 0.02, 0.01)  # of the search on counts, in logarithms of a std
_ALL_ROWS = 20.0  # weight of the coverage of all rows against that of the groups
_WEIGHTS = (1.0, 2.0)  # of the two shares; heavy tails miss the second one by more
_PULL = 1e-3  # back to where the search began

_PARTS = ("stated", "reported", "value", "factor")

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Calibration:
    """A map from a model's location and stated std to the answer and the std reported.

    The answer is the location, but for a gap, which is never negative: a location x becomes ``sqrt(x² + s²)`` above
    zero and ``s exp(x / softness)`` below, with s = 5 meV. Were it cut off at zero, the error of every metal seen as
    one would be exactly zero, and as any std covers that, coverage would say nothing about half of the rows.

    The std is monotone and continuous in the stated one: ``log std = f(log stated) + g(answer)``, both piecewise
    linear. f rises between its knots; below them it is constant, above in proportion, up to ten times the largest.
    g is constant outside of its knots. With a single knot f is a constant factor.

    Attributes:
        stated: Logarithms of the stated std at k >= 1 knots, ascending.
        reported: f there, shape (k,), ascending.
        value: Answers at m >= 1 knots, as ``arcsinh(answer / 0.2 eV)``, ascending.
        factor: g there, shape (m,), the logarithm of a factor.
        softness: In eV; 0 cuts gaps off at zero; infinite where answers may be negative, and stay as they are.

    """

    stated: Array
    reported: Array
    value: Array
    factor: Array
    softness: float = math.inf

    @classmethod
    def identity(cls, *, negative: bool = True) -> Self:
        """Return the map that reports what is stated, but for the floor, and cuts off at zero unless `negative`."""
        return cls(np.zeros(1), np.zeros(1), np.zeros(1), np.zeros(1), math.inf if negative else 0.0)

    @classmethod
    def fit(cls, truth: Array, location: Array, stated: Array, *, negative: bool = True) -> Self:
        """Return the map for n rows that were not trained on.

        First the two quantiles of the error are learned together (composite quantile regression, Zou and Yuan, Ann.
        Stat. 36, 1108, 2008, with a smoothed loss), which is a convex problem; then steps on the knots bring the
        shares counted nearer to 68 and 95 %. From 10 to 500 rows one factor is learned, and from 300 on another
        that depends on the answer; below 10 rows nothing is.

        Args:
            truth: Labels, (n,).
            location: The model's answers, (n,). Those of a gap should not be cut off at zero.
            stated: The std that the model states, (n,).
            negative: Whether answers may be negative.

        """
        rows = np.isfinite(truth) & np.isfinite(location) & np.isfinite(stated)
        truth, location, stated = truth[rows], location[rows], stated[rows]
        if len(truth) < _LEAST_ROWS:
            return cls.identity(negative=negative)
        softness = math.inf if negative else _softness(location)
        value = _answer(location, softness)
        x, y = np.log(np.maximum(stated, FLOOR)), np.arcsinh(value / _VALUE_UNIT)
        knots = _knots(x, int(np.clip(len(x) // _ROWS_PER_KNOT, 1, _MOST_KNOTS)))
        places = _knots(y, next((count for rows, count in _VALUE_KNOTS if len(x) >= rows), 1))
        beyond, basis, others = _beyond(x, knots), _hats(x, knots), _hats(y, places)
        # errors below half the floor are covered by every std
        target = np.log(np.maximum(np.abs(value - truth), FLOOR / 2))
        reported, factor = _quantiles(target - beyond, basis, others)
        groups, shares = [*basis.T], basis.mean(axis=0)
        nonmetal = value > NONMETAL_EV
        if not negative and nonmetal.any() and not nonmetal.all():
            groups += [nonmetal, ~nonmetal]
            shares = np.concatenate([0.25 * shares, [0.5, 0.25]])  # a user cares for the non-metals most
        start = np.concatenate([reported, factor])
        misses = _Misses(target, beyond, np.array(groups, dtype=np.float64), shares, start)
        point = _best(misses, np.hstack([basis, others]), start, len(knots))
        return cls(knots, point[: len(knots)], places, point[len(knots) :], softness)

    def answer(self, location: Array) -> Array:
        """Return the answers to report, (n,), for the model's locations."""
        return _answer(location, self.softness)

    def std(self, location: Array, stated: Array) -> Array:
        """Return the std to report, (n,), at least `FLOOR`, for the model's locations and stated std, (n,) each."""
        x, y = np.log(np.maximum(stated, FLOOR)), np.arcsinh(self.answer(location) / _VALUE_UNIT)
        level = np.interp(x, self.stated, self.reported) + _beyond(x, self.stated)
        reported: Array = np.maximum(np.exp(level + np.interp(y, self.value, self.factor)), FLOOR)
        return reported

    def arrays(self, prefix: str = "calibration.") -> dict[str, Array]:
        """Return what `from_arrays` takes, for storage among the weights."""
        parts = {name: np.asarray(getattr(self, name), dtype=np.float64) for name in _PARTS}
        return {f"{prefix}{name}": part for name, part in {**parts, "softness": np.array([self.softness])}.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], prefix: str = "calibration.") -> Self:
        """Return the map among the arrays of a model, whose names begin with `prefix`.

        Raises:
            KeyError: There is none.
            ValueError: Its parts do not fit together.

        """
        stated, reported, value, factor = (np.asarray(arrays[f"{prefix}{name}"], dtype=np.float64) for name in _PARTS)
        shapes = [part.shape for part in (stated, reported, value, factor)]
        if shapes[0] != shapes[1] or shapes[2] != shapes[3] or any(len(s) != 1 or s[0] < 1 for s in shapes):
            raise ValueError(f"a calibration of shapes {shapes}")
        return cls(stated, reported, value, factor, float(arrays[f"{prefix}softness"][0]))


def _softness(location: Array) -> float:
    """Return how fast answers fall below zero: the tenth that lie lowest get less than a quarter of `SOFT_EV`."""
    below = location[location < 0]
    return float(max(-np.quantile(below, 0.1) / math.log(4.0), SOFT_EV)) if len(below) else SOFT_EV


def _answer(location: Array, softness: float) -> Array:
    if math.isinf(softness):
        return location
    if softness == 0:
        cut: Array = np.maximum(location, 0.0)
        return cut
    soft: Array = np.hypot(np.maximum(location, 0.0), SOFT_EV) * np.exp(np.minimum(location, 0.0) / softness)
    return soft


def _knots(x: Array, count: int) -> Array:
    """Return at most `count` distinct quantiles of x; the median where that leaves one."""
    found = np.quantile(x, np.linspace(0.0, 1.0, max(count, 2)))
    # knots that differ in the last digits alone would make a jump
    kept = found[np.concatenate([[True], np.diff(found) > 1e-3])]
    return kept if count > 1 and len(kept) > 1 else np.array([np.median(x)])


def _hats(x: Array, knots: Array) -> Array:
    """Return the weights of each knot in linear interpolation, constant outside, (n, k)."""
    return np.stack([np.interp(x, knots, column) for column in np.eye(len(knots))], axis=1)


def _beyond(x: Array, knots: Array) -> Array:
    """Return how far x lies above the knots, up to `_BEYOND`; a single knot is a factor, at every x."""
    above: Array = np.minimum(x - knots[-1], math.log(_BEYOND))
    return above if len(knots) == 1 else np.maximum(above, 0.0)


def _quantiles(target: Array, basis: Array, others: Array) -> tuple[Array, Array]:
    """Return f and g at their knots by composite quantile regression of the logarithm of the error, f rising.

    Args:
        target: Logarithm of |error|, less what the map adds beyond its knots, (n,).
        basis: Weights of the knots of f, (n, k).
        others: Weights of the knots of g, (n, m).

    """
    from scipy.optimize import minimize
    from scipy.special import expit

    k = basis.shape[1]
    # the weights of rises; g is zero at its first knot, for f holds the level
    design = np.hstack([np.cumsum(basis[:, ::-1], axis=1)[:, ::-1], others[:, 1:]])

    def loss(parameters: Array) -> tuple[float, Array]:
        total, slope, level = 0.0, np.zeros(len(parameters)), design @ parameters
        for width, share in zip(WIDTHS, COVERED, strict=True):
            rest = target - level - math.log(width)
            total += float(np.mean(share * rest + _BANDWIDTH * np.logaddexp(0.0, -rest / _BANDWIDTH)))
            slope += (expit(-rest / _BANDWIDTH) - share) @ design / len(target)
        return total, slope

    start = np.zeros(design.shape[1])
    start[0] = np.quantile(target, COVERED[0])
    bounds = [(None, None), *[(0.0, None)] * (k - 1), *[(None, None)] * (design.shape[1] - k)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 500}).x
    return np.cumsum(found[:k]), np.concatenate([[0.0], found[k:]])


class _Misses:
    """The squared misses of coverage, counted over all rows and in each group, and a pull towards `start`."""

    def __init__(self, target: Array, beyond: Array, groups: Array, shares: Array, start: Array) -> None:
        self.target, self.beyond, self.start, self.shares = target, beyond, start, shares
        self.groups = groups / np.maximum(groups.sum(axis=1, keepdims=True), 1e-9)

    def __call__(self, point: Array, level: Array) -> float:
        """Return them for the parameters `point`, which give `level` (n,) to the rows."""
        total = _PULL * float(np.mean((point - self.start) ** 2))
        reached = np.maximum(level + self.beyond, math.log(FLOOR))
        for width, share, weight in zip(WIDTHS, COVERED, _WEIGHTS, strict=True):
            inside = (self.target <= reached + math.log(width)).astype(np.float64)
            total += weight * _ALL_ROWS * (float(inside.mean()) - share) ** 2
            total += weight * float(self.shares @ (self.groups @ inside - share) ** 2)
        return total


def _best(misses: _Misses, design: Array, start: Array, k: int) -> Array:
    """Return the best parameters of several descents, which differ in how many of the surest rows they cover.

    Rows that a model cannot tell apart get one answer and one std: all of them are covered, or none.
    """
    found = []
    for shift in _STARTS:
        begin = start.copy()
        # the surest half of the knots is moved, the surest most
        begin[:k] = np.maximum.accumulate(start[:k] + shift * np.maximum(1.0 - np.arange(k) / max(k // 2, 1), 0.0))
        point = _descend(misses, design, begin, k)
        found.append((misses(point, design @ point), point))
    return min(found, key=lambda pair: pair[0])[1]


def _descend(misses: _Misses, design: Array, start: Array, k: int) -> Array:
    """Return the parameters after steps that lower `misses`, the first k, which are those of f, kept ascending."""
    number = np.arange(len(start))
    ranges = [(i, i) for i in number] + [(i, k - 1) for i in range(k - 1)] + [(0, i) for i in range(1, k - 1)]
    moves = [((number >= low) & (number <= high)).astype(np.float64) for low, high in ranges]
    effects = [design @ move for move in moves]
    point, level = start, design @ start
    best = misses(point, level)
    for step in _STEPS:
        for _ in range(_SWEEPS):
            before = best
            for move, effect in zip(moves, effects, strict=True):
                for signed in (-step, step):
                    other, reached = point + signed * move, level + signed * effect
                    if (np.diff(other[:k]) >= -1e-12).all() and (cost := misses(other, reached)) < best:
                        best, point, level = cost, other, reached
            if best == before:
                break
    return point
