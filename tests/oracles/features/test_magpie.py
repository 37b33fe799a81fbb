import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition

from aldesign.chemistry.elements import SYMBOLS
from aldesign.chemistry.formula import compositions
from oracles.features.magpie import (
    FEATURE_NAMES,
    MAGPIE_NAMES,
    PROPERTIES,
    descriptor,
    element_properties,
    magpie,
    valence_parity,
)

SPECIAL = ["He", "HeNe", "XeF2", "NaN", "Fe3O4", "Ba0.5Sr0.5TiO3", "Cf2O3", "PaCl5", "Al2(SO4)3", "Rb3Na(TiO3)4"]


def random_formulas(n: int, seed: int) -> list[str]:
    """Formulas of one to seven of the elements up to Lr, with integer or fractional amounts."""
    rng = np.random.default_rng(seed)
    formulas = []
    for i in range(n):
        numbers = rng.choice(np.arange(1, 104), size=rng.integers(1, 8), replace=False)
        amounts = rng.integers(1, 13, len(numbers)) if i % 5 else rng.integers(1, 40, len(numbers)) / 8
        formulas.append("".join(f"{SYMBOLS[z]}{a:g}" for z, a in zip(numbers, amounts, strict=True)))
    return formulas


@pytest.fixture(scope="module")
def matminer_features():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from matminer.featurizers.composition import ElementProperty, Stoichiometry, ValenceOrbital

        parts = [
            ElementProperty.from_preset("magpie", impute_nan=True),
            Stoichiometry(),
            ValenceOrbital(props=("frac",), impute_nan=True),
        ]

    def features(formulas: list[str]) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rows = [[v for p in parts for v in p.featurize(Composition(f))] for f in formulas]
        return np.array(rows, dtype=float)

    return features


def test_equals_matminer(matminer_features):
    formulas = SPECIAL + random_formulas(300, seed=1)
    ours, theirs = descriptor(compositions(formulas)), matminer_features(formulas)
    np.testing.assert_allclose(ours[:, : theirs.shape[1]], theirs, rtol=1e-9, atol=1e-9)
    assert theirs.shape[1] == len(MAGPIE_NAMES) + 10


def test_names_stand_for_columns():
    row = descriptor(compositions(["MgO"]))[0]
    value = dict(zip(FEATURE_NAMES, row, strict=True))
    assert len(FEATURE_NAMES) == len(row) == 145
    assert value["maximum Electronegativity"] == 3.44
    assert value["minimum Number"] == 8
    assert value["range MendeleevNumber"] == 19
    assert value["0-norm"] == 2
    assert value["2-norm"] == pytest.approx(0.5**0.5)


def test_ionic_character_is_paulings():
    value = dict(zip(FEATURE_NAMES, descriptor(compositions(["NaCl"]))[0], strict=True))
    character = 1 - np.exp(-((3.16 - 0.93) ** 2) / 4)
    assert value["maximum ionic character"] == pytest.approx(character)
    assert value["mean ionic character"] == pytest.approx(character / 4)
    alone = dict(zip(FEATURE_NAMES, descriptor(compositions(["Si"]))[0], strict=True))
    assert alone["maximum ionic character"] == alone["mean ionic character"] == 0


def test_parity_of_valence_electrons():
    # Na 1 + Cl 7, Al 3, Ga 3 + As 5, Ti 4 + N 5, half a sodium
    formulas = ["NaCl", "Al", "GaAs", "TiN", "Na0.5Cl"]
    np.testing.assert_allclose(valence_parity(compositions(formulas)), [0, 1, 0, 1, 0.5])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 299), min_size=1, max_size=12))
def test_rows_do_not_depend_on_their_batch(picked):
    formulas = random_formulas(300, seed=2)
    batch = descriptor(compositions([formulas[i] for i in picked]))
    alone = np.concatenate([descriptor(compositions([formulas[i]])) for i in picked])
    np.testing.assert_array_equal(batch, alone)


def test_amounts_scale_out_of_the_statistics():
    one, four = magpie(compositions(["Al2O3"])), magpie(compositions(["Al8O12"]))
    np.testing.assert_allclose(one, four, rtol=1e-12)


def test_missing_values_are_the_mean_over_the_tabulated_elements():
    table = element_properties()
    column = table[1:, PROPERTIES.index("Electronegativity")]
    missing = [1, 9, 17, 85]  # He, Ne, Ar, Rn
    assert np.unique(column[missing]).size == 1
    known = np.delete(column, [*missing, *range(102, 118)])
    assert column[1] == pytest.approx(known.mean())


def test_empty_and_unreadable_rows():
    assert descriptor(compositions([])).shape == (0, 145)
    assert magpie(compositions([])).shape == (0, 132)
