"""GPAW itself on magnesium oxide: one calculation, looked at from several sides."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from aldesign.dft import gpaw, setups
from aldesign.dft.results import Result
from aldesign.dft.settings import Settings
from aldesign.errors import CalculationError
from aldesign.records import Crystal

QUICK = Settings.of("fast", cutoff_ev=400, kpoint_density=1.2, band_density=1.0)
needs_gpaw = pytest.mark.skipif(setups.missing() is not None, reason="GPAW is not installed: `make dft`")
pytestmark = [pytest.mark.dft, pytest.mark.filterwarnings("ignore::RuntimeWarning")]


def rocksalt(length: float = 4.25) -> Crystal:
    cell = bulk("MgO", "rocksalt", length).cell.cellpar()
    return Crystal("MgO", tuple(cell), ("Mg", "O"), np.array([[0.0] * 3, [0.5] * 3]))


@pytest.fixture(scope="module")
def oxide(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return gpaw.run(rocksalt(), QUICK, tmp_path_factory.mktemp("oxide"))


@needs_gpaw
def test_energy_and_gap_are_those_of_gpaw_asked_directly(oxide: Result) -> None:
    from ase.dft.bandgap import bandgap
    from gpaw import GPAW, PW

    atoms = bulk("MgO", "rocksalt", 4.25)
    atoms.calc = GPAW(
        mode=PW(400),
        xc="PBE",
        kpts={"density": 1.2, "gamma": True, "even": True},
        occupations={"name": "fermi-dirac", "width": 0.01},
        txt=None,
    )
    assert oxide.energy_ev == pytest.approx(atoms.get_potential_energy(), abs=2e-3)
    assert oxide.gap_ev == pytest.approx(bandgap(atoms.calc)[0], abs=2e-3)


@needs_gpaw
def test_magnesium_oxide_has_its_direct_gap_at_the_centre(oxide: Result) -> None:
    assert oxide.formula == "MgO"
    assert oxide.is_direct
    assert oxide.vbm_kpoint == oxide.cbm_kpoint == (0.0, 0.0, 0.0)
    assert 3.8 < oxide.gap_ev < 5.0  # PBE gaps in the literature are 4.3 to 4.8 eV; the cutoff here is low
    assert oxide.n_electrons == 16  # Mg with its 2s and 2p
    assert not oxide.spin_polarized
    assert oxide.software["gpaw"]
    assert oxide.software["data set Mg"] == setups.fingerprint("Mg")


@needs_gpaw
def test_occupied_states_count_the_electrons_and_the_gap_is_empty(oxide: Result) -> None:
    dos = oxide.dos
    assert dos is not None
    step = float(dos.energies_ev[1] - dos.energies_ev[0])
    occupied = dos.energies_ev < oxide.gap_ev / 2
    # the 2s and 2p of Mg lie lower than the grid begins
    assert dos.total[occupied].sum() * step == pytest.approx(oxide.n_electrons - 8, abs=0.05)
    inside = (dos.energies_ev > 1.0) & (dos.energies_ev < oxide.gap_ev - 1.0)
    assert dos.total[inside].max() < 1e-6
    top = (dos.energies_ev > -5.0) & (dos.energies_ev < 0.5)
    shares = {name: values[top].sum() for name, values in dos.projected.items()}
    assert max(shares, key=lambda name: shares[name]) == "p"


@needs_gpaw
def test_too_few_iterations_are_no_convergence(tmp_path: Path) -> None:
    with pytest.raises(CalculationError, match="within 2 iterations") as caught:
        gpaw.run(rocksalt(), replace(QUICK, max_iterations=2), tmp_path)
    assert caught.value.kind == "convergence"


@needs_gpaw
def test_an_element_without_data_set_is_refused_by_name(tmp_path: Path) -> None:
    oxide = rocksalt()
    with pytest.raises(CalculationError, match="no data set for Tc") as caught:
        gpaw.run(Crystal("TcO", oxide.lattice, ("Tc", "O"), oxide.frac), QUICK, tmp_path)
    assert caught.value.kind == "element"


def test_an_absent_gpaw_is_a_reason_not_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setups, "find_spec", lambda name: None)
    with pytest.raises(CalculationError, match="GPAW is not installed") as caught:
        gpaw.run(rocksalt(), QUICK, tmp_path)
    assert caught.value.kind == "unavailable"
