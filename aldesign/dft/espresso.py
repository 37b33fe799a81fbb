"""Calculations by Quantum ESPRESSO through ASE.

Giannozzi et al., J. Phys.: Condens. Matter 29, 465901 (2017). pw.x makes the density self-consistent on a Γ-centred
even mesh, projwfc.x projects the states onto the atoms' orbitals, and where the mesh has a gap pw.x looks at the
lines between special points, the density being kept. The density of states by angular momentum is Löwdin's, so that
s, p and d nearly make up the whole of the occupied states.
"""

from __future__ import annotations

import os
import resource
import shlex
import shutil
import subprocess
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.chemistry.formula import canonical
from aldesign.dft.bands import find_edges, mesh, number_of_bands
from aldesign.dft.cells import SYMPREC, atoms_of, primitive
from aldesign.dft.dos import density_of_states
from aldesign.dft.espresso_files import Output, error_of, read_output, read_projections
from aldesign.dft.pseudopotentials import RYDBERG_EV, Pseudopotential, library
from aldesign.dft.results import Dos, Result
from aldesign.dft.settings import Settings
from aldesign.dft.spin import starting_moments
from aldesign.errors import CalculationError
from aldesign.records import Crystal

DENSITY_FACTOR = 8  # cutoff of the density over that of the waves: enough for ultrasoft and PAW
_DEBIAN = Path("/usr/share/espresso/pseudo")
_PREFIX = "crystal"
_INSTALL = (
    "on Debian: `apt-get install quantum-espresso quantum-espresso-data`; elsewhere say where pw.x is in ASE's "
    "configuration (~/.config/ase/config.ini: section [espresso] with command and pseudo_dir)"
)
_UPF = (
    "put a UPF file for PBE for each element, named like Si.upf, into one folder (SSSP and PseudoDojo have them for "
    "nearly all), and name it in the environment variable ESPRESSO_PSEUDO or as pseudo_dir in ASE's configuration"
)


def missing() -> str | None:
    """Return what Quantum ESPRESSO lacks to run and how to get it, or None."""
    command = _command()
    for program in (command[0], *(word for word in command if Path(word).name == "pw.x")):
        if shutil.which(program) is None:
            return f"the program {program} was not found, by which Quantum ESPRESSO is run; {_INSTALL}"
    if not library(_folder()):
        return f"no PBE pseudopotential was found in {_folder()}; {_UPF}"
    return None


def lacking(symbols: Iterable[str]) -> list[str]:
    """Return the elements among `symbols` without a PBE pseudopotential, in alphabetical order."""
    return sorted(set(symbols) - library(_folder()).keys())


def data_sets(symbols: Iterable[str], _: Settings) -> dict[str, str]:
    """Return name and digest of each element's pseudopotential that is at hand, named as in `Result.software`."""
    files = library(_folder())
    return {f"data set {s}": f"{files[s].path.name} {files[s].digest}" for s in symbols if s in files}


def run(crystal: Crystal, settings: Settings, folder: Path) -> Result:
    """Compute energy, gap and density of states of a crystal.

    Args:
        crystal: Any cell of it; its primitive one is computed.
        settings: What is to be computed, and how well. ``density`` decides when the density is self-consistent: the
            error of the energy goes with its square.
        folder: Where inputs and outputs are written.

    Raises:
        CalculationError: A program or a pseudopotential is missing, the crystal is impossible, or pw.x failed.

    """
    began = time.perf_counter()
    if lack := missing():
        raise CalculationError("unavailable", lack)
    if without := lacking(crystal.species):
        raise CalculationError(
            "element",
            f"{crystal.id}: no PBE pseudopotential for {', '.join(without)} in {_folder()}",
            f"leave out what holds it (campaigns: space.exclude), or {_UPF}",
        )
    cell = primitive(crystal)
    files = {symbol: library(_folder())[symbol] for symbol in sorted(set(cell.species))}
    moments = starting_moments(cell, settings.spin)
    output = _pw(cell, settings, moments, files, folder, "scf", mesh(cell, settings.kpoint_density))
    notes = _notes(settings, files)
    projected, note = _projected(output, folder)
    search = find_edges(
        output.bands,
        output.n_electrons,
        cell,
        settings.band_density,
        lambda points, _: _pw(cell, settings, moments, files, folder, "bands", _listed(points)).bands.energies_ev,
    )
    found = search.edges
    origin = output.bands.fermi_ev if found.vbm_ev is None else found.vbm_ev
    dos: Dos = density_of_states(replace(output.bands, projected=projected), origin)
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
        dos=dos,
        seconds=round(time.perf_counter() - began, 3),
        peak_gib=round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20, 3),
        software=_software(output) | data_sets(files, settings),
        notes=(*notes, *note, *search.notes),
    )


def _pw(
    cell: Crystal,
    settings: Settings,
    moments: np.ndarray | None,
    files: Mapping[str, Pseudopotential],
    folder: Path,
    task: str,
    kpoints: Any,
) -> Output:
    """Run pw.x for ``scf`` or ``bands`` and return what it found."""
    from ase.calculators.espresso import Espresso, EspressoProfile

    atoms = _oriented(cell)
    electrons = sum(files[symbol].valence for symbol in cell.species)
    system = {
        "ecutwfc": settings.cutoff_ev / RYDBERG_EV,
        "ecutrho": DENSITY_FACTOR * settings.cutoff_ev / RYDBERG_EV,
        "occupations": "smearing",
        "smearing": "fermi-dirac",
        "degauss": settings.smearing_ev / RYDBERG_EV,
        "nbnd": number_of_bands(electrons, 0.0 if moments is None else float(np.abs(moments).sum())),
        "nspin": 1 if moments is None else 2,
    }
    if moments is not None:  # pw.x wants the share of the valence electrons
        atoms.set_initial_magnetic_moments([m / files[s].valence for m, s in zip(moments, cell.species, strict=True)])
    accuracy = 0.1 * settings.density**2 * electrons  # eV
    control = {"calculation": task, "prefix": _PREFIX, "outdir": "./", "verbosity": "high", "disk_io": "low"}
    calc = Espresso(
        profile=EspressoProfile(shlex.join(_command()), _folder()),
        directory=folder,
        pseudopotentials={symbol: file.path.name for symbol, file in files.items()},
        kpts=kpoints,
        crystal_coordinates=True,
        input_data={
            "control": control,
            "system": system,
            "electrons": {
                "conv_thr": accuracy / RYDBERG_EV,
                "electron_maxstep": settings.max_iterations,
                "diago_full_acc": True,
            },
        },
    )
    calc.template.inputname, calc.template.outputname = f"{task}.pwi", f"{task}.pwo"
    calc.template.errorname = f"{task}.err"
    schema = folder / f"{_PREFIX}.save" / "data-file-schema.xml"
    if task == "scf":
        schema.unlink(missing_ok=True)
    calc.write_inputfiles(atoms, ["energy"])
    return _answer(calc, schema, task, cell.id, settings)


def _listed(points: np.ndarray) -> np.ndarray:
    """Return k-points with equal weights, as ASE wants them."""
    return np.column_stack([points, np.full(len(points), 1 / len(points))])


def _oriented(cell: Crystal) -> Any:
    """Return the cell as ASE's Atoms along the axes on which pw.x looks for rotations; it finds no others."""
    import spglib

    atoms = atoms_of(cell)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        found = spglib.get_symmetry_dataset((atoms.cell.array, cell.frac, atoms.numbers), symprec=SYMPREC)
    if found is not None:
        atoms.set_cell(atoms.cell.array @ found.std_rotation_matrix.T, scale_atoms=True)
    return atoms


def _answer(calc: Any, schema: Path, task: str, name: str, settings: Settings) -> Output:
    """Run pw.x on the inputs that are written, and read what it leaves behind."""
    folder, failed = Path(calc.directory), ""
    try:
        calc.template.execute(folder, calc.profile)
    except subprocess.CalledProcessError as error:
        failed = f"pw.x ended with status {error.returncode}"
    written = folder / f"{task}.pwo"
    text = written.read_text(errors="replace") if written.is_file() else ""
    stuck = CalculationError(
        "convergence",
        f"{name}: no self-consistency within {settings.max_iterations} iterations",
        "allow more (max_iterations), or a larger smearing_ev",
    )
    if "convergence NOT achieved" in text:
        raise stuck
    if said := error_of(text):
        kind = "convergence" if "not converged" in said or "S matrix not positive" in said else "crash"
        raise CalculationError(kind, f"{name}: pw.x, {task}: {said}", f"its output is {written}")
    if failed:
        complaint = (folder / f"{task}.err").read_text(errors="replace").strip()[-500:]
        raise CalculationError("crash", f"{name}: {failed}, {task}: {complaint}", f"its output is {written}")
    try:
        output = read_output(schema, task)
    except ValueError as error:
        raise CalculationError("crash", f"{name}: pw.x, {task}: {error}", f"its output is {written}") from error
    if task == "scf" and not output.converged:
        raise stuck
    return output


def _projected(output: Output, folder: Path) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """Return the projections by projwfc.x, or none and a note of why."""
    command = _command("projwfc.x")
    (folder / "projwfc.in").write_text(f"&projwfc\n prefix='{_PREFIX}'\n outdir='./'\n filproj='{_PREFIX}'\n/\n")
    if shutil.which(command[0]) is None:
        return {}, ("projwfc.x was not found: the density of states is not told by angular momentum",)
    with (folder / "projwfc.out").open("wb") as out:
        done = subprocess.run(  # noqa: S603  the user's own program
            [*command, "-in", "projwfc.in"], cwd=folder, stdout=out, stderr=subprocess.STDOUT, check=False
        )
    said = error_of((folder / "projwfc.out").read_text(errors="replace"))
    if done.returncode or said:
        reason = said or f"status {done.returncode}"
        return {}, (f"projwfc.x failed ({reason}): the density of states is not told by angular momentum",)
    try:
        return read_projections(folder, _PREFIX, output.bands.energies_ev.shape), ()
    except ValueError as error:
        return {}, (f"{error}: the density of states is not told by angular momentum",)


def _notes(settings: Settings, files: Mapping[str, Pseudopotential]) -> tuple[str, ...]:
    """Return where the cutoffs are below what a pseudopotential asks for; they are kept, for energies to compare."""
    return tuple(
        f"{name} asks for a cutoff of {wanted:.0f} eV for the {what}, and got {given:.0f}"
        for file in files.values()
        for name, what, wanted, given in (
            (file.path.name, "waves", file.wave_cutoff_ev, settings.cutoff_ev),
            (file.path.name, "density", file.density_cutoff_ev, DENSITY_FACTOR * settings.cutoff_ev),
        )
        if wanted > given + 1
    )


def _software(output: Output) -> dict[str, str]:
    import ase

    return {"espresso": output.version, "ase": ase.__version__}


def _section() -> Mapping[str, str]:
    from ase.config import cfg

    return cfg.parser["espresso"] if cfg.parser.has_section("espresso") else {}


def _command(program: str = "pw.x") -> list[str]:
    """Return the command of a program, as ASE is configured for pw.x."""
    words = shlex.split(_section().get("command", "pw.x"))
    return [str(Path(word).with_name(program)) if Path(word).name == "pw.x" else word for word in words]


def _folder() -> Path:
    """Return the folder of the pseudopotentials."""
    named = os.environ.get("ESPRESSO_PSEUDO") or _section().get("pseudo_dir")
    return Path(named) if named else _DEBIAN
