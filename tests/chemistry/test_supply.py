"""Costs and supply risk equal pymatgen's own reading of its tables; hazards are those of our classes."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from importlib import resources

import pytest
from pymatgen.analysis.hhi import HHIModel
from pymatgen.core import Composition

from aldesign.chemistry.elements import CLASSES
from aldesign.chemistry.supply import prices, supply_of, supply_risk
from aldesign.errors import FormulaError

FORMULAS = ["NaCl", "RbSr2ClF4", "CaClF5", "SrTiO3", "PbCl2", "UO2", "Na2(SO4)3", "Al2O3", "CsAu"]


def test_costs_are_those_of_pymatgens_table() -> None:
    text = resources.files("pymatgen.analysis").joinpath("costdb_elements.csv").read_text()
    table = {row[0]: (float(row[1]), row[3]) for row in csv.reader(io.StringIO(text), quotechar="|")}
    assert set(prices()) == set(table) - {"Ne"}
    for symbol, price in prices().items():
        assert price.usd_per_kg == table[symbol][0]
        assert f'"{price.year}"' in table[symbol][1]
    for formula in FORMULAS[:-4]:
        composition = Composition(formula)
        kilograms = {e: amount * float(e.atomic_mass) / 1000 for e, amount in composition.items()}
        per_mol = sum(mass * table[e.symbol][0] for e, mass in kilograms.items())
        supply = supply_of(formula)
        assert supply.cost_usd_per_mol_atoms == pytest.approx(per_mol / composition.num_atoms, rel=1e-6)
        assert supply.cost_usd_per_kg == pytest.approx(per_mol / sum(kilograms.values()), rel=1e-6)


@pytest.mark.parametrize("formula", FORMULAS)
def test_supply_risk_equals_pymatgens(formula: str) -> None:
    supply, (production, reserves) = supply_of(formula), HHIModel().get_hhi(formula)
    assert supply.hhi_production == (None if production is None else pytest.approx(production))
    assert supply.hhi_reserves == (None if reserves is None else pytest.approx(reserves))


def test_what_is_not_known_is_said() -> None:
    uranium = supply_of("UF4")
    assert (uranium.cost_usd_per_kg, uranium.cost_missing) == (None, ("U",))
    assert (uranium.hhi_production, uranium.hhi_missing) == (None, ("U",))
    assert "Ne" not in prices()  # the table's is neptunium's
    assert supply_of("NeF2").cost_missing == ("Ne",)
    assert {"He", "Bi"} <= set(supply_risk())
    with pytest.raises(FormulaError):
        supply_of("Xx2O")


def test_hazards_name_the_elements() -> None:
    assert supply_of("PbCl2").hazards == {"toxic": ("Pb",)}
    assert supply_of("UO2").hazards == {"radioactive": ("U",), "toxic": ("U",)}
    assert supply_of("NaCl").hazards == {}
    assert supply_of("CsAu", ("precious",)).hazards == {"precious": ("Au",)}
    assert all(bool(supply_of(f"{s}O").hazards) for s in CLASSES["toxic"] - {"O"})


def test_the_tables_are_read_without_their_heavy_classes() -> None:
    code = "import sys; from aldesign.chemistry.supply import supply_of; supply_of('NaCl'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pandas", "torch", "pymatgen.analysis.phase_diagram"} & set(loaded)
