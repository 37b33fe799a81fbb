import dataclasses

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from aldesign.errors import CheckpointError, StructureError
from aldesign.records import Crystal
from aldesign.structures.graph_store import GraphStore
from aldesign.structures.graphs import build_graph, lattice_matrix, merged, neighbours, pack


def cubic(species, frac, a, id="cubic"):  # noqa: A002
    return Crystal(id, (a, a, a, 90.0, 90.0, 90.0), tuple(species), np.array(frac, dtype=float))


FCC = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
NACL = cubic(["Na"] * 4 + ["Cl"] * 4, FCC + [[0.5 + x, y, z] for x, y, z in FCC], 5.64, "NaCl")
CU = cubic(["Cu"] * 4, FCC, 3.61, "Cu")
CSCL = cubic(["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]], 4.12, "CsCl")


def random_crystal(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 9))
    while True:
        lattice = (*rng.uniform(3, 8, 3), *rng.uniform(50, 130, 3))
        # coordinates outside the cell, as files have them
        species, frac = tuple(rng.choice(["Li", "O", "Ti", "Sr"], n).tolist()), rng.uniform(-1.5, 1.5, (n, 3))
        try:
            roomy = abs(np.linalg.det(lattice_matrix(lattice))) > 15 * n
        except StructureError:
            continue
        crystal = Crystal(f"random-{seed}", lattice, species, frac)
        if roomy and as_structure(crystal).is_valid(tol=0.4):
            return crystal


def as_structure(crystal):
    return Structure(Lattice.from_parameters(*crystal.lattice), list(crystal.species), crystal.frac)


def distances(graph):
    """Distances of each atom, sorted, with the neighbours' elements: what must not hang on the description."""
    return sorted(
        (int(z), sorted((round(float(d), 4), int(graph.numbers[s])) for d, s in zip(*edges, strict=True)))
        for z, edges in (
            (graph.numbers[i], (graph.distance[graph.target == i], graph.source[graph.target == i]))
            for i in range(len(graph))
        )
    )


@pytest.mark.parametrize("seed", range(25))
def test_neighbours_are_those_of_pymatgen(seed):
    crystal = random_crystal(seed)
    centre, other, _, length = as_structure(crystal).get_neighbor_list(6.0)
    target, source, distance, vector = neighbours(crystal, 6.0)
    np.testing.assert_allclose(np.linalg.norm(vector, axis=1), distance, atol=1e-9)
    ours = sorted(zip(target.tolist(), source.tolist(), distance.round(6).tolist(), strict=True))
    theirs = sorted(zip(centre.tolist(), other.tolist(), length.round(6).tolist(), strict=True))
    assert [x[:2] for x in ours] == [x[:2] for x in theirs]
    np.testing.assert_allclose([x[2] for x in ours], [x[2] for x in theirs], atol=2e-6)


@pytest.mark.parametrize("seed", range(5))
def test_lattice_matrix_is_pymatgens(seed):
    crystal = random_crystal(seed)
    np.testing.assert_allclose(
        lattice_matrix(crystal.lattice), Lattice.from_parameters(*crystal.lattice).matrix, atol=1e-10
    )


@pytest.mark.parametrize(
    ("crystal", "degree", "shells"),
    [
        (CU, 12, [(12, 3.61 / 2**0.5)]),
        (NACL, 18, [(6, 2.82), (12, 5.64 / 2**0.5)]),  # the shell of twelve is taken whole
        (CSCL, 14, [(8, 4.12 * 3**0.5 / 2), (6, 4.12)]),
    ],
)
def test_coordination_shells_of_textbook_crystals(crystal, degree, shells):
    graph = build_graph(crystal)
    assert np.bincount(graph.target).tolist() == [degree] * len(crystal)
    wanted = [length for count, length in shells for _ in range(count)]
    for i in range(len(crystal)):
        np.testing.assert_allclose(graph.distance[graph.target == i], wanted, atol=1e-4)
    assert graph.distance.dtype == np.float32
    assert (np.diff(graph.target) >= 0).all()


@pytest.mark.parametrize("crystal", [NACL, CSCL, *(random_crystal(s) for s in (2, 3, 11))], ids=lambda c: c.id)
def test_graph_hangs_neither_on_cell_nor_on_order_nor_on_origin(crystal):
    graph = build_graph(crystal)
    order = np.random.default_rng(0).permutation(len(crystal))
    permuted = Crystal("p", crystal.lattice, tuple(crystal.species[i] for i in order), crystal.frac[order])
    moved = dataclasses.replace(crystal, frac=crystal.frac + np.array([0.137, 0.711, -0.43]))
    assert distances(build_graph(permuted)) == distances(graph)
    assert [n for n, _ in distances(build_graph(moved))] == [n for n, _ in distances(graph)]
    np.testing.assert_allclose(np.sort(build_graph(moved).distance), np.sort(graph.distance), atol=1e-4)
    a, b, c, *angles = crystal.lattice
    doubled = Crystal(
        "2x1x1",
        (2 * a, b, c, *angles),
        crystal.species * 2,
        np.concatenate([crystal.frac * [0.5, 1, 1], crystal.frac * [0.5, 1, 1] + [0.5, 0, 0]]),
    )
    big = build_graph(doubled)
    assert len(big.source) == 2 * len(graph.source)
    np.testing.assert_allclose(np.sort(big.distance)[::2], np.sort(graph.distance), atol=1e-4)


@pytest.mark.parametrize(
    ("crystal", "message"),
    [
        (cubic(["He"], [[0, 0, 0]], 9.0), "no neighbour within 6 Å"),
        (cubic(["Na", "Xx"], [[0, 0, 0], [0.5, 0.5, 0.5]], 4.0), "'Xx'"),
        (cubic(["Na", "Cl"], [[0, 0, 0], [1.0, 0, 0.01]], 4.0), "0.04 Å apart"),
        (cubic(["Na", "Cl"], [[0, 0, 0], [0, 0, 1.0]], 4.0), "0.00 Å apart"),
        (cubic(["Na", "Cl"], [[0, 0, 0], [0, np.nan, 0.5]], 4.0), "coordinates"),
        (cubic(["Na", "Cl"], [[0, 0, 0]], 4.0), "coordinates"),
        (cubic([], np.zeros((0, 3)), 4.0), "coordinates"),
        (Crystal("flat", (4.0, 4.0, 4.0, 90.0, 90.0, 0.0), ("Na",), np.zeros((1, 3))), "no volume"),
        (Crystal("open", (4.0, 4.0, 4.0, 150.0, 150.0, 150.0), ("Na",), np.zeros((1, 3))), "no volume"),
        (cubic(["Na"], [[0, 0, 0]], -4.0), "no volume"),
    ],
)
def test_impossible_crystals_are_refused_with_the_reason(crystal, message):
    with pytest.raises(StructureError, match=message):
        build_graph(crystal)


def test_store_keeps_graphs_and_reasons(tmp_path):
    bad = cubic(["He"], [[0, 0, 0]], 9.0, "gas")
    crystals = [NACL, bad, CU, random_crystal(3)]
    store = GraphStore.build(iter(crystals))
    store.save(tmp_path / "graphs.safetensors")
    for kept in (store, GraphStore.load(tmp_path / "graphs.safetensors")):
        assert kept.ids == ("NaCl", "gas", "Cu", "random-3")
        assert kept.sizes().tolist() == [8, 0, 4, len(crystals[3])]
        assert set(kept.reasons) == {1}
        assert "no neighbour" in kept.reasons[1]
        for i in (0, 2, 3):
            for field in ("numbers", "source", "target", "distance", "weight", "count", "shape"):
                np.testing.assert_array_equal(getattr(kept[i], field), getattr(merged(build_graph(crystals[i])), field))


def test_store_is_the_same_from_several_processes():
    crystals = [random_crystal(s) for s in (2, 3)] * 300
    one, two = GraphStore.build(crystals), GraphStore.build(crystals, processes=2)
    for field in ("numbers", "count", "shape", "degree", "source", "distance", "weight", "node_offset", "edge_offset"):
        np.testing.assert_array_equal(getattr(one, field), getattr(two, field))


def test_empty_store():
    store = GraphStore.build([])
    assert len(store) == 0
    assert store.sizes().tolist() == []


def test_damaged_store_is_refused(tmp_path):
    (tmp_path / "graphs.safetensors").write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="cannot be read"):
        GraphStore.load(tmp_path / "graphs.safetensors")
    with pytest.raises(CheckpointError, match="cannot be read"):
        GraphStore.load(tmp_path / "absent.safetensors")


def test_pack_numbers_atoms_through():
    batch = pack([build_graph(NACL), build_graph(CU)])
    assert batch.n_crystals == 2
    assert batch.crystal.tolist() == [0] * 8 + [1] * 4
    later = batch.target >= 8
    assert (batch.source[later] >= 8).all()
    assert (batch.source[~later] < 8).all()
    np.testing.assert_array_equal(batch.source[later] - 8, build_graph(CU).source)


@pytest.mark.data
def test_neighbours_of_real_crystals_are_pymatgens(reference_data):
    from itertools import islice

    from aldesign.structures.cif import read_jsonl

    for crystal in islice(read_jsonl(reference_data / "mp" / "structures.jsonl.gz"), 0, 400, 20):
        if len(crystal) < 40:
            target, _, distance, _ = neighbours(crystal)
            centre, _, _, length = as_structure(crystal).get_neighbor_list(6.0)
            np.testing.assert_array_equal(np.bincount(target), np.bincount(centre))
            np.testing.assert_allclose(np.sort(distance), np.sort(length), atol=1e-6)


@pytest.mark.parametrize(
    ("lattice", "complaint"),
    [
        ((5600.0, 5600.0, 5600.0, 90.0, 90.0, 90.0), "cell edge of 5600 Å"),
        ((5.64, 5.64, 501.0, 90.0, 90.0, 90.0), "cell edge of 501 Å"),
        ((25.0, 25.0, 25.0, 90.0, 90.0, 90.0), r"1.95e\+03 Å³ per atom"),
        ((100.0, 100.0, 5.64, 90.0, 90.0, 0.1), "0.17 Å thin"),
        ((0.2, 9.0, 9.0, 90.0, 90.0, 90.0), "0.2 Å thin"),
    ],
)
def test_an_implausible_cell_is_refused_before_the_search(lattice, complaint, monkeypatch):
    def never(*_):
        raise AssertionError("searched")

    monkeypatch.setattr("pymatgen.optimization.neighbors.find_points_in_spheres", never)
    crystal = dataclasses.replace(NACL, lattice=lattice)
    with pytest.raises(StructureError, match=complaint):
        build_graph(crystal)


def test_an_implausible_cell_sinks_only_itself():
    huge = dataclasses.replace(NACL, lattice=(5600.0, 5600.0, 5600.0, 90.0, 90.0, 90.0))
    store = GraphStore.build([NACL, huge, CU])
    assert list(store.reasons) == [1]
    assert store.sizes().tolist() == [8, 0, 4]
