"""Fingerprints against what defines a structure type, and against pymatgen's StructureMatcher."""

from __future__ import annotations

import warnings
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aldesign.errors import StructureError
from aldesign.records import Crystal
from aldesign.structures.fingerprint import fingerprint, likeness, primitive_sites
from aldesign.structures.templates import TemplateLibrary


def cubic(a, *sites):
    return Crystal("cubic", (a,) * 3 + (90.0,) * 3, tuple(s for s, _ in sites), np.array([p for _, p in sites], float))


CSCL = cubic(4.12, ("Cs", (0, 0, 0)), ("Cl", (0.5, 0.5, 0.5)))
FCC = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
NACL = cubic(5.64, *(("Na", p) for p in FCC), *(("Cl", np.add(p, (0.5, 0, 0))) for p in FCC))
ZNS = cubic(5.41, *(("Zn", p) for p in FCC), *(("S", np.add(p, (0.25, 0.25, 0.25))) for p in FCC))
PRIMITIVE = Crystal("p", (5.64 / 2**0.5,) * 3 + (60.0,) * 3, ("Na", "Cl"), np.array([[0, 0, 0], [0.5] * 3]))
PEROVSKITE = cubic(3.9, ("Sr", (0.5,) * 3), ("Ti", (0, 0, 0)), *(("O", np.eye(3)[i] / 2) for i in range(3)))


def alike(first, second, mapping):
    """Likeness of two crystals, `mapping` saying which element of the second each of the first is."""
    symbols = tuple(mapping)
    a, b = fingerprint(first), fingerprint(second)
    pair = np.array([a.ordered(symbols), b.ordered(tuple(mapping[s] for s in symbols))])
    return likeness(pair, np.array([a.n_sites, b.n_sites]))[0, 1]


@given(scale=st.floats(0.7, 1.6), shift=st.tuples(*[st.floats(0, 1, exclude_max=True)] * 3))
@settings(max_examples=20, deadline=None)
def test_neither_size_nor_origin_matters(scale, shift):
    other = replace(NACL, lattice=(5.64 * scale,) * 3 + (90.0,) * 3, frac=NACL.frac + np.array(shift))
    assert alike(NACL, other, {"Na": "Na", "Cl": "Cl"}) > 0.99


def test_a_primitive_cell_is_of_the_type_of_its_conventional_cell():
    assert alike(NACL, PRIMITIVE, {"Na": "Na", "Cl": "Cl"}) > 0.9


def test_primitive_cells_are_those_of_spglib():
    import spglib

    from aldesign.structures.geometry import lattice_vectors

    library = TemplateLibrary.from_aflow(max_sites=24)
    for crystal in library.crystals[::6]:
        numbers = [sorted(set(crystal.species)).index(symbol) for symbol in crystal.species]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of how a later spglib will report failures
            found = spglib.find_primitive((lattice_vectors(crystal.lattice), crystal.frac, numbers), symprec=0.01)
        assert primitive_sites(crystal) == len(found[2])


def test_other_types_differ():
    for first, second in combinations((NACL, ZNS), 2):
        mapping = dict(zip(dict.fromkeys(first.species), dict.fromkeys(second.species), strict=True))
        assert alike(first, second, mapping) < 0.01
    assert alike(PRIMITIVE, CSCL, {"Na": "Cs", "Cl": "Cl"}) < 0.01


def test_elements_that_change_places_make_another_structure():
    swapped = {"Sr": "Ti", "Ti": "Sr", "O": "O"}
    assert alike(PEROVSKITE, PEROVSKITE, {"Sr": "Sr", "Ti": "Ti", "O": "O"}) > 0.99
    assert alike(PEROVSKITE, PEROVSKITE, swapped) < 0.01
    # the two sublattices of rock salt are equal
    assert alike(NACL, NACL, {"Na": "Cl", "Cl": "Na"}) > 0.99


def test_each_atom_has_as_many_neighbours_as_it_should():
    # six at half a cell, smeared over Gaussians of equal sum, weighted by the inverse square of the distance
    found = fingerprint(CSCL)
    near = found.shells[0, 1].sum() + found.shells[1, 0].sum()
    unit = 2 ** (-1 / 3)
    shells = [(8, 3**0.5 / 2), (24, 11**0.5 / 2), (24, 19**0.5 / 2)]
    width = 0.1 * (2 * np.pi) ** 0.5 / 0.1  # of a Gaussian over the spacing of the grid
    expected = sum(n / (r / unit) ** 2 for n, r in shells if r / unit < 2.4) * width
    assert near == pytest.approx(expected, rel=0.1)


def test_atoms_that_coincide_have_none():
    with pytest.raises(StructureError):
        fingerprint(cubic(4.0, ("Cs", (0, 0, 0)), ("Cl", (0, 0, 0))))


def test_it_agrees_with_the_structure_matcher_on_prototypes():
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Lattice, Structure

    library = TemplateLibrary.from_aflow(max_sites=8)
    small = [c for c, f in zip(library.crystals, library.formulas, strict=True) if len(set(c.species)) == 2]
    small = [c for c in small if len(c) in (4, 8) and c.species.count(c.species[0]) * 2 == len(c)]
    renamed = []
    for crystal in small:
        first, second = sorted(set(crystal.species))
        named = {first: "Na", second: "Cl"}
        renamed.append(replace(crystal, species=tuple(named[s] for s in crystal.species)))
    matcher = StructureMatcher()
    structures = [Structure(Lattice.from_parameters(*c.lattice), list(c.species), c.frac) for c in renamed]
    same = {"Na": "Na", "Cl": "Cl"}
    pairs = list(combinations(range(len(renamed)), 2))
    agreed = [
        (alike(renamed[i], renamed[j], same) > 0.5) == matcher.fit(structures[i], structures[j]) for i, j in pairs
    ]
    assert len(pairs) > 30
    assert np.mean(agreed) > 0.95
