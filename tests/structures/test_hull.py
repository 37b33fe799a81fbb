"""Distances to the hull against pymatgen's phase diagrams, a hull drawn by hand and the Materials Project's column."""

from __future__ import annotations

import csv
import gzip
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aldesign.chemistry.formula import canonical
from aldesign.errors import FormulaError, InputError
from aldesign.structures.hull import Hull

# binary hull by hand: Li2O -2.0 eV/atom, Li2O2 -1.65, and LiO2 above the line between Li2O2 and O2
LITHIUM_OXIDES = Hull(["Li2O", "Li2O2", "Li2O2", "LiO2"], [-2.0, -1.65, -1.5, -1.0])


def test_a_hull_drawn_by_hand():
    peroxide = LITHIUM_OXIDES.distance("LiO2", -1.0)
    # LiO2: 3 atoms are 2 of Li2O2 (one Li, one O) and 1 of O2
    assert peroxide.e_above_hull_ev_per_atom == pytest.approx(-1.0 + 1.65 * 2 / 3)
    assert dict(peroxide.products) == pytest.approx({"Li2O2": 2 / 3, "O2": 1 / 3})
    assert peroxide.reason == ""
    assert peroxide.competitors == 3
    assert LITHIUM_OXIDES.distance("Li2O", -2.0).e_above_hull_ev_per_atom == pytest.approx(0.0, abs=1e-12)
    assert LITHIUM_OXIDES.distance("O2Li2", -1.5).e_above_hull_ev_per_atom == pytest.approx(0.15)


def test_below_the_hull_is_negative_by_what_it_lowers_it():
    found = LITHIUM_OXIDES.distance("Li2O", -2.1)
    assert found.e_above_hull_ev_per_atom == pytest.approx(-0.1)
    alone = LITHIUM_OXIDES.distance("Li2O", -2.0, without_own=True)
    # Li and Li2O2 instead: 3 atoms are 2 of Li2O2 and 1 of Li
    assert alone.e_above_hull_ev_per_atom == pytest.approx(-2.0 + 1.65 * 2 / 3)
    assert dict(alone.products) == pytest.approx({"Li2O2": 2 / 3, "Li": 1 / 3})


def test_without_known_compounds_the_elements_compete():
    hull = Hull(["NaCl", "KF"], [-2.0, -2.9])
    found = hull.distance("NaK", 0.05)
    assert found.e_above_hull_ev_per_atom == pytest.approx(0.05)
    assert found.competitors == 0
    assert found.products == (("K", 0.5), ("Na", 0.5))
    assert hull.distance("Cl", 0.02).e_above_hull_ev_per_atom == pytest.approx(0.02)


@pytest.mark.parametrize(
    ("formula", "energy", "reason"),
    [
        ("Li2U", -1.0, "no entry with U"),
        ("Qq2", -1.0, "no formula"),
        ("Li2O", None, "no formation energy"),
        ("Li2O", math.nan, "not a number"),
        ("Li2O", -2000.0, "meV"),
    ],
)
def test_what_cannot_be_told_says_why(formula, energy, reason):
    found = LITHIUM_OXIDES.distance(formula, energy)
    assert found.e_above_hull_ev_per_atom is None
    assert reason in found.reason
    assert found.products == ()


def random_entries(seed: int, symbols: list[str], n: int) -> tuple[list[str], list[float]]:
    random = np.random.default_rng(seed)
    formulas, energies = [], []
    while len(formulas) < n:
        amounts = random.integers(0, 4, len(symbols))
        if np.count_nonzero(amounts) > 1:
            formulas.append("".join(f"{s}{a}" for s, a in zip(symbols, amounts, strict=True) if a))
            energies.append(float(random.normal(-1.0, 0.8)))
    return formulas, energies


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 40), n_elements=st.integers(2, 5))
def test_distances_and_products_are_those_of_pymatgen(seed, n, n_elements):
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    symbols = ["Li", "Fe", "P", "O", "F"][:n_elements]
    formulas, energies = random_entries(seed, symbols, n)
    hull = Hull([*formulas, *symbols], [*energies, *[0.0] * len(symbols)])
    entries = [PDEntry(Composition(s), 0.0) for s in symbols]
    for formula, energy in zip(formulas, energies, strict=True):
        composition = Composition(formula)
        entries.append(PDEntry(composition, energy * composition.num_atoms))
    diagram = PhaseDiagram(entries)
    asked, _ = random_entries(seed + 1, symbols, 5)
    for formula, found in zip(asked, hull.distances(asked, [0.0] * 5), strict=True):
        decomposition, lowest = diagram.get_decomp_and_hull_energy_per_atom(Composition(formula))
        assert found.e_above_hull_ev_per_atom == pytest.approx(-lowest, abs=1e-7)
        theirs = {canonical(entry.composition.reduced_formula): share for entry, share in decomposition.items()}
        assert dict(found.products) == pytest.approx(theirs, abs=1e-6)
        assert math.fsum(share for _, share in found.products) == pytest.approx(1.0)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_products_hold_the_elements_and_the_energy(seed):
    from pymatgen.core import Composition

    formulas, energies = random_entries(seed, ["K", "Mg", "Cl", "Br"], 30)
    hull = Hull(formulas, energies, scale="mp2019")
    lowest = {canonical(f): math.inf for f in formulas}
    for formula, energy in zip(formulas, energies, strict=True):
        lowest[canonical(formula)] = min(energy, lowest[canonical(formula)])
    for asked in ("KMgClBr", "K2MgBr4"):
        found = hull.distance(asked, -0.5)
        mixture: dict[str, float] = {}
        energy = 0.0
        for name, share in found.products:
            energy += share * lowest.get(name, 0.0)
            for element, fraction in Composition(name).fractional_composition.items():
                mixture[element.symbol] = mixture.get(element.symbol, 0.0) + share * fraction
        assert found.e_above_hull_ev_per_atom == pytest.approx(-0.5 - energy, abs=1e-6)
        wanted = {e.symbol: x for e, x in Composition(asked).fractional_composition.items()}
        assert mixture == pytest.approx(wanted, abs=1e-6)


def test_the_digest_knows_entries_and_not_their_order():
    same = Hull(["LiO2", "Li2O2", "Li2O"], [-1.0, -1.65, -2.0])
    assert same.digest == LITHIUM_OXIDES.digest
    assert Hull(["LiO2", "Li2O2", "Li2O"], [-1.0, -1.65, -2.1]).digest != same.digest


def test_energies_are_brought_to_the_scale_of_the_hull():
    then, now = Hull(["KBr", "CsBr"], [-1.766, -1.790]), Hull(["KBr", "CsBr"], [-2.050, -2.091])
    assert (then.scale, now.scale) == ("mp2019", "mp2020")
    assert LITHIUM_OXIDES.scale == "mp2019"
    assert Hull(["KBr", "CsBr"], [-3.0, 1.0]).scale == "mp2019"
    assert Hull(["KBr"], [-2.04], scale="mp2019").scale == "mp2019"
    # one compound, told on the scale of 2019, lies on either hull
    assert then.distance("KBr", -1.766).e_above_hull_ev_per_atom == pytest.approx(0.0, abs=1e-9)
    assert now.distance("KBr", -1.766).e_above_hull_ev_per_atom == pytest.approx(0.0, abs=0.05)
    assert now.distance("KBr", -2.050, scale="mp2020").e_above_hull_ev_per_atom == pytest.approx(0.0, abs=1e-9)
    assert now.distance("KBr", -1.766, scale="mp2020").e_above_hull_ev_per_atom == pytest.approx(0.284, abs=1e-6)


def write(path: Path, rows: list[tuple[object, ...]]) -> Path:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows(rows)
    return path


def test_a_table_is_read_and_its_bad_rows_are_told(tmp_path):
    path = write(
        tmp_path / "mine.csv",
        [("formula", "formation_energy_per_atom"), ("Li2O", -2.0), ("Li2O2", ""), ("LiO2", -1000), ("Xy", -1)],
    )
    hull = Hull.from_path(path)
    assert hull.formulas == ("Li2O",)
    assert hull.origin == str(path)
    assert [row.line for row in hull.bad] == [3, 4, 5]
    assert "meV" in hull.bad[1].reason
    assert any("rows that hold no phase: 3; the first, line 3" in note for note in hull.notes)


def test_a_missing_column_is_told_without_an_option_that_is_not_there(tmp_path):
    with pytest.raises(InputError) as caught:
        Hull.from_path(write(tmp_path / "mine.csv", [("formula", "e"), ("Li2O", -2.0)]))
    assert "columns formula and formation_energy_per_atom, in eV/atom" in caught.value.hint


def test_a_folder_prefers_the_table_of_energies(tmp_path):
    write(tmp_path / "labels.csv.gz", [("formula", "formation_energy_per_atom"), ("Li2O", -2.0)])
    assert len(Hull.from_path(tmp_path)) == 1
    assert any("--energies" in note for note in Hull.from_path(tmp_path).notes)
    write(tmp_path / "energies.csv", [("formula", "formation_energy_per_atom"), ("Li2O", -2.0), ("Li2O2", -1.6)])
    hull = Hull.from_path(tmp_path)
    assert len(hull) == 2
    assert not any("--energies" in note for note in hull.notes)


def test_another_unit_is_known_by_well_known_compounds():
    with pytest.raises(InputError, match=r"NaCl has -4\.26"):
        Hull(["NaCl", "MgO", "CaF2"], [-4.26, -6.24, -9.9])
    with pytest.raises(InputError, match="eV per formula"):
        Hull(["NaCl", "MgO"], [-0.078, -0.115])  # hartree
    assert len(Hull(["NaCl", "MgO"], [-4.26, -3.1])) == 2  # one slip is a slip
    assert len(Hull(["Na2Cl2"], [-4.26])) == 1


def test_tables_that_are_no_hull_are_refused(tmp_path):
    with pytest.raises(InputError, match="no table of formation energies"):
        Hull.from_path(tmp_path)
    milli = [("formula", "formation_energy_per_atom"), *((f"Li{n}O", -2000.0 / n) for n in range(1, 9))]
    with pytest.raises(InputError, match="another unit"):
        Hull.from_path(write(tmp_path / "milli.csv", milli))
    with pytest.raises(InputError):
        Hull.from_path(write(tmp_path / "empty.csv", [("formula", "formation_energy_per_atom")]))
    with pytest.raises(InputError, match="no formation energy"):
        Hull([], [])
    with pytest.raises(InputError, match="beyond 10"):
        Hull(["Li2O"], [-2000.0])
    with pytest.raises(FormulaError):
        Hull(["Xy"], [-1.0])


@pytest.mark.data
@pytest.mark.slow
def test_the_column_of_the_materials_project_is_met(reference_data):
    hull = Hull.from_path(reference_data / "mp")
    with gzip.open(reference_data / "mp" / "labels.csv.gz", "rt", encoding="utf-8") as stream:
        rows = [row for row in itertools.islice(csv.DictReader(stream), 4000, 6000, 10) if row["e_above_hull"]]
    found = hull.distances([row["formula"] for row in rows], [float(row["formation_energy_per_atom"]) for row in rows])
    difference = np.array(
        [
            float(answer.e_above_hull_ev_per_atom) - float(row["e_above_hull"])
            for answer, row in zip(found, rows, strict=True)
        ]
    )
    assert np.median(np.abs(difference)) < 1e-3
    # entries are missing here, none is too many: the hull is never too low
    assert difference.max() < 1e-3


def test_total_energies_are_not_taken_for_formation_energies() -> None:
    with pytest.raises(InputError, match=r"element Cl2 has -1\.8 eV/atom"):
        Hull(["Na", "Cl2", "NaCl"], [-1.3, -1.8, -3.4])
    assert len(Hull(["Na", "Cl2", "NaCl"], [-0.01, 0.2, -2.1])) == 3  # metastable forms of elements do no harm
