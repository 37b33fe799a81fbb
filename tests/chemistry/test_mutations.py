from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition

from aldesign.chemistry.elements import ALPHABET, resolve
from aldesign.chemistry.formula import compositions
from aldesign.chemistry.mutations import mutate
from aldesign.chemistry.onehot import decode_indices, indices
from aldesign.errors import InputError

PARENTS = ["K2NaAlF6", "SrTiO3", "LiF", "Al2O3", "Ca5P3FO12"]


def made(seed: int, n: int = 400, **options) -> tuple[list[str], np.ndarray]:
    table, origin = mutate(indices(compositions(PARENTS)), n, np.random.default_rng(seed), **options)
    return [formula for formula in decode_indices(table) if formula], origin


@given(st.integers(0, 2**32 - 1))
def test_children_are_reduced_formulas_near_a_parent(seed):
    known = np.array([symbol not in resolve("noble_gas") for symbol in ALPHABET])  # pymatgen warns of those
    formulas, origin = made(seed, 40, allowed=known)
    assert len(formulas) == 40
    for formula, parent in zip(formulas, origin, strict=True):
        child = Composition(formula)
        assert child.reduced_formula == formula
        # one element more, one fewer, one exchanged, or the metals alone: something of the parent is left
        assert set(child.elements) & set(Composition(PARENTS[parent]).elements)


def test_only_allowed_elements_come_in():
    allowed = np.array([symbol in resolve(["halogen", "alkali"]) for symbol in ALPHABET])
    formulas, _ = made(3, 2000, allowed=allowed)
    parents = {str(e) for formula in PARENTS for e in Composition(formula).elements}
    seen = {str(e) for formula in formulas for e in Composition(formula).elements}
    assert seen <= parents | resolve(["halogen", "alkali"])
    assert {"Br", "Cs"} <= seen


def test_substitution_prefers_neighbours_on_the_scale_and_the_own_group():
    table, _ = mutate(indices(compositions(["NaCl"])), 20_000, np.random.default_rng(1))
    formulas = decode_indices(table)
    count = {f: formulas.count(f) for f in ("NaBr", "NaF", "KCl", "LiCl", "NaFe", "WCl")}
    assert min(count["NaBr"], count["NaF"], count["KCl"], count["LiCl"]) > 20 * max(1, count["NaFe"], count["WCl"])


def test_a_crossing_joins_the_metals_of_one_with_the_rest_of_another():
    formulas, _ = made(5, 4000)
    assert "SrTiF6" in formulas
    assert "LiF" in formulas


def test_equal_states_give_equal_children_and_other_states_others():
    assert made(8)[0] == made(8)[0]
    assert made(8)[0] != made(9)[0]


def test_nothing_to_change_is_refused():
    with pytest.raises(InputError, match="nothing to change"):
        mutate(np.zeros((0, 103)), 3, np.random.default_rng(0))
    with pytest.raises(InputError, match="nothing to change"):
        mutate(np.zeros((1, 103)), 3, np.random.default_rng(0))
    with pytest.raises(InputError, match="no element may come in"):
        mutate(indices(compositions(["NaCl"])), 3, np.random.default_rng(0), allowed=np.zeros(103, bool))
