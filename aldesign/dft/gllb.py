"""The gap at the level GLLB-SC: the Kohn-Sham gap and the derivative discontinuity added to it.

Kuisma et al., Phys. Rev. B 82, 115106 (2010), equations 24 and 25. The potential depends on the occupied states alone
and costs little more than PBE; its discontinuity, taken between the edges of all bands that were looked at, is what a
local functional leaves out of the gap. The energies that come with it are no substitute for those of PBE.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.dft import setups
from aldesign.dft.gap import METAL, Edges

FUNCTIONAL = "GLLBSC"
KOHN_SHAM = "kohn_sham_gap"
DISCONTINUITY = "derivative_discontinuity"


def lacking(symbols: Iterable[str]) -> list[str]:
    """Return the elements without a data set made for GLLB-SC: of those that GPAW brings for PBE, La to Lu."""
    return sorted(set(symbols) - setups.elements(FUNCTIONAL))


def with_discontinuity(
    found: Edges, calc: Any, energies_ev: np.ndarray, kpoints: np.ndarray, occupied: tuple[int, ...], folder: Path
) -> tuple[Edges, dict[str, float]]:
    """Return the edges with the conduction band raised by the discontinuity, and both parts of the gap in eV.

    Args:
        found: Kohn-Sham edges of an insulator.
        calc: GPAW's calculator after self-consistency.
        energies_ev: Eigenvalues, of the mesh and elsewhere, shape (spins, k-points, bands), eV.
        kpoints: Their k-points in reciprocal vectors, shape (k-points, 3).
        occupied: Number of occupied bands of each spin.
        folder: Where GPAW writes its log of the states at the bottom of the conduction band, ``bottom.txt``.

    """
    if found == METAL or found.vbm_ev is None:
        return found, {}
    pairs = list(zip(energies_ev, occupied, strict=True))
    tops = [float(e[:, n - 1].max()) if n else float(e[:, 0].min()) for e, n in pairs]
    places = [int(e[:, n].argmin()) for e, n in pairs]
    bottoms = [float(e[place, n]) for (e, n), place in zip(pairs, places, strict=True)]
    one_spin = len(occupied) == 1
    potential = calc.hamiltonian.xc.response.calculate_discontinuity_potential(
        tops[0] if one_spin else tops, bottoms[0] if one_spin else bottoms
    )
    shifts = []
    for spin, place in enumerate(places):
        state = calc.fixed_density(
            kpts=[kpoints[place]],
            symmetry="off",
            convergence={"bands": max(occupied) + 1},
            txt=str(folder / "bottom.txt"),
        )
        _, shift = state.hamiltonian.xc.response.calculate_discontinuity(potential, spin=spin)
        shifts.append(float(shift))
    raised = [bottom + shift for bottom, shift in zip(bottoms, shifts, strict=True)]
    lowest = int(np.argmin(raised))
    gap = raised[lowest] - found.vbm_ev
    direct = max(gap, found.direct_gap_ev + shifts[lowest])
    x, y, z = (round(float(value), 6) + 0.0 for value in kpoints[places[lowest]])
    edges = replace(found, gap_ev=gap, direct_gap_ev=direct, cbm_ev=raised[lowest], cbm_kpoint=(x, y, z))
    return edges, {KOHN_SHAM: found.gap_ev, DISCONTINUITY: gap - found.gap_ev}
