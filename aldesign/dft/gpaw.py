"""Calculations by GPAW in plane waves, in this process.

Mortensen et al., J. Chem. Phys. 160, 092503 (2024). The density is made self-consistent on a Γ-centred even mesh; the
gap is looked for there and, the density being kept, along the lines between special points of the Brillouin zone
(Setyawan and Curtarolo, Comput. Mater. Sci. 49, 299, 2010, as made by ASE).
"""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.chemistry.formula import canonical
from aldesign.dft import gllb, setups, spin
from aldesign.dft.bands import Bands, find_edges
from aldesign.dft.cells import atoms_of, primitive
from aldesign.dft.dos import density_of_states
from aldesign.dft.gap import Edges
from aldesign.dft.results import SHELLS, Result
from aldesign.dft.settings import Settings
from aldesign.errors import CalculationError
from aldesign.records import Crystal

NAME = "gpaw"
_FUNCTIONAL = {"PBE": "PBE", "GLLB-SC": "GLLBSC"}
_EMPTY_BANDS = 4  # besides one for each site


def missing() -> str | None:
    """Return what GPAW lacks to run, or None."""
    return setups.missing()


def lacking(symbols: list[str]) -> list[str]:
    """Return the elements without a PAW data set."""
    return setups.lacking(symbols)


def data_sets(symbols: list[str], settings: Settings) -> dict[str, str]:
    """Return the fingerprint of each element's PAW data set that is at hand, named as in `Result.software`."""
    found = {symbol: setups.fingerprint(symbol, _FUNCTIONAL[settings.level]) for symbol in symbols}
    return {f"data set {symbol}": text for symbol, text in found.items() if text is not None}


def run(crystal: Crystal, settings: Settings, folder: Path) -> Result:
    """Compute energy, gap and density of states of a crystal.

    Args:
        crystal: Any cell of it; its primitive one is computed.
        settings: What is to be computed, and how well.
        folder: Where GPAW writes its log, ``gpaw.txt`` and ``bands.txt``.

    Raises:
        CalculationError: GPAW or a data set is missing, the crystal is impossible, or there was no convergence.
    """
    began = time.perf_counter()
    if lack := missing():
        raise CalculationError("unavailable", lack)
    if without := (lacking if settings.level == "PBE" else gllb.lacking)(list(crystal.species)):
        raise CalculationError(
            "element",
            f"{crystal.id}: GPAW has no data set for {', '.join(without)} at {settings.level}",
            "leave out what holds it (campaigns: space.exclude), or add a data set's folder to GPAW_SETUP_PATH",
        )
    cell = primitive(crystal)
    moments = spin.starting_moments(cell, settings.spin)
    calc, energy_ev = _converged(cell, settings, moments, folder)
    mesh = _mesh(calc)
    found, extra, notes = _edges(calc, mesh, cell, settings, folder)
    origin = calc.get_fermi_level() if found.vbm_ev is None else found.vbm_ev
    moment = 0.0 if moments is None else float(calc.get_magnetic_moment())
    return Result(
        formula=canonical("".join(cell.species)),
        crystal=cell,
        settings=settings,
        gap_ev=found.gap_ev,
        direct_gap_ev=found.direct_gap_ev,
        vbm_kpoint=found.vbm_kpoint,
        cbm_kpoint=found.cbm_kpoint,
        energy_ev=energy_ev,
        magnetization=moment,
        spin_polarized=moments is not None,
        n_electrons=float(calc.get_number_of_electrons()),
        n_kpoints=len(calc.get_ibz_k_points()),
        iterations=int(calc.get_number_of_iterations()),
        dos=density_of_states(mesh, origin),
        seconds=round(time.perf_counter() - began, 3),
        peak_gib=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 3),
        software=software(calc),
        extra=extra,
        notes=(*notes, *spin.notes(moments, moment)),
    )


def software(calc: Any) -> dict[str, str]:
    """Return the versions of GPAW, ASE and libxc, and the fingerprint of each element's data set."""
    import ase
    import gpaw

    found = {"gpaw": gpaw.__version__, "ase": ase.__version__}
    version = getattr(gpaw, "get_libxc_version", None)
    if version is not None:
        found["libxc"] = str(version())
    for setup in calc.setups:
        found[f"data set {setup.symbol}"] = str(setup.fingerprint)
    return found


def _converged(cell: Crystal, settings: Settings, moments: np.ndarray | None, folder: Path) -> tuple[Any, float]:
    """Return GPAW's calculator after self-consistency, and the energy at zero smearing in eV."""
    from gpaw import GPAW, PW, KohnShamConvergenceError

    atoms = atoms_of(cell)
    if moments is not None:
        atoms.set_initial_magnetic_moments(moments)
    atoms.calc = calc = GPAW(
        mode=PW(settings.cutoff_ev),
        xc=_FUNCTIONAL[settings.level],
        kpts={"density": settings.kpoint_density, "gamma": True, "even": True},
        occupations={"name": "fermi-dirac", "width": settings.smearing_ev},
        spinpol=moments is not None,
        nbands=-(_EMPTY_BANDS + len(cell)),  # GPAW's own number leaves a noble gas without an empty band
        maxiter=settings.max_iterations,
        convergence={
            "energy": settings.energy_ev,
            "density": settings.density,
            "eigenstates": settings.eigenstates_ev2,
        },
        txt=str(folder / "gpaw.txt"),
    )
    try:
        return calc, float(atoms.get_potential_energy())
    except KohnShamConvergenceError:
        raise CalculationError(
            "convergence",
            f"{cell.id}: no self-consistency within {settings.max_iterations} iterations",
            "allow more (max_iterations), or a larger smearing_ev",
        ) from None


def _edges(
    calc: Any, mesh: Bands, cell: Crystal, settings: Settings, folder: Path
) -> tuple[Edges, dict[str, float], tuple[str, ...]]:
    """Return the edges of the bands, the parts of a gap that is a sum, and notes."""

    def at(kpoints: np.ndarray, count: int) -> np.ndarray:
        log = folder / ("edges.txt" if (folder / "bands.txt").exists() else "bands.txt")
        return _bands(calc, kpoints, count, settings, log)

    search = find_edges(mesh, calc.get_number_of_electrons(), cell, settings.band_density, at)
    if settings.level != "GLLB-SC" or search.occupied is None:
        return search.edges, {}, search.notes
    found, parts = gllb.with_discontinuity(
        search.edges, calc, search.energies_ev, search.kpoints, search.occupied, folder
    )
    return found, parts, search.notes


def _bands(calc: Any, kpoints: np.ndarray, count: int, settings: Settings, log: Path) -> np.ndarray:
    """Return the lowest `count` bands at k-points in the potential of `calc`, (spins, k-points, count), in eV."""
    bands = calc.fixed_density(
        kpts=kpoints,
        symmetry="off",
        convergence={"bands": count, "eigenstates": settings.eigenstates_ev2},
        txt=str(log),
    )
    return _eigenvalues(bands)[:, :, :count]


def _mesh(calc: Any) -> Bands:
    """Return the bands of the self-consistent mesh."""
    points, weights = np.asarray(calc.get_ibz_k_points()), np.asarray(calc.get_k_point_weights())
    return Bands(_eigenvalues(calc), points, weights, calc.get_fermi_level(), _shell_weights(calc))


def _eigenvalues(calc: Any) -> np.ndarray:
    """Return the eigenvalues, shape (spins, k-points, bands), in eV."""
    points = range(len(calc.get_ibz_k_points()))
    spins = range(calc.get_number_of_spins())
    return np.sort(np.array([[calc.get_eigenvalues(kpt=k, spin=s) for k in points] for s in spins]), axis=2)


def _shell_weights(calc: Any) -> dict[str, np.ndarray]:
    """Return how much of each state is ``s``, ``p``, ``d`` and ``f``, shape (spins, k-points, bands) each.

    A state's weight in a shell is its squared projection onto the bound partial waves of that angular momentum, all
    atoms together. These waves reach beyond the atoms' spheres and overlap: where a state's weights add up to more
    than 1 they are divided by their sum, so that shells never hold more states than there are.

    Args:
        calc: GPAW's calculator after self-consistency.
    """
    waves = calc.dos(shift_fermi_level=False).wfs
    spins, points = calc.get_number_of_spins(), len(calc.get_ibz_k_points())
    found = {name: np.zeros((spins, points, calc.get_number_of_bands())) for name in SHELLS}
    for site, setup in enumerate(calc.setups):
        first = 0
        for number, momentum in zip(setup.n_j, setup.l_j, strict=True):
            size = 2 * momentum + 1
            if number >= 0:  # bound; GPAW numbers the others -1
                weights = waves.pdos_weights(site, list(range(first, first + size)))  # k-points, bands, spins
                found[SHELLS[momentum]] += np.moveaxis(weights, 2, 0)
            first += size
    total = np.maximum(sum(found.values()), 1.0)
    return {name: weights / total for name, weights in found.items()}
