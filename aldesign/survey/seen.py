"""A memory of hundreds of millions of formulas in eight bytes each."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def fingerprints(formulas: Sequence[str]) -> np.ndarray:
    """Return a 64-bit number for each canonical formula, uint64 (n,).

    Two of n formulas share one with a chance of about n² / 2^65: 4e-8 for a million, 3e-4 for a hundred million.
    """
    digests = b"".join([hashlib.blake2b(formula.encode(), digest_size=8).digest() for formula in formulas])
    return np.frombuffer(digests, dtype="<u8").astype(np.uint64)


class Seen:
    """A set of 64-bit numbers as sorted arrays, each at least twice as long as the next.

    Adding to it merges the short arrays alone, so that n numbers cost about n log n steps and eight bytes each.
    """

    def __init__(self) -> None:
        self._runs: list[np.ndarray] = []

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def __contains__(self, number: int) -> bool:
        return bool(self.contains(np.array([number], dtype=np.uint64))[0])

    def contains(self, numbers: np.ndarray) -> np.ndarray:
        """Return which of n numbers, uint64 (n,), are in the set, bool (n,)."""
        found = np.zeros(len(numbers), dtype=bool)
        for run in self._runs:
            place = np.searchsorted(run, numbers)
            found |= run[np.minimum(place, len(run) - 1)] == numbers
        return found

    def add(self, numbers: np.ndarray) -> np.ndarray:
        """Add n numbers; return which of them are new, bool (n,), a repeat among them being new once."""
        _, first = np.unique(numbers, return_index=True)
        fresh = np.zeros(len(numbers), dtype=bool)
        fresh[first] = True
        fresh &= ~self.contains(numbers)
        run = np.sort(numbers[fresh])
        while self._runs and len(self._runs[-1]) < 2 * len(run):
            run = np.sort(np.concatenate([self._runs.pop(), run]), kind="stable")
        if len(run):
            self._runs.append(run)
        return fresh
