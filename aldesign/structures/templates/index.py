"""The distinct formulas of a library, bucket by bucket of equal amounts, with the crystals that have them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from aldesign.chemistry.distance import cumulative
from aldesign.chemistry.elements import NUMBER
from aldesign.chemistry.formula import Compositions, compositions
from aldesign.records import Crystal

Amounts = tuple[int, ...]
Preference = tuple[float, int, str]

_LARGEST = 2.0**53  # whole numbers beyond are not exact


@dataclass(frozen=True, eq=False)
class TemplateIndex:
    """What a search needs of a library.

    Attributes:
        formulas: The n distinct canonical formulas, those of one bucket beside each other, then by name.
        members: Positions of the crystals of each formula, the preferred polymorph first.
        rank: Place of each formula in the order of preference of its first member, then by name, int64 (n,).
        table: Cumulative fractions, float64 (n, 103).
        buckets: First row of a bucket and the row behind its last, by amounts.

    """

    formulas: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]
    rank: np.ndarray
    table: np.ndarray
    buckets: Mapping[Amounts, tuple[int, int]]


def amounts_of(formula: str) -> Amounts:
    """Return the sorted reduced integer amounts of a formula, e.g. ``(1, 1, 5)`` for SrYF5.

    Returns an empty tuple where the amounts are not integers.

    Raises:
        FormulaError: The text is no formula.

    """
    return amounts_of_many(compositions([formula]))[0]


def amounts_of_many(parsed: Compositions) -> list[Amounts]:
    """Return the sorted reduced integer amounts of each composition, empty where they are not integers."""
    present = parsed.numbers > 0
    whole = np.rint(np.minimum(parsed.amounts, _LARGEST)).astype(np.int64)
    integer = np.isclose(parsed.amounts, whole, atol=1e-6) & (whole >= 1) & (parsed.amounts < _LARGEST)
    kept = (integer | ~present).all(axis=1) & present.any(axis=1)
    whole[~kept] = 0
    units = np.sort(whole // np.maximum(np.gcd.reduce(whole, axis=1), 1)[:, None], axis=1)
    return [tuple(row[row.count(0) :]) for row in units.tolist()]


def compositions_of(crystals: Sequence[Crystal]) -> Compositions:
    """Return the composition of the cell of each crystal."""
    sizes = np.array([len(crystal) for crystal in crystals], dtype=np.int64)
    symbols = chain.from_iterable(crystal.species for crystal in crystals)
    numbers = np.fromiter(map(NUMBER.__getitem__, symbols), dtype=np.int16, count=int(sizes.sum()))
    rows = np.repeat(np.arange(len(sizes)), sizes)
    return Compositions.from_entries(rows, numbers, np.ones(len(rows)), len(sizes))


def build_index(formulas: Sequence[str], preferences: Sequence[Preference]) -> TemplateIndex:
    """Return the index of m crystals.

    Args:
        formulas: Canonical formula of each, m texts.
        preferences: What decides among polymorphs, lowest first, m tuples.

    Raises:
        FormulaError: A formula has an element beyond lawrencium.

    """
    members: dict[str, list[int]] = {}
    for position in sorted(range(len(formulas)), key=preferences.__getitem__):
        members.setdefault(formulas[position], []).append(position)
    names = sorted(members)
    amounts = amounts_of_many(compositions(names))
    order = sorted(range(len(names)), key=amounts.__getitem__)  # stable: by name within a bucket
    names, amounts = [names[i] for i in order], [amounts[i] for i in order]
    buckets: dict[Amounts, tuple[int, int]] = {}
    for row, key in enumerate(amounts):
        buckets[key] = buckets.get(key, (row, row))[0], row + 1
    preferred = sorted(range(len(names)), key=lambda row: (preferences[members[names[row]][0]], names[row]))
    rank = np.empty(len(names), dtype=np.int64)
    rank[preferred] = np.arange(len(names))
    rows = tuple(tuple(members[name]) for name in names)
    return TemplateIndex(tuple(names), rows, rank, cumulative(compositions(names)), buckets)
