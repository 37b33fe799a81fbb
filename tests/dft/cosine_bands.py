"""Bands in closed form, for programs that stand in for pw.x and VASP: known gap, known k-points, any mesh."""

from __future__ import annotations

import numpy as np

TOP, BOTTOM = 0.5, 2.5  # eV: of the valence bands at (0, 0, 0), of the conduction bands at (1/2, 1/2, 1/2)
GAP, DIRECT_GAP = BOTTOM - TOP, 3.0
FERMI = 1.5


def eigenvalues(points: np.ndarray, bands: int, electrons: float, shift: float = 0.0) -> np.ndarray:
    """Return eigenvalues in eV, (k-points, bands): `electrons` / 2 bands with one top, and empty ones above.

    With `shift`, in eV, the empty ones are lowered.
    """
    wave = np.cos(2 * np.pi * np.asarray(points)).mean(axis=1, keepdims=True) / 2
    occupied = round(electrons / 2)
    below = wave - 4.0 * np.arange(occupied)[::-1]
    above = 3.0 - shift + wave + np.arange(bands - occupied)
    return np.concatenate([below, above], axis=1)


def mesh(divisions: tuple[int, int, int]) -> np.ndarray:
    """Return all k-points of a Γ-centred mesh, (n, 3)."""
    grid = np.stack(np.meshgrid(*(np.arange(n) / n for n in divisions), indexing="ij"), axis=-1)
    return grid.reshape(-1, 3)
