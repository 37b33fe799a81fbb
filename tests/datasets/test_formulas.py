"""Files of formulas and crystals: order kept, bad rows kept in place."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from aldesign.datasets.formulas import read_formulas
from aldesign.errors import InputError

SALT = {"lattice": [3.99, 3.99, 3.99, 60, 60, 60], "species": ["Na", "Cl"], "frac": [[0, 0, 0], [0.5, 0.5, 0.5]]}


def test_rows_keep_their_order_and_bad_ones_their_place(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("id,formula\n7,O2Si\n8,Xx2O\n9,\n10,NaN\n")
    source = read_formulas(path)
    rows = list(source.rows)
    assert source.has_ids
    assert [row.id for row in rows] == ["7", "8", "9", "10"]
    assert [row.formula for row in rows] == ["SiO2", None, None, "NaN"]
    assert [row.text for row in rows] == ["O2Si", "Xx2O", "", "NaN"]
    assert "Xx" in rows[1].error
    assert rows[2].error == "no formula"


@pytest.mark.parametrize(
    ("name", "text"),
    [("f.txt", "NaCl\n\n# remark\nMgO\n"), ("f.csv", "NaCl\nMgO\n"), ("f.csv", "formula\nNaCl\nMgO\n")],
)
def test_bare_lists_of_formulas(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    source = read_formulas(tmp_path / name)
    assert [row.formula for row in source.rows] == ["NaCl", "MgO"]
    assert not source.has_ids


def test_json_lines_give_crystals(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl.gz"
    lines = [{"id": "a", **SALT}, {"id": "b", **SALT, "species": ["Na"]}]
    path.write_bytes(gzip.compress("\n".join(map(json.dumps, lines)).encode()))
    first, second = read_formulas(path).rows
    assert first.crystal is not None
    assert (first.id, first.formula, len(first.crystal)) == ("a", "NaCl", 2)
    assert (second.id, second.formula, second.crystal) == ("b", None, None)
    assert "frac" in second.error


def test_cifs_one_or_a_folder(tmp_path: Path) -> None:
    from pymatgen.core import Lattice, Structure

    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    salt.to(str(tmp_path / "salt.cif"))
    (tmp_path / "broken.cif").write_text("this is no CIF")
    broken, whole = read_formulas(tmp_path).rows
    assert (whole.id, whole.formula, whole.crystal is not None) == ("salt", "NaCl", True)
    assert (broken.id, broken.formula) == ("broken", None)
    assert "does not parse" in broken.error
    assert [row.formula for row in read_formulas(tmp_path / "salt.cif").rows] == ["NaCl"]


def test_a_file_without_formulas_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="header is: a, b"):
        read_formulas(path)
    with pytest.raises(InputError, match=r"holds no \.cif file"):
        read_formulas(tmp_path)


def test_blocks_of_a_cif_keep_their_places_and_ids(tmp_path: Path) -> None:
    block = (
        "data_{0}\n_cell_length_a {1}\n_cell_length_b 4\n_cell_length_c 4\n_cell_angle_alpha 90\n"
        "_cell_angle_beta 90\n_cell_angle_gamma 90\nloop_\n_atom_site_label\n_atom_site_type_symbol\n"
        "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nCs1 Cs 0 0 0\nCl1 Cl 0.5 0.5 0.5\n"
    )
    path = tmp_path / "two.cif.gz"
    path.write_bytes(gzip.compress((block.format("a", "oops") + block.format("b", 4)).encode()))
    bad, good = read_formulas(path).rows
    assert (bad.id, bad.formula, bad.text) == ("two", None, "two.cif.gz, block 1")
    assert (good.id, good.formula) == ("two-2", "CsCl")
