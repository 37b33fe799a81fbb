"""Quantum ESPRESSO: its files, what is missing, and whole runs, by pw.x where it is installed and by a stand-in."""

from __future__ import annotations

import shutil
import stat
import sys
from pathlib import Path

import numpy as np
import pytest
from cosine_bands import DIRECT_GAP, GAP

from aldesign.dft import espresso
from aldesign.dft.codes import code, faults
from aldesign.dft.espresso_files import error_of, read_output
from aldesign.dft.pseudopotentials import RYDBERG_EV, library, read_header
from aldesign.dft.settings import Settings
from aldesign.errors import CalculationError
from aldesign.records import Crystal

SI = Crystal("Si", (5.431,) * 3 + (90.0,) * 3, ("Si",) * 8, np.empty((8, 3)))
SI.frac[:] = [[0, 0, 0], [0, 2, 2], [2, 0, 2], [2, 2, 0], [1, 1, 1], [1, 3, 3], [3, 1, 3], [3, 3, 1]]
SI.frac[:] /= 4
QUICK = {"cutoff_ev": 300.0, "kpoint_density": 1.5, "band_density": 2.0}
HEADER = (
    '<UPF version="2.0.1">\n<PP_INFO>notes</PP_INFO>\n<PP_HEADER\n generated="by \'hand\'"\n element="{element}"\n'
    ' pseudo_type="{kind}"\n relativistic="{relativistic}"\n functional="{functional}"\n z_valence="4.000E+000"\n'
    ' wfc_cutoff="{cutoff}"\n rho_cutoff="160.0"/>\n<PP_MESH>\n'
)
FIRST = """<PP_INFO>
</PP_INFO>
<PP_HEADER>
   0                   Version Number
  Rh                   Element
   US                  Ultrasoft pseudopotential
    F                  Nonlinear Core Correction
 SLA  PW   PBE  PBE     PBE  Exchange-Correlation functional
    9.00000000000      Z valence
  -47.43               Total energy
    30.0000000  200.0  Suggested cutoff for wfc and rho
</PP_HEADER>
"""


def upf(folder: Path, name: str, element: str = "Si", kind: str = "NC", **other: str) -> Path:
    path = folder / name
    values = {"relativistic": "scalar", "functional": "PBE", "cutoff": "40.0", **other}
    path.write_text(HEADER.format(element=element, kind=kind, **values))
    return path


@pytest.fixture
def pretended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put programs into the path that answer with `cosine_bands`."""

    def make(mode: str = "well", programs: tuple[str, ...] = ("pw.x", "projwfc.x")) -> Path:
        place = tmp_path / "bin"
        place.mkdir()
        for program in programs:
            script = Path(__file__).with_name("pretended_pw.py")
            (place / program).write_text(f'#!/bin/sh\nexec "{sys.executable}" "{script}" {mode} {program} "$@"\n')
            (place / program).chmod(stat.S_IRWXU)
        monkeypatch.setenv("PATH", f"{place}:/bin" if "projwfc.x" not in programs else f"{place}:/usr/bin:/bin")
        upf(tmp_path, "Si.upf")
        monkeypatch.setenv("ESPRESSO_PSEUDO", str(tmp_path))
        return tmp_path

    return make


def test_a_header_of_either_version_is_read(tmp_path: Path) -> None:
    second = read_header(upf(tmp_path, "Si.UPF", kind="USPP", functional=" SLA  PW   PBX  PBC "))
    assert second is not None
    assert (second.element, second.kind, second.functional, second.valence) == ("Si", "US", "PBE", 4.0)
    assert second.wave_cutoff_ev == pytest.approx(40 * RYDBERG_EV)
    (tmp_path / "Rh.UPF").write_text(FIRST)
    first = read_header(tmp_path / "Rh.UPF")
    assert first is not None
    assert (first.element, first.kind, first.functional, first.valence) == ("Rh", "US", "PBE", 9.0)
    assert first.density_cutoff_ev == pytest.approx(200 * RYDBERG_EV)


@pytest.mark.parametrize("text", ["", "<PP_HEADER", "<PP_HEADER>\n1\n", '<PP_HEADER element="Si"/>', "\0\1"])
def test_what_is_no_header_is_told_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "Si.upf"
    path.write_text(text)
    assert read_header(path) is None
    assert library(tmp_path) == {}


def test_the_library_takes_pbe_without_spin_orbit_and_the_best_kind(tmp_path: Path) -> None:
    upf(tmp_path, "Si.pbe-z.UPF", kind="NC")
    upf(tmp_path, "Si.pbe-a_1.0.0.UPF", kind="PAW")
    upf(tmp_path, "Si.pbe-a_0.1.UPF", kind="PAW")
    upf(tmp_path, "Si.pz.UPF", kind="PAW", functional="SLA PZ NOGX NOGC")
    upf(tmp_path, "Si.rel-pbe.UPF", kind="PAW", relativistic="full")
    upf(tmp_path, "Sihole.UPF", kind="PAW")  # an atom with a hole in its core
    upf(tmp_path, "Ge.UPF", element="Si")
    upf(tmp_path, "c_pbe.upf", element="C")
    found = library(tmp_path)
    assert {symbol: one.path.name for symbol, one in found.items()} == {
        "Si": "Si.pbe-a_1.0.0.UPF",
        "C": "c_pbe.upf",
    }
    assert library(tmp_path / "nowhere") == {}


def test_what_is_missing_is_named_with_the_way_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "apt-get install quantum-espresso" in str(espresso.missing())
    program = tmp_path / "pw.x"
    program.write_text("#!/bin/sh\n")
    program.chmod(stat.S_IRWXU)
    monkeypatch.setenv("ESPRESSO_PSEUDO", str(tmp_path))
    assert "ESPRESSO_PSEUDO" in str(espresso.missing())
    assert str(tmp_path) in str(espresso.missing())
    upf(tmp_path, "Si.upf")
    assert espresso.missing() is None
    assert espresso.lacking(["Tc", "Si", "Mg"]) == ["Mg", "Tc"]
    monkeypatch.setattr(espresso, "_section", lambda: {"command": f"{sys.executable} /no/such/pw.x"})
    assert "the program /no/such/pw.x was not found" in str(espresso.missing())


def test_the_command_of_ases_configuration_is_used_for_both_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(espresso, "_section", lambda: {"command": "mpirun -n 4 /opt/qe/pw.x -nk 2", "pseudo_dir": "/p"})
    monkeypatch.delenv("ESPRESSO_PSEUDO", raising=False)
    assert espresso._command() == ["mpirun", "-n", "4", "/opt/qe/pw.x", "-nk", "2"]
    assert espresso._command("projwfc.x")[3] == "/opt/qe/projwfc.x"
    assert espresso._folder() == Path("/p")


def test_an_element_without_pseudopotential_is_named(pretended, tmp_path: Path) -> None:
    pretended()
    crystal = Crystal("x", (4.0,) * 3 + (90.0,) * 3, ("Tc",), np.zeros((1, 3)))
    with pytest.raises(CalculationError, match="no PBE pseudopotential for Tc") as told:
        code("espresso").run(crystal, Settings.of("fast", code="espresso"), tmp_path)
    assert told.value.kind == "element"


def test_a_whole_run_finds_the_gap_of_the_bands(pretended) -> None:
    folder = pretended()
    settings = Settings.of("fast", code="espresso", **QUICK)
    result = code("espresso").run(SI, settings, folder)
    assert (result.gap_ev, result.direct_gap_ev) == pytest.approx((GAP, DIRECT_GAP), abs=1e-6)
    assert np.abs(result.vbm_kpoint) == pytest.approx((0, 0, 0))
    assert np.abs(result.cbm_kpoint) == pytest.approx((0.5, 0.5, 0.5))
    assert result.energy_ev == pytest.approx((-10.0 + 0.25) * 2 * RYDBERG_EV)  # halfway from F to F + TS
    assert (result.n_electrons, result.iterations, len(result.crystal), result.spin_polarized) == (8.0, 7, 2, False)
    assert result.software["espresso"] == "7.0"
    assert result.software["data set Si"].startswith("Si.upf ")
    assert result.notes == ("Si.upf asks for a cutoff of 544 eV for the waves, and got 300",)
    assert result.dos is not None
    filled = result.dos.energies_ev <= GAP / 2
    assert np.trapezoid(result.dos.total[filled], result.dos.energies_ev[filled]) == pytest.approx(8.0, abs=1e-3)
    assert result.dos.projected["p"] == pytest.approx(3 * result.dos.projected["s"])
    assert result.dos.projected["s"] == pytest.approx(0.2 * result.dos.total)
    assert not faults(result)


def test_both_spins_are_read_and_summed(pretended) -> None:
    folder = pretended()
    result = code("espresso").run(SI, Settings.of("fast", code="espresso", spin="collinear", **QUICK), folder)
    assert result.spin_polarized
    assert result.gap_ev == pytest.approx(GAP, abs=1e-6)
    assert result.dos is not None
    filled = result.dos.energies_ev <= GAP / 2
    assert np.trapezoid(result.dos.total[filled], result.dos.energies_ev[filled]) == pytest.approx(8.0, abs=1e-3)
    assert "starting_magnetization(1) = 0.25" in " ".join((folder / "scf.pwi").read_text().split())


def test_a_metal_has_no_gap_and_asks_for_no_lines(pretended) -> None:
    folder = pretended("metal")
    result = code("espresso").run(SI, Settings.of("fast", code="espresso", **QUICK), folder)
    assert (result.gap_ev, result.direct_gap_ev, result.vbm_kpoint) == (0.0, 0.0, None)
    assert not (folder / "bands.pwi").exists()


def test_without_projections_the_density_of_states_is_whole_alone(pretended) -> None:
    folder = pretended("no-projections")
    result = code("espresso").run(SI, Settings.of("fast", code="espresso", **QUICK), folder)
    assert result.dos is not None
    assert result.dos.projected == {}
    assert any("projwave (1): no orbitals" in note for note in result.notes)


@pytest.mark.parametrize(
    ("mode", "kind", "said"),
    [("stuck", "convergence", "within 80"), ("broken", "crash", "davcio \\(10\\): error while")],
)
def test_a_run_that_fails_has_its_reason(pretended, mode: str, kind: str, said: str) -> None:
    folder = pretended(mode)
    with pytest.raises(CalculationError, match=said) as told:
        code("espresso").run(SI, Settings.of("fast", code="espresso", **QUICK), folder)
    assert told.value.kind == kind


def test_a_program_that_leaves_nothing_behind_is_a_crash(pretended) -> None:
    folder = pretended()
    (folder / "bin" / "pw.x").write_text("#!/bin/sh\necho no licence >&2; exit 3\n")
    with pytest.raises(CalculationError, match="status 3, scf: no licence") as told:
        code("espresso").run(SI, Settings.of("fast", code="espresso", **QUICK), folder)
    assert told.value.kind == "crash"


def test_a_file_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data-file-schema.xml"
    for text, said in (("<a><output>", "cannot be read"), ("<a/>", "no band structure")):
        path.write_text(text)
        with pytest.raises(ValueError, match=said):
            read_output(path)


def test_the_first_error_is_told_on_one_line() -> None:
    bar = "%" * 60
    assert error_of(f"x\n {bar}\n     Error in routine  a (1):\n     b\n {bar}\n") == "a (1): b"
    assert error_of("JOB DONE.") == ""


@pytest.mark.skipif(
    shutil.which("pw.x") is None or not Path("/usr/share/espresso/pseudo").is_dir(),
    reason="needs pw.x and the pseudopotentials of Debian's quantum-espresso-data",
)
class TestRealProgram:
    """The program itself; the references are silicon's PBE gap and what the stand-in cannot know."""

    @pytest.fixture(autouse=True)
    def debian(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ESPRESSO_PSEUDO", "/usr/share/espresso/pseudo")
        monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def test_silicon_has_its_gap_in_pbe(self, tmp_path: Path) -> None:
        settings = Settings.of("fast", code="espresso", cutoff_ev=250.0, kpoint_density=1.5, band_density=3.0)
        result = code("espresso").run(SI, settings, tmp_path)
        assert 0.53 < result.gap_ev < 0.65  # 0.57 to 0.61 eV by PBE, as by the other codes
        assert 2.4 < result.direct_gap_ev < 2.7
        assert result.vbm_kpoint == (0, 0, 0)
        assert result.dos is not None
        filled = result.dos.energies_ev <= result.gap_ev / 2
        step = np.trapezoid(result.dos.total[filled], result.dos.energies_ev[filled])
        assert step == pytest.approx(8.0, abs=0.02)
        parts = {k: np.trapezoid(v[filled], result.dos.energies_ev[filled]) for k, v in result.dos.projected.items()}
        assert sum(parts.values()) == pytest.approx(8.0, abs=0.15)
        assert parts["p"] > 2 * parts["s"]
        assert result.n_kpoints == 8  # of the 64 of the mesh: the cell lies along the axes of its rotations
        assert result.software["data set Si"].startswith("Si.pbe-nl-rrkjus_psl.1.0.0.UPF ")
        assert not faults(result)

    def test_too_few_iterations_are_told(self, tmp_path: Path) -> None:
        with pytest.raises(CalculationError) as told:
            code("espresso").run(SI, Settings.of("fast", code="espresso", max_iterations=2, **QUICK), tmp_path)
        assert told.value.kind == "convergence"
