"""What a formula must pass before an oracle is asked, for many formulas at once: who falls through, and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.chemistry import sketch
from aldesign.chemistry.elements import ALPHABET, NUMBER, SYMBOLS, resolve
from aldesign.chemistry.formula import Compositions, compositions
from aldesign.chemistry.neutrality import Options, valid_mask
from aldesign.errors import InputError
from aldesign.survey.seen import Seen, fingerprints

BUILTIN = "builtin"


class Stage(IntEnum):
    """The sieve that holds a formula back, in the order in which they are asked; PASSED holds none."""

    PASSED = 0
    ELEMENTS = 1
    SIZE = 2
    NEUTRALITY = 3
    ELECTRONEGATIVITY = 4
    NOVELTY = 5


@dataclass(frozen=True)
class Rules:
    """Which elements may occur, and how large a formula may be.

    Attributes:
        include: Elements or classes that may occur; empty for all.
        exclude: Elements or classes that may not.
        require: Elements or classes; of each of these words at least one element must occur.
        min_elements: Fewest distinct elements.
        max_elements: Most distinct elements, if limited.
        max_count: Largest amount of one element in the reduced formula, if limited.
        max_atoms: Most atoms in the reduced formula, if limited.

    Raises:
        InputError: A word is neither an element nor a class, or nothing can pass.

    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    min_elements: int = 1
    max_elements: int | None = None
    max_count: float | None = None
    max_atoms: float | None = None

    def __post_init__(self) -> None:
        if not self.allowed:
            raise InputError("no element is left to pass", "include more elements, or exclude fewer")
        for word in self.require:
            if not resolve(word) & self.allowed:
                raise InputError(f"{word} is required, but may not occur", "include it, or do not exclude it")
        if self.max_elements is not None and self.max_elements < self.min_elements:
            raise InputError(
                f"no formula has {self.min_elements} or more elements and at most {self.max_elements}",
                "let the largest number of elements be no less than the smallest",
            )

    @property
    def allowed(self) -> frozenset[str]:
        """The elements that may occur."""
        included = resolve(self.include) if self.include else frozenset(SYMBOLS[1:])
        return included - resolve(self.exclude)

    @property
    def strict(self) -> bool:
        """Whether any formula at all can break a rule."""
        return self != Rules()

    def elements_fit(self, parsed: Compositions) -> np.ndarray:
        """Return which compositions hold allowed elements alone and all that is required, bool (n,)."""
        fits: np.ndarray = _members(self.allowed | {""})[parsed.numbers].all(axis=1)
        for word in self.require:
            fits &= _members(resolve(word))[parsed.numbers].any(axis=1)
        return fits

    def sizes_fit(self, parsed: Compositions) -> np.ndarray:
        """Return which compositions, as reduced formulas, are within the limits of size, bool (n,)."""
        count = parsed.n_elements()
        fits: np.ndarray = (count >= self.min_elements) & (count <= (self.max_elements or np.inf))
        fits &= parsed.amounts.max(axis=1, initial=0.0) <= (self.max_count or np.inf)
        fits &= parsed.n_atoms() <= (self.max_atoms or np.inf)
        return fits

    def broken(self, parsed: Compositions, row: int) -> str:
        """Return in words which rules the composition in `row` breaks; empty where it keeps all."""
        symbols = [SYMBOLS[z] for z in parsed.numbers[row].tolist() if z]
        largest, atoms, n = float(parsed.amounts[row].max()), float(parsed.amounts[row].sum()), len(symbols)
        reasons = []
        if barred := [symbol for symbol in symbols if symbol not in self.allowed]:
            reasons.append(f"{', '.join(barred)} not allowed")
        if lacking := [word for word in self.require if not resolve(word).intersection(symbols)]:
            reasons.append(f"no {', no '.join(lacking)}")
        if n < self.min_elements or n > (self.max_elements or n):
            most = "" if self.max_elements is None else f" to {self.max_elements}"
            reasons.append(f"{n} element{'s' * (n > 1)}, allowed are {self.min_elements}{most or ' or more'}")
        if largest > (self.max_count or np.inf):
            reasons.append(f"{largest:g} of one element, at most {self.max_count:g} allowed")
        if atoms > (self.max_atoms or np.inf):
            reasons.append(f"{atoms:g} atoms, at most {self.max_atoms:g} allowed")
        return "; ".join(reasons)


@dataclass(frozen=True)
class Sieves:
    """Everything that a formula must pass.

    Attributes:
        rules: Elements and size.
        charges: How neutrality and electronegativity are judged; None for not at all.
        known: Lists whose formulas are not new: ``"builtin"`` or paths of files; empty for no such test.

    """

    rules: Rules = field(default_factory=Rules)
    charges: Options | None = field(default_factory=Options)
    known: tuple[str, ...] = ()

    def stages(self, formulas: Sequence[str], parsed: Compositions | None = None) -> np.ndarray:
        """Return the `Stage` that holds back each of n canonical formulas, uint8 (n,).

        Args:
            formulas: Canonical formulas.
            parsed: Their compositions, where the caller has them.

        """
        parsed = compositions(formulas) if parsed is None else parsed
        found = np.full(len(formulas), Stage.PASSED, dtype=np.uint8)
        if self.rules.strict:
            found[~self.rules.sizes_fit(parsed)] = Stage.SIZE
            found[~self.rules.elements_fit(parsed)] = Stage.ELEMENTS
        if self.charges is not None:
            rows = np.flatnonzero(found == Stage.PASSED)
            rows = rows[~valid_mask(parsed[rows], self.charges)]
            found[rows] = Stage.NEUTRALITY
            if self.charges.use_pauling_test and len(rows):
                neutral = valid_mask(parsed[rows], replace(self.charges, use_pauling_test=False))
                found[rows[neutral]] = Stage.ELECTRONEGATIVITY
        if self.known:
            rows = np.flatnonzero(found == Stage.PASSED)
            found[rows[is_known([formulas[row] for row in rows.tolist()], self.known)]] = Stage.NOVELTY
        return found


def check_lists(lists: Sequence[str]) -> None:
    """Raise InputError where a list of known formulas is neither built in nor a file."""
    for name in lists:
        if name != BUILTIN and not Path(name).exists():
            raise InputError(f"there is no list of known formulas at {name}", f"allowed: {BUILTIN}, or a file")


def drawable(rules: Rules) -> dict[str, Any]:
    """Return what a generator can be asked for, so that its draws keep the rules; as in `FormulaGAN.sample`.

    Raises:
        InputError: No element is left that it could draw.

    """
    allowed = rules.allowed & frozenset(ALPHABET)
    if not allowed:
        raise InputError("no element is left to build formulas from", "include more elements, or exclude fewer")
    required = tuple(word for word in rules.require if word in NUMBER)
    return {
        "allowed": tuple(sorted(allowed)),
        "required": required,
        "min_elements": max(rules.min_elements, 2),
        "max_elements": rules.max_elements,
    }


def is_known(formulas: Sequence[str], lists: Sequence[str]) -> np.ndarray:
    """Return which canonical formulas are in one of the lists, bool (n,).

    Args:
        formulas: Canonical formulas.
        lists: ``"builtin"``, a sketch of the Materials Project's formulas that takes 0.1 % of others for known with
            the built-in computed compounds, or paths of files of formulas, which are exact.

    Raises:
        InputError: A file cannot be read, or holds no formula.

    """
    from aldesign.datasets.builtin import computed_formulas

    found = np.zeros(len(formulas), dtype=bool)
    for name in lists if formulas else ():
        if name == BUILTIN:
            computed = computed_formulas()
            found |= sketch.known().contains(formulas) | np.array([formula in computed for formula in formulas])
        else:
            found |= listed(Path(name)).contains(fingerprints(formulas))
    return found


@lru_cache(maxsize=8)
def listed(path: Path) -> Seen:
    """Return the formulas of a file, by their fingerprints.

    Raises:
        InputError: It cannot be read, or holds no formula.

    """
    from aldesign.datasets.formulas import chunks, read_formulas

    found = Seen()
    with read_formulas(path) as file:
        for rows in chunks(file.rows, 65536):
            found.add(fingerprints([row.formula for row in rows if row.formula is not None]))
    if not len(found):
        raise InputError(f"{path} holds no formula that can be read", "one formula a line, or a CSV with a header")
    return found


def _members(symbols: frozenset[str]) -> np.ndarray:
    """Return whether each atomic number is among `symbols`, bool (119,); the empty symbol stands for 0."""
    return np.array([symbol in symbols for symbol in SYMBOLS])
