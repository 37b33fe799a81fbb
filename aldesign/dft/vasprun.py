"""VASP's ``vasprun.xml``, read by pymatgen."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.dft.bands import Bands
from aldesign.dft.results import SHELLS


@dataclass(frozen=True, eq=False)
class Output:
    """What VASP found.

    Attributes:
        bands: Eigenvalues of all k-points, with projections where VASP made them (LORBIT).
        energy_ev: Energy of the cell at zero smearing, eV.
        magnetization: Moment of the cell from the occupations, μB.
        n_electrons: Valence electrons of the cell.
        iterations: To self-consistency.
        converged: Whether that was reached.
        version: Of VASP.

    """

    bands: Bands
    energy_ev: float
    magnetization: float
    n_electrons: float
    iterations: int
    converged: bool
    version: str


def read_output(path: Path) -> Output:
    """Read a file of VASP.

    Raises:
        ValueError: The file is missing, cut off, or holds no eigenvalues.

    """
    from pymatgen.io.vasp.outputs import Vasprun

    if not path.is_file():
        raise ValueError(f"there is no {path.name}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it did not converge is told below
        try:
            run = Vasprun(path, parse_projected_eigen=True, parse_potcar_file=False)
            fermi = float(run.calculate_efermi())  # between the bands where there is a gap; VASP may put it on one
        except (SyntaxError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
            raise ValueError(f"{path.name} cannot be read: {type(error).__name__}: {error}") from error
        if not run.eigenvalues or not run.ionic_steps:
            raise ValueError(f"{path.name} holds no eigenvalues")
        spins = sorted(run.eigenvalues, key=lambda spin: -int(spin))  # up before down
        steps = run.ionic_steps[-1]["electronic_steps"]
        values = np.array([run.eigenvalues[spin] for spin in spins])  # spin, k-point, band, (energy, occupation)
        weights = np.asarray(run.actual_kpoints_weights, dtype=np.float64)
        weights = weights / weights.sum()
        held = np.einsum("skb,k->s", values[..., 1], weights)
        return Output(
            bands=Bands(
                np.sort(values[..., 0], axis=2),
                np.asarray(run.actual_kpoints, dtype=np.float64),
                weights,
                fermi,
                _projected(run.projected_eigenvalues, spins),
            ),
            energy_ev=float(run.final_energy),
            magnetization=float(held[0] - held[1]) if len(spins) == 2 else 0.0,
            n_electrons=float(run.parameters["NELECT"]),
            iterations=len(steps),
            converged=bool(run.converged_electronic),
            version=str(run.vasp_version),
        )


def _projected(found: Mapping[Any, np.ndarray] | None, spins: list[Any]) -> dict[str, np.ndarray]:
    """Return the parts within the atoms' spheres summed by angular momentum, shape (spins, k-points, bands)."""
    if not found:
        return {}
    parts = np.array([found[spin] for spin in spins]).sum(axis=3)  # over the atoms
    if parts.shape[-1] in (3, 4):  # LORBIT = 10 has them summed
        return {name: parts[..., i] for i, name in enumerate(SHELLS[: parts.shape[-1]])}
    ends = [i * i for i in range(len(SHELLS) + 1)]  # 1 s, 3 p, 5 d and 7 f
    return {
        name: parts[..., ends[i] : ends[i + 1]].sum(axis=-1)
        for i, name in enumerate(SHELLS)
        if parts.shape[-1] >= ends[i + 1]
    }
