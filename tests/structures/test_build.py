"""The table of crystals that the command line and a campaign's end write."""

from __future__ import annotations

import numpy as np
import pytest

from aldesign.structures.build import COLUMNS, build
from aldesign.structures.cif import read_cifs
from aldesign.structures.templates import TemplateLibrary


@pytest.fixture(scope="module")
def library():
    return TemplateLibrary.from_aflow()


def test_every_formula_gets_a_row_in_order(library, tmp_path):
    formulas = ["ClNa", "Xx2O", "K2Ca7Br13", "NaCl", "KCl"]
    rows = build(formulas, library, relax=False, out=tmp_path)
    assert [row.formula for row in rows] == ["NaCl", "Xx2O", "K2Ca7Br13", "NaCl", "KCl"]
    assert [bool(row.cif) for row in rows] == [True, False, False, True, True]
    assert "Xx" in rows[1].reason
    assert "no template with amounts 2:7:13" in rows[2].reason
    assert [row.cif for row in rows] == ["NaCl.cif", "", "", "NaCl-2.cif", "KCl.cif"]
    assert rows[4].formation_energy_per_atom == pytest.approx(-2.263, abs=0.2)  # NIST-JANAF, -436.7 kJ/mol
    assert rows[0].formation_energy_per_atom == rows[3].formation_energy_per_atom
    assert not rows[0].relaxed
    assert tuple(rows[0].as_record()) == COLUMNS
    text = (tmp_path / "KCl.cif").read_text()
    assert "# template: aflow/" in text
    assert "CHGNet 0.3.0" in text
    crystals, bad = read_cifs(tmp_path)
    assert len(crystals) == 3
    assert not bad


def test_relaxed_rows_carry_the_relaxed_crystal(library, tmp_path):
    (row,) = build(["KCl"], library, out=tmp_path, provenance={"campaign": "demo"})
    assert row.relaxed
    assert row.crystal is row.energy.crystal
    assert "# campaign: demo" in (tmp_path / "KCl.cif").read_text()
    ((crystal,), _) = read_cifs(tmp_path / "KCl.cif")
    assert crystal.lattice[0] == pytest.approx(6.39, abs=0.15)  # Å, PBE, conventional cell
    assert np.isclose(row.emd, 0.5)


def test_without_energy_nothing_is_asked_of_the_potential(library, monkeypatch):
    from aldesign.structures import build as module

    monkeypatch.setattr(module, "evaluate_one", None)
    (row,) = build(["KCl"], library, energy=False)
    assert row.energy is None
    assert row.crystal is row.assignment.crystal
    assert row.reason == ""
