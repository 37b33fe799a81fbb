"""Formulas that could be: known ones with elements exchanged, added, removed, or counted anew."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from aldesign.chemistry.onehot import MAX_COUNT

AGAIN = 0.4  # share of the changed rows that are changed once more, and of these again
ROUNDS = 3
MOST = 8  # elements that a formula may be given


def augment(table: np.ndarray, share: float, unseen: Collection[bytes], rng: np.random.Generator) -> np.ndarray:
    """Return `table`, int8 (n, 103), with a `share` of its rows changed at random, none of them empty.

    Counts stay reduced; a row that would come out as one of `unseen` stays as it was.
    """
    table = table.copy()
    rows = np.flatnonzero(rng.random(len(table)) < share)
    changed, some = table[rows], np.arange(len(rows))
    for _ in range(ROUNDS):
        kind = rng.choice(len(_CHANGES), size=len(some), p=_SHARES)
        for number, change in enumerate(_CHANGES):
            mine = some[kind == number]
            changed[mine] = change(changed[mine], rng)
        some = some[rng.random(len(some)) < AGAIN]
    changed //= np.maximum(np.gcd.reduce(changed, axis=1), 1)[:, None]
    allowed = np.array([row.tobytes() not in unseen for row in changed], dtype=bool)
    table[rows[allowed]] = changed[allowed]
    return table


def _exchange(table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put another element in the place of one."""
    rows, one, other = np.arange(len(table)), _present(table, rng), _absent(table, rng)
    table[rows, other], table[rows, one] = table[rows, one], 0
    return table


def _recount(table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Count one element anew."""
    table[np.arange(len(table)), _present(table, rng)] = _counts(len(table), rng)
    return table


def _shuffle(table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Deal the counts out anew among the elements."""
    # two random orders of the elements present; those absent follow, and have no count to give
    first, second = (np.argsort(-rng.random(table.shape) * (table > 0), axis=1) for _ in range(2))
    dealt = np.zeros_like(table)
    np.put_along_axis(dealt, first, np.take_along_axis(table, second, axis=1), axis=1)
    return dealt


def _add(table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add an element, unless there are many."""
    place, count = _absent(table, rng), _counts(len(table), rng)
    room = (table > 0).sum(axis=1) < MOST
    table[room, place[room]] = count[room]
    return table


def _remove(table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Remove an element, unless it is the only one."""
    place, more = _present(table, rng), (table > 0).sum(axis=1) > 1
    table[more, place[more]] = 0
    return table


_CHANGES: tuple[Callable[[np.ndarray, np.random.Generator], np.ndarray], ...] = (
    _exchange,
    _recount,
    _shuffle,
    _add,
    _remove,
)
_SHARES = (0.4, 0.25, 0.15, 0.1, 0.1)


def _present(table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a place in each row of counts (n, 103) that has an element, (n,)."""
    return np.asarray((rng.random(table.shape) * (table > 0)).argmax(axis=1))


def _absent(table: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.asarray((rng.random(table.shape) * (table == 0)).argmax(axis=1))


def _counts(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n counts, small ones more often, and sometimes any."""
    small = np.minimum(rng.geometric(0.3, size=n), MAX_COUNT)
    return np.where(rng.random(n) < 0.25, rng.integers(1, MAX_COUNT + 1, size=n), small).astype(np.int8)
