"""Cleaning and splitting against closed forms, pandas and scikit-learn."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldesign.datasets.cleaning import (
    folds_by_formula,
    isolated_atoms,
    lowest_polymorph,
    nearest_neighbours,
    split_by_formula,
    stratified_split,
)
from aldesign.errors import FormulaError, InputError
from aldesign.records import Crystal


def crystal(lattice: tuple[float, ...], species: list[str], frac: list[list[float]]) -> Crystal:
    return Crystal("x", lattice, tuple(species), np.array(frac, dtype=float))  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.sampled_from("ABCD"), st.sampled_from([0.0, 0.1, 0.2, math.nan])), min_size=1))
def test_the_lowest_polymorph_is_pandas_first_of_a_stable_sort(rows: list[tuple[str, float]]) -> None:
    frame = pd.DataFrame(rows, columns=["formula", "hull"])
    expected = frame.sort_values(["formula", "hull"], kind="stable").drop_duplicates("formula").index
    assert lowest_polymorph(*zip(*rows, strict=True)).tolist() == expected.tolist()


def test_nearest_neighbours_of_known_lattices() -> None:
    # fcc copper in its primitive cell: a/sqrt(2) = 2.556 Å
    copper = crystal((2.556, 2.556, 2.556, 60, 60, 60), ["Cu"], [[0.3, 1.7, -0.2]])
    assert nearest_neighbours(copper) == pytest.approx([2.556])
    # rock salt: a/2
    salt = crystal((3.988, 3.988, 3.988, 60, 60, 60), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert nearest_neighbours(salt) == pytest.approx([3.988 / math.sqrt(2)] * 2)


@pytest.mark.parametrize(("edge", "isolated"), [(3.99, False), (4.01, True)])
def test_an_atom_without_neighbour_within_four_angstrom_is_isolated(edge: float, isolated: bool) -> None:
    assert isolated_atoms(crystal((edge, edge, edge, 90, 90, 90), ["Xe"], [[0, 0, 0]])).tolist() == [isolated]


def test_isolation_agrees_with_pymatgen() -> None:
    from pymatgen.core import Lattice, Structure

    rng = np.random.default_rng(5)
    for _ in range(25):
        lattice = (*rng.uniform(4, 12, 3), *rng.uniform(70, 110, 3))
        frac = rng.uniform(size=(4, 3))
        structure = Structure(Lattice.from_parameters(*lattice), ["Si"] * 4, frac)
        expected = [not structure.get_neighbors(site, 4.0) for site in structure]
        assert isolated_atoms(crystal(lattice, ["Si"] * 4, frac.tolist())).tolist() == expected


def test_the_stratified_split_is_scikit_learns() -> None:
    from sklearn.model_selection import train_test_split

    gaps = np.random.default_rng(0).choice([0.0, 0.0, 1.1, 2.2], size=501)
    parts = [train_test_split(np.flatnonzero(mask), test_size=0.2, random_state=42) for mask in (gaps == 0, gaps > 0)]
    train, test = stratified_split(gaps)
    assert set(train) == set(parts[0][0]) | set(parts[1][0])
    assert set(test) == set(parts[0][1]) | set(parts[1][1])


SPELLINGS = st.sampled_from(["SiO2", "O2Si", "Si2O4", "NaCl", "ClNa", "MgO", "CaTiO3", "TiCaO3", "LiF", "NaN"])


@given(st.lists(SPELLINGS, min_size=1, max_size=40), st.integers(0, 3))
def test_no_formula_stands_on_both_sides_of_a_split(formulas: list[str], seed: int) -> None:
    from pymatgen.core import Composition

    parts = split_by_formula(formulas, (0.6, 0.2, 0.2), seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(formulas)))
    sides = [{Composition(formulas[i]).reduced_formula for i in part} for part in parts]
    assert len(set.union(*sides)) == sum(map(len, sides))


@given(st.lists(SPELLINGS, min_size=12, max_size=40).filter(lambda f: {"SiO2", "NaCl", "LiF"} <= set(f)))
def test_folds_test_every_row_once_and_tear_no_formula(formulas: list[str]) -> None:
    from pymatgen.core import Composition

    folds = folds_by_formula(formulas, 3, 0)
    assert sorted(np.concatenate([test for _, test in folds]).tolist()) == list(range(len(formulas)))
    for train, test in folds:
        names = [{Composition(formulas[i]).reduced_formula for i in part} for part in (train, test)]
        assert not names[0] & names[1]


def test_split_shares_and_independence_of_row_order() -> None:
    formulas = [f"Na{i}Cl{j}" for i in range(1, 20) for j in range(1, 20) if math.gcd(i, j) == 1]
    train, test = split_by_formula(formulas, (0.8, 0.2), 1)
    assert len(test) == round(0.2 * len(formulas))
    again, _ = split_by_formula(formulas[::-1], (0.8, 0.2), 1)
    assert {formulas[i] for i in train} == {formulas[::-1][i] for i in again}


def test_wrong_splits_are_refused() -> None:
    with pytest.raises(InputError, match="do not sum to 1"):
        split_by_formula(["NaCl"], (0.5, 0.6), 0)
    with pytest.raises(FormulaError):
        split_by_formula(["Xx2O"], (0.5, 0.5), 0)
    with pytest.raises(InputError, match="5 folds of 1 distinct"):
        folds_by_formula(["NaCl", "ClNa"], 5, 0)
