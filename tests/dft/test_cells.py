"""The primitive cell that is computed, against pymatgen; and crystals that no code should be given."""

from __future__ import annotations

import numpy as np
import pytest
from ase.build import bulk
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from aldesign.dft.cells import atoms_of, primitive
from aldesign.errors import CalculationError
from aldesign.records import Crystal
from aldesign.structures.geometry import lattice_vectors


def crystal(atoms: object, name: str = "test") -> Crystal:
    a, b, c, alpha, beta, gamma = atoms.cell.cellpar()  # type: ignore[attr-defined]
    return Crystal(
        name, (a, b, c, alpha, beta, gamma), tuple(atoms.get_chemical_symbols()), atoms.get_scaled_positions()
    )  # type: ignore[attr-defined]


def structure(found: Crystal) -> Structure:
    return Structure(lattice_vectors(found.lattice), found.species, found.frac)


@pytest.mark.parametrize(
    ("atoms", "sites"),
    [
        (bulk("NaCl", "rocksalt", 5.69, cubic=True), 2),
        (bulk("Si", "diamond", 5.43, cubic=True) * (1, 2, 1), 2),
        (bulk("ZnO", "wurtzite", 3.25, c=5.2), 4),
        (bulk("Fe", "bcc", 2.87, cubic=True), 1),
    ],
    ids=["NaCl", "Si", "ZnO", "Fe"],
)
def test_the_primitive_cell_is_the_same_crystal(atoms: object, sites: int) -> None:
    given = crystal(atoms)
    found = primitive(given)
    assert len(found) == sites
    assert found.id == given.id
    assert StructureMatcher(scale=False, ltol=0.01, stol=0.01, angle_tol=0.1).fit(structure(given), structure(found))
    assert np.allclose(atoms_of(found).cell.array, lattice_vectors(found.lattice))


def test_a_rounded_cell_becomes_symmetric() -> None:
    atoms = bulk("MgO", "rocksalt", 4.21)
    rounded = crystal(atoms)
    a, b, c, *angles = rounded.lattice
    shaken = Crystal("r", (a + 1e-4, b, c - 1e-4, *angles), rounded.species, rounded.frac + 1e-5)  # type: ignore[arg-type]
    found = primitive(shaken)
    assert found.lattice[:3] == pytest.approx([found.lattice[0]] * 3, abs=1e-9)


@pytest.mark.parametrize(
    ("lattice", "species", "frac", "told"),
    [
        ((3.0, 3.0, 3.0, 90.0, 90.0, 90.0), ("Na", "Cl"), [[0, 0, 0], [0.1, 0, 0]], "0.30 Å apart"),
        ((3.0, 3.0, 3.0, 90.0, 90.0, 90.0), ("Na", "Cl"), [[0, 0, 0], [1.0, 0, 0]], "apart"),
        ((0.42, 0.42, 0.42, 90.0, 90.0, 90.0), ("Na",), [[0, 0, 0]], "Å³ an atom"),  # in nm
        ((1000.0, 1000.0, 1000.0, 90.0, 90.0, 90.0), ("Na",), [[0, 0, 0]], "Å³ an atom"),
        ((3.0, 3.0, 3.0, 60.0, 60.0, 130.0), ("Na",), [[0, 0, 0]], "Å³ an atom"),
        ((3.0, 3.0, 3.0, 90.0, 90.0, 90.0), ("Xx",), [[0, 0, 0]], "Xx"),
        ((3.0, 3.0, 3.0, 90.0, 90.0, 90.0), (), [], "no sites"),
    ],
    ids=["overlap", "same-place", "nm", "box", "impossible-angles", "unknown", "empty"],
)
def test_impossible_crystals_are_refused_with_their_reason(
    lattice: tuple[float, ...], species: tuple[str, ...], frac: list[list[float]], told: str
) -> None:
    with pytest.raises(CalculationError, match=told) as caught:
        primitive(Crystal("bad", lattice, species, np.array(frac, dtype=float).reshape(-1, 3)))  # type: ignore[arg-type]
    assert caught.value.kind == "structure"
