"""The table of crystals that the command line and a campaign's end write."""

from __future__ import annotations

import json

import numpy as np
import pytest

from aldesign.records import Crystal
from aldesign.structures.build import COLUMNS, DETAILS, build
from aldesign.structures.cif import read_cifs
from aldesign.structures.hull import Hull
from aldesign.structures.making import Recipe
from aldesign.structures.templates import TemplateLibrary


@pytest.fixture(scope="module")
def library():
    return TemplateLibrary.from_aflow()


def test_every_formula_gets_a_row_in_order(library, tmp_path):
    formulas = ["ClNa", "Xx2O", "K2Ca7Br13", "NaCl", "KCl"]
    rows = list(build(formulas, library, Recipe(relax=False, candidates=1), out=tmp_path))
    assert [row.formula for row in rows] == ["NaCl", "Xx2O", "K2Ca7Br13", "NaCl", "KCl"]
    assert [bool(row.cif) for row in rows] == [True, False, False, True, True]
    assert "Xx" in rows[1].reason
    assert "no template with amounts 2:7:13" in rows[2].reason
    assert [row.cif for row in rows] == ["NaCl.cif", "", "", "NaCl.cif", "KCl.cif"]
    assert rows[4].formation_energy_per_atom == pytest.approx(-2.263, abs=0.2)  # NIST-JANAF, -436.7 kJ/mol
    assert rows[0].formation_energy_per_atom == rows[3].formation_energy_per_atom
    assert not rows[0].relaxed
    assert tuple(rows[0].as_record()) == COLUMNS
    assert set(rows[0].details) == set(DETAILS)
    text = (tmp_path / "KCl.cif").read_text()
    assert "# template: aflow/" in text
    assert "CHGNet 0.3.0" in text
    crystals, bad = read_cifs(tmp_path)
    assert len(crystals) == 2
    assert not bad


def test_relaxed_rows_carry_the_relaxed_crystal(library, tmp_path):
    (row,) = build(["KCl"], library, Recipe(candidates=1), out=tmp_path, provenance={"campaign": "demo"})
    assert row.relaxed
    assert row.made.crystal is row.made.energy.crystal
    assert "# campaign: demo" in (tmp_path / "KCl.cif").read_text()
    ((crystal,), _) = read_cifs(tmp_path / "KCl.cif")
    assert crystal.lattice[0] == pytest.approx(6.39, abs=0.15)  # Å, PBE, conventional cell
    assert np.isclose(row.emd, 0.5)


def test_of_several_structures_the_one_of_least_energy_is_kept(library):
    # rock salt is the ground state of KCl; the caesium chloride structure needs 2 GPa
    (row,) = build(["KCl"], library, Recipe(candidates=3))
    assert row.details["space_group"] == "Fm-3m"
    others = row.details["alternatives"]
    assert "Pm-3m" in {other["space_group"] for other in others}
    assert len(others) == 2
    assert all(other["formation_energy_ev_per_atom"] > row.formation_energy_per_atom for other in others)
    assert "above the crystal kept" in others[0]["reason"]
    assert json.loads(json.dumps(row.details)) == row.details


def test_without_energy_nothing_is_asked_of_the_potential(library, monkeypatch):
    from aldesign.structures import making

    monkeypatch.setattr(making, "evaluate_many", None)
    (row,) = build(["KCl"], library, Recipe(energy=False))
    assert row.made.energy is None
    assert row.made.crystal is row.made.chosen.crystal
    assert row.reason == ""


def test_a_far_template_is_called_a_guess(library):
    (row,) = build(["SrYF5"], library, Recipe(energy=False, max_emd=100))
    assert row.emd > 10
    assert "the structure is a guess" in row.reason


def test_a_crystal_of_unusual_volume_is_told():
    # lengths in bohr: 6.7 times the volume of rock salt, 5.7 times that of its elements in the mean
    sites = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    salt = Crystal("salt", (10.66,) * 3 + (90.0,) * 3, ("Na",) * 4 + ("Cl",) * 4, np.vstack([sites, sites + 0.5]))
    (row,) = build(["NaCl"], TemplateLibrary([salt]), Recipe(energy=False))
    assert "the volume is 5.7 times" in row.reason


@pytest.mark.parametrize(
    ("known", "said"),
    [
        # CHGNet gives KCl -2.26 eV/atom
        ({"KCl": -2.25}, ""),
        ({"KCl2": -1.0}, "eV/atom below the hull: are all known phases of these elements in its table?"),
        ({"NaCl": -2.13, "KBr": -1.77}, "no compound of these elements is among the known phases"),
    ],
)
def test_a_hull_that_lacks_phases_is_told(library, known, said):
    hull = Hull(list(known), list(known.values()))
    (row,) = build(["KCl"], library, Recipe(relax=False, candidates=1), hull=hull)
    assert row.e_above_hull is not None
    assert said in row.reason
    assert bool(said) == bool(row.reason)


def test_the_header_of_a_cif_says_of_what_its_numbers_are(library, tmp_path):
    hull = Hull(["KCl"], [-2.25])
    list(build(["KCl"], library, Recipe(relax=False, candidates=1), hull=hull, out=tmp_path))
    text = (tmp_path / "KCl.cif").read_text()
    assert "against 1 KCl (shares of the atoms)" in text
    assert "valence units, as substituted" in text
