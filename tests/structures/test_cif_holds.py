"""A written CIF is the same crystal to every reader, and a damaged one is noticed."""

from __future__ import annotations

import gzip
import json
import re
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from test_cif import BLOCK, GOOD, PRIMITIVE, ROCK_SALT

from aldesign.errors import StructureError
from aldesign.records import Crystal
from aldesign.structures.cif import (
    formula_of,
    from_pymatgen,
    from_record,
    overlap,
    read_cifs,
    to_pymatgen,
    write_cif,
)
from aldesign.structures.geometry import space_group, volume
from aldesign.structures.graphs import MAX_VOLUME_PER_ATOM


def spaced(seed: int, cell: tuple[float, ...], symbols: list[str]) -> Crystal:
    """Return a crystal whose sites stand apart: points of a grid, each moved a little."""
    rng = np.random.default_rng(seed)
    grid = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)]) / 2
    frac = grid[rng.permutation(8)[: len(symbols)]] + rng.uniform(-0.03, 0.03, (len(symbols), 3))
    return Crystal("random", cell, tuple(symbols), frac)


CELLS = st.tuples(*[st.floats(6.0, 12.0)] * 3, *[st.floats(70.0, 110.0)] * 3)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10**6), CELLS, st.lists(st.sampled_from(["Na", "Ti", "O", "F"]), min_size=1, max_size=8))
def test_any_crystal_is_read_back_by_pymatgen_and_ase(tmp_path, seed, cell, symbols):
    import ase.io
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Structure

    crystal = spaced(seed, cell, symbols)
    assume(volume(crystal) < MAX_VOLUME_PER_ATOM * len(crystal))  # beyond is no crystal
    write_cif(crystal, tmp_path / "x.cif")
    structure = Structure.from_file(tmp_path / "x.cif")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        atoms = ase.io.read(tmp_path / "x.cif")
    assert structure.composition.reduced_formula == to_pymatgen(crystal).composition.reduced_formula
    assert sorted(atoms.get_chemical_symbols()) == sorted(site.specie.symbol for site in structure)
    assert StructureMatcher(scale=False, attempt_supercell=True).fit(structure, to_pymatgen(crystal))
    np.testing.assert_allclose(atoms.cell.cellpar(), structure.lattice.parameters, atol=1e-4)


@pytest.mark.parametrize("number", [14, 62, 88, 122, 148, 160, 167, 186, 194, 205, 216, 221, 225, 227])
def test_symmetry_is_carried_in_many_settings(tmp_path, number):
    from pymatgen.core import Lattice, Structure
    from pymatgen.symmetry.groups import SpaceGroup

    kind = SpaceGroup.from_int_number(number).crystal_system
    lattice = {
        "monoclinic": Lattice.monoclinic(6.1, 7.3, 8.2, 101),
        "orthorhombic": Lattice.orthorhombic(6.1, 7.3, 8.2),
        "tetragonal": Lattice.tetragonal(6.1, 8.2),
        "trigonal": Lattice.hexagonal(7.1, 17.2),
        "hexagonal": Lattice.hexagonal(6.1, 10.2),
        "cubic": Lattice.cubic(10.3),
    }[kind]
    second = {216: [0.25] * 3, 225: [0.5] * 3, 227: [0.5] * 3}.get(number, [0, 0, 0.18])
    frac = [[0, 0, 0], second]
    structure = Structure.from_spacegroup(number, lattice, ["Ti", "O"], frac).get_primitive_structure()
    crystal = from_pymatgen(structure, "x")
    assert not overlap(crystal)
    symbol = write_cif(crystal, tmp_path / "x.cif")
    assert "because" not in (tmp_path / "x.cif").read_text()
    (read,), _ = read_cifs(tmp_path / "x.cif")
    assert symbol == space_group(crystal)[0] == space_group(read)[0] != "P1"


def test_a_cut_anywhere_is_noticed(tmp_path):
    crystal = spaced(1, (7.0, 7.5, 8.0, 90.0, 95.0, 90.0), ["Na", "Na", "Ti", "O", "O", "O"])
    for name, made in (("p1", crystal), ("symmetric", PRIMITIVE)):
        whole = tmp_path / f"{name}.cif"
        write_cif(made, whole)
        text = whole.read_text()
        first = text.index("_atom_site_occupancy")
        (expected,), _ = read_cifs(whole)
        for end in range(first, len(text)):
            (tmp_path / "cut.cif").write_text(text[:end])
            crystals, bad = read_cifs(tmp_path / "cut.cif")
            # all but the last of the digits of an occupancy of one may be cut without loss
            assert bad or (crystals[0].species == expected.species and np.allclose(crystals[0].frac, expected.frac))
            assert bad or end >= len(text) - 4


@pytest.mark.parametrize(
    ("formula", "units", "reason"),
    [
        ("'Cs1 Cl1'", "1", ""),
        ("'Cs1 Cl1'", "?", ""),
        ("'Cs8 Cl8'", "8", "_chemical_formula_sum is|times its"),
        ("'Cs Cl'", "4", ""),  # one formula unit: the sum as pymatgen writes it, whatever Z says
        ("'Cs1 Cl2'", "1", "the atoms of the CIF are Cl1 Cs1, its _chemical_formula_sum is Cl2 Cs1"),
        ("'H2 Cs1 Cl1'", "1", "is it complete"),
        ("'Cs0.5 Cl0.5'", "4", "2 times its _chemical_formula_sum; _cell_formula_units_Z is 4"),
        ("?", "1", ""),
        ("'no formula'", "1", ""),
    ],
)
def test_atoms_must_be_those_of_the_formula(tmp_path, formula, units, reason):
    text = BLOCK.format(name="x", sites=GOOD)
    entries = f"_chemical_formula_sum {formula}\n_cell_formula_units_Z {units}\n"
    (tmp_path / "x.cif").write_text(text.replace("_cell_length_a", entries + "_cell_length_a"))
    crystals, bad = read_cifs(tmp_path / "x.cif")
    if reason:
        assert re.search(reason, bad[0].reason)
    else:
        assert formula_of(crystals[0]) == "CsCl"


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(st.text(max_size=30), st.text(max_size=60) | st.integers(), max_size=5))
def test_any_provenance_makes_plain_comment_lines(provenance):
    from aldesign.structures.cif.writing import _comment

    lines = "".join(_comment(key, value) for key, value in provenance.items()).splitlines()
    assert len(lines) == len(provenance)
    assert all(line.startswith("# ") and line.isascii() and line.isprintable() for line in lines)


def test_long_provenance_goes_on_in_further_lines(tmp_path):
    words = " ".join(f"word{i}" for i in range(1000))
    write_cif(
        PRIMITIVE, tmp_path / "x.cif", {"long": words, "longer": "x" * 10**6, "a\nkey": "line\r\n# two; \x1b[0m é"}
    )
    lines = (tmp_path / "x.cif").read_text().splitlines()
    assert max(map(len, lines)) <= 2048
    start = lines.index(next(line for line in lines if line.startswith("# long: ")))
    stop = lines.index(next(line for line in lines if line.startswith("# longer: ")))
    assert " ".join(line.removeprefix("#").strip() for line in lines[start:stop]) == f"long: {words}"
    assert any(line.endswith("more characters)") for line in lines)
    assert "# a key: line # two; \\x1b[0m \\xe9" in lines
    assert formula_of(read_cifs(tmp_path / "x.cif")[0][0]) == "NaCl"


def test_an_overlap_is_named_with_its_distance(tmp_path):
    crystal = Crystal("x", (4.0,) * 3 + (90.0,) * 3, ("Na", "Cl"), np.array([[0, 0, 0], [0, 0, 0.25]]))
    assert overlap(crystal) == "Na and Cl overlap: they are 1.00 Å apart, and at least 1.34 Å is wanted"
    with pytest.raises(StructureError, match=r"overlap: they are 1\.00 Å apart"):
        write_cif(crystal, tmp_path / "x.cif")
    assert overlap(ROCK_SALT) == ""


def test_what_ase_reads_otherwise_is_written_in_p1(tmp_path, monkeypatch):
    import ase.io

    real = ase.io.read
    wrong = []

    def stretched(file, **options):
        atoms = real(file, **options)
        if len(atoms) > 2:  # the refined cell of eight atoms, not the primitive one
            atoms.positions[-1] += 0.2
            wrong.append(len(atoms))
        return atoms

    monkeypatch.setattr(ase.io, "read", stretched)
    assert write_cif(PRIMITIVE, tmp_path / "x.cif") == "P1"
    assert wrong == [8]
    assert "ASE finds a site 0.3" in (tmp_path / "x.cif").read_text()
    with pytest.raises(StructureError, match="ASE finds a site"):
        write_cif(ROCK_SALT, tmp_path / "y.cif")


def test_crystals_are_told_apart_whatever_their_cells():
    from aldesign.structures.cif.checks import difference

    assert difference(PRIMITIVE, from_pymatgen(to_pymatgen(PRIMITIVE) * (1, 2, 3)), 1e-4) == ""
    moved = Crystal("x", ROCK_SALT.lattice, ROCK_SALT.species, ROCK_SALT.frac + 0.3)
    assert difference(ROCK_SALT, moved, 1e-4) == ""
    shifted = ROCK_SALT.frac.copy()
    shifted[3, 0] += 0.01
    off = Crystal("x", ROCK_SALT.lattice, ROCK_SALT.species, shifted)
    assert "has distances to its neighbours that differ by 0.056 Å" in difference(ROCK_SALT, off, 0.02)
    quarter = np.concatenate([ROCK_SALT.frac[:4], ROCK_SALT.frac[:4] + 0.25])
    zinc_blende = Crystal("x", ROCK_SALT.lattice, ROCK_SALT.species, quarter)
    assert "has distances to its neighbours" in difference(ROCK_SALT, zinc_blende, 0.02)


@pytest.mark.data
def test_real_crystals_are_written_with_their_symmetry(reference_data, tmp_path):
    from aldesign.structures.cif.checks import difference

    symbols = set()
    with gzip.open(reference_data / "mp" / "structures.jsonl.gz", "rt") as file:
        for number, line in enumerate(file):
            if number > 20_000:
                break
            if number % 2000 == 0:
                crystal = from_record(json.loads(line))
                symbols.add(write_cif(crystal, tmp_path / "x.cif", {"id": crystal.id}))
                (read,), bad = read_cifs(tmp_path / "x.cif")
                assert not bad
                assert difference(crystal, read, 0.02) == ""
    assert len(symbols) > 5
