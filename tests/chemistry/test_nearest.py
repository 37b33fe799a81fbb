"""The search of all references against the whole table of distances."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aldesign.chemistry import nearest as module
from aldesign.chemistry.distance import cumulative, emd_matrix
from aldesign.chemistry.elements import ALPHABET
from aldesign.chemistry.formula import compositions
from aldesign.chemistry.nearest import Neighbourhood


def random_formulas(seed, n, few=False):
    rng = np.random.default_rng(seed)
    # few elements and amounts: many formulas at equal distances
    symbols = np.array(["Na", "K", "Cl", "Br"] if few else list(ALPHABET))
    most = 2 if few else 9
    return [
        "".join(f"{s}{rng.integers(1, most)}" for s in rng.choice(symbols, rng.integers(1, 5), replace=False))
        for _ in range(n)
    ]


def expected(references, queries, k):
    """Return rows and distances from the whole table, by cdist rather than by blocks."""
    table = np.round(emd_matrix(compositions(queries), compositions(references)), 9)
    for row in table:
        limit = np.sort(row)[min(k, len(row)) - 1]
        order = np.lexsort((np.arange(len(row)), row))
        yield order[row[order] <= limit], np.sort(row)[row[order] <= limit]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 400), st.integers(1, 30), st.booleans(), st.sampled_from([0, 16, 256]))
def test_the_nearest_are_those_of_the_whole_table(seed, size, k, few, limit):
    references, queries = random_formulas(seed, size, few), random_formulas(seed + 1, 5, few)
    queries.append(references[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "FEW", limit)
        patch.setattr(module, "_PAIRS", 7)
        found = Neighbourhood(cumulative(compositions(references))).nearest(cumulative(compositions(queries)), k)
    for (rows, distances), (theirs, far) in zip(found, expected(references, queries, k), strict=True):
        # sums in another order may round the last digit otherwise
        np.testing.assert_allclose(distances, far[: len(distances)], atol=1e-8)
        if few:  # distances of simple fractions: ties are plain
            np.testing.assert_array_equal(rows, theirs)
        assert len(rows) >= min(k, len(references))


def test_a_reference_is_its_own_nearest():
    references = random_formulas(3, 2000)
    table = cumulative(compositions(references))
    for row, (rows, distances) in enumerate(Neighbourhood(table).nearest(table[:50])):
        assert row in rows
        assert distances[0] == 0.0


def test_without_references_or_queries_there_is_nothing():
    table = cumulative(compositions(["NaCl"]))
    (rows, distances) = Neighbourhood(table[:0]).nearest(table)[0]
    assert len(rows) == len(distances) == 0
    assert Neighbourhood(table).nearest(table[:0]) == []
    assert len(Neighbourhood(table).nearest(table, k=0)[0][0]) == 0
    assert len(Neighbourhood(table)) == 1
