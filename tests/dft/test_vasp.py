"""VASP: inputs read back by pymatgen, a real vasprun.xml that ASE carries, and whole runs by a stand-in.

VASP itself needs a licence and is not run here.
"""

from __future__ import annotations

import gzip
import stat
import sys
from pathlib import Path

import ase
import numpy as np
import pytest
from cosine_bands import DIRECT_GAP, GAP
from pymatgen.core import SETTINGS
from pymatgen.io.vasp.inputs import Incar, Kpoints, Poscar
from pymatgen.io.vasp.outputs import Vasprun
from pymatgen.io.vasp.sets import MPStaticSet

from aldesign.dft import potcars, vasp
from aldesign.dft.codes import code, faults
from aldesign.dft.settings import Settings
from aldesign.dft.vasprun import read_output
from aldesign.errors import CalculationError
from aldesign.records import Crystal
from aldesign.structures.cif import to_pymatgen

REAL = Path(ase.__file__).parent / "test" / "testdata" / "vasp" / "vasprun_dfpt.xml"  # NaCl, by VASP 6.3.2
needs_real = pytest.mark.skipif(not REAL.is_file(), reason="this ASE does not carry its tests' data")
NACL = Crystal("NaCl", (3.857,) * 3 + (60.0,) * 3, ("Na", "Cl"), np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]))
FEO = Crystal("FeO", (3.05,) * 3 + (60.0,) * 3, ("Fe", "O"), np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]]))
QUICK = Settings.of("fast", code="vasp")


def potcar(root: Path, label: str, valence: float, packed: bool = False) -> None:
    folder = root / "POT_GGA_PAW_PBE_54"
    folder.mkdir(exist_ok=True)
    title = f"PAW_PBE {label} 01Jan2000"
    text = f"  {title}\n   TITEL  = {title}\n   POMASS = 1.0; ZVAL   =  {valence:.3f}\n"
    if packed:
        (folder / f"POTCAR.{label}.gz").write_bytes(gzip.compress(text.encode()))
    else:
        (folder / label).mkdir()
        (folder / label / "POTCAR").write_text(text)


@pytest.fixture
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*vasp.COMMANDS, "PMG_VASP_PSP_DIR", "VASP_PP_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(SETTINGS, "PMG_VASP_PSP_DIR", None)


@pytest.fixture
def pretended(bare: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Let the command be a program that answers with `cosine_bands`."""

    def make(mode: str = "well") -> Path:
        program = tmp_path / "vasp_std"
        script = Path(__file__).with_name("pretended_vasp.py")
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" "{REAL}" {mode}\n')
        program.chmod(stat.S_IRWXU)
        monkeypatch.setenv("ASE_VASP_COMMAND", str(program))
        monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path))
        potcar(tmp_path, "Na_pv", 1.0)
        potcar(tmp_path, "Cl", 7.0, packed=True)
        return tmp_path

    return make


def test_what_is_missing_is_named_with_its_variable(bare: None, tmp_path: Path, monkeypatch) -> None:
    assert "ASE_VASP_COMMAND" in str(vasp.missing())
    monkeypatch.setenv("ASE_VASP_COMMAND", "no_such_program -x")
    assert "'no_such_program -x' names a program that was not found" in str(vasp.missing())
    for line in ("OMP_NUM_THREADS=1 vasp_std", "ulimit -s unlimited; vasp_std", f"{sys.executable} 'vasp.py"):
        monkeypatch.setenv("ASE_VASP_COMMAND", line)
        assert "PMG_VASP_PSP_DIR" in str(vasp.missing())  # what a shell makes of it is not guessed
    monkeypatch.setenv("ASE_VASP_COMMAND", f"{sys.executable} vasp.py")
    assert "PMG_VASP_PSP_DIR" in str(vasp.missing())
    assert "VASP_PP_PATH" in str(vasp.missing())
    with pytest.raises(CalculationError, match="PMG_VASP_PSP_DIR") as told:
        code("vasp").run(NACL, QUICK, tmp_path)
    assert told.value.kind == "unavailable"
    potcar(tmp_path, "Na_pv", 7.0)
    monkeypatch.setenv("PMG_VASP_PSP_DIR", str(tmp_path))
    assert vasp.missing() is None
    assert vasp.lacking(["Na", "Cl", "Br"]) == ["Br", "Cl"]


def test_data_sets_are_found_where_ase_looks_for_them(bare: None, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "potpaw_PBE" / "Fe_pv").mkdir(parents=True)
    (tmp_path / "potpaw_PBE" / "Fe_pv" / "POTCAR").write_text("TITEL = PAW_PBE Fe_pv\nZVAL = 14.0 mass")
    monkeypatch.setenv("VASP_PP_PATH", str(tmp_path))
    assert potcars.folder() == tmp_path / "potpaw_PBE"
    (found,) = potcars.read(["Fe"])
    assert (found.title, found.valence, found.text[-1]) == ("PAW_PBE Fe_pv", 14.0, "\n")
    (tmp_path / "potpaw_PBE" / "Fe_pv" / "POTCAR").write_text("<html>")
    with pytest.raises(ValueError, match="TITEL"):
        potcars.read(["Fe"])


def test_labels_are_those_of_the_materials_project() -> None:
    cell = vasp.grouped(FEO)
    assert [potcars.label(symbol) for symbol in ("Fe", "O")] == MPStaticSet(to_pymatgen(cell)).potcar_symbols
    assert (potcars.label("Mg"), potcars.label("Si"), potcars.label("W")) == ("Mg_pv", "Si", "W_sv")


def test_inputs_say_what_the_settings_say(tmp_path: Path) -> None:
    settings = Settings.of("production", code="vasp", max_iterations=33, smearing_ev=0.02)
    vasp.write_inputs(FEO, settings, np.array([4.0, 0.0]), 14.0, (6, 6, 6), tmp_path)
    incar = Incar.from_file(tmp_path / "INCAR")
    wanted = {"ENCUT": 600, "NELM": 33, "ISMEAR": -1, "SIGMA": 0.02, "ISPIN": 2, "NSW": 0, "LORBIT": 11, "LMAXMIX": 4}
    assert {key: incar[key] for key in wanted} == wanted
    assert incar["MAGMOM"] == [4.0, 0.0]
    assert incar["EDIFF"] == pytest.approx(0.1 * 1e-6 * 14)
    assert incar["NBANDS"] >= 9 + 4
    assert not incar["LDAU"]
    assert "LDAUU" not in incar
    assert incar["LASPH"]  # what the set decides and the settings do not
    mesh = Kpoints.from_file(tmp_path / "KPOINTS")
    assert mesh.style == Kpoints.supported_modes.Gamma
    assert mesh.kpts == [(6, 6, 6)]
    structure = Poscar.from_file(tmp_path / "POSCAR").structure
    assert structure.composition.reduced_formula == "FeO"
    assert structure.volume == pytest.approx(to_pymatgen(FEO).volume, rel=1e-9)


def test_inputs_of_the_lines_keep_the_density(tmp_path: Path) -> None:
    points = np.array([[0.0, 0.0, 0.0], [0.25, 0.0, 0.25], [1 / 3, 1 / 3, 1 / 3]])
    vasp.write_inputs(FEO, QUICK, None, 14.0, points, tmp_path)
    incar = Incar.from_file(tmp_path / "INCAR")
    wanted = {"ICHARG": 11, "ISPIN": 1, "ISMEAR": -1, "ENCUT": QUICK.cutoff_ev, "SIGMA": QUICK.smearing_ev}
    assert {key: incar[key] for key in wanted} == wanted
    assert "MAGMOM" not in incar
    lines = Kpoints.from_file(tmp_path / "KPOINTS")
    assert lines.style == Kpoints.supported_modes.Reciprocal
    assert np.array(lines.kpts) == pytest.approx(points, abs=1e-6)


def test_sites_of_an_element_stand_together() -> None:
    cell = Crystal("x", (4.0,) * 3 + (90.0,) * 3, ("O", "Ti", "O"), np.array([[0.1] * 3, [0.2] * 3, [0.3] * 3]))
    ordered = vasp.grouped(cell)
    assert ordered.species == ("O", "O", "Ti")
    assert ordered.frac[:, 0] == pytest.approx([0.1, 0.3, 0.2])


@needs_real
@pytest.mark.filterwarnings("ignore")
def test_a_real_output_is_read_as_pymatgen_reads_it() -> None:
    output = read_output(REAL)
    reference = Vasprun(REAL, parse_potcar_file=False)
    gap, conduction, valence, _ = reference.eigenvalue_band_properties
    energies = output.bands.energies_ev
    assert energies.shape[:2] == (1, 4)
    assert energies[:, :, 3].max() == pytest.approx(valence)
    assert energies[:, :, 4].min() - energies[:, :, 3].max() == pytest.approx(gap)
    assert energies[:, :, 4].min() == pytest.approx(conduction)
    assert output.energy_ev == pytest.approx(float(reference.final_energy))
    assert (output.n_electrons, output.version, output.converged) == (8.0, "6.3.2", True)
    assert output.bands.weights.sum() == pytest.approx(1.0)


@needs_real
def test_a_whole_run_finds_the_gap_of_the_bands(pretended) -> None:
    folder = pretended()
    result = code("vasp").run(NACL, QUICK, folder)
    assert (result.gap_ev, result.direct_gap_ev) == pytest.approx((GAP, DIRECT_GAP), abs=1e-6)
    assert np.abs(result.vbm_kpoint) == pytest.approx((0, 0, 0))
    assert np.abs(result.cbm_kpoint) == pytest.approx((0.5, 0.5, 0.5))
    assert result.energy_ev == pytest.approx(-6.74587304)
    assert (result.n_electrons, result.iterations, result.magnetization) == (8.0, 13, 0.0)
    assert result.software["vasp"] == "6.3.2"
    assert result.software["data set Cl"] == "PAW_PBE Cl 01Jan2000"
    assert (folder / "static" / "POTCAR").read_text().count("TITEL") == 2
    assert result.dos is not None
    filled = result.dos.energies_ev <= GAP / 2
    assert np.trapezoid(result.dos.total[filled], result.dos.energies_ev[filled]) == pytest.approx(8.0, abs=1e-3)
    assert result.dos.projected["s"] == pytest.approx(0.8 * result.dos.total)  # two atoms
    assert result.dos.projected["p"] == pytest.approx(0.6 * result.dos.total)
    assert result.dos.projected["d"] == pytest.approx(0.2 * result.dos.total)
    assert not faults(result)


@needs_real
def test_both_spins_are_read(pretended) -> None:
    result = code("vasp").run(NACL, Settings.of("fast", code="vasp", spin="collinear"), pretended())
    assert result.spin_polarized
    assert result.gap_ev == pytest.approx(GAP, abs=1e-6)
    assert result.magnetization == pytest.approx(0.0)


@needs_real
def test_a_metal_has_no_gap_and_asks_for_no_lines(pretended) -> None:
    folder = pretended("metal")
    assert code("vasp").run(NACL, QUICK, folder).gap_ev == 0.0
    assert not list(folder.glob("lines-*"))


@needs_real
@pytest.mark.parametrize(
    ("mode", "kind", "said"),
    [("stuck", "convergence", "within 80 iterations"), ("broken", "crash", "status 1.*VERY BAD NEWS.*IBZKPT")],
)
def test_a_run_that_fails_has_its_reason(pretended, mode: str, kind: str, said: str) -> None:
    with pytest.raises(CalculationError, match=said) as told:
        code("vasp").run(NACL, QUICK, pretended(mode))
    assert told.value.kind == kind


def test_an_element_without_a_data_set_is_named(pretended) -> None:
    with pytest.raises(CalculationError, match=r"no POTCAR for Fe, O.*add Fe_pv, O") as told:
        code("vasp").run(FEO, QUICK, pretended())
    assert told.value.kind == "element"


@needs_real
def test_a_file_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vasprun.xml"
    with pytest.raises(ValueError, match=r"there is no vasprun\.xml"):
        read_output(path)
    whole = REAL.read_text(encoding="latin-1")
    for share in (0.1, 0.5, 0.9):
        path.write_text(whole[: int(share * len(whole))], encoding="latin-1")
        with pytest.raises(ValueError, match=r"vasprun\.xml"):
            read_output(path)
