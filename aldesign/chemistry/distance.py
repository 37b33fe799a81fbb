"""The element mover's distance between formulas on the modified Pettifor scale.

The least work that turns one formula into another, an atomic fraction moved by one place on the scale costing its
size (Hargreaves et al., Chem. Mater. 32, 10610, 2020). On a line that is the L1 distance of the cumulative
fractions (Vallender, Theory Probab. Appl. 18, 784, 1974), the places of the scale being one apart.
"""

from __future__ import annotations

import numpy as np

from aldesign.chemistry.elements import ALPHABET, PETTIFOR, SYMBOLS
from aldesign.chemistry.formula import Compositions
from aldesign.errors import FormulaError


def cumulative(compositions: Compositions) -> np.ndarray:
    """Return the atomic fraction up to each place of the modified Pettifor scale, float64 (n, 103).

    Raises:
        FormulaError: A composition is empty or has an element beyond lawrencium, which the scale does not hold.

    """
    numbers = compositions.numbers
    beyond = np.argwhere((numbers > 0) & (PETTIFOR[numbers] < 0))
    if len(beyond):
        row, column = beyond[0]
        raise FormulaError(
            f"{SYMBOLS[numbers[row, column]]} has no place on the modified Pettifor scale", "it holds H to Lr"
        )
    empty = np.flatnonzero(compositions.n_elements() == 0)
    if len(empty):
        raise FormulaError(f"composition {empty[0]} contains no atoms, so nothing is at a distance from it")
    table = np.zeros((len(compositions), len(ALPHABET)))
    row, column = np.nonzero(numbers)
    table[row, PETTIFOR[numbers[row, column]]] = compositions.fractions()[row, column]
    return np.cumsum(table, axis=1, out=table)


def emd(a: Compositions, b: Compositions) -> np.ndarray:
    """Return the distance of each formula of `a` from its partner in `b`, in places of the scale, float64 (n,).

    Raises:
        FormulaError: As `cumulative`.

    """
    if len(a) != len(b):
        raise FormulaError(f"{len(a)} formulas cannot be paired with {len(b)}", "give as many of both")
    return np.asarray(np.abs(cumulative(a) - cumulative(b)).sum(axis=1))


def emd_matrix(a: Compositions, b: Compositions) -> np.ndarray:
    """Return the distance of each of n formulas from each of m others, in places of the scale, float64 (n, m).

    Raises:
        FormulaError: As `cumulative`.

    """
    from scipy.spatial.distance import cdist

    left, right = cumulative(a), cumulative(b)
    if not len(left) or not len(right):
        return np.zeros((len(left), len(right)))
    return np.asarray(cdist(left, right, "cityblock"))
