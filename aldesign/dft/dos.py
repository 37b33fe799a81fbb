"""The density of states of the eigenvalues of any code, on one grid."""

from __future__ import annotations

import math

import numpy as np

from aldesign.dft.bands import Bands
from aldesign.dft.results import SHELLS, Dos

LOWEST_EV = -20.0
HIGHEST_EV = 15.0
STEP_EV = 0.1
BROADENING_EV = 0.2  # exp(-(x / width)²): the meshes are coarse


def density_of_states(bands: Bands, origin_ev: float) -> Dos:
    """Return the density of states, each eigenvalue broadened by a Gaussian exp(-(x / width)²).

    The grid is the same for every code, and ends where the highest computed band begins, since above it states are
    missing. Spins are summed; where there is one spin alone, each state holds two.

    Args:
        bands: Of the full mesh, with weights.
        origin_ev: Energy that becomes 0: the top of the valence band, or the Fermi level, eV.

    """
    spins = len(bands.energies_ev)
    high = max(min(HIGHEST_EV, float(bands.energies_ev[:, :, -1].min()) - origin_ev), 1.0)
    grid = LOWEST_EV + STEP_EV * np.arange(int((high - LOWEST_EV) / STEP_EV + 1e-9) + 1)
    weights = np.broadcast_to(bands.weights[None, :, None] * (3 - spins), bands.energies_ev.shape)
    distance = (grid[:, None] - (bands.energies_ev - origin_ev).ravel()[None, :]) / BROADENING_EV
    peaks = np.exp(-(distance**2)) / (BROADENING_EV * math.sqrt(math.pi))
    shells = {
        name: peaks @ (weights * bands.projected[name]).ravel() if name in bands.projected else np.zeros(len(grid))
        for name in (SHELLS if bands.projected else ())
    }
    return Dos(grid, peaks @ weights.ravel(), shells)
