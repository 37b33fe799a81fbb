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
    from_low, from_high = _contributions(table.above, numbers, units), _contributions(table.below, numbers, units)
    lowest = np.array([min(states, default=0) for states in table.states])
    highest = np.array([max(states, default=0) for states in table.states])
    to_low, to_high = -(units * lowest[numbers]).sum(axis=1), (units * highest[numbers]).sum(axis=1)
    found = np.zeros(len(numbers), dtype=bool)
    low_is_near = to_low <= to_high
    for mine, charges, target in ((low_is_near, from_low, to_low), (~low_is_near, from_high, to_high)):
        for rows, kind in _split(mine & (target >= 0), target):
            reached = _partial_sums(charges[rows], kind)[-1]
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
    order = np.argsort(negativity, axis=1, kind="stable")
    numbers, units = np.take_along_axis(numbers, order, axis=1), np.take_along_axis(units, order, axis=1)
    negativity = np.take_along_axis(negativity, order, axis=1)
    cations, anions = _contributions(table.up, numbers, units), _contributions(table.down, numbers, units)
    # Charges beyond what the weaker side can reach never cancel.
    plus = np.cumsum(cations.max(axis=2).clip(0), axis=1)
    minus = np.cumsum(anions.max(axis=2).clip(0)[:, ::-1], axis=1)[:, ::-1]
    bound = np.minimum(plus[:, :-1], minus[:, 1:]).max(axis=1, initial=0)
    found = np.zeros(len(numbers), dtype=bool)
    for rows, kind in _split(known, bound):
        before = _partial_sums(cations[rows], kind)
        behind = _partial_sums(anions[rows, ::-1], kind)[::-1]
        result = before[-1] & _one(kind)
        for cut in range(1, numbers.shape[1]):
            allowed = negativity[rows, cut] > negativity[rows, cut - 1]
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
    """Return the charges that each element can contribute, int64 (n, k, s), padded with `ABSENT`."""
    chosen = states[numbers]
    return np.where(chosen == ABSENT, ABSENT, chosen * units[:, :, None])


def _partial_sums(charges: np.ndarray, kind: type) -> list[np.ndarray]:
    """Return the sets reached with the first 0, 1, ... k elements: k + 1 arrays of shape (n,) and dtype `kind`.

    Charges of 64 and more do not fit a machine word and are dropped from such sets.
    """
    n, k, _ = charges.shape
    sums: list[np.ndarray] = [np.full(n, _one(kind), dtype=kind)]
    for element in range(k):
        reached: np.ndarray = np.full(n, _one(kind) * 0, dtype=kind)
        for charge in charges[:, element].T:
            usable = charge >= 0 if kind is object else (charge >= 0) & (charge < _WORD)
            if usable.any():
                moved = sums[-1] << np.where(usable, charge, 0).astype(kind)
                reached |= np.where(usable, moved, _one(kind) * 0)
        sums.append(reached)
    return sums
