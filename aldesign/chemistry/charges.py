"""Which total charges can be reached, for many compositions at once.

A set of charges is an integer whose bit c stands for the charge c; adding an element that contributes one of several
charges is the union of as many shifts. Sets below 64 are machine words, larger ones Python integers in an object array.
"""

from __future__ import annotations

import numpy as np

from aldesign.chemistry.oxidation import ABSENT, StateTable

_WORD = 64


def neutral(numbers: np.ndarray, units: np.ndarray, table: StateTable) -> np.ndarray:
    """Return whether some choice of one state per element adds up to zero.

    Args:
        numbers: Atomic numbers, zero-padded, shape (n, k).
        units: Atoms of each, int64 (n, k).
        table: The allowed states.

    Returns:
        Bool (n,).

    """
    # Counted from the lowest states, or from the highest, zero lies at a certain distance: use the smaller one.
    from_low, from_high = (_contributions(states, numbers.T, units.T) for states in (table.above, table.below))
    lowest = np.array([min(states, default=0) for states in table.states])
    highest = np.array([max(states, default=0) for states in table.states])
    to_low, to_high = -(units * lowest[numbers]).sum(axis=1), (units * highest[numbers]).sum(axis=1)
    found = np.zeros(len(numbers), dtype=bool)
    low_is_near = to_low <= to_high
    for mine, charges, target in ((low_is_near, from_low, to_low), (~low_is_near, from_high, to_high)):
        for rows, kind in _split(mine & (target >= 0), target):
            reached = _partial_sums(charges[:, :, rows], kind)[-1]
            found[rows] = ((reached >> target[rows].astype(kind)) & _one(kind)).astype(bool)
    return found


def balanced(numbers: np.ndarray, units: np.ndarray, table: StateTable) -> np.ndarray:
    """Return whether states add up to zero such that every cation is less electronegative than every anion.

    Sorted by electronegativity, the elements before some cut must then be cations and the others anions; elements
    of equal electronegativity stand on the same side. An element of unknown electronegativity fails.

    Args:
        numbers: Atomic numbers, zero-padded, shape (n, k), at least two elements a row.
        units: Atoms of each, int64 (n, k).
        table: The allowed states.

    Returns:
        Bool (n,).

    """
    negativity = np.where(numbers > 0, table.negativity[numbers], np.inf)
    known = np.asarray(~np.isnan(negativity).any(axis=1))
    if (negativity[:, 1:] < negativity[:, :-1]).any():
        order = np.argsort(negativity, axis=1, kind="stable")
        numbers, units, negativity = (
            np.take_along_axis(array, order, axis=1) for array in (numbers, units, negativity)
        )
    found = np.zeros(len(numbers), dtype=bool)
    sizes = np.where(known, np.count_nonzero(numbers, axis=1), 0)
    for size in np.unique(sizes[known]).tolist():  # no time is lost on padding
        rows = np.flatnonzero(sizes == size)
        found[rows] = _cut(numbers[rows, :size].T, units[rows, :size].T, negativity[rows, :size].T, table)
    return found


def _cut(numbers: np.ndarray, units: np.ndarray, negativity: np.ndarray, table: StateTable) -> np.ndarray:
    """Return what `balanced` returns, bool (n,), for k elements sorted by electronegativity; arguments (k, n)."""
    cations, anions = _contributions(table.up, numbers, units), _contributions(table.down, numbers, units)
    # Charges beyond what the weaker side can reach never cancel.
    plus = np.cumsum(cations.max(axis=0).clip(0), axis=0)
    minus = np.cumsum(anions.max(axis=0).clip(0)[::-1], axis=0)[::-1]
    bound = np.minimum(plus[:-1], minus[1:]).max(axis=0, initial=0)
    found = np.zeros(numbers.shape[1], dtype=bool)
    for rows, kind in _split(np.ones(len(found), dtype=bool), bound):
        before = _partial_sums(cations[:, :, rows], kind)
        behind = _partial_sums(anions[:, ::-1, rows], kind)[::-1]
        result = before[-1] & _one(kind)
        for cut in range(1, len(numbers)):
            allowed = negativity[cut, rows] > negativity[cut - 1, rows]
            result = result | np.where(allowed, before[cut] & behind[cut], _one(kind) * 0)
        found[rows] = result.astype(bool)
    return found


def _one(kind: type) -> np.uint64 | int:
    return np.uint64(1) if kind is np.uint64 else 1


def _split(mine: np.ndarray, bound: np.ndarray) -> list[tuple[np.ndarray, type]]:
    """Return the rows among `mine` whose sets fit a machine word, and the others."""
    few = bound < _WORD
    parts: list[tuple[np.ndarray, type]] = [
        (np.flatnonzero(mine & few), np.uint64),
        (np.flatnonzero(mine & ~few), object),
    ]
    return [(rows, kind) for rows, kind in parts if len(rows)]


def _contributions(states: np.ndarray, numbers: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Return the charges that each of k elements can contribute, int64 (s, k, n), padded with `ABSENT`."""
    # for these elements, the states that none of them has are left out
    columns = max(int((states[np.unique(numbers)] != ABSENT).sum(axis=1).max(initial=0)), 1)
    chosen = states.T[:columns, numbers]
    return np.where(chosen == ABSENT, ABSENT, chosen * units)


def _partial_sums(charges: np.ndarray, kind: type) -> list[np.ndarray]:
    """Return the sets reached with the first 0, 1, ... k elements: k + 1 arrays of shape (n,) and dtype `kind`.

    Charges of 64 and more do not fit a machine word and are dropped from such sets.

    Args:
        charges: Those of each element, int64 (s, k, n), padded with `ABSENT`.
        kind: ``np.uint64``, or ``object`` for Python integers.

    """
    _, k, n = charges.shape
    sums: list[np.ndarray] = [np.full(n, _one(kind), dtype=kind)]
    if kind is np.uint64:
        # a shift by a word or more leaves nothing, and the padding, -1, is a huge number without its sign
        shifts, moved = charges.astype(np.uint64), np.empty(n, dtype=np.uint64)
        for element in range(k):
            reached = sums[-1] << shifts[0, element]
            for shift in shifts[1:, element]:
                np.left_shift(sums[-1], shift, out=moved)
                reached |= moved
            sums.append(reached)
        return sums
    for element in range(k):
        reached = np.full(n, 0, dtype=object)
        for charge in charges[:, element]:
            usable = charge >= 0
            if usable.any():
                reached |= np.where(usable, sums[-1] << np.where(usable, charge, 0).astype(object), 0)
        sums.append(reached)
    return sums
