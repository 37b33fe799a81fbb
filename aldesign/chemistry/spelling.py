"""The canonical spelling of a composition: pymatgen's reduced formula, for one or for many at once."""

from __future__ import annotations

from math import gcd

import numpy as np

from aldesign.chemistry.elements import ELECTRONEGATIVITY, SYMBOLS
from aldesign.chemistry.parsing import TOLERANCE

# A polyanion is bracketed where its two elements differ by less than this (pymatgen, Composition.reduced_formula).
_POLYANION_DIFFERENCE = 1.65
# Peroxides and diatomic molecules keep their molecular size (pymatgen, Composition.special_formulas).
_MOLECULES = {
    **{metal + "O": f"{metal}2O2" for metal in ("Li", "Na", "K", "H", "Cs", "Rb")},
    **{element: element + "2" for element in ("O", "N", "F", "Cl", "H")},
}
_NEGATIVITY: list[float] = ELECTRONEGATIVITY.tolist()


def reduced_counts(amounts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return amounts (n, k) as whole numbers without common divisor.

    Returns:
        Counts int64 (n, k), and whether the amounts of each row were whole, bool (n,); the counts of other rows are
        rounded and must not be used.

    """
    rounded = np.rint(amounts).astype(np.int64)
    whole = (np.abs(amounts - rounded) < TOLERANCE).all(axis=1)
    return rounded // np.maximum(np.gcd.reduce(rounded, axis=1), 1)[:, None], whole


def spell(numbers: list[int], amounts: list[float]) -> str:
    """Return the canonical formula of k elements given in canonical order, each once, with their amounts."""
    counts = [round(amount) for amount in amounts]
    if any(abs(amount - count) >= TOLERANCE for amount, count in zip(amounts, counts, strict=True)):
        return "".join([f"{SYMBOLS[z]}{_decimal(amount)}" for z, amount in zip(numbers, amounts, strict=True)])
    factor = gcd(*counts)
    pieces = [_piece(z, count // factor) for z, count in zip(numbers, counts, strict=True)]
    if len(numbers) >= 3 and _NEGATIVITY[numbers[-1]] - _NEGATIVITY[numbers[-2]] < _POLYANION_DIFFERENCE:
        units = gcd(counts[-2], counts[-1]) // factor
        if units > 1:
            pieces[-2:] = _polyanion(numbers[-2:], [count // factor for count in counts[-2:]], units)
    spelled = "".join(pieces)
    return _MOLECULES.get(spelled, spelled)


def spell_many(numbers: np.ndarray, amounts: np.ndarray) -> list[str]:
    """Return what `spell` returns, for each row of numbers (n, k) and amounts (n, k), both zero-padded."""
    counts, whole = reduced_counts(amounts)
    present = numbers > 0
    sizes = present.sum(axis=1)
    pieces = _pieces(numbers[present], counts[present])
    ends = np.cumsum(sizes)

    row = np.flatnonzero(sizes >= 3)
    last = sizes[row] - 1
    difference = ELECTRONEGATIVITY[numbers[row, last]] - ELECTRONEGATIVITY[numbers[row, last - 1]]
    units = np.gcd(counts[row, last], counts[row, last - 1])
    bracketed = (difference < _POLYANION_DIFFERENCE) & (units > 1)
    row, last, units = row[bracketed], last[bracketed], units[bracketed]
    pair = np.stack((last - 1, last), axis=1)
    elements, atoms = numbers[row[:, None], pair].tolist(), counts[row[:, None], pair].tolist()
    for end, both, two, unit in zip(ends[row].tolist(), elements, atoms, units.tolist(), strict=True):
        pieces[end - 2 : end] = _polyanion(both, two, unit)

    stops: list[int] = ends.tolist()
    spelled = ["".join(pieces[start:stop]) for start, stop in zip([0, *stops], stops, strict=False)]
    spelled = [_MOLECULES.get(text, text) for text in spelled]
    for i in np.flatnonzero(~whole).tolist():
        spelled[i] = spell(numbers[i, present[i]].tolist(), amounts[i, present[i]].tolist())
    return spelled


def _pieces(numbers: np.ndarray, counts: np.ndarray) -> list[str]:
    """Return symbol and count of each of m entries, spelling each distinct one once."""
    distinct, which = np.unique(counts * len(SYMBOLS) + numbers, return_inverse=True)
    texts = np.array([_piece(code % len(SYMBOLS), code // len(SYMBOLS)) for code in distinct.tolist()], dtype=object)
    found: list[str] = texts[which].tolist()
    return found


def _piece(number: int, count: int) -> str:
    return SYMBOLS[number] if count == 1 else f"{SYMBOLS[number]}{count}"


def _polyanion(numbers: list[int], counts: list[int], units: int) -> tuple[str, str]:
    first, second = (_piece(z, count // units) for z, count in zip(numbers, counts, strict=True))
    return f"({first}", f"{second}){units}"


def _decimal(amount: float) -> str:
    """Return an amount as pymatgen writes it: whole where it is within the tolerance, else eight decimals."""
    whole = round(amount)
    return str(whole if abs(amount - whole) <= TOLERANCE else round(amount, 8))
