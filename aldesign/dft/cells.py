"""The cell that is computed: primitive, symmetric, and possible."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from aldesign.chemistry.elements import ALPHABET, NUMBER
from aldesign.errors import CalculationError
from aldesign.records import Crystal
from aldesign.structures.geometry import distances, lattice_vectors, volume

SYMPREC = 0.01  # Å
_LEAST_DISTANCE = 0.6  # Å; below H-H in the hydrogen molecule, 0.74
_VOLUMES = (2.0, 2000.0)  # Å³ per atom; a molecule may stand in a box


def primitive(crystal: Crystal) -> Crystal:
    """Return the standard primitive cell, its symmetry exact; the id stays.

    Raises:
        CalculationError: Kind ``structure``: sites overlap, or the cell is impossible.
    """
    import spglib

    _refuse_impossible(crystal)
    cell = (lattice_vectors(crystal.lattice), crystal.frac, [NUMBER[symbol] for symbol in crystal.species])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            found = spglib.standardize_cell(cell, to_primitive=True, no_idealize=False, symprec=SYMPREC)
        except spglib.SpglibError:
            found = None
    if found is None:
        raise CalculationError("structure", f"{crystal.id}: no symmetry can be found", "look at the crystal's sites")
    vectors, frac, numbers = found
    symbols = {number: symbol for symbol, number in NUMBER.items()}
    return Crystal(crystal.id, _lattice(vectors), tuple(symbols[int(n)] for n in numbers), np.asarray(frac) % 1.0)


def atoms_of(crystal: Crystal) -> Any:
    """Return the crystal as ASE's Atoms, periodic in three directions."""
    from ase import Atoms

    return Atoms(
        symbols=list(crystal.species),
        scaled_positions=crystal.frac,
        cell=lattice_vectors(crystal.lattice),
        pbc=True,
    )


def _refuse_impossible(crystal: Crystal) -> None:
    unknown = sorted(set(crystal.species) - set(ALPHABET))
    if unknown or not crystal.species:
        raise CalculationError("structure", f"{crystal.id}: {', '.join(unknown) or 'no sites'}", "give known elements")
    per_atom = volume(crystal) / len(crystal)
    if not _VOLUMES[0] <= per_atom <= _VOLUMES[1]:  # also where it is not a number
        raise CalculationError(
            "structure",
            f"{crystal.id}: {per_atom:.3g} Å³ an atom",
            f"between {_VOLUMES[0]:g} and {_VOLUMES[1]:g}; is the cell in Å?",
        )
    near = distances(crystal)
    least = float(near.min())
    if not least >= _LEAST_DISTANCE:
        raise CalculationError("structure", f"{crystal.id}: two sites are {least:.2f} Å apart", "separate the sites")


def _lattice(vectors: np.ndarray) -> tuple[float, float, float, float, float, float]:
    from ase.cell import Cell

    a, b, c, alpha, beta, gamma = (float(x) for x in Cell(vectors).cellpar())
    return (a, b, c, alpha, beta, gamma)
