"""Which crystals get two spins: Hund's rule for ions, closed shells, elements, and iron by GPAW."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Species

from aldesign.dft import gpaw, setups
from aldesign.dft.settings import Settings
from aldesign.dft.spin import moments_mb, notes, starting_moments, unpaired
from aldesign.records import Crystal

needs_gpaw = pytest.mark.skipif(setups.missing() is not None, reason="GPAW is not installed: `make dft`")
RHOMBOHEDRAL = (2.5, 2.5, 2.5, 109.4712, 109.4712, 109.4712)


def counts(formula: str) -> dict[str, int]:
    return {symbol: int(n or 1) for symbol, n in re.findall(r"([A-Z][a-z]?)(\d*)", formula)}


@pytest.mark.parametrize(
    "formula", ["MgO", "TiO2", "V2O5", "ZnO", "Cu2O", "SrTiO3", "KMnO4", "CeO2", "La2O3", "Si", "Na"]
)
def test_closed_shells_need_one_spin(formula: str) -> None:
    assert not any(moments_mb(counts(formula)).values())


@pytest.mark.parametrize(
    ("formula", "symbol", "moment"),
    [("NiO", "Ni", 2), ("MnO", "Mn", 5), ("Fe2O3", "Fe", 5), ("Ti2O3", "Ti", 1), ("CuO", "Cu", 1), ("Gd2O3", "Gd", 7)],
)
def test_open_shells_start_in_high_spin(formula: str, symbol: str, moment: float) -> None:
    found = moments_mb(counts(formula))
    assert found[symbol] == moment
    assert found["O"] == 0


@pytest.mark.parametrize("ion", ["Ti3+", "V3+", "Cr3+", "Mn2+", "Fe2+", "Fe3+", "Co2+", "Ni2+", "Cu2+"])
def test_moments_are_those_of_crystal_field_theory(ion: str) -> None:
    species = Species.from_str(ion)
    expected = species.get_crystal_field_spin("oct", "high")
    assert unpaired(species.symbol, int(species.oxi_state)) == expected


def test_mixed_valence_takes_the_larger_moment() -> None:
    assert moments_mb({"Fe": 3, "O": 4})["Fe"] == 5


def test_the_elements_and_oxygen() -> None:
    assert moments_mb({"Fe": 1})["Fe"] > 2.2  # above the moment it ends with
    assert moments_mb({"O": 2}) == {"O": 1.0}
    assert moments_mb({"Cu": 1}) == {"Cu": 0.0}
    assert moments_mb({"Gd": 1}) == {"Gd": 7.0}


def test_the_setting_decides_before_the_chemistry() -> None:
    iron = Crystal("Fe", RHOMBOHEDRAL, ("Fe",), np.zeros((1, 3)))
    silver = Crystal("Ag", RHOMBOHEDRAL, ("Ag",), np.zeros((1, 3)))
    assert starting_moments(iron, "none") is None
    assert starting_moments(silver, "auto") is None
    moments = starting_moments(silver, "collinear")
    assert moments is not None
    assert moments.tolist() == [1.0]


def test_moments_that_vanished_and_orders_not_tried_are_told() -> None:
    assert notes(None, 0.0) == ()
    assert notes(np.array([2.5]), 2.2) == ()
    assert "vanished" in notes(np.array([2.0, 0.0]), -0.01)[0]
    assert "antiferromagnetic" in notes(np.array([5.0, 5.0]), 9.8)[0]


@needs_gpaw
@pytest.mark.dft
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_iron_has_its_moment(tmp_path: Path) -> None:
    """2.2 μB are measured (Danan, Herr and Meyer, J. Appl. Phys. 39, 669, 1968)."""
    iron = Crystal("Fe", (2.485, 2.485, 2.485, 109.4712, 109.4712, 109.4712), ("Fe",), np.zeros((1, 3)))
    result = gpaw.run(iron, Settings.of("fast", cutoff_ev=350, kpoint_density=1.5, smearing_ev=0.1), tmp_path)
    assert result.spin_polarized
    assert result.gap_ev == 0
    assert result.magnetization == pytest.approx(2.2, abs=0.2)
