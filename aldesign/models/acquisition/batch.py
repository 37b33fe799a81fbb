"""Which candidates to pay for together: the best, unless one says what another will say."""

from __future__ import annotations

import numpy as np

from aldesign.errors import InputError
from aldesign.models.acquisition import Acquirer, RandomChoice
from aldesign.protocols import JointSurrogate, Surrogate

SHORTLIST = 1000  # candidates that are weighed against each other
_JITTER = 1e-8  # of the mean variance, so that a covariance has a root


def choose_batch(
    surrogate: Surrogate, x: np.ndarray, acquirer: Acquirer, n: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the row numbers of the n candidates to pay for, or of all if there are fewer, the best first.

    The first is the one of the highest score. After each choice the uncertainty of the others shrinks as if it had
    been answered as expected (Desautels, Krause and Burdick, J. Mach. Learn. Res. 15, 4053, 2014): by the covariance,
    where the surrogate knows one; near what is chosen, otherwise. Thompson sampling takes the best candidate of one
    joint sample for each place, or of independent draws from a surrogate without a covariance.
    Only the `SHORTLIST` candidates that score highest by themselves are weighed against each other.

    Args:
        surrogate: Fitted.
        x: Features of the candidates, (m, d).
        acquirer: What is sought.
        n: How many, 1 or more.
        rng: Randomness of Thompson sampling and of random choice; equal states give equal choices.

    Raises:
        InputError: No candidates, or fewer than one is wanted.

    """
    if n < 1 or not len(x):
        raise InputError(f"a batch of {n} was to be chosen from {len(x)} candidates", "ask for one of one or more")
    if isinstance(acquirer, RandomChoice):
        return np.asarray(rng.permutation(len(x))[:n])
    mean, std = surrogate.posterior(x)
    if acquirer.sampled:
        return _sampled(surrogate, x, acquirer, mean, std, min(n, len(x)), rng)
    rows = np.argsort(-acquirer.score(mean, std, rng), kind="stable")[: max(SHORTLIST, n)]
    if isinstance(surrogate, JointSurrogate):
        chosen = _conditioned(acquirer, *surrogate.joint(x[rows]), surrogate.noise_std, n)
    else:
        chosen = _apart(acquirer, x[rows], mean[rows], std[rows], n)
    return np.asarray(rows[chosen])


def _conditioned(acquirer: Acquirer, mean: np.ndarray, covariance: np.ndarray, noise_std: float, n: int) -> list[int]:
    variance, free = covariance.diagonal().copy(), np.ones(len(mean), dtype=bool)
    columns = np.empty((min(n, len(mean)), len(mean)))
    chosen: list[int] = []
    for i in range(len(columns)):
        score = acquirer.score(mean, np.sqrt(np.maximum(variance, 0.0)))
        best = int(np.argmax(np.where(free, score, -np.inf)))
        chosen.append(best)
        free[best] = False
        # one step of a Cholesky factorisation: what is left of the covariance with the row that was chosen
        left = covariance[best] - columns[:i, best] @ columns[:i]
        columns[i] = left / np.sqrt(max(left[best], 0.0) + noise_std**2)
        variance = variance - columns[i] ** 2
    return chosen


def _apart(acquirer: Acquirer, x: np.ndarray, mean: np.ndarray, std: np.ndarray, n: int) -> list[int]:
    scale = x.std(axis=0)
    points = (x - x.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    nearest, free = np.full(len(x), np.inf), np.ones(len(x), dtype=bool)
    reach = _usual_distance(points)
    chosen: list[int] = []
    for _ in range(min(n, len(x))):
        unknown = 1.0 - np.exp(-nearest / (2.0 * reach))
        score = acquirer.score(mean, std * np.sqrt(unknown))
        best = int(np.argmax(np.where(free, score, -np.inf)))
        chosen.append(best)
        free[best] = False
        nearest = np.minimum(nearest, np.square(points - points[best]).sum(axis=1))
    return chosen


def _usual_distance(points: np.ndarray) -> float:
    """Return the median squared distance of (m, d) points to the nearest other one; 1 if that is nothing."""
    squares = np.square(points).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2.0 * points @ points.T, 0.0)
    np.fill_diagonal(distances, np.inf)
    usual = float(np.median(distances.min(axis=1)))
    return usual if 0.0 < usual < np.inf else 1.0


def _sampled(
    surrogate: Surrogate,
    x: np.ndarray,
    acquirer: Acquirer,
    mean: np.ndarray,
    std: np.ndarray,
    n: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Return the best candidate of each of n draws; one that is taken already makes room for the next best."""
    if isinstance(surrogate, JointSurrogate):
        # those that any independent draw would choose; one draw alone would miss most of them
        best = np.max([acquirer.score(mean, std, rng) for _ in range(n)], axis=0)
        rows = np.argsort(-best, kind="stable")[: max(SHORTLIST, n)]
        centre, covariance = surrogate.joint(x[rows])
        lift = _JITTER * float(np.mean(covariance.diagonal())) + 1e-12
        values, vectors = np.linalg.eigh(covariance + lift * np.eye(len(rows)))
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        draws = [centre + root @ rng.normal(size=len(rows)) for _ in range(n)]
        scores = [acquirer.objective.utility(draw) for draw in draws]
    else:
        rows = np.arange(len(x))
        scores = [acquirer.score(mean, std, rng) for _ in range(n)]
    free = np.ones(len(rows), dtype=bool)
    chosen = []
    for score in scores:
        chosen.append(int(np.argmax(np.where(free, score, -np.inf))))
        free[chosen[-1]] = False
    return np.asarray(rows[chosen])
