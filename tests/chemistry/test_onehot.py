import csv

import numpy as np
import pytest
from formula_strategies import one_hot_formulas
from hypothesis import given
from hypothesis import strategies as st

from aldesign.chemistry.elements import ALPHABET
from aldesign.chemistry.formula import Compositions, canonical, compositions, parse_many
from aldesign.chemistry.onehot import (
    MAX_COUNT,
    N_ROWS,
    compositions_of,
    decode_indices,
    encode,
    indices,
    refusals,
)
from aldesign.errors import FormulaError


def test_a_matrix_has_one_entry_for_each_element():
    matrix = encode(compositions(["SrTiO3"]))
    assert matrix.shape == (1, 103, 20) == (1, N_ROWS, MAX_COUNT)
    assert matrix.dtype == np.uint8
    found = {(ALPHABET[e], c + 1) for e, c in np.argwhere(matrix[0])}
    assert found == {("Sr", 1), ("Ti", 1), ("O", 3)}
    assert encode(compositions(["SrTiO3"]), dtype=np.float32).dtype == np.float32


@given(st.lists(one_hot_formulas, min_size=1, max_size=8))
def test_round_trip(texts):
    parsed = compositions(texts)
    table = indices(parsed)
    assert table.dtype == np.int8
    assert decode_indices(table) == [canonical(text) for text in texts]
    matrices = encode(parsed)
    assert (np.where(matrices.any(axis=2), matrices.argmax(axis=2) + 1, 0) == table).all()


def test_counts_lose_their_common_divisor():
    assert (indices(compositions(["Li2O2", "Fe4O6"])) == indices(compositions(["LiO", "Fe2O3"]))).all()
    assert decode_indices(indices(compositions(["H2O2"]))) == ["H2O2"]
    assert refusals(compositions(["Fe40O60"])) == [None]


def test_rows_of_zeros_are_no_formula():
    table = np.zeros((3, 103), dtype=np.int64)
    table[1, ALPHABET.index("O")] = 2
    assert decode_indices(table) == [None, "O2", None]
    assert compositions_of(table).n_atoms().tolist() == [0, 2, 0]
    assert decode_indices(np.zeros((0, 103))) == []


@pytest.mark.parametrize(
    ("formula", "reason"),
    [
        ("C60H61", "the count 61 of H exceeds 20"),
        ("Ga0.5In0.5As", "not whole numbers"),
        ("RfO2", "Rf lies beyond lawrencium"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(formula, reason):
    found = refusals(compositions(["NaCl", formula]))
    assert found[0] is None
    assert reason in found[1]
    with pytest.raises(FormulaError, match=reason):
        encode(compositions(["NaCl", formula]))


def test_an_unread_row_is_refused():
    parsed, _ = parse_many(["Xx"])
    assert refusals(parsed) == ["it contains no atoms"]
    with pytest.raises(FormulaError, match="no atoms"):
        indices(parsed)
    assert indices(Compositions(np.zeros((0, 1), dtype=np.int16), np.zeros((0, 1)))).shape == (0, 103)


def test_a_smaller_matrix_refuses_more():
    assert refusals(compositions(["Fe2O9"]), max_count=8) == ["the count 9 of O exceeds 8"]
    assert encode(compositions(["Fe2O3"]), max_count=8).shape == (1, 103, 8)


@pytest.mark.data
def test_every_formula_of_the_papers_training_set_fits(reference_data):
    with (reference_data / "agd" / "Exp1_42k.csv").open() as rows:
        texts = [row["composition"] for row in csv.DictReader(rows)]
    parsed = compositions(texts)
    assert len(texts) > 40_000
    assert set(refusals(parsed)) == {None}
    assert decode_indices(indices(parsed)) == parsed.formulas()
