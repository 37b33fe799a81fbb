"""Points of a latent space scattered around the best ones known: a search that asks for no gradient."""

from __future__ import annotations

import numpy as np

from aldesign.errors import InputError

_TOWARDS = 0.5  # share of the points that begin between two starts


def scatter(
    starts: np.ndarray, bounds: np.ndarray, n: int, rng: np.random.Generator, *, trust: float, free: float
) -> np.ndarray:
    """Return n points (n, d), each moved away from one of the starts in some of its coordinates.

    The starts are taken in turn, so that the first are the more frequent ones. Half of the points first go some of
    the way towards another start. The size of a move is drawn between nothing and `trust` of the box's width for each
    point, its share of coordinates between one coordinate and `free` of them all: near and far, few and many, since
    nobody knows how far the decoder carries.

    Args:
        starts: Points (m, d), the best first.
        bounds: Lower and upper corner (2, d) of the box that contains all known points.
        n: How many.
        rng: Equal states give equal points.
        trust: Largest move, as a share (0, 1] of the box's width in each coordinate.
        free: Largest share (0, 1] of coordinates that move.

    Raises:
        InputError: No starts, shapes that do not fit, or a share outside (0, 1].

    """
    starts, bounds = np.asarray(starts, dtype=np.float64), np.asarray(bounds, dtype=np.float64)
    if starts.ndim != 2 or not len(starts) or bounds.shape != (2, starts.shape[1]):
        raise InputError(
            f"starts of shape {starts.shape} and bounds of shape {bounds.shape}", "expected (m, d) and (2, d)"
        )
    for name, share in (("trust", trust), ("free", free)):
        if not 0 < share <= 1:
            raise InputError(f"{name} is {share}", "give a share above 0, at most 1")
    dimensions = starts.shape[1]
    centre = starts[np.arange(n) % len(starts)]
    other = starts[rng.integers(len(starts), size=n)]
    way = np.where(rng.random((n, 1)) < _TOWARDS, rng.random((n, 1)), 0.0)
    centre = centre + way * (other - centre)
    moving = rng.random((n, dimensions)) < np.maximum(free * rng.random((n, 1)), 1.0 / dimensions)
    reach = trust * rng.random((n, 1)) * (bounds[1] - bounds[0])
    return np.asarray(np.clip(centre + moving * reach * rng.uniform(-1.0, 1.0, centre.shape), *bounds))
