"""The known formulas nearest to others, among those of the same amounts or among all."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aldesign.chemistry.distance import cumulative
from aldesign.chemistry.formula import compositions
from aldesign.chemistry.nearest import Neighbourhood
from aldesign.records import Crystal
from aldesign.structures.templates.index import Amounts, TemplateIndex, amounts_of_many


@dataclass(frozen=True)
class Match:
    """A template near a formula.

    Attributes:
        template: The known crystal.
        template_formula: Its canonical reduced formula.
        emd: Earth mover's distance of the two formulas on the modified Pettifor scale.

    """

    template: Crystal
    template_formula: str
    emd: float


class Search:
    """Searches of an index; the trees that they grow are kept.

    Args:
        index: The distinct formulas.

    """

    def __init__(self, index: TemplateIndex) -> None:
        self.index = index
        self._grown: dict[Amounts | None, Neighbourhood] = {}

    def nearest(
        self, formulas: Sequence[str], k: int, max_emd: float = math.inf, *, any_amounts: bool = False
    ) -> list[list[tuple[int, float]]]:
        """Return the rows of the k nearest formulas of each of n, and of those as near as the k-th.

        Args:
            formulas: Any n formulas.
            k: How many.
            max_emd: Largest distance.
            any_amounts: Search among all formulas, not among those of the same amounts alone.

        Returns:
            For each its rows of the index with their distances: by distance, then rank.

        Raises:
            FormulaError: A text is no formula, or, where there is something to compare it with, it has an element
                beyond lawrencium.

        """
        parsed = compositions(formulas)
        found: list[list[tuple[int, float]]] = [[] for _ in formulas]
        groups: dict[Amounts | None, list[int]] = defaultdict(list)
        for place, amounts in enumerate(amounts_of_many(parsed)):
            if any_amounts:
                groups[None].append(place)
            elif amounts in self.index.buckets:
                groups[amounts].append(place)
        for key, places in groups.items():
            start, known = self._neighbourhood(key)
            nearest = known.nearest(cumulative(parsed[places]), k)
            for place, (rows, distances) in zip(places, nearest, strict=True):
                kept = distances <= max_emd
                rows, distances = rows[kept] + start, distances[kept]
                order = np.lexsort((self.index.rank[rows], distances))
                found[place] = list(zip(rows[order].tolist(), distances[order].tolist(), strict=True))
        return found

    def _neighbourhood(self, key: Amounts | None) -> tuple[int, Neighbourhood]:
        start, stop = (0, len(self.index.formulas)) if key is None else self.index.buckets[key]
        if key not in self._grown:
            self._grown[key] = Neighbourhood(self.index.table[start:stop])
        return start, self._grown[key]
