"""Costs and supply risk equal pymatgen's own reading of its tables; hazards are those of our classes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pymatgen.analysis.hhi import HHIModel
from pymatgen.core import Composition, Element

from aldesign.chemistry.elements import CLASSES
from aldesign.chemistry.supply import prices, supply_of, supply_risk
from aldesign.errors import FormulaError

FORMULAS = ["NaCl", "RbSr2ClF4", "CaClF5", "SrTiO3", "PbCl2", "UO2", "Na2(SO4)3", "Al2O3", "CsAu"]


@pytest.mark.filterwarnings("ignore:No Pauling electronegativity")  # its phase diagrams ask noble gases for one
def test_costs_equal_those_of_pymatgens_own_table() -> None:
    from pymatgen.analysis.cost import CostDBElements

    table = CostDBElements()
    for symbol, price in prices().items():
        (entry,) = table.get_entries([Element(symbol)])
        kilograms_per_mol = float(Element(symbol).atomic_mass) / 1000
        assert price.usd_per_kg * kilograms_per_mol == pytest.approx(float(entry.energy), rel=1e-6)
        assert f'"{price.year}"' in entry.reference
    for formula in FORMULAS[:-4]:
        composition = Composition(formula)
        per_mol = sum(amount * float(table.get_entries([e])[0].energy) for e, amount in composition.items())
        supply = supply_of(formula)
        assert supply.cost_usd_per_mol_atoms == pytest.approx(per_mol / composition.num_atoms, rel=1e-6)
        assert supply.cost_usd_per_kg == pytest.approx(per_mol / float(composition.weight) * 1000, rel=1e-6)


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
