"""The rules of structure prediction that bench_substitution.py compares, each blind to the formula's own entries."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np

from aldesign.chemistry.elements import SYMBOLS
from aldesign.chemistry.formula import compositions
from aldesign.errors import StructureError
from aldesign.records import Crystal
from aldesign.structures.assign import candidates
from aldesign.structures.substitution import substitute
from aldesign.structures.templates import Match, TemplateLibrary, amounts_of

TOP = 5
Rule = Callable[[str], list[Crystal]]


def as_written(formula: str) -> list[str]:
    """Return the elements of a canonical formula by amount, ties in the order written."""
    found = compositions([formula])
    pairs = [
        (float(n), formula.index(SYMBOLS[int(z)]), SYMBOLS[int(z)])
        for z, n in zip(found.numbers[0], found.amounts[0], strict=True)
        if z
    ]
    return [symbol for *_, symbol in sorted(pairs)]


def by_sorted_amounts(match: Match, formula: str) -> Crystal:
    """Return the template with its elements replaced in the order of sorted amounts, its cell as it is."""
    mapping = dict(zip(as_written(match.template_formula), as_written(formula), strict=True))
    return replace(match.template, species=tuple(mapping[symbol] for symbol in match.template.species))


class Rules:
    """Every rule over one library.

    Args:
        library: The templates; of each formula's own entries none is used for it.
        seed: For the random templates.

    """

    def __init__(self, library: TemplateLibrary, seed: int = 0) -> None:
        self.library = library
        self.seed = seed
        self.likelihoods: list[float] = []  # of what `ours` offered last
        self.of_amounts: dict[tuple[int, ...], list[int]] = defaultdict(list)
        amounts = {formula: amounts_of(formula) for formula in dict.fromkeys(library.formulas)}
        for position, formula in enumerate(library.formulas):
            self.of_amounts[amounts[formula]].append(position)

    def has_template(self, formula: str) -> bool:
        """Return whether another formula has these amounts."""
        return any(self.library.formulas[i] != formula for i in self.of_amounts.get(amounts_of(formula), ()))

    def _others(self, formula: str, k: int) -> list[Match]:
        near = self.library.nearest(formula, k=k + 2)  # at most two polymorphs of a formula
        return [match for match in near if match.template_formula != formula][:k]

    def paper(self, formula: str) -> list[Crystal]:
        """The nearest by EMD, of its polymorphs the most stable; elements by sorted amounts, the cell as it is."""
        return [by_sorted_amounts(match, formula) for match in self._others(formula, TOP)]

    def random(self, formula: str) -> list[Crystal]:
        """Templates of the same amounts drawn at random, with the elements by sorted amounts."""
        rows = [i for i in self.of_amounts.get(amounts_of(formula), ()) if self.library.formulas[i] != formula]
        drawn = np.random.default_rng([self.seed, *formula.encode()]).permutation(rows)[:TOP]
        return [
            by_sorted_amounts(Match(self.library.crystals[i], self.library.formulas[i], math.nan), formula)
            for i in drawn.tolist()
        ]

    def nearest(self, formula: str) -> list[Crystal]:
        """The nearest by EMD that accept the elements, mapped by chemistry, the volume scaled."""

        def accepted(matches: Sequence[Match]) -> Iterator[Crystal]:
            for match in matches:
                try:
                    yield substitute(match.template, formula, match.template_formula).crystal
                except StructureError:
                    continue

        return list(islice(accepted(self._others(formula, 3 * TOP)), TOP))

    def ours(self, formula: str) -> list[Crystal]:
        """What `candidates` offers, however far, like the other rules."""
        found = candidates(formula, self.library, math.inf, keep=TOP, exclude=(formula,))
        made = [one for one in found if one.crystal is not None]
        self.likelihoods = [one.likelihood or 0.0 for one in made]
        return [one.crystal for one in made if one.crystal is not None]

    def all(self) -> dict[str, Rule]:
        """Return the rules by name."""
        return {"paper": self.paper, "random": self.random, "nearest": self.nearest, "ours": self.ours}
