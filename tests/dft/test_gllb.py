"""The derivative discontinuity: its arithmetic with two spins, and diamond as published."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ase.build import bulk

from aldesign.dft import gllb, gpaw, setups
from aldesign.dft.gap import METAL, edges
from aldesign.dft.settings import Settings
from aldesign.errors import CalculationError
from aldesign.records import Crystal

needs_gpaw = pytest.mark.skipif(setups.missing() is not None, reason="GPAW is not installed: `make dft`")
KPOINTS = np.array([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]])


class Calculator:
    """Stands for GPAW: hands out given discontinuities and remembers what it was asked."""

    def __init__(self, shifts: list[float]) -> None:
        self.shifts = shifts
        self.asked: list[tuple[Any, Any]] = []
        self.looked_at: list[list[list[float]]] = []
        response = SimpleNamespace(
            calculate_discontinuity_potential=self._potential, calculate_discontinuity=self._shift
        )
        self.hamiltonian = SimpleNamespace(xc=SimpleNamespace(response=response))

    def fixed_density(self, kpts: Any, **_: Any) -> Calculator:
        self.looked_at.append([list(point) for point in kpts])
        return self

    def _potential(self, homo: Any, lumo: Any) -> str:
        self.asked.append((homo, lumo))
        return "potential"

    def _shift(self, potential: str, spin: int) -> tuple[float, float]:
        assert potential == "potential"
        return 99.0, self.shifts[spin]


def test_one_spin_adds_the_shift_of_the_lowest_empty_state(tmp_path: Path) -> None:
    bands = np.array([[[0.0, 3.0], [-1.0, 2.0]]])
    calc = Calculator([0.5])
    found, extra = gllb.with_discontinuity(edges(bands, KPOINTS, (1,)), calc, bands, KPOINTS, (1,), tmp_path)
    assert found.gap_ev == pytest.approx(2.5)
    assert found.direct_gap_ev == pytest.approx(3.5)
    assert found.cbm_kpoint == (0.5, 0.0, 0.0)
    assert extra == pytest.approx({gllb.KOHN_SHAM: 2.0, gllb.DISCONTINUITY: 0.5})
    assert calc.asked == [(0.0, 2.0)]
    assert calc.looked_at == [[[0.5, 0.0, 0.0]]]


def test_with_two_spins_the_lower_state_after_its_shift_counts(tmp_path: Path) -> None:
    bands = np.array([[[0.0, 2.0], [-1.0, 3.0]], [[-0.5, 4.0], [-0.6, 2.2]]])
    calc = Calculator([1.0, 0.3])  # 2.0 + 1.0 of the first spin lies above 2.2 + 0.3 of the second
    found, extra = gllb.with_discontinuity(edges(bands, KPOINTS, (1, 1)), calc, bands, KPOINTS, (1, 1), tmp_path)
    assert found.gap_ev == pytest.approx(2.5)
    assert found.cbm_kpoint == (0.5, 0.0, 0.0)
    assert extra[gllb.KOHN_SHAM] + extra[gllb.DISCONTINUITY] == pytest.approx(2.5)
    assert calc.asked == [([0.0, -0.5], [2.0, 2.2])]
    assert calc.looked_at == [[[0.0, 0.0, 0.0]], [[0.5, 0.0, 0.0]]]


def test_a_metal_keeps_its_gap_of_zero(tmp_path: Path) -> None:
    assert gllb.with_discontinuity(METAL, None, np.zeros((1, 1, 2)), KPOINTS[:1], (1,), tmp_path) == (METAL, {})


@needs_gpaw
@pytest.mark.dft
def test_lanthanides_have_no_data_set(tmp_path: Path) -> None:
    assert gllb.lacking(["O", "La", "Ti", "Gd"]) == ["Gd", "La"]
    crystal = Crystal("LaN", (5.3, 5.3, 5.3, 60.0, 60.0, 60.0), ("La", "N"), np.array([[0.0] * 3, [0.5] * 3]))
    with pytest.raises(CalculationError, match="no data set for La at GLLB-SC"):
        gpaw.run(crystal, Settings.of("fast", level="GLLB-SC"), tmp_path)


@needs_gpaw
@pytest.mark.dft
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_diamond_is_as_published(tmp_path: Path) -> None:
    """Kuisma et al., Phys. Rev. B 82, 115106 (2010), table I: 4.14 eV and with the discontinuity 5.41 eV."""
    atoms = bulk("C", "diamond", a=3.567)
    crystal = Crystal("C", tuple(atoms.cell.cellpar()), ("C", "C"), atoms.get_scaled_positions())
    settings = Settings.of("fast", level="GLLB-SC", cutoff_ev=400, kpoint_density=1.2, band_density=3)
    result = gpaw.run(crystal, settings, tmp_path)
    assert result.extra[gllb.KOHN_SHAM] == pytest.approx(4.14, abs=0.1)
    assert result.gap_ev == pytest.approx(5.41, abs=0.15)
    assert result.gap_ev == pytest.approx(sum(result.extra.values()))
    assert not result.is_direct
