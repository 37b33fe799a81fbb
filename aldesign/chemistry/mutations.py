"""Small chemical changes of known formulas: another element in a place, one more, one fewer, other amounts."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from aldesign.chemistry.elements import ALPHABET, CLASSES
from aldesign.chemistry.onehot import MAX_COUNT, N_ROWS
from aldesign.errors import InputError

REACH = 8.0
"""Places on the modified Pettifor scale over which the odds of a substitution fall by a factor e."""
_COUNT_ODDS = np.array([0.0, 0.34, 0.22, 0.13, 0.11, 0.06, 0.07, 0.03, 0.04])
"""Odds of the counts 0 to 8 of an element that is counted anew, near those of known reduced formulas."""


class Change(IntEnum):
    """What is done to a formula."""

    SUBSTITUTE = 0
    ADD = 1
    REMOVE = 2
    RECOUNT = 3
    CROSS = 4


ODDS = np.array([0.40, 0.10, 0.08, 0.27, 0.15])
"""Odds of each `Change`."""


def mutate(
    parents: np.ndarray, n: int, rng: np.random.Generator, *, allowed: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return n changed formulas as counts, int8 (n, 103), and the row of `parents` that each came from, (n,).

    A substitution prefers elements near on the modified Pettifor scale, which orders the elements by how readily they
    replace one another in known compounds (Glawe et al., New J. Phys. 18, 093011, 2016), and three in ten times puts
    another element of the same group in. A crossing takes the metals of one parent and the other elements of
    another. Counts are reduced; repeats are possible, and nothing is said about charges.

    Args:
        parents: Counts in Pettifor order, int8 (m, 103), every row with an element.
        n: How many.
        rng: Source of randomness; equal states give equal formulas.
        allowed: Which elements may come in, bool (103,); None for all.

    Raises:
        InputError: No parents, an empty one, or no element that may come in.

    """
    parents = np.asarray(parents, dtype=np.int16)
    free = np.ones(N_ROWS, dtype=bool) if allowed is None else np.asarray(allowed, dtype=bool)
    if not len(parents) or not parents.any(axis=1).all():
        raise InputError("there is nothing to change: no formula, or an empty one", "give formulas with elements")
    if not free.any():
        raise InputError("no element may come in", "allow some")
    origin = rng.integers(len(parents), size=n)
    table, change = parents[origin], rng.choice(len(ODDS), size=n, p=ODDS)
    rows = np.arange(n)
    one = _pick(table > 0, rng)
    count = table[rows, one]

    chosen = change == Change.SUBSTITUTE
    other = _substitute(one, table, free, rng)
    able = chosen & (other >= 0)
    table[rows[able], one[able]] = 0
    table[rows[able], other[able]] = count[able]

    new = _pick((table == 0) & free, rng)
    able = (change == Change.ADD) & free[new] & (table[rows, new] == 0)
    table[rows[able], new[able]] = _counts(int(able.sum()), rng)

    able = (change == Change.REMOVE) & ((table > 0).sum(axis=1) > 2)
    table[rows[able], one[able]] = 0

    able = change == Change.RECOUNT
    table[rows[able], one[able]] = _counts(int(able.sum()), rng)
    second = able & (rng.random(n) < 0.5)
    also = _pick(table > 0, rng)
    table[rows[second], also[second]] = _counts(int(second.sum()), rng)

    able = change == Change.CROSS
    partner = parents[rng.integers(len(parents), size=n)]
    crossed = np.where(_METALS, table, partner)
    able &= (crossed[:, _METALS] > 0).any(axis=1) & (crossed[:, ~_METALS] > 0).any(axis=1)
    table[able] = crossed[able]

    table //= np.maximum(np.gcd.reduce(table, axis=1), 1)[:, None]
    return np.minimum(table, MAX_COUNT).astype(np.int8), origin


_METALS = np.array([symbol in CLASSES["metal"] for symbol in ALPHABET])


def _kin() -> np.ndarray:
    """Return which elements share a named group, bool (103, 103)."""
    groups = ("alkali", "alkaline_earth", "lanthanide", "actinide", "pnictogen", "chalcogen", "halogen", "precious")
    member = np.array([[symbol in CLASSES[group] for symbol in ALPHABET] for group in groups])
    return np.asarray((member.T.astype(np.int8) @ member.astype(np.int8)) > 0)


_KIN = _kin()
_PLACES = np.arange(N_ROWS)
_NEARNESS = np.exp(-np.abs(_PLACES[:, None] - _PLACES) / REACH) * (1 - np.eye(N_ROWS))


def _pick(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return one true column of each row of `mask` (n, 103), all equally likely; 0 where there is none."""
    return np.asarray((rng.random(mask.shape) * mask).argmax(axis=1))


def _counts(n: int, rng: np.random.Generator) -> np.ndarray:
    return rng.choice(len(_COUNT_ODDS), size=n, p=_COUNT_ODDS)


def _substitute(one: np.ndarray, table: np.ndarray, free: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the element that takes the place of `one` in each row, (n,); -1 where none may."""
    open_ = free & (table == 0)
    akin = _KIN[one] & open_
    akin[np.arange(len(one)), one] = False
    by_group = (rng.random(len(one)) < 0.3) & akin.any(axis=1)
    odds = np.where(by_group[:, None], akin, _NEARNESS[one] * open_)
    # the Gumbel trick draws one column a row with these odds
    keys = np.where(odds > 0, np.log(np.maximum(odds, 1e-300)) + rng.gumbel(size=odds.shape), -np.inf)
    return np.where((odds > 0).any(axis=1), keys.argmax(axis=1), -1)
