"""What the states of a GPAW calculation are made of, and the grid of every density of states."""

from __future__ import annotations

from typing import Any

import numpy as np

from aldesign.dft.results import SHELLS

LOWEST_EV = -20.0
HIGHEST_EV = 15.0
STEP_EV = 0.1
BROADENING_EV = 0.2  # exp(-(x / width)²): the meshes are coarse


def shell_weights(calc: Any) -> dict[str, np.ndarray]:
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
