"""Density of states of a finished GPAW calculation, whole and by angular momentum."""

from __future__ import annotations

from typing import Any

import numpy as np

from aldesign.dft.results import SHELLS, Dos

LOWEST_EV = -20.0
HIGHEST_EV = 15.0
STEP_EV = 0.1
BROADENING_EV = 0.2  # exp(-(x / width)²): the meshes are coarse


def density_of_states(calc: Any, origin_ev: float) -> Dos:
    """Return the density of states of the self-consistent mesh, broadened by Gaussians.

    The grid ends where the highest computed band begins, since above it states are missing.

    Args:
        calc: GPAW's calculator after self-consistency.
        origin_ev: Energy that becomes 0: the top of the valence band, or the Fermi level, eV.
    """
    maker = calc.dos(shift_fermi_level=False)
    spins = calc.get_number_of_spins()
    kpoints = range(len(calc.get_ibz_k_points()))
    last = min(float(calc.get_eigenvalues(kpt=k, spin=s)[-1]) for s in range(spins) for k in kpoints)
    high = max(min(HIGHEST_EV, last - origin_ev), 1.0)
    grid = LOWEST_EV + STEP_EV * np.arange(int((high - LOWEST_EV) / STEP_EV + 1e-9) + 1)
    energies = grid + origin_ev
    total = maker.raw_dos(energies, width=BROADENING_EV)
    shells: dict[str, np.ndarray] = {}
    for momentum, name in enumerate(SHELLS):
        parts = [
            maker.raw_pdos(energies, a=site, l=momentum, width=BROADENING_EV)
            for site, setup in enumerate(calc.setups)
            if any(own == momentum and n >= 0 for n, own in zip(setup.n_j, setup.l_j, strict=True))
        ]
        shells[name] = np.sum(parts, axis=0) if parts else np.zeros(len(grid))
    return Dos(grid, np.asarray(total), shells)
