"""Eigenvalues as any code gives them: the mesh they are wanted on, the lines besides, and the edges found there."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aldesign.dft.cells import atoms_of
from aldesign.dft.gap import METAL, Edges, between, edges, occupied_bands
from aldesign.records import Crystal


@dataclass(frozen=True, eq=False)
class Bands:
    """Eigenvalues on a set of k-points.

    Attributes:
        energies_ev: In rising order, shape (spins, k-points, bands), eV.
        kpoints: In reciprocal vectors, shape (k-points, 3).
        weights: Of the k-points, shape (k-points,), with sum 1.
        fermi_ev: The Fermi level, eV.
        projected: Squared projections onto the atoms' orbitals by angular momentum, shape as `energies_ev`.

    """

    energies_ev: np.ndarray
    kpoints: np.ndarray
    weights: np.ndarray
    fermi_ev: float
    projected: Mapping[str, np.ndarray] = field(default_factory=dict)


def mesh(cell: Crystal, density: float) -> tuple[int, int, int]:
    """Return the divisions of the Γ-centred even mesh with `density` k-points per Å⁻¹."""
    from ase.calculators.calculator import kpts2sizeandoffsets

    size, _ = kpts2sizeandoffsets(density=density, gamma=True, even=True, atoms=atoms_of(cell))
    a, b, c = (int(n) for n in size)
    return (a, b, c)


def lines(cell: Crystal, density: float) -> np.ndarray:
    """Return k-points in reciprocal vectors along the lines between special points, shape (n, 3)."""
    path: Any = atoms_of(cell).cell.bandpath(density=density)
    return np.asarray(path.kpts)


@dataclass(frozen=True, eq=False)
class Search:
    """The edges of the bands, and the states among which they were found.

    Attributes:
        edges: `METAL` where bands overlap.
        energies_ev: Of all k-points looked at, shape (spins, k-points, bands), eV.
        kpoints: In reciprocal vectors, shape (k-points, 3).
        occupied: Number of occupied bands of each spin; None where some band crosses the Fermi level.
        notes: What a reader should know.

    """

    edges: Edges
    energies_ev: np.ndarray
    kpoints: np.ndarray
    occupied: tuple[int, ...] | None
    notes: tuple[str, ...] = ()


def find_edges(
    mesh: Bands, n_electrons: float, cell: Crystal, density: float, at: Callable[[np.ndarray, int], np.ndarray]
) -> Search:
    """Return the edges of the bands on the mesh and, where it has a gap, along lines, then closer by.

    Args:
        mesh: Bands on the full mesh.
        n_electrons: Valence electrons of the cell.
        cell: The crystal.
        density: k-points per Å⁻¹ along the lines between special points.
        at: Gives so many of the lowest eigenvalues, or more, at k-points in the potential of the mesh, shape (spins,
            k-points, bands), eV.

    """
    energies, points = mesh.energies_ev, mesh.kpoints
    occupied = occupied_bands(energies, mesh.fermi_ev, n_electrons)
    if occupied is None or edges(energies, points, occupied) == METAL:
        return Search(METAL, energies, points, occupied)
    kept = max(occupied) + 1
    path = lines(cell, density)
    along = at(path, kept)[:, :, :kept]
    points = np.concatenate([path, points])
    energies = np.concatenate([along, energies[:, :, :kept]], axis=1)
    closer = between(path, edges(along, path, occupied))  # the mesh names points by other, equivalent ones
    if len(closer):
        points = np.concatenate([closer, points])
        energies = np.concatenate([at(closer, kept)[:, :, :kept], energies], axis=1)
    found = edges(energies, points, occupied)
    notes = ("the mesh has a gap, the bands between its points overlap",) if found == METAL else ()
    return Search(found, energies, points, occupied, notes)


def number_of_bands(n_electrons: float, moment: float = 0.0) -> int:
    """Return how many bands of each spin hold all electrons, and some more for the conduction band and its states.

    Args:
        n_electrons: Of the cell.
        moment: Sum of the absolute starting moments, μB, by which one spin may outnumber the other.

    """
    occupied = math.ceil((n_electrons + moment) / 2)
    return occupied + max(4, math.ceil(0.3 * occupied))
