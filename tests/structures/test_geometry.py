"""Cells and periodic distances against pymatgen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aldesign.errors import StructureError
from aldesign.records import Crystal
from aldesign.structures.cif import to_pymatgen
from aldesign.structures.geometry import closest_contact, distances, lattice_vectors, loneliest, space_group, volume


@st.composite
def crystals(draw):
    lengths = draw(st.tuples(*[st.floats(2.5, 12.0)] * 3))
    angles = draw(st.tuples(*[st.floats(50.0, 115.0)] * 3).filter(lambda a: sum(a) < 340 and 2 * max(a) < sum(a) - 10))
    count = draw(st.integers(1, 5))
    seed = draw(st.integers(0, 10**6))
    frac = np.random.default_rng(seed).uniform(-1, 2, (count, 3))
    return Crystal("h", (*lengths, *angles), ("Na",) * count, frac)


@settings(max_examples=60, deadline=None)
@given(crystals())
def test_distances_agree_with_pymatgen(crystal):
    structure = to_pymatgen(crystal)
    ours = distances(crystal)
    assert volume(crystal) == pytest.approx(structure.volume, rel=1e-9)
    # pymatgen's neighbour search sees a site's own images too, which its distance matrix does not
    reach = float(ours.max()) + 0.1
    first, second, _, far = structure.get_neighbor_list(reach, exclude_self=True)
    theirs = np.full(ours.shape, np.inf)
    np.minimum.at(theirs, (first, second), far)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(crystals(), st.floats(0.2, 1.5))
def test_least_distance_is_exact_whatever_the_limit(crystal, fraction):
    contact, least = closest_contact(crystal, {("Na", "Na"): fraction * 3.32})
    assert least == pytest.approx(distances(crystal).min(), abs=1e-9)
    assert contact.distance == pytest.approx(least, abs=1e-9)
    assert contact.limit == pytest.approx(fraction * 3.32)


def test_lattice_vectors_match_pymatgen():
    from pymatgen.core import Lattice

    cell = (3.0, 4.0, 5.0, 70.0, 95.0, 110.0)
    vectors = lattice_vectors(cell)
    np.testing.assert_allclose(Lattice(vectors).parameters, cell, atol=1e-9)


@pytest.mark.parametrize(
    ("crystal", "expected"),
    [
        (
            Crystal("Si", (3.867,) * 3 + (60.0,) * 3, ("Si", "Si"), np.array([[0, 0, 0], [0.25, 0.25, 0.25]])),
            ("Fd-3m", 227),
        ),
        (
            Crystal(
                "Mg",
                (3.2, 3.2, 5.2, 90.0, 90.0, 120.0),
                ("Mg", "Mg"),
                np.array([[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]]),
            ),
            ("P6_3/mmc", 194),
        ),
        (
            Crystal("x", (4.0, 4.0, 4.0, 90.0, 90.0, 90.0), ("Na", "Na"), np.zeros((2, 3))),
            ("P1", 1),
        ),
    ],
)
def test_space_groups(crystal, expected):
    assert space_group(crystal) == expected


@pytest.mark.parametrize("lattice", [(5.0, 5.0, 5.0, 1e-6, 90.0, 90.0), (5.0, 5.0, 5.0, 119.99999, 119.99999, 120.0)])
def test_a_flat_cell_is_told_before_its_images_fill_the_memory(lattice):
    crystal = Crystal("flat", lattice, ("Na", "Cl"), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
    with pytest.raises(StructureError, match="too flat"):
        loneliest(crystal, 6.0)
