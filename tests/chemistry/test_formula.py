import csv

import numpy as np
import pytest
from formula_strategies import counted, formulas, nested, random_formulas, spelled
from hypothesis import given
from hypothesis import strategies as st

from aldesign.chemistry.formula import canonical, canonical_many, compositions, parse_many, reduced
from aldesign.chemistry.parsing import scan
from aldesign.errors import FormulaError


def peer(formula: str) -> str:
    from pymatgen.core import Composition

    return Composition(formula).reduced_formula


# Spellings of pymatgen, written down so that no surprise of either side passes unseen.
KNOWN = {
    "Li4Fe4P4O16": "LiFePO4",
    "(NH4)2SO4": "H8S(NO2)2",
    "Ca3(PO4)2": "Ca3(PO4)2",
    "CuSO4(H2O)5": "CuH10SO9",
    "O": "O2",
    "H4O4": "H2O2",
    "LiO": "Li2O2",
    "Na2O2": "Na2O2",
    "NaN": "NaN",
    "D2O": "H2O",
    "Fe0O2": "O2",
    "Li0.5O0.25": "Li0.5O0.25",
    "Ga0.5In0.5As": "In0.5Ga0.5As1",
    "KrF2": "KrF2",
    "Fe 2 O 3": "Fe2O3",
    "Fe[Fe(CN)6]2": "Fe(CN)4",
    "K4[Fe(CN)6]": "K4Fe(CN)6",
    "Fe1e-5O": "Fe1e-05O1",
}


@pytest.mark.parametrize(("formula", "expected"), KNOWN.items())
def test_known_spellings(formula, expected):
    assert peer(formula) == expected
    assert canonical(formula) == expected
    assert canonical_many([formula]) == [expected]


def test_spellings_that_pymatgen_does_not_read():
    assert canonical("Fe₂O₃") == "Fe2O3"
    assert canonical("Al2{Si[O(H)2]}3") == canonical("Al2Si3O3H6")


@given(nested())
def test_canonical_is_pymatgens_reduced_formula(formula):
    assert canonical(formula) == peer(formula)


@given(formulas)
def test_canonical_of_whole_counts_is_pymatgens(formula):
    assert canonical(formula) == peer(formula)


@given(counted())
def test_canonical_is_idempotent(atoms):
    once = canonical(spelled(atoms))
    assert canonical(once) == once


@given(nested())
def test_canonical_is_idempotent_with_brackets_and_decimals(formula):
    once = canonical(formula)
    assert canonical(once) == once


@given(counted(), st.randoms())
def test_order_of_elements_does_not_matter(atoms, random):
    shuffled = list(atoms.items())
    random.shuffle(shuffled)
    assert canonical(spelled(dict(shuffled))) == canonical(spelled(atoms))


@given(counted(), st.integers(2, 9))
def test_whole_multiples_have_one_spelling(atoms, times):
    assert canonical(spelled({s: n * times for s, n in atoms.items()})) == canonical(spelled(atoms))


@given(st.lists(st.one_of(nested(), formulas, st.text("FeOx2()[]. -₃1", max_size=8)), max_size=12))
def test_many_at_once_are_read_and_spelled_as_one_by_one(texts):
    parsed, errors = parse_many(texts)
    for i, (text, answer) in enumerate(zip(texts, canonical_many(texts), strict=True)):
        if errors[i] is not None:
            with pytest.raises(FormulaError) as caught:
                scan(text)
            assert errors[i] == str(caught.value) == str(answer)
            assert not parsed.numbers[i].any()
            assert not parsed.amounts[i].any()
        else:
            assert answer == canonical(text)
            present = parsed.numbers[i] > 0
            ours = dict(zip(parsed.numbers[i][present].tolist(), parsed.amounts[i][present].tolist(), strict=True))
            assert ours == pytest.approx(scan(text))


BAD = {
    "Xx2O": "'Xx' is not an element at position 1 of the formula 'Xx2O'",
    "FeOxi": "'Oxi' is not an element at position 3",
    "": "the formula '' contains no atoms",
    "  ": "contains no atoms",
    "Fe0": "contains no atoms",
    "nacl": "unexpected 'n' at position 1",
    "Fe(OH": "'(' is never closed at position 3",
    "FeO)2": "')' closes no bracket at position 4",
    "Fe[OH)2": "')' closes no bracket at position 6",
    "Fe()2": "empty brackets at position 4",
    "2H2O": "the amount 2 follows no element at position 1",
    "Fe2 3": "the amount 3 follows no element at position 5",
    "Fe1.2.3": "the amount .3 follows no element at position 6",
    "Fe3+": "unexpected '+' at position 4",
    "Fe1-xO": "unexpected '-' at position 4",
    "CuSO4·5H2O": "unexpected '·' at position 6",
    "Fe1e30": "the amount 1e30 is too large at position 3",
    "(Fe99999999)99999999": "too large",
    "Fe\nO": None,  # white space
}


@pytest.mark.parametrize(("formula", "message"), BAD.items())
def test_errors_name_what_is_wrong_and_where(formula, message):
    answer = canonical_many(["NaCl", formula, "Fe2O3"])
    assert answer[0] == "NaCl"
    assert answer[2] == "Fe2O3"
    if message is None:
        assert answer[1] == canonical(formula)
        return
    with pytest.raises(FormulaError) as caught:
        canonical(formula)
    assert message in caught.value.message
    assert isinstance(answer[1], FormulaError)
    assert str(answer[1]) == str(caught.value)
    with pytest.raises(FormulaError):
        compositions(["NaCl", formula])


def test_a_file_that_is_taken_for_a_formula_is_not_quoted_whole():
    for text in ("Na" * 10**4 + "Na1000000", "Xx" + "y" * 10**5, "Na" + "9" * 10**5, "Na" * 10**5 + "?"):
        (found,) = canonical_many([text])
        assert isinstance(found, FormulaError)
        assert len(str(found)) < 500


def test_a_missing_value_is_told_from_sodium_nitride():
    assert canonical("NaN") == "NaN"
    parsed, errors = parse_many(["NaN", float("nan"), None])
    assert parsed.numbers.tolist() == [[11, 7], [0, 0], [0, 0]]
    assert "keep_default_na" in errors[1]
    assert "NoneType" in errors[2]


def test_compositions_hold_elements_amounts_and_fractions():
    found = compositions(["SrTiO3", "Si", "Ga0.3In0.7As"])
    assert len(found) == 3
    assert found.numbers.tolist() == [[38, 22, 8], [14, 0, 0], [49, 31, 33]]
    assert found.amounts.tolist() == [[1, 1, 3], [1, 0, 0], [0.7, 0.3, 1]]
    assert found.n_elements().tolist() == [3, 1, 3]
    assert found.n_atoms().tolist() == [5, 1, 2]
    np.testing.assert_allclose(found.fractions(), [[0.2, 0.2, 0.6], [1, 0, 0], [0.35, 0.15, 0.5]])
    dense = found.dense()
    assert dense.shape == (3, 119)
    assert dense[0, [38, 22, 8]].tolist() == [1, 1, 3]
    assert dense.sum(axis=1).tolist() == found.n_atoms().tolist()
    assert found[1:].formulas() == ["Si", "In0.7Ga0.3As1"]
    assert found[np.array([2, 0])].formulas() == ["In0.7Ga0.3As1", "SrTiO3"]
    assert found[found.n_elements() == 1].formulas() == ["Si"]


def test_empty_input_is_no_trouble():
    parsed, errors = parse_many([])
    assert (len(parsed), errors, parsed.formulas(), parsed.dense().shape) == (0, [], [], (0, 119))
    assert parse_many([""])[0].fractions().tolist() == [[0]]


def test_reduced_takes_elements_in_any_order_and_adds_repeats():
    assert reduced([8, 22, 38, 0], [6, 2, 2, 0]) == "SrTiO3"
    assert reduced(np.array([8, 8, 1]), np.array([1.0, 1.0, 4.0])) == "H2O"
    with pytest.raises(FormulaError):
        reduced([0], [0])


def test_long_lists_cross_the_readers_blocks():
    many = random_formulas(500, 1) * 140
    assert canonical_many(many) == canonical_many(many[:500]) * 140


@pytest.mark.data
@pytest.mark.slow
def test_all_reference_formulas_are_spelled_as_pymatgen_spells_them(reference_data):
    texts = (reference_data / "mp" / "formulas.txt").read_text().split()
    for table in sorted((*reference_data.glob("agd/*.csv"), *reference_data.glob("expt_gap/*.csv"))):
        with table.open() as rows:
            texts += [row.get("composition") or row["formula"] for row in csv.DictReader(rows)]
    texts = sorted(set(texts))
    assert len(texts) > 100_000
    # Helium, neon and argon have no electronegativity, of which pymatgen warns.
    texts = [text for text in texts if not any(gas in text for gas in ("He", "Ne", "Ar"))]
    ours = canonical_many(texts)
    assert [(text, found) for text, found in zip(texts, ours, strict=True) if found != peer(text)] == []
