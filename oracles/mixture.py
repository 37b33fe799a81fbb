"""The arithmetic of an ensemble: what several answers amount to, and how much each of them counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_ROWS = 10  # for each member; with fewer, all count the same
PRIOR_ROWS = 50  # how many rows weights by the members' own errors are worth against the best weights
SMOOTHING = 1e-3  # of the absolute error near zero, in units of the labels' mean deviation


@dataclass(frozen=True, eq=False)
class Mixture:
    """What m members say together about n candidates.

    Attributes:
        value: Weighted mean of the answers there are, shape (n,); NaN where there is none.
        std: By the law of total variance, shape (n,); NaN where no member states one and fewer than two answer.
        share: Sum of the weights of those that answered, shape (n,), from 0 to 1.

    """

    value: np.ndarray
    std: np.ndarray
    share: np.ndarray


def mix(values: np.ndarray, stds: np.ndarray, weights: np.ndarray) -> Mixture:
    """Return the mixture of normal distributions that the members' answers are.

    The variance is the weighted mean of the members' variances plus the weighted variance of their values. A member
    that gives a value without a std counts in the mean and in the second term alone.

    Args:
        values: Answers, shape (m, n); NaN where a member has none.
        stds: Their standard deviations, shape (m, n); NaN where a member states none.
        weights: Of the members, shape (m,), positive, of sum 1.

    """
    answered = np.isfinite(values)
    stated = answered & np.isfinite(stds)
    weight = np.where(answered, weights[:, None], 0.0)
    share, known = weight.sum(axis=0), np.where(stated, weight, 0.0).sum(axis=0)
    value = _ratio((weight * np.where(answered, values, 0.0)).sum(axis=0), share)
    between = _ratio((weight * np.where(answered, values - value, 0.0) ** 2).sum(axis=0), share)
    within = _ratio((weight * np.where(stated, stds, 0.0) ** 2).sum(axis=0), known)
    alone = (known == 0) & (answered.sum(axis=0) < 2)
    variance = np.where(alone, np.nan, between + np.where(known > 0, within, 0.0))
    return Mixture(value, np.sqrt(variance), share)


def learn_weights(values: np.ndarray, truth: np.ndarray, importance: np.ndarray | None = None) -> np.ndarray:
    """Return weights (m,), positive and of sum 1, with which the members' mean misses the truth least.

    The mean absolute error is minimised over non-negative weights (a convex problem). The result is drawn towards
    weights inversely proportional to the square of each member's own mean absolute error, which few rows are enough
    for, as if those had `PRIOR_ROWS` rows to speak for them. Fewer than `LEAST_ROWS` rows for each member give equal
    weights.

    Args:
        values: Answers on rows that were not trained on, shape (m, n); rows with a NaN are left out.
        truth: Labels, shape (n,).
        importance: How much each row counts, shape (n,), not negative; all the same by default.

    """
    from scipy.optimize import minimize

    m = len(values)
    equal = np.full(m, 1.0 / m)
    complete = np.isfinite(values).all(axis=0)
    x, y = values[:, complete], truth[complete]
    if m == 1 or len(y) < LEAST_ROWS * m:
        return equal
    unit = float(np.abs(y - y.mean()).mean()) or 1.0
    rows = np.ones(len(y)) if importance is None else importance[complete]
    rows = rows / (rows.sum() or 1.0)

    def cost(weights: np.ndarray) -> tuple[float, np.ndarray]:
        error = (weights @ x - y) / unit
        size = np.sqrt(error**2 + SMOOTHING**2)
        return float(rows @ size), x @ (rows * error / size) / unit

    found = minimize(
        cost,
        equal,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * m,
        constraints={"type": "eq", "fun": lambda w: w.sum() - 1.0, "jac": lambda _: np.ones(m)},
        options={"maxiter": 500, "ftol": 1e-10},
    )
    each = np.array([cost(weights)[0] for weights in np.eye(m)])
    prior: np.ndarray = each**-2.0 / (each**-2.0).sum()
    best = np.maximum(found.x, 0.0) / max(float(np.maximum(found.x, 0.0).sum()), 1e-12)
    if not np.isfinite(best).all() or cost(best)[0] > cost(prior)[0]:
        return prior
    drawn: np.ndarray = (len(y) * best + PRIOR_ROWS * prior) / (len(y) + PRIOR_ROWS)
    return drawn


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
    return found
