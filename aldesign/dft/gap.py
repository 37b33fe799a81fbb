"""The gap between occupied and empty bands, from eigenvalues on any set of k-points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aldesign.dft.results import Point
from aldesign.errors import CalculationError

_LEAST_CHARGE = 0.1  # electrons: crystals here are neutral, so that bands hold whole numbers
_LEAST_GAP_EV = 1e-3  # below this, edges touch within the accuracy of any calculation here


@dataclass(frozen=True)
class Edges:
    """The edges of the bands, energies in eV; a metal has gaps of 0 and no edges."""

    gap_ev: float
    direct_gap_ev: float
    vbm_ev: float | None = None
    cbm_ev: float | None = None
    vbm_kpoint: Point | None = None
    cbm_kpoint: Point | None = None


METAL = Edges(0.0, 0.0)


def occupied_bands(
    energies_ev: np.ndarray, fermi_ev: float, n_electrons: float | None = None
) -> tuple[int, ...] | None:
    """Return how many bands of each spin lie below the Fermi level, or None where some band crosses it.

    Args:
        energies_ev: Eigenvalues in rising order, shape (spins, k-points, bands), eV.
        fermi_ev: The Fermi level, eV.
        n_electrons: Valence electrons of the cell. The bands below must hold them all: a flat band that is partly
            filled, as of an atom with an open shell, lies wholly on one side of the Fermi level or the other, by
            rounding alone.

    Raises:
        CalculationError: All bands are occupied somewhere: too few were computed.
    """
    counts = (energies_ev < fermi_ev).sum(axis=2)
    if (counts >= energies_ev.shape[2]).any():
        raise CalculationError("crash", "no empty band was computed, so that nothing can be said of a gap")
    if (counts.min(axis=1) < counts.max(axis=1)).any():
        return None
    held = counts[:, 0].sum() * (3 - len(counts))  # two to a band where one spin stands for both
    if n_electrons is not None and abs(held - n_electrons) > _LEAST_CHARGE:
        return None
    return tuple(int(count) for count in counts[:, 0])


def edges(energies_ev: np.ndarray, kpoints: np.ndarray, occupied: tuple[int, ...] | None) -> Edges:
    """Return the band edges of an insulator, or `METAL` where bands overlap.

    The direct gap is the least difference between occupied and empty states at one k-point, of whatever spin.

    Args:
        energies_ev: Eigenvalues in rising order, shape (spins, k-points, bands), eV.
        kpoints: The k-points in reciprocal vectors, shape (k-points, 3).
        occupied: Number of occupied bands of each spin, from `occupied_bands` of a full mesh.
    """
    if occupied is None or not any(occupied):
        return METAL
    tops = np.array(
        [e[:, n - 1] if n else np.full(len(e), -np.inf) for e, n in zip(energies_ev, occupied, strict=True)]
    )
    bottoms = np.array([e[:, n] for e, n in zip(energies_ev, occupied, strict=True)])
    top, bottom = tops.max(axis=0), bottoms.min(axis=0)
    highest, lowest = int(top.argmax()), int(bottom.argmin())
    gap = float(bottom[lowest] - top[highest])
    if gap < _LEAST_GAP_EV:
        return METAL
    direct = float((bottom - top).min())
    return Edges(
        gap, direct, float(top[highest]), float(bottom[lowest]), _point(kpoints[highest]), _point(kpoints[lowest])
    )


def between(path: np.ndarray, found: Edges, parts: int = 3) -> np.ndarray:
    """Return further k-points beside the edges, (n, 3), in reciprocal vectors.

    Edges often lie at special points, and some only seem to: that of silicon's conduction band is near X. So every
    step beside an edge is divided.

    Args:
        path: The points along lines that were looked at, (m, 3).
        found: The edges so far.
        parts: Into how many parts each step is divided.
    """
    steps = np.arange(1, parts)[:, None] / parts
    fresh: list[np.ndarray] = []
    for point in {p for p in (found.vbm_kpoint, found.cbm_kpoint) if p is not None}:
        for i in np.flatnonzero(np.isclose(path, point, atol=1e-4).all(axis=1)).tolist():
            for j in (i - 1, i + 1):
                if 0 <= j < len(path):
                    fresh.extend(path[i] + steps * (path[j] - path[i]))
    return np.unique(np.round(fresh, 9), axis=0) if fresh else np.empty((0, 3))


def _point(values: np.ndarray) -> Point:
    x, y, z = (round(float(v), 6) + 0.0 for v in values)
    return (x, y, z)
