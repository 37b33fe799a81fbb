"""Formulas as arrays of elements and amounts, and their one canonical spelling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from aldesign.chemistry.elements import SYMBOLS
from aldesign.chemistry.parsing import ORDER, TOLERANCE, scan
from aldesign.chemistry.reading import read_many, tabulate
from aldesign.chemistry.spelling import spell, spell_many
from aldesign.errors import FormulaError

_PLACE: list[int] = ORDER.tolist()


@dataclass(frozen=True, eq=False)
class Compositions:
    """The elements and amounts of n formulas with at most k elements each.

    Attributes:
        numbers: Atomic numbers in canonical order, zero-padded, int16, shape (n, k).
        amounts: Atoms per formula unit as written, zero-padded, float64, shape (n, k).

    """

    numbers: np.ndarray
    amounts: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: slice | np.ndarray | Sequence[int]) -> Compositions:
        index = rows if isinstance(rows, slice) else np.atleast_1d(np.asarray(rows))
        return Compositions(self.numbers[index], self.amounts[index])

    @classmethod
    def from_entries(cls, rows: np.ndarray, numbers: np.ndarray, amounts: np.ndarray, n: int) -> Compositions:
        """Return the n compositions that m entries make up, elements of a row being added and put in order.

        Args:
            rows: Row of each entry, integers (m,).
            numbers: Atomic number of each entry, integers (m,).
            amounts: Amount of each entry, (m,).
            n: Number of rows; one without entries is empty.

        """
        entries = np.asarray(rows, np.int64), np.asarray(numbers, np.int16), np.asarray(amounts, np.float64)
        return cls(*tabulate(*entries, n))

    def n_elements(self) -> np.ndarray:
        """Return the number of distinct elements, int64 (n,)."""
        return np.asarray(np.count_nonzero(self.numbers, axis=1))

    def n_atoms(self) -> np.ndarray:
        """Return the atoms per formula unit as written, float64 (n,)."""
        return np.asarray(self.amounts.sum(axis=1))

    def fractions(self) -> np.ndarray:
        """Return atomic fractions beside `numbers`, float64 (n, k); rows add up to 1, empty rows to 0."""
        total = self.n_atoms()[:, None]
        return np.asarray(self.amounts / np.where(total > 0, total, 1.0))

    def dense(self) -> np.ndarray:
        """Return amounts by atomic number, float64 (n, 119); column 0 is zero."""
        table = np.zeros((len(self), len(SYMBOLS)))
        np.put_along_axis(table, self.numbers.astype(np.intp), self.amounts, axis=1)
        # Padding writes its zeros to column 0 alone, which no element has.
        return table

    def formulas(self) -> list[str]:
        """Return the canonical formula of each row; the empty text for an empty row."""
        return spell_many(self.numbers, self.amounts)


def parse_many(formulas: Sequence[str]) -> tuple[Compositions, list[str | None]]:
    """Return the compositions of n formulas and, for each, None or what is wrong with it.

    A formula that cannot be read has a row of zeros and does not disturb the others.
    """
    numbers, amounts, errors = read_many(formulas)
    return Compositions(numbers, amounts), errors


def compositions(formulas: Sequence[str]) -> Compositions:
    """Return the compositions of n formulas.

    Raises:
        FormulaError: For the first one that cannot be read.

    """
    parsed, errors = parse_many(formulas)
    for formula, error in zip(formulas, errors, strict=True):
        if error is not None:
            scan(formula)
    return parsed


@lru_cache(maxsize=65536)
def _canonical(formula: str) -> str:
    found = scan(formula)
    return reduced(list(found), list(found.values()))


def canonical(formula: str) -> str:
    """Return the one spelling of a formula: pymatgen's ``Composition(formula).reduced_formula``.

    Elements rise in electronegativity, counts are divided by their greatest common divisor, a polyanion is
    bracketed, and peroxides and diatomic molecules keep their size. Fractional amounts are not scaled.

    Raises:
        FormulaError: The text is not a formula; the message names the offending part and its position.

    """
    return _canonical(formula)


def canonical_many(formulas: Sequence[str]) -> list[str | FormulaError]:
    """Return the canonical spelling of each formula, or the error that says why there is none."""
    formulas = list(formulas)
    parsed, errors = parse_many(formulas)
    spelled: list[str | FormulaError] = list(parsed.formulas())
    for i, error in enumerate(errors):
        if error is not None:
            try:
                scan(formulas[i])
            except FormulaError as reason:
                spelled[i] = reason
    return spelled


def reduced(numbers: Sequence[int] | np.ndarray, amounts: Sequence[float] | np.ndarray) -> str:
    """Return the canonical formula of one composition.

    Args:
        numbers: Atomic numbers in any order, shape (k,); zeros are ignored.
        amounts: Atoms of each, shape (k,); zeros are ignored.

    Raises:
        FormulaError: There are no atoms at all.

    """
    total: dict[int, float] = {}
    for z, amount in zip(map(int, numbers), map(float, amounts), strict=True):
        if z and amount >= TOLERANCE:
            total[z] = total.get(z, 0.0) + amount
    if not total:
        raise FormulaError("a composition without atoms has no formula")
    order = sorted(total, key=_PLACE.__getitem__)
    return spell(order, [total[z] for z in order])
