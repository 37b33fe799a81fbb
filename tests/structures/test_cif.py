"""CIF and JSON lines, checked by pymatgen and ASE."""

from __future__ import annotations

import errno
import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from aldesign.errors import InputError, StructureError
from aldesign.records import BadRow, Crystal
from aldesign.structures.cif import (
    formula_of,
    from_pymatgen,
    from_record,
    read_cifs,
    read_jsonl,
    to_pymatgen,
    write_cif,
)

ROCK_SALT = Crystal(
    "halite",
    (5.64, 5.64, 5.64, 90.0, 90.0, 90.0),
    ("Na",) * 4 + ("Cl",) * 4,
    np.array(
        [[0, 0, 0], [0, 1, 1], [1, 0, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 1], [0, 1, 0]],
        dtype=float,
    )
    / 2,
)
PRIMITIVE = Crystal(
    "prim", (3.988, 3.988, 3.988, 60.0, 60.0, 60.0), ("Na", "Cl"), np.array([[0, 0, 0], [0.5, 0.5, 0.5]])
)
ODD = Crystal(
    "odd",
    (4.1, 5.2, 6.3, 81.0, 97.0, 103.0),
    ("Li", "Fe", "O", "O"),
    np.array([[0.01, 0.02, 0.03], [0.5, 0.52, 0.48], [0.2, 0.7, 0.1], [0.7, 0.2, 0.6]]),
)


def test_formula_is_reduced_and_canonical():
    assert formula_of(ROCK_SALT) == "NaCl"
    assert formula_of(ODD) == "LiFeO2"


def test_pymatgen_round_trip_keeps_cell_and_sites():
    back = from_pymatgen(to_pymatgen(ODD), "odd")
    assert back.species == ODD.species
    np.testing.assert_allclose(back.lattice, ODD.lattice, atol=1e-9)
    np.testing.assert_allclose(back.frac, ODD.frac, atol=1e-12)


@pytest.mark.parametrize(("crystal", "symbol"), [(PRIMITIVE, "Fm-3m"), (ROCK_SALT, "Fm-3m"), (ODD, "P1")])
def test_written_cif_is_read_alike_by_pymatgen_and_ase(crystal, symbol, tmp_path):
    import ase.io
    from pymatgen.analysis.structure_matcher import StructureMatcher
    from pymatgen.core import Structure

    path = tmp_path / "x.cif"
    assert write_cif(crystal, path, {"template": "mp-22862", "emd": 1.5, "note": "two\nlines Å"}) == symbol
    lines = path.read_text().splitlines()
    assert lines[0] == "# template: mp-22862"
    assert "# note: two lines Angstrom" in lines
    assert any(line.startswith("# symmetry: " + symbol) for line in lines)
    structure = Structure.from_file(path)
    assert StructureMatcher(scale=False).fit(structure, to_pymatgen(crystal))
    atoms = ase.io.read(path)
    assert sorted(atoms.get_chemical_symbols()) == sorted(site.specie.symbol for site in structure)
    assert atoms.get_volume() == pytest.approx(structure.volume, rel=1e-6)
    assert list(tmp_path.iterdir()) == [path]
    (read,), bad = read_cifs(path)
    assert not bad
    assert formula_of(read) == formula_of(crystal)


def test_a_refined_cell_that_moves_atoms_too_far_falls_back_to_p1(tmp_path, monkeypatch):
    from aldesign.structures.cif import writing

    monkeypatch.setattr(writing, "SYMPREC", 0.8)
    rattled = np.random.default_rng(0).normal(scale=0.03, size=ROCK_SALT.frac.shape)
    crystal = Crystal("x", ROCK_SALT.lattice, ROCK_SALT.species, ROCK_SALT.frac + rattled)
    assert write_cif(crystal, tmp_path / "x.cif") == "P1"
    text = (tmp_path / "x.cif").read_text()
    assert "# symmetry: P1 (1), because the refined cell" in text
    assert len(read_cifs(tmp_path / "x.cif")[0][0]) == 8


def test_sites_on_top_of_each_other_are_not_written(tmp_path):
    crystal = Crystal("x", (4.0, 4.0, 4.0, 90.0, 90.0, 90.0), ("Na", "Na"), np.array([[0, 0, 0], [0, 0, 1e-6]]))
    with pytest.raises(StructureError, match=r"Na and Na overlap: they are 0\.00 Å apart, and at least 1\.66 Å"):
        write_cif(crystal, tmp_path / "x.cif")
    assert not list(tmp_path.iterdir())


def test_partial_occupancy_is_refused_with_the_site():
    from pymatgen.core import Lattice, Structure

    mixed = Structure(Lattice.cubic(5.4), [{"Si": 0.5, "Ge": 0.5}], [[0, 0, 0.25]])
    with pytest.raises(InputError, match=r"partly occupied.*0\.2500"):
        from_pymatgen(mixed, "SiGe")


def test_json_lines_report_bad_rows_and_go_on(tmp_path):
    good = {"id": "a", "lattice": [4, 4, 4, 90, 90, 90], "species": ["Cs"], "frac": [[0, 0, 0]]}
    rows = [
        good,
        "{broken",
        {**good, "species": ["Xx"]},
        {**good, "frac": [[0, 0]]},
        {**good, "lattice": [4, 4, 4, 90, 90, 200]},
        {"id": "b"},
        {**good, "lattice": [4, 4, 4, 90, 90, float("nan")]},
        {k: v for k, v in good.items() if k != "id"},
        [1],
    ]
    path = tmp_path / "s.jsonl.gz"
    with gzip.open(path, "wt") as file:
        file.write("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows) + "\n\n")
    read = list(read_jsonl(path))
    assert [type(row) for row in read] == [Crystal, *[BadRow] * 6, Crystal, BadRow]
    assert [row.line for row in read if isinstance(row, BadRow)] == [2, 3, 4, 5, 6, 7, 9]
    assert "'Xx'" in read[2].reason
    assert "no lattice and no species" in read[5].reason
    assert read[7].id == "s.jsonl.gz:8"


def test_unreadable_sources_are_named(tmp_path):
    (tmp_path / "broken.cif").write_text("data_x\n_cell_length_a nothing\n")
    crystals, bad = read_cifs(tmp_path)
    assert not crystals
    assert bad[0].source.endswith("broken.cif")
    assert "does not parse" in bad[0].reason
    (tmp_path / "x.jsonl.gz").write_bytes(b"not gzip")
    with pytest.raises(InputError, match="cannot be read"):
        list(read_jsonl(tmp_path / "x.jsonl.gz"))
    with pytest.raises(InputError, match="no file"):
        list(read_jsonl(tmp_path / "absent.jsonl"))
    with pytest.raises(InputError, match="no file or folder"):
        read_cifs(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no \.cif"):
        read_cifs(tmp_path / "empty")


def test_a_record_without_sites_is_refused():
    with pytest.raises(InputError, match="no sites"):
        from_record({"lattice": [4, 4, 4, 90, 90, 90], "species": [], "frac": []})


BLOCK = """data_{name}
_cell_length_a 4.12
_cell_length_b 4.12
_cell_length_c 4.12
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
{sites}
"""
GOOD = "Cs1 Cs 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1"


@pytest.mark.parametrize(
    "fault",
    [
        "Cs1 Cs 0 0 0 1\nCs2 Cs 0 0 0 1\nCl1 Cl 0.5 0.5 0.5 1",  # one site twice
        "Cs1 Cs 0 0 oops 1\nCl1 Cl 0.5 0.5 0.5 1",
        "Cs1 Cs 0 0 0 0.5\nCl1 Cl 0.5 0.5 0.5 1",
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_bad_block_leaves_the_others_alone(tmp_path, fault, place):
    sites = [GOOD] * 3
    sites[place] = fault
    header = "# remark\ndata_global\n_publ_section_title\n;\ndata_in_a_text\n;\n"
    blocks = [BLOCK.format(name="same", sites=text) for text in sites]  # one name thrice
    (tmp_path / "x.cif").write_text(header + "\n".join(blocks))
    crystals, (bad,) = read_cifs(tmp_path / "x.cif")
    ids = ["x", "x-2", "x-3"]
    assert [crystal.id for crystal in crystals] == ids[:place] + ids[place + 1 :]
    assert {formula_of(crystal) for crystal in crystals} == {"CsCl"}
    assert bad.text == f"x.cif, block {place + 1}"
    assert (tmp_path / "x.cif").read_text().splitlines()[bad.line - 1] == "data_same"


def test_a_text_with_another_volume_is_refused(tmp_path, monkeypatch):
    from pymatgen.core import Lattice, Structure
    from pymatgen.io import cif as theirs

    class Stretching(theirs.CifWriter):
        # the long axis alone, so that composition and shortest distance (3 Å, along a) stay as they are
        def __init__(self, structure, **_):
            a, b, c, *angles = structure.lattice.parameters
            lattice = Lattice.from_parameters(a, b, c * 1.02, *angles)
            super().__init__(Structure(lattice, structure.species, structure.frac_coords))

    crystal = Crystal("x", (3.0, 3.0, 6.0, 90.0, 90.0, 90.0), ("Na",), np.zeros((1, 3)))
    write_cif(crystal, tmp_path / "whole.cif")
    monkeypatch.setattr(theirs, "CifWriter", Stretching)
    with pytest.raises(StructureError, match=r"volume per atom changed by 2\.00 %"):
        write_cif(crystal, tmp_path / "x.cif")
    assert not (tmp_path / "x.cif").exists()


def test_damaged_files_are_told_apart_from_crystals(tmp_path):
    rng = np.random.default_rng(0)
    record = {"lattice": [4.0, 4.0, 4.0, 90, 90, 90], "species": ["Cs"]}
    lines = [json.dumps({"id": str(i), **record, "frac": rng.random((1, 3)).tolist()}) for i in range(3000)]
    packed = bytearray(gzip.compress("\n".join(lines).encode()))
    middle = len(packed) // 2
    packed[middle : middle + 64] = b"\xff" * 64
    (tmp_path / "s.jsonl.gz").write_bytes(packed)
    with pytest.raises(InputError, match="cannot be read"):
        list(read_jsonl(tmp_path / "s.jsonl.gz"))
    (tmp_path / "s.cif.gz").write_bytes(packed)
    crystals, (bad,) = read_cifs(tmp_path / "s.cif.gz")
    assert not crystals
    assert "cannot be read" in bad.reason
    (tmp_path / "deep.jsonl").write_text("[" * 100_000)
    (deep,) = read_jsonl(tmp_path / "deep.jsonl")
    assert "not JSON" in deep.reason


def test_a_full_disk_leaves_no_part_of_a_cif(tmp_path, monkeypatch):
    def full(self, *_, **__):
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        write_cif(PRIMITIVE, tmp_path / "x.cif")
    assert not list(tmp_path.iterdir())


def test_charges_of_species_are_dropped() -> None:
    record = {"id": "x", "lattice": [4, 4, 4, 90, 90, 90], "species": ["Fe3+", "Na+", "O2-", "Cl-"]}
    crystal = from_record({**record, "frac": [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]})
    assert crystal.species == ("Fe", "Na", "O", "Cl")


def test_species_must_be_a_list() -> None:
    with pytest.raises(InputError, match="species is the text 'CO'"):
        from_record({"lattice": [4, 4, 4, 90, 90, 90], "species": "CO", "frac": [[0, 0, 0], [0.5, 0.5, 0.5]]})
