"""Compositions in blocks of equally many elements: no padding, and small enough for the processor's cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from aldesign.chemistry.formula import Compositions

ROWS = 1024


@dataclass(frozen=True, eq=False)
class Block:
    """m compositions of k elements each; everything here has the elements first, so that sums run over rows at once.

    Attributes:
        rows: Where the compositions stand in the batch, integers (m,).
        numbers: Atomic numbers, (k, m).
        amounts: Atoms of each per formula unit as written, all above zero, float64 (k, m).

    """

    rows: np.ndarray
    numbers: np.ndarray
    amounts: np.ndarray

    @cached_property
    def fractions(self) -> np.ndarray:
        """Atomic fractions, float64 (k, m)."""
        return np.asarray(self.amounts / added(self.amounts))


def blocks(compositions: Compositions) -> Iterator[Block]:
    """Yield all compositions that have atoms, in blocks of at most `ROWS`; the order is that of size, then of row."""
    numbers, amounts = compositions.numbers, compositions.amounts
    present = amounts > 0
    if (present[:, 1:] > present[:, :-1]).any():  # padding between elements
        order = np.argsort(~present, axis=1, kind="stable")
        numbers, amounts = np.take_along_axis(numbers, order, axis=1), np.take_along_axis(amounts, order, axis=1)
    sizes = present.sum(axis=1)
    by_size = np.argsort(sizes, kind="stable")
    bounds = np.searchsorted(sizes[by_size], np.arange(1, numbers.shape[1] + 2))
    for size, (first, last) in enumerate(pairwise(bounds), start=1):
        for start in range(first, last, ROWS):
            rows = by_size[start : min(start + ROWS, last)]
            yield Block(
                rows,
                np.ascontiguousarray(numbers[rows, :size].T, dtype=np.intp),
                np.ascontiguousarray(amounts[rows, :size].T),
            )


def tabulate(compositions: Compositions, width: int, fill: Callable[[Block, np.ndarray], None]) -> np.ndarray:
    """Return a table (n, width) that `fill` fills for the rows of one block at a time; a row without atoms is NaN."""
    table = np.empty((len(compositions), width))
    table[compositions.amounts.max(axis=1, initial=0.0) <= 0] = np.nan
    buffer = np.empty((ROWS, width))
    for block in blocks(compositions):
        part = buffer[: len(block.rows)]
        fill(block, part)
        table[block.rows] = part
    return table


def added(terms: np.ndarray) -> np.ndarray:
    """Return the sum over the first axis, term by term: a row's digits do not depend on the rows beside it."""
    total: np.ndarray = terms[0].copy()
    for term in terms[1:]:
        total += term
    return total
