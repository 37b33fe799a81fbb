"""Formulas as one-hot matrices: elements in modified Pettifor order by counts."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from aldesign.chemistry.elements import ALPHABET, NUMBER, PETTIFOR, SYMBOLS
from aldesign.chemistry.formula import Compositions
from aldesign.chemistry.spelling import reduced_counts
from aldesign.errors import FormulaError

MAX_COUNT = 20
"""Largest count that a matrix holds by default; every reduced formula of the paper's training set fits."""
N_ROWS = len(ALPHABET)
"""Rows of a matrix: H to Lr."""

_NUMBERS = np.array([NUMBER[symbol] for symbol in ALPHABET], dtype=np.int16)


def refusals(compositions: Compositions, max_count: int = MAX_COUNT) -> list[str | None]:
    """Return, for each composition, None or why it has no one-hot matrix."""
    units, whole = reduced_counts(compositions.amounts)
    largest, empty = units.max(axis=1, initial=0), compositions.n_elements() == 0
    foreign = np.asarray((compositions.numbers > N_ROWS).any(axis=1))
    reasons: list[str | None] = [None] * len(compositions)
    for i in np.flatnonzero(~whole | empty | foreign | (largest > max_count)).tolist():
        if empty[i]:
            reasons[i] = "it contains no atoms"
        elif not whole[i]:
            reasons[i] = "its amounts are not whole numbers"
        elif foreign[i]:
            beyond = [SYMBOLS[z] for z in compositions.numbers[i] if z > N_ROWS]
            reasons[i] = f"{', '.join(beyond)} lies beyond lawrencium"
        else:
            place = int(units[i].argmax())
            reasons[i] = f"the count {units[i, place]} of {SYMBOLS[compositions.numbers[i, place]]} exceeds {max_count}"
    return reasons


def indices(compositions: Compositions, max_count: int = MAX_COUNT) -> np.ndarray:
    """Return the reduced count of each element: int8 (n, 103), 0 where it is absent.

    Raises:
        FormulaError: For the first composition that is fractional, empty, has a count above `max_count` or an
            element beyond lawrencium.

    """
    for i, reason in enumerate(refusals(compositions, max_count)):
        if reason is not None:
            name = compositions[i : i + 1].formulas()[0]
            raise FormulaError(f"{name or 'an empty composition'} has no one-hot matrix: {reason}")
    units, _ = reduced_counts(compositions.amounts)
    table = np.zeros((len(compositions), N_ROWS), dtype=np.int8)
    row, column = np.nonzero(compositions.numbers)
    table[row, PETTIFOR[compositions.numbers[row, column]]] = units[row, column]
    return table


def encode(compositions: Compositions, max_count: int = MAX_COUNT, dtype: DTypeLike = np.uint8) -> np.ndarray:
    """Return one-hot matrices, shape (n, 103, max_count): [i, e, c - 1] is 1 where formula i has c atoms of e.

    Counts are reduced by their greatest common divisor; the row of an absent element is zero.

    Raises:
        FormulaError: As `indices`.

    """
    table = indices(compositions, max_count)
    matrices = np.zeros((*table.shape, max_count), dtype=dtype)
    row, element = np.nonzero(table)
    matrices[row, element, table[row, element] - 1] = 1
    return matrices


def compositions_of(table: np.ndarray) -> Compositions:
    """Return the compositions that rows of counts (n, 103) stand for; a row of zeros is an empty one."""
    counts = np.asarray(table)
    row, element = np.nonzero(counts)
    return Compositions.from_entries(row, _NUMBERS[element], counts[row, element], len(counts))


def decode_indices(table: np.ndarray) -> list[str | None]:
    """Return the canonical formula of each row of counts (n, 103); None where all are zero."""
    return [formula or None for formula in compositions_of(table).formulas()]
