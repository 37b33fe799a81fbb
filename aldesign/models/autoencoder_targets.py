"""What a latent point is asked to tell of its formula beside the formula itself: statistics of its elements."""

from __future__ import annotations

from functools import cache

import numpy as np

from aldesign.chemistry.elements import ALPHABET, ELECTRONEGATIVITY, NUMBER

N_STATISTICS = 72
_NOBLE = (0, 2, 10, 18, 36, 54, 86, 118)
_CAPACITY = {"s": 2, "p": 6, "d": 10, "f": 14}
_SHELLS = {0: "s", 2: "sp", 10: "sp", 18: "sdp", 36: "sdp", 54: "sfdp", 86: "sfdp"}


@cache
def element_properties() -> np.ndarray:
    """Return properties of the elements in Pettifor order, float64 (103, 12), in their own units.

    They are the Pauling electronegativity (the mean where none is known), the place on the modified Pettifor scale,
    period, group (3 for the f block), the electrons in the s, p, d and f shells outside the noble-gas core as the
    Madelung rule fills them, and the places left there in started p, d and f shells and in the s shell.
    """
    rows = []
    for place, symbol in enumerate(ALPHABET):
        z = NUMBER[symbol]
        core = max(n for n in _NOBLE if n < z)
        left, filled = z - core, dict.fromkeys("spdf", 0)
        for shell in _SHELLS[core]:
            filled[shell] = min(left, _CAPACITY[shell])
            left -= filled[shell]
        s, p, d, f = (filled[shell] for shell in "spdf")
        group = 18 if z == 2 else 12 + p if p else 2 + d if d else 3 if f else s
        free = (2 - s, 6 - p if p else 0, 10 - d if d else 0, 14 - f if f else 0)
        rows.append((ELECTRONEGATIVITY[z], place, _NOBLE.index(core) + 1, group, s, p, d, f, *free))
    table = np.array(rows, dtype=np.float64)
    table[:, 0] = np.where(np.isnan(table[:, 0]), np.nanmean(table[:, 0]), table[:, 0])
    table.setflags(write=False)
    return table


@cache
def _families() -> np.ndarray:
    """Return membership of the elements in 18 groups, hydrogen, the lanthanides and the actinides: (103, 21)."""
    properties = element_properties()
    group = properties[:, 3].astype(int) - 1
    table: np.ndarray = np.eye(21)[group]
    numbers = np.array([NUMBER[s] for s in ALPHABET])
    table[numbers == 1] = np.eye(21)[18]
    table[(numbers >= 57) & (numbers <= 71)] = np.eye(21)[19]
    table[numbers >= 89] = np.eye(21)[20]
    table.setflags(write=False)
    return table


def statistics(table: np.ndarray) -> np.ndarray:
    """Return statistics of counts (n, 103) in Pettifor order, float32 (n, 72), no row empty.

    For each element property the mean, the mean absolute deviation, the minimum and the maximum; the shares of the
    families; the number of elements, the norm of the shares, and the mean ionic character of pairs.
    """
    share = table / table.sum(axis=1, keepdims=True)
    properties = element_properties()
    row, element = np.nonzero(table)
    starts = np.flatnonzero(np.diff(row, prepend=-1))
    values, weight = properties[element], share[row, element][:, None]
    mean = np.add.reduceat(values * weight, starts)
    deviation = np.add.reduceat(np.abs(values - mean[row]) * weight, starts)
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    difference = properties[:, None, 0] - properties[None, :, 0]
    ionic = 1.0 - np.exp(-0.25 * difference**2)
    pair = np.einsum("ne,ne->n", share @ ionic, share)
    extra = np.stack([(table > 0).sum(axis=1), np.sqrt((share**2).sum(axis=1)), pair], axis=1)
    return np.concatenate([mean, deviation, low, high, share @ _families(), extra], axis=1).astype(np.float32)
