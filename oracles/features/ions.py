"""Features of a formula as a compound of ions: can its charges balance, and how ionic are its bonds.

Both as matminer's ``IonProperty`` defines them, with pymatgen's electronegativities and common oxidation states.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

import numpy as np

from aldesign.chemistry.elements import ELECTRONEGATIVITY, NUMBER, SYMBOLS
from aldesign.chemistry.parsing import TOLERANCE
from oracles.features.blocks import Block, added

_WORD = 64
# After so many atoms a further one only adds the element's largest step to what could be reached before. For states
# whose steps have the greatest common divisor d and the maximum m·d, 2(m - 1) atoms suffice; no element with uneven
# steps has an m above 5.
_ROUNDS = 8


@cache
def pauling_character() -> np.ndarray:
    """Return the ionic character of every pair of elements, (119, 119), from pymatgen's electronegativities.

    An unknown electronegativity (He, Ne, Ar, Rf and beyond) is replaced by the mean over the known ones.
    """
    known = np.isfinite(ELECTRONEGATIVITY)
    table = character(np.where(known, ELECTRONEGATIVITY, ELECTRONEGATIVITY[known].mean()))
    table.setflags(write=False)
    return table


def character(electronegativity: np.ndarray) -> np.ndarray:
    """Return Pauling's ionic character 1 - exp(-(Δχ)²/4) of every pair, (n, n), for electronegativities (n,)."""
    difference = electronegativity[:, None] - electronegativity
    return np.asarray(1.0 - np.exp(-(difference**2) / 4.0))


def ionic_character(block: Block, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest ionic character among the pairs of elements and the fraction-weighted sum over them.

    Args:
        block: The compositions.
        table: Character by both atomic numbers, (119, 119).

    Returns:
        Two arrays (m,); both are zero for a single element.

    """
    numbers, fractions = block.numbers, block.fractions
    strongest, mean = np.zeros(len(block.rows)), np.zeros(len(block.rows))
    for i in range(len(numbers)):
        for j in range(i + 1, len(numbers)):
            pair = table[numbers[i], numbers[j]]
            np.maximum(strongest, pair, out=strongest)
            mean += fractions[i] * fractions[j] * pair
    return strongest, mean


def compound_possible(block: Block) -> np.ndarray:
    """Return whether common oxidation states can balance, (m,) bool; atoms of one element may differ in theirs.

    The definition is that of pymatgen's ``Composition.oxi_state_guesses`` on the amounts as written: FeO2 and Fe2O4
    are different questions. A single element is always possible; an element without oxidation states (He, Ne, Ar,
    Rn, Db and beyond) makes a compound impossible. Amounts that are not whole, which pymatgen refuses, are possible
    where some multiple of the formula is, that is where zero lies between the lowest and the highest total charge.
    """
    if len(block.numbers) == 1:
        return np.ones(len(block.rows), dtype=bool)
    lowest, highest, _ = _states()
    low, high = added(block.amounts * lowest[block.numbers]), added(block.amounts * highest[block.numbers])
    slack = TOLERANCE * added(block.amounts)
    # NaN, where an element has no states, compares as false
    between: np.ndarray = (low <= slack) & (high >= -slack)
    units = np.rint(block.amounts)
    whole = (np.abs(units - block.amounts) < TOLERANCE).all(axis=0)
    possible: np.ndarray = between & (~whole | _reach_zero(block.numbers, units, between & whole))
    return possible


def _reach_zero(numbers: np.ndarray, units: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Return, where `asked`, whether whole numbers of atoms (k, m) can have charges that add up to exactly zero.

    Which totals can be reached is a set held in bits: bit c stands for the distance c from the lowest total charge,
    or from the highest, whichever is nearer to zero. Distances from 64 on do not fit a word and take Python integers.
    """
    lowest, highest, steps = _states()
    found = np.zeros(len(asked), dtype=bool)
    low, high = -added(units * lowest[numbers]), added(units * highest[numbers])
    target = np.where(asked, np.minimum(low, high), 0).astype(np.int64)
    side = (high < low).astype(np.intp)
    for kind, rows in ((np.uint64, asked & (target < _WORD)), (object, asked & (target >= _WORD))):
        if not rows.any():
            continue
        one = np.uint64(1) if kind is np.uint64 else 1
        reached = np.full(np.count_nonzero(rows), one, dtype=kind)
        for z, count in zip(numbers[:, rows], units[:, rows].astype(np.int64), strict=True):
            reached = _with_element(reached, steps[side[rows], z], count)
        found[rows] = ((reached >> target[rows].astype(kind)) & one).astype(bool)
    return found


def _with_element(reached: np.ndarray, steps: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Return the sets (m,) that `count` (m,) further atoms lead to, each adding one of the steps (m, s) or nothing."""
    kind, largest = reached.dtype.type if reached.dtype != object else object, steps.max(axis=1)
    # evenly spaced steps fill their range with the first atom
    even = steps[:, 0] * np.count_nonzero(steps, axis=1) == largest
    rounds = np.minimum(count, np.where(even, np.minimum(largest, 1), _ROUNDS))
    for done in range(int(rounds.max(initial=0))):
        active = rounds > done
        before = reached[active]
        after = before.copy()
        for step in steps[active].T:
            after |= before << step.astype(kind)
        reached[active] = after
    left, block = (count - rounds) * (largest > 0), 1
    while (active := left > 0).any():
        taken = np.minimum(left[active], block)
        reached[active] |= reached[active] << (taken * largest[active]).astype(kind)
        left[active] -= taken
        block *= 2
    return reached


@cache
def _states() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the lowest and the highest state (119,), NaN where there is none, and the steps from either.

    The steps are (2, 119, s) int64, from the lowest upwards and from the highest downwards, rising, without the
    zero, padded with zeros.
    """
    stored = json.loads(files(__package__).joinpath("oxidation_states.json").read_text(encoding="utf-8"))
    states = {NUMBER[symbol]: sorted(values) for symbol, values in stored["elements"].items()}
    lowest, highest = np.full(len(SYMBOLS), np.nan), np.full(len(SYMBOLS), np.nan)
    steps = np.zeros((2, len(SYMBOLS), max(map(len, states.values())) - 1), dtype=np.int64)
    for z, values in states.items():
        lowest[z], highest[z] = values[0], values[-1]
        steps[0, z, : len(values) - 1] = [value - values[0] for value in values[1:]]
        steps[1, z, : len(values) - 1] = [values[-1] - value for value in values[-2::-1]]
    return lowest, highest, steps
