import numpy as np
import pytest

from aldesign.records import Crystal
from aldesign.structures.environments import bond_order
from aldesign.structures.graphs import build_graph, merged

FCC = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def cubic(species, frac, a):
    return Crystal("cubic", (a, a, a, 90.0, 90.0, 90.0), tuple(species), np.array(frac, dtype=float))


def of_vectors(vectors):
    vectors = np.array(vectors, dtype=float)
    length = np.linalg.norm(vectors, axis=1)
    return bond_order(np.zeros(len(vectors), dtype=np.int64), length, vectors)[0]


# Q4 and Q6 of perfect clusters: Steinhardt, Nelson and Ronchetti 1983, table I; Mickel et al., J. Chem. Phys. 138,
# 044501 (2013), table I
@pytest.mark.parametrize(
    ("vectors", "q4", "q6"),
    [
        (
            [[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if x * x + y * y + z * z == 2],
            0.191,
            0.575,
        ),
        ([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], 0.764, 0.354),
        ([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], 0.509, 0.629),
        ([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], 0.509, 0.629),
    ],
    ids=["fcc", "octahedron", "cube", "tetrahedron"],
)
def test_bond_order_of_textbook_clusters(vectors, q4, q6):
    found = of_vectors(vectors)
    for wide in (0, 8):  # all neighbours are equally near: both weightings agree
        assert found[wide + 3] == pytest.approx(q4, abs=1e-3)
        assert found[wide + 5] == pytest.approx(q6, abs=1e-3)
    assert found[0] == pytest.approx(0.0, abs=1e-7)  # they sum to nothing
    # a centre of symmetry has no odd part, a tetrahedron has: Q3 = 0.745
    assert found[2] == pytest.approx(0.745 if len(vectors) == 4 else 0.0, abs=1e-3)


def test_bond_order_tells_lone_neighbours_and_does_not_turn():
    np.testing.assert_allclose(of_vectors([[0.3, -0.2, 1.0]]), 1.0)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(9, 3)) + 2.0
    vectors = vectors[np.argsort(np.linalg.norm(vectors, axis=1))]
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    np.testing.assert_allclose(of_vectors(vectors @ turn), of_vectors(vectors), atol=1e-9)


def test_atoms_merge_to_the_inequivalent_ones():
    perovskite = cubic(
        ["Sr", "Ti", "O", "O", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], 3.905
    )
    graph = build_graph(perovskite)
    small = merged(graph)
    assert sorted(zip(small.numbers.tolist(), small.count.tolist(), strict=True)) == [(8, 3), (22, 1), (38, 1)]
    assert small.n_atoms == graph.n_atoms == 5
    titanium = int(np.flatnonzero(small.numbers == 22)[0])
    first = np.flatnonzero(small.target == titanium)
    nearest = first[np.argmin(small.distance[first])]
    assert small.weight[nearest] == 6
    assert small.numbers[small.source[nearest]] == 8
    assert small.distance[nearest] == pytest.approx(3.905 / 2)
    # no neighbour is lost
    assert (small.weight * small.count[small.target]).sum() == pytest.approx(len(graph.source))


def test_different_places_of_one_element_stay_apart():
    # spinel's two cations would be one element here: tetrahedral and octahedral iron of magnetite, 8a and 16d, O at 32e
    x = 0.2549
    frac = [[0.125, 0.125, 0.125], [0.875, 0.875, 0.875], [0.5, 0.5, 0.5], [0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]
    frac += [[0.25, 0.25, 0.5]]
    oxygen = [[x, x, x], [x, 0.25 - x, 0.25 - x], [0.25 - x, x, 0.25 - x], [0.25 - x, 0.25 - x, x]]
    oxygen += [[-x, -x, -x], [-x, x - 0.25, x - 0.25], [x - 0.25, -x, x - 0.25], [x - 0.25, x - 0.25, -x]]
    cubic_frac = np.concatenate([np.array(frac + oxygen) + shift for shift in FCC])
    magnetite = cubic(["Fe"] * 6 * 4 + ["O"] * 8 * 4, np.zeros((56, 3)), 8.396)
    species = np.array((["Fe"] * 6 + ["O"] * 8) * 4)
    magnetite = Crystal("Fe3O4", magnetite.lattice, tuple(species.tolist()), cubic_frac)
    small = merged(build_graph(magnetite))
    assert sorted(zip(small.numbers.tolist(), small.count.tolist(), strict=True)) == [(8, 32), (26, 8), (26, 16)]


def test_merging_hangs_neither_on_order_nor_on_the_cell():
    rng = np.random.default_rng(3)
    base = cubic(["Na"] * 4 + ["Cl"] * 4, np.concatenate([FCC, FCC + 0.5 * np.eye(3)[0]]), 5.64)
    noisy = Crystal(
        "noisy", (5.64, 5.70, 5.80, 90.0, 90.0, 90.0), base.species, base.frac + 1e-6 * rng.normal(size=(8, 3))
    )
    order = rng.permutation(8)
    other = Crystal("other", noisy.lattice, tuple(noisy.species[i] for i in order), noisy.frac[order])
    one, two = merged(build_graph(noisy)), merged(build_graph(other))
    assert one.count.tolist() == two.count.tolist() == [4, 4]
    for name in ("numbers", "source", "target"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    for name in ("distance", "weight", "shape"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), atol=1e-4)
