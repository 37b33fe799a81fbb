import csv
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from formula_strategies import one_hot_formulas, random_formulas
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from aldesign.chemistry.distance import cumulative, emd, emd_matrix
from aldesign.chemistry.elements import ALPHABET
from aldesign.chemistry.formula import compositions, parse_many
from aldesign.errors import FormulaError


def recorded() -> list[dict[str, str]]:
    with Path(__file__).with_name("elmd_pairs.csv").open() as rows:
        return list(csv.DictReader(rows))


def test_distances_are_those_that_elmd_gave():
    rows = recorded()
    assert len(rows) == 200
    ours = emd(compositions([row["first"] for row in rows]), compositions([row["second"] for row in rows]))
    np.testing.assert_allclose(ours, [float(row["elmd_fast"]) for row in rows], rtol=0, atol=1e-9)
    # ElMD's network simplex cuts fractions to a millionth, each of which may travel 102 places.
    np.testing.assert_allclose(ours, [float(row["elmd_simplex"]) for row in rows], rtol=0, atol=102e-6 * 10)


def test_distance_is_the_optimum_of_the_transport_problem():
    texts = random_formulas(24, 5, max_elements=4)
    for first, second in pairwise(texts):
        a, b = (np.diff(cumulative(compositions([text]))[0], prepend=0) for text in (first, second))
        here, there = np.flatnonzero(a), np.flatnonzero(b)
        cost = np.abs(here[:, None] - there).ravel()
        leave = np.kron(np.eye(len(here)), np.ones(len(there)))
        arrive = np.kron(np.ones(len(here)), np.eye(len(there)))
        best = linprog(cost, A_eq=np.vstack((leave, arrive)), b_eq=np.concatenate((a[here], b[there])))
        assert emd(compositions([first]), compositions([second]))[0] == pytest.approx(best.fun, abs=1e-7)


def test_elements_are_as_far_apart_as_on_the_scale():
    assert emd(compositions(["F"]), compositions(["H"])).tolist() == [1]
    assert emd(compositions(["He"]), compositions(["H"])).tolist() == [102]
    assert emd(compositions(["NaCl"]), compositions(["KCl"])).tolist() == [0.5]
    assert emd(compositions(["NaCl"]), compositions(["Na3Cl3"])).tolist() == [0]


@given(st.tuples(one_hot_formulas, one_hot_formulas, one_hot_formulas))
def test_distance_is_a_metric(texts):
    parsed = compositions(texts)
    matrix = emd_matrix(parsed, parsed)
    np.testing.assert_allclose(matrix, matrix.T, rtol=0, atol=1e-9)
    assert (np.diag(matrix) == 0).all()
    assert (matrix <= 102 + 1e-9).all()
    names = parsed.formulas()
    for i in range(3):
        for j in range(3):
            assert (matrix[i, j] > 1e-9) == (names[i] != names[j])
            for k in range(3):
                assert matrix[i, k] <= matrix[i, j] + matrix[j, k] + 1e-9


def test_matrix_and_pairs_agree():
    first, second = compositions(random_formulas(40, 1)), compositions(random_formulas(30, 2))
    matrix = emd_matrix(first, second)
    assert matrix.shape == (40, 30)
    np.testing.assert_allclose(matrix.diagonal(), emd(first[:30], second), rtol=0, atol=1e-9)
    assert emd_matrix(first[:0], second).shape == (0, 30)


def test_cumulative_ends_with_one():
    table = cumulative(compositions(random_formulas(50, 3)))
    assert table.shape == (50, len(ALPHABET))
    np.testing.assert_allclose(table[:, -1], 1)
    assert (np.diff(table, axis=1) >= 0).all()


def test_what_has_no_place_on_the_scale_is_refused():
    with pytest.raises(FormulaError, match="Rf has no place"):
        cumulative(compositions(["NaCl", "RfO2"]))
    with pytest.raises(FormulaError, match="composition 1 contains no atoms"):
        cumulative(parse_many(["NaCl", "Xx"])[0])
    with pytest.raises(FormulaError, match="cannot be paired"):
        emd(compositions(["NaCl"]), compositions(["KCl", "H2O"]))


@pytest.mark.data
def test_distances_of_a_thousand_reference_pairs_are_elmds(reference_data, elmd):
    texts = (reference_data / "mp" / "formulas.txt").read_text().split()
    chosen = np.random.default_rng(20261121).choice(texts, (1000, 2))
    expected = [elmd(a, metric="fast").elmd(elmd(b, metric="fast")) for a, b in chosen.tolist()]
    ours = emd(compositions(chosen[:, 0].tolist()), compositions(chosen[:, 1].tolist()))
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-9)
