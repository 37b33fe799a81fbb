"""Relaxation and formation energy of crystals by CHGNet, a universal interatomic potential.

Deng et al., Nature Machine Intelligence 5, 1031 (2023); the weights come with the package `chgnet`.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aldesign.errors import StructureError
from aldesign.records import Crystal
from aldesign.structures.geometry import lattice_vectors, volume

if TYPE_CHECKING:
    from ase import Atoms

MODEL = "0.3.0"
_WEIGHTS = "pretrained/0.3.0/chgnet_0.3.0_e29f68s314m37.pth.tar"
FMAX = 0.1  # eV/Å
STEPS = 100
MAX_VOLUME_RATIO = 2.0
MAX_SITES = 200
GPA = 160.21766208  # GPa in one eV/Å³


@dataclass(frozen=True)
class Energy:
    """What the potential says of one crystal, or why it says nothing.

    Attributes:
        formation_energy_ev_per_atom: Against the elements; None with an error.
        energy_ev_per_atom: The potential's energy; None with an error.
        crystal: The crystal as relaxed, or as given.
        relaxed: Whether positions and cell were relaxed.
        converged: Whether all forces ended below `FMAX`; for an unrelaxed crystal, whether they are so.
        steps: Relaxation steps taken.
        volume_ratio: Volume after over volume before.
        seconds: Wall time.
        error: Why there is no energy; empty on success.

    """

    formation_energy_ev_per_atom: float | None
    energy_ev_per_atom: float | None
    crystal: Crystal
    relaxed: bool
    converged: bool = False
    steps: int = 0
    volume_ratio: float = 1.0
    seconds: float = 0.0
    error: str = ""


@cache
def references() -> Mapping[str, float]:
    """Return the energy of each element in eV/atom that formation energies are counted from.

    The file says how they were made and what formation energies they give.
    """
    text = resources.files("aldesign.structures").joinpath("chgnet_elements.json").read_text(encoding="utf-8")
    return {symbol: float(entry["energy"]) for symbol, entry in json.loads(text)["elements"].items()}


@cache
def _model() -> Any:
    """Return the network, once per process, on one CPU thread."""
    import chgnet
    import torch
    from chgnet.model import CHGNet

    from aldesign.learning.threads import pin_threads

    pin_threads(1)
    # the package's own loader unpickles; its checkpoint reads as plain tensors just as well
    stored = torch.load(Path(chgnet.__file__).parent / _WEIGHTS, map_location="cpu", weights_only=True)["model"]
    arguments = {**stored["model_args"], "mlp_out_bias": False, "version": MODEL}
    with contextlib.redirect_stdout(io.StringIO()):  # it greets
        network = CHGNet(**arguments)
    network.load_state_dict(stored["state_dict"])
    network.graph_converter.set_isolated_atom_response("error")
    return network.eval()


def _evaluate(atoms: Atoms) -> dict[str, Any]:
    """Return energy in eV, forces (n, 3) in eV/Å and Voigt stress (6,) in eV/Å³ of a cell."""
    from pymatgen.core import Lattice, Structure

    structure = Structure(Lattice(atoms.cell.array), atoms.get_chemical_symbols(), atoms.get_scaled_positions())
    found = _model().predict_structure(structure, task="efs")
    stress = np.asarray(found["s"], dtype=float) / GPA
    energy = float(found["e"]) * len(atoms)
    forces = np.asarray(found["f"], dtype=float)
    if not (math.isfinite(energy) and np.isfinite(forces).all() and np.isfinite(stress).all()):
        raise StructureError("the potential gave numbers that are not finite")
    voigt = stress[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]]
    return {"energy": energy, "free_energy": energy, "forces": forces, "stress": voigt}


def _calculator() -> Any:
    """Return an ASE calculator around the network."""
    from ase.calculators.calculator import Calculator, all_changes

    class Potential(Calculator):  # type: ignore[misc]
        """CHGNet as ASE wants it."""

        implemented_properties = ("energy", "free_energy", "forces", "stress")

        def calculate(
            self,
            atoms: Atoms | None = None,
            properties: Sequence[str] = ("energy",),
            system_changes: Sequence[str] = tuple(all_changes),
        ) -> None:
            """Fill in the results."""
            super().calculate(atoms, properties, system_changes)
            self.results = _evaluate(self.atoms)

    return Potential()


def _to_atoms(crystal: Crystal) -> Atoms:
    from ase import Atoms

    return Atoms(
        symbols=list(crystal.species),
        scaled_positions=crystal.frac,
        cell=lattice_vectors(crystal.lattice),
        pbc=True,
        calculator=_calculator(),
    )


def _from_atoms(atoms: Atoms, name: str) -> Crystal:
    a, b, c, alpha, beta, gamma = (float(x) for x in atoms.cell.cellpar())
    frac = np.asarray(atoms.get_scaled_positions(wrap=True), dtype=np.float64)
    return Crystal(name, (a, b, c, alpha, beta, gamma), tuple(atoms.get_chemical_symbols()), frac)


def _relax(atoms: Atoms, steps: int, fmax: float) -> tuple[bool, int]:
    """Relax positions and cell in place by FIRE; return whether it converged and the steps taken."""
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE

    start = float(atoms.get_volume())
    optimiser = FIRE(FrechetCellFilter(atoms), logfile=None)

    def watch() -> None:
        ratio = float(atoms.get_volume()) / start
        if not 1 / MAX_VOLUME_RATIO < ratio < MAX_VOLUME_RATIO:
            raise StructureError(
                f"the cell did not hold: its volume went to {ratio:.2f} of the start in {optimiser.nsteps} steps"
            )

    optimiser.attach(watch)
    return bool(optimiser.run(fmax=fmax, steps=steps)), int(optimiser.nsteps)


def formation_energy(crystal: Crystal, energy_ev_per_atom: float) -> float:
    """Return the formation energy in eV/atom against `references`.

    Raises:
        StructureError: An element has no reference.

    """
    table = references()
    counts = Counter(crystal.species)
    missing = sorted(set(counts) - set(table))
    if missing:
        raise StructureError(f"no elemental reference for {', '.join(missing)}", "CHGNet knows 89 elements, H to Pu")
    return energy_ev_per_atom - sum(table[symbol] * n for symbol, n in counts.items()) / len(crystal)


def evaluate_one(crystal: Crystal, relax: bool = True, steps: int = STEPS, fmax: float = FMAX) -> Energy:
    """Return the energy of one crystal; whatever goes wrong is told in its `error`.

    The network is loaded once per process and runs on one thread, so that this can be mapped over workers.

    Args:
        crystal: At most 200 sites.
        relax: Whether to relax positions and cell first.
        steps: Relaxation steps at most.
        fmax: Largest force in eV/Å at the end.

    """
    start = time.perf_counter()
    try:
        if len(crystal) > MAX_SITES:
            raise StructureError(f"{len(crystal)} sites are more than {MAX_SITES}")
        atoms = _to_atoms(crystal)
        with warnings.catch_warnings():
            # ASE and pymatgen warn of odd cells on the way; a crystal that fails says so in its error
            warnings.simplefilter("ignore", UserWarning)
            warnings.filterwarnings("ignore", "logm result may be inaccurate", RuntimeWarning)
            converged, taken = (False, 0)
            if relax:
                converged, taken = _relax(atoms, steps, fmax)
            energy = float(atoms.get_potential_energy()) / len(atoms)
            if not relax:
                converged = bool(np.linalg.norm(atoms.get_forces(), axis=1).max() < fmax)
        final = _from_atoms(atoms, crystal.id) if relax else crystal
        formation = formation_energy(crystal, energy)
    except Exception as error:  # one bad crystal must not sink the rest, whatever a library raises
        text = error.message if isinstance(error, StructureError) else f"{type(error).__name__}: {error}"
        return Energy(None, None, crystal, False, seconds=time.perf_counter() - start, error=text)
    ratio = volume(final) / volume(crystal)
    return Energy(formation, energy, final, relax, converged, taken, ratio, time.perf_counter() - start)


class CHGNetEnergy:
    """Energies of many crystals, one after another, in this process.

    Attributes:
        identity: Name and version of the potential, for exports.

    """

    identity = f"CHGNet {MODEL}"

    def evaluate(
        self,
        crystals: Sequence[Crystal],
        relax: bool = True,
        steps: int = STEPS,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Energy]:
        """Return one energy per crystal, in order; a bad one carries its error.

        Args:
            crystals: Any number.
            relax: Whether to relax positions and cell first.
            steps: Relaxation steps at most.
            progress: Called with the number done and the total.

        """
        energies: list[Energy] = []
        for done, crystal in enumerate(crystals, start=1):
            energies.append(evaluate_one(crystal, relax, steps))
            if progress is not None:
                progress(done, len(crystals))
        return energies
