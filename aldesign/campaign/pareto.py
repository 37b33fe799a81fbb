"""Which candidates no other beats in every respect, then which no other of the rest, and so on."""

from __future__ import annotations

import numpy as np


def fronts(costs: np.ndarray) -> np.ndarray:
    """Return the front of each of n candidates, from 1, by non-dominated sorting, int64 (n,).

    A candidate is dominated by one that is nowhere worse and somewhere better. Front 1 is what none dominates, front 2
    what none but front 1 dominates, and so on; equal candidates share a front. Srinivas and Deb, Evol. Comput. 2, 221
    (1994).

    Args:
        costs: What is to be as low as possible, float64 (n, m), finite.

    Raises:
        ValueError: A value is not finite.

    """
    costs = np.asarray(costs, dtype=np.float64)
    if not np.isfinite(costs).all():
        raise ValueError("a candidate without a value belongs to no front: leave it out")
    no_worse = np.asarray((costs[:, None, :] <= costs[None, :, :]).all(axis=2))
    dominates: np.ndarray = no_worse & ~no_worse.T
    found = np.zeros(len(costs), dtype=np.int64)
    number = 0
    while (left := found == 0).any():
        number += 1
        found[left & ~dominates[left].any(axis=0)] = number
    return found
