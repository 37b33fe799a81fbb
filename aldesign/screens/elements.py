"""Which elements may occur, and how large a formula may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from aldesign.chemistry.elements import SYMBOLS, resolve
from aldesign.chemistry.formula import compositions
from aldesign.errors import SpecError
from aldesign.records import Verdict
from aldesign.screens.common import FormulaScreen, is_number, names, value_range


@dataclass(frozen=True)
class ElementScreen(FormulaScreen):
    """Allowed and excluded elements, and the size of the formula.

    Attributes:
        include: Elements or classes of elements that may occur; empty for all.
        exclude: Elements or classes that may not.
        require: Elements or classes of which at least one must occur; empty for none.
        n_elements: Least and largest number of distinct elements.
        max_count: Largest amount of one element in the reduced formula, if any.
        max_atoms: Largest number of atoms in the reduced formula, if any.

    """

    name: ClassVar[str] = "elements"
    include: str | Sequence[str] = ()
    exclude: str | Sequence[str] = ()
    require: str | Sequence[str] = ()
    n_elements: Sequence[int] = (1, len(SYMBOLS) - 1)
    max_count: float | None = None
    max_atoms: float | None = None

    def __post_init__(self) -> None:
        resolve(names(self.include))
        resolve(names(self.exclude))
        resolve(names(self.require))
        low, high = value_range("n_elements", self.n_elements)
        if low < 1 or low != int(low) or high != int(high):
            raise SpecError(f"n_elements is {list(self.n_elements)}", "give two whole numbers of 1 or more")
        for name, limit in (("max_count", self.max_count), ("max_atoms", self.max_atoms)):
            if limit is not None and not (is_number(limit) and limit >= 1):
                raise SpecError(f"{name} is {limit!r}", "give a number of 1 or more")

    def judge(self, formulas: Sequence[str]) -> list[Verdict]:
        """Return one verdict per canonical formula; a reason names every rule that was broken."""
        parsed = compositions(formulas)
        counts, atoms, largest = parsed.n_elements(), parsed.n_atoms(), parsed.amounts.max(axis=1)
        low, high = self.n_elements
        fine = (counts >= low) & (counts <= high) & ~self._barred()[parsed.numbers].any(axis=1)
        if self.require:
            wanted = resolve(names(self.require))
            fine &= np.array([symbol in wanted for symbol in SYMBOLS])[parsed.numbers].any(axis=1)
        fine &= (largest <= (self.max_count or np.inf)) & (atoms <= (self.max_atoms or np.inf))
        verdicts = []
        for row, passed in enumerate(fine.tolist()):
            n, size, most = int(counts[row]), float(atoms[row]), float(largest[row])
            reason = f"{n} element{'s' * (n > 1)}, {size:g} atom{'s' * (size > 1)}, all within the rules"
            if not passed:
                reason = "; ".join(self._broken([SYMBOLS[z] for z in parsed.numbers[row] if z], size, most))
            verdicts.append(self.verdict(passed, reason, n_elements=n, n_atoms=size, largest_count=most))
        return verdicts

    def _barred(self) -> np.ndarray:
        """Return whether an element may not occur, by atomic number; 0 is padding."""
        barred = set(resolve(names(self.exclude)))
        if self.include:
            barred |= set(SYMBOLS[1:]) - resolve(names(self.include))
        return np.array([symbol in barred for symbol in SYMBOLS])

    def _broken(self, symbols: Sequence[str], atoms: float, largest: float) -> list[str]:
        broken = []
        for name in names(self.exclude):
            if found := [symbol for symbol in symbols if symbol in resolve(name)]:
                listed = ", ".join(found)
                broken.append(f"{listed} excluded" if found == [name] else f"{listed} excluded as {name}")
        if self.include and (found := [s for s in symbols if s not in resolve(names(self.include))]):
            broken.append(f"{', '.join(found)} not among the included elements")
        if self.require and not resolve(names(self.require)).intersection(symbols):
            broken.append(f"nothing of what is required: {', '.join(names(self.require))}")
        low, high = self.n_elements
        if not low <= len(symbols) <= high:
            broken.append(f"{len(symbols)} element{'s' * (len(symbols) > 1)}, allowed are {low} to {high}")
        if self.max_count is not None and largest > self.max_count:
            broken.append(f"{largest:g} of one element, at most {self.max_count:g} allowed")
        if self.max_atoms is not None and atoms > self.max_atoms:
            broken.append(f"{atoms:g} atoms, at most {self.max_atoms:g} allowed")
        return broken
