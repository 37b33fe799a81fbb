"""Calculations by VASP: inputs by pymatgen's input sets of the Materials Project, the command as ASE finds it.

Kresse and Furthmüller, Phys. Rev. B 54, 11169 (1996). The inputs have been read back, and outputs of VASP have been
read; VASP itself, which needs a licence, has never been run by the tests of this package.

What differs from `MPStaticSet`: no Hubbard U, so that the level is PBE for all elements, and cutoff, k-points,
occupations, spin and convergence from `Settings`.
"""

from __future__ import annotations

import re
import resource
import shlex
import shutil
import subprocess
import time
import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.chemistry.formula import canonical
from aldesign.dft import potcars
from aldesign.dft.bands import find_edges, mesh, number_of_bands
from aldesign.dft.cells import primitive
from aldesign.dft.dos import density_of_states
from aldesign.dft.results import Result
from aldesign.dft.settings import Settings
from aldesign.dft.spin import starting_moments
from aldesign.dft.vasprun import Output, read_output
from aldesign.errors import CalculationError
from aldesign.records import Crystal
from aldesign.structures.cif import to_pymatgen

COMMANDS = ("ASE_VASP_COMMAND", "VASP_COMMAND", "VASP_SCRIPT")
_PLAIN = re.compile(r"[\w\s./+-]+")  # whether the shell finds a program in any other line, the shell alone knows
_LEAST_EDIFF = 1e-8  # eV; below, rounding decides


def missing() -> str | None:
    """Return what VASP lacks to run and how to get it, or None."""
    command = _command()
    how = "VASP needs a licence (https://www.vasp.at) and is not installed by this package"
    if command is None:
        return f"no command for VASP is set; {how}: put it into {COMMANDS[0]}, as 'mpirun -n 4 vasp_std'"
    if _PLAIN.fullmatch(command) and shutil.which(shlex.split(command)[0]) is None:
        return f"the command {command!r} names a program that was not found; {how}: correct {COMMANDS[0]}"
    if potcars.folder() is None:
        return (
            f"no folder of POTCAR files was found; they come with VASP's licence: set PMG_VASP_PSP_DIR to the folder "
            f"that holds {potcars.PYMATGEN[0]} (`pmg config -p` of pymatgen makes it), or VASP_PP_PATH to the one that "
            f"holds {potcars.ASE[0]}"
        )
    return None


def lacking(symbols: Iterable[str]) -> list[str]:
    """Return the elements among `symbols` without a POTCAR, in alphabetical order."""
    return sorted(symbol for symbol in set(symbols) if potcars.path_of(symbol) is None)


def data_sets(symbols: Iterable[str], _: Settings) -> dict[str, str]:
    """Return the title of each element's POTCAR that is at hand and readable, named as in `Result.software`."""
    found = {}
    for symbol in symbols:
        with suppress(ValueError):
            found[f"data set {symbol}"] = potcars.read([symbol])[0].title
    return found


def run(crystal: Crystal, settings: Settings, folder: Path) -> Result:
    """Compute energy, gap and density of states of a crystal.

    Args:
        crystal: Any cell of it; its primitive one is computed.
        settings: What is to be computed, and how well.
        folder: Where the folders ``static`` and ``lines-1``, ``lines-2`` of VASP's files are made.

    Raises:
        CalculationError: VASP or a POTCAR is missing, the crystal is impossible, or VASP failed.

    """
    began = time.perf_counter()
    if lack := missing():
        raise CalculationError("unavailable", lack)
    if without := lacking(crystal.species):
        wanted = ", ".join(potcars.label(symbol) for symbol in without)
        raise CalculationError(
            "element",
            f"{crystal.id}: no POTCAR for {', '.join(without)} in {potcars.folder()}",
            f"add {wanted}, or leave out what holds it (campaigns: space.exclude)",
        )
    cell = grouped(primitive(crystal))
    elements = list(dict.fromkeys(cell.species))
    try:
        sets = dict(zip(elements, potcars.read(elements), strict=True))
    except ValueError as error:
        raise CalculationError("element", f"{cell.id}: {error}", "put the file right") from error
    moments = starting_moments(cell, settings.spin)
    electrons = sum(sets[symbol].valence for symbol in cell.species)
    text = "".join(sets[symbol].text for symbol in elements)

    def vasp(name: str, kpoints: Any) -> Output:
        write_inputs(cell, settings, moments, electrons, kpoints, folder / name)
        (folder / name / "POTCAR").write_text(text)
        if name != "static":
            shutil.copyfile(folder / "static" / "CHGCAR", folder / name / "CHGCAR")
        return _run(folder / name, cell.id, settings)

    def at(points: np.ndarray, _: int) -> np.ndarray:
        number = sum(1 for _ in folder.glob("lines-*")) + 1
        return vasp(f"lines-{number}", points).bands.energies_ev

    for old in folder.glob("lines-*"):
        shutil.rmtree(old)
    output = vasp("static", mesh(cell, settings.kpoint_density))
    search = find_edges(output.bands, output.n_electrons, cell, settings.band_density, at)
    found = search.edges
    return Result(
        formula=canonical("".join(cell.species)),
        crystal=cell,
        settings=settings,
        gap_ev=found.gap_ev,
        direct_gap_ev=found.direct_gap_ev,
        vbm_kpoint=found.vbm_kpoint,
        cbm_kpoint=found.cbm_kpoint,
        energy_ev=output.energy_ev,
        magnetization=0.0 if moments is None else output.magnetization,
        spin_polarized=moments is not None,
        n_electrons=output.n_electrons,
        n_kpoints=len(output.bands.kpoints),
        iterations=output.iterations,
        dos=density_of_states(output.bands, output.bands.fermi_ev if found.vbm_ev is None else found.vbm_ev),
        seconds=round(time.perf_counter() - began, 3),
        peak_gib=round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20, 3),
        software=_software(output) | data_sets(elements, settings),
        notes=search.notes,
    )


def grouped(cell: Crystal) -> Crystal:
    """Return the cell with the sites of each element next to one another, as a POSCAR has them."""
    order = sorted(range(len(cell)), key=lambda i: (cell.species.index(cell.species[i]), i))
    return replace(cell, species=tuple(cell.species[i] for i in order), frac=cell.frac[order])


def write_inputs(
    cell: Crystal,
    settings: Settings,
    moments: np.ndarray | None,
    electrons: float,
    kpoints: tuple[int, int, int] | np.ndarray,
    folder: Path,
) -> None:
    """Write INCAR, KPOINTS and POSCAR into a folder, which is made.

    Args:
        cell: With the sites of each element next to one another.
        settings: Cutoff, occupations, spin, convergence.
        moments: Starting moments in μB, (n,), or None for one spin.
        electrons: Valence electrons of the cell.
        kpoints: The divisions of a Γ-centred mesh, for self-consistency by `MPStaticSet`; or k-points in reciprocal
            vectors, (m, 3), for the bands in the potential of a CHGCAR by `MPNonSCFSet`.
        folder: Where to.

    """
    from pymatgen.io.vasp.inputs import Kpoints
    from pymatgen.io.vasp.sets import MPNonSCFSet, MPStaticSet

    structure = to_pymatgen(cell)
    if moments is not None:
        structure.add_site_property("magmom", [float(moment) for moment in moments])
    chosen = _incar(settings, structure, moments, electrons)
    with warnings.catch_warnings():  # that settings are overridden, and that the set's POTCARs are old: both are meant
        warnings.simplefilter("ignore")
        if isinstance(kpoints, tuple):
            points = Kpoints.gamma_automatic(kpoints)
            inputs: Any = MPStaticSet(
                structure, user_incar_settings=chosen, user_kpoints_settings=points, sort_structure=False
            )
        else:
            points = Kpoints(
                comment="lines between special points",
                style=Kpoints.supported_modes.Reciprocal,
                num_kpts=len(kpoints),
                kpts=[tuple(float(x) for x in point) for point in kpoints],
                kpts_weights=[1] * len(kpoints),
            )
            inputs = MPNonSCFSet(
                structure, user_incar_settings=chosen, user_kpoints_settings=points, sort_structure=False, mode="line"
            )
        folder.mkdir(parents=True, exist_ok=True)
        inputs.incar.write_file(str(folder / "INCAR"))
        inputs.kpoints.write_file(str(folder / "KPOINTS"))
        inputs.poscar.write_file(str(folder / "POSCAR"), significant_figures=12)


def _incar(settings: Settings, structure: Any, moments: np.ndarray | None, electrons: float) -> dict[str, Any]:
    """Return what `Settings` decides; the rest is left to the input sets."""
    blocks = {site.specie.block for site in structure}
    return {
        "ENCUT": settings.cutoff_ev,
        "GGA": "PE",
        "EDIFF": max(0.1 * settings.density**2 * electrons, _LEAST_EDIFF),  # the energy's error is of second order
        "EDIFF_PER_ATOM": None,
        "NELM": settings.max_iterations,
        "ISMEAR": -1,
        "SIGMA": settings.smearing_ev,
        "ISPIN": 1 if moments is None else 2,
        "NBANDS": number_of_bands(electrons, 0.0 if moments is None else float(np.abs(moments).sum())),
        "LDAU": False,
        "LORBIT": 11,
        "LMAXMIX": 6 if "f" in blocks else 4 if "d" in blocks else 2,
        "LREAL": False,
        "LWAVE": False,
    }


def _run(folder: Path, name: str, settings: Settings) -> Output:
    """Run the user's command in a folder and return what VASP found."""
    (folder / "vasprun.xml").unlink(missing_ok=True)
    with (folder / "vasp.out").open("wb") as out:
        done = subprocess.run(  # noqa: S602  the user's own line for the shell, as ASE runs it
            _command() or "", shell=True, cwd=folder, stdout=out, stderr=subprocess.STDOUT, check=False
        )
    where = f"look into {folder}"
    try:
        output = read_output(folder / "vasprun.xml")
    except ValueError as error:
        tail = (folder / "vasp.out").read_text(errors="replace").strip()[-500:]
        raise CalculationError(
            "crash", f"{name}: VASP ended with status {done.returncode}, {error}; its last words: {tail}", where
        ) from error
    if not output.converged:
        raise CalculationError(
            "convergence",
            f"{name}: no self-consistency within {settings.max_iterations} iterations",
            "allow more (max_iterations), or a larger smearing_ev",
        )
    if done.returncode:
        raise CalculationError("crash", f"{name}: VASP ended with status {done.returncode}", where)
    return output


def _software(output: Output) -> dict[str, str]:
    from importlib.metadata import version

    return {"vasp": output.version, "pymatgen": version("pymatgen")}


def _command() -> str | None:
    """Return the line for the shell that runs VASP, from ASE's variables or configuration, or None."""
    from ase.calculators.calculator import CalculatorSetupError
    from ase.calculators.vasp import Vasp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ASE would have the variable in its configuration file instead
        try:
            line = str(Vasp().make_command())
        except CalculatorSetupError:
            return None
    return line if line.strip() else None
