"""Tables of users: what is guessed, what is merged, what is refused and in which words."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path

import pytest

from aldesign.datasets.table import read_table
from aldesign.errors import InputError


def write(folder: Path, text: str, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("header", "formula", "value"),
    [
        ("formula,band_gap", "formula", "band_gap"),
        ("id,composition,Eg", "composition", "Eg"),
        ("Formula,Band Gap (eV)", "Formula", "Band Gap (eV)"),
        ("material,target", "material", "target"),
        ("pretty_formula,bandgap", "pretty_formula", "bandgap"),
        ("composition,formula,gap", "formula", "gap"),
        ("formula,target,gap_expt", "formula", "gap_expt"),
    ],
)
def test_columns_are_guessed_and_reported(tmp_path: Path, header: str, formula: str, value: str) -> None:
    row = {formula: "NaCl", value: "5"}
    cells = [row.get(name, "7") for name in header.split(",")]
    table = read_table(write(tmp_path, f"{header}\n{','.join(cells)}\n"))
    assert [(r.formula, r.value, r.line) for r in table.rows] == [("NaCl", 5.0, 2)]
    assert any(repr(formula) in note for note in table.notes)
    assert any(repr(value) in note for note in table.notes)


def test_an_ambiguous_guess_names_the_columns_and_the_option(tmp_path: Path) -> None:
    path = write(tmp_path, "formula,bandgap,Eg\nNaCl,5,6\n")
    with pytest.raises(InputError, match="2 columns that may hold the band_gap: bandgap, Eg") as caught:
        read_table(path)
    assert "--value-column" in caught.value.hint
    assert read_table(path, value_column="Eg").rows[0].value == 6.0


def test_an_unknown_column_is_answered_with_the_nearest(tmp_path: Path) -> None:
    path = write(tmp_path, "formula,band_gap\nNaCl,5\n")
    with pytest.raises(InputError, match="no column 'band_gaap'") as caught:
        read_table(path, value_column="band_gaap")
    assert "'band_gap'" in caught.value.hint


def test_every_bad_row_is_listed_and_none_sinks_the_rest(tmp_path: Path) -> None:
    text = "formula,gap\nNaCl,5\nXx2O,1\nMgO,-0.5\nCaO,abc\nBaO,\nSrO,inf\n,3\nKCl,nan\nLiF,1,2,3\nZnO,3.4\n"
    table = read_table(write(tmp_path, text))
    assert [r.formula for r in table.rows] == ["NaCl", "ZnO"]
    reasons = {row.line: row.reason for row in table.bad}
    assert sorted(reasons) == [3, 4, 5, 6, 7, 8, 9, 10]
    assert "Xx" in reasons[3]
    assert "negative band gap -0.5 eV" in reasons[4]
    assert "'abc' is not a number" in reasons[5]
    assert "no value in 'gap'" in reasons[6]
    assert "finite" in reasons[7]
    assert reasons[8] == "no formula"
    assert "finite" in reasons[9]
    assert "4 cells" in reasons[10]
    assert all(row.source.endswith("t.csv") for row in table.bad)


def test_nan_is_sodium_nitride(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "formula,gap\nNaN,1.5\nNa3N,0.5\n"))
    assert [(r.formula, r.value) for r in table.rows] == [("NaN", 1.5), ("Na3N", 0.5)]


def test_formulas_come_out_canonical_and_repeats_are_averaged(tmp_path: Path) -> None:
    path = write(tmp_path, "formula,gap,std\nO2Si,8,0.3\nSiO2,9,0.4\nSi2O4,10,\nNaCl,5,0.1\n")
    table = read_table(path)
    assert [r.formula for r in table.rows] == ["SiO2", "NaCl"]
    assert table.rows[0].value == pytest.approx(9.0)
    assert table.rows[0].std == pytest.approx(math.sqrt((0.3**2 + 0.4**2) / 2))
    assert any("2 rows repeat a formula" in note and "spread 2 eV" in note for note in table.notes)
    assert len(read_table(path, duplicates="keep").rows) == 4


def test_the_lowest_polymorph_wins_where_the_hull_is_known(tmp_path: Path) -> None:
    path = write(tmp_path, "formula,gap,e_above_hull\nSiO2,8,0.2\nSiO2,9,0.0\nSiO2,7,\n")
    table = read_table(path)
    assert [r.value for r in table.rows] == [9.0]
    assert any("polymorphs" in note for note in table.notes)
    assert read_table(path, duplicates="mean").rows[0].value == pytest.approx(8.0)


@pytest.mark.parametrize("negative", ["clip", "keep"])
def test_negative_gaps_can_be_clipped_or_kept(tmp_path: Path, negative: str) -> None:
    path = write(tmp_path, "formula,gap\nNaCl,-0.2\n")
    table = read_table(path, negative=negative)  # type: ignore[arg-type]
    assert table.rows[0].value == (0.0 if negative == "clip" else -0.2)


def test_formation_energies_may_be_negative(tmp_path: Path) -> None:
    path = write(tmp_path, "formula,band_gap,formation_energy_per_atom\nNaCl,5,-2.1\n")
    table = read_table(path, target="formation_energy_per_atom")
    assert (table.rows[0].value, table.unit) == (-2.1, "eV/atom")


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("formula,gap\nNaCl,5.5\n", "utf-8-sig"),
        ("formula;gap\r\nNaCl;5,5\r\n", "utf-8"),
        ("formula\tgap\nNaCl\t5.5\n", "utf-16"),
        ("# exported by the lab\n\nformula | gap\nNaCl | 5.5\n", "utf-8"),
        ("formula,gap,remark\rNaCl,5.5,gr\xfcn\r", "latin-1"),
    ],
)
def test_exports_of_other_programs_are_read(tmp_path: Path, text: str, encoding: str) -> None:
    table = read_table(write(tmp_path, text, encoding=encoding))
    assert [(r.formula, r.value) for r in table.rows] == [("NaCl", 5.5)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("t.json", [{"formula": "NaCl", "gap": 5}]),
        ("t.json", {"formula": ["NaCl"], "gap": [5]}),
        ("t.json", {"columns": ["composition", "gap expt"], "index": [0], "data": [["NaCl", 5]]}),
        ("t.json", {"NaCl": 5}),
        ("t.jsonl", {"formula": "NaCl", "gap": 5}),
    ],
)
def test_json_in_its_usual_shapes(tmp_path: Path, name: str, value: object) -> None:
    path = tmp_path / (name + ".gz")
    path.write_bytes(gzip.compress(json.dumps(value).encode()))
    assert [(r.formula, r.value) for r in read_table(path).rows] == [("NaCl", 5.0)]


SALT = {"lattice": [3.99, 3.99, 3.99, 60, 60, 60], "species": ["Na", "Cl"], "frac": [[0, 0, 0], [0.5, 0.5, 0.5]]}


def test_json_lines_with_crystals_need_no_formula(tmp_path: Path) -> None:
    lines = [
        {"id": "a", **SALT, "gap": 5.0},
        {"id": "b", **SALT, "formula": "KCl", "gap": 5.0},
        {"id": "c", **SALT, "frac": [[0, 0, 0]], "gap": 5.0},
    ]
    path = write(tmp_path, "\n".join(map(json.dumps, lines)) + "\n{oops\n", "t.jsonl")
    table = read_table(path)
    assert [(r.formula, r.value) for r in table.rows] == [("NaCl", 5.0)]
    crystal = table.rows[0].crystal
    assert crystal is not None
    assert (crystal.id, crystal.species) == ("a", ("Na", "Cl"))
    assert [row.line for row in table.bad] == [2, 3, 4]
    assert "but the crystal is NaCl" in table.bad[0].reason


def test_crystals_are_joined_by_id(tmp_path: Path) -> None:
    structures = write(tmp_path, json.dumps({"id": "x1", **SALT}), "s.jsonl")
    table = read_table(write(tmp_path, "id,formula,gap\nx1,NaCl,5\nx2,KCl,5\n"), structures=structures)
    assert [r.crystal is not None for r in table.rows] == [True, False]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", b"", "is empty"),
        ("t.csv", b"  \n\n", "is empty"),
        ("t.csv", b"formula,gap\n", "no usable row"),
        ("t.csv", b"formula,gap\nXx2O,1\n", "no usable row"),
        ("t.csv", b"a,b\n1,2\n", "no column that is known to hold formulas"),
        ("t.csv", b"formula,b\nNaCl,2\n", "no column that is known to hold the band_gap"),
        ("t.csv", b"formula,gap,gap\nNaCl,2,3\n", "stands twice"),
        ("t.csv", b"PK\x03\x04\x00\x00", "not a text file"),
        ("t.xlsx", b"PK\x03\x04\x00\x00", "its kind is .xlsx"),
        ("t.json", b"{", "not valid JSON"),
        ("t.json", b"3", "holds no table"),
        ("t.csv.gz", gzip.compress(b"formula,gap\n" * 99, mtime=0)[:-20], "damaged"),
    ],
)
def test_unusable_files_are_input_errors_that_name_the_file(
    tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=words) as caught:
        read_table(path)
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_a_missing_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no file"):
        read_table(tmp_path / "absent.csv")
    with pytest.raises(InputError, match="is a directory"):
        read_table(tmp_path)


@pytest.mark.data
def test_the_papers_oracle_table_is_read_whole(reference_data: Path) -> None:
    table = read_table(reference_data / "agd" / "Exp1_42k.csv")
    assert (len(table.rows), len(table.bad)) == (40425, 0)


def test_a_second_crystal_of_an_id_is_refused(tmp_path: Path) -> None:
    cell = {"lattice": [4, 4, 4, 60, 60, 60], "species": ["Na", "Cl"], "frac": [[0, 0, 0], [0.5, 0.5, 0.5]]}
    other = {**cell, "lattice": [5, 5, 5, 60, 60, 60]}
    lines = [json.dumps({"id": "a", **part}) for part in (cell, other)]
    (tmp_path / "crystals.jsonl").write_text("\n".join(lines))
    (tmp_path / "t.csv").write_text("id,formula,gap\na,NaCl,5\n")
    table = read_table(tmp_path / "t.csv", structures=tmp_path / "crystals.jsonl")
    assert table.rows[0].crystal is not None
    assert table.rows[0].crystal.lattice[0] == 4
    assert [row.reason for row in table.bad] == ["a second crystal with the id 'a'; the first is used"]


@pytest.mark.parametrize(
    ("target", "good", "bad"),
    [("band_gap", (0.0, 21.7), (25.1, 1500.0)), ("formation_energy_per_atom", (-4.6, 3.0), (-430.0, 12.0))],
)
def test_labels_beyond_all_solids_are_refused(
    tmp_path: Path, target: str, good: tuple[float, ...], bad: tuple[float, ...]
) -> None:
    values = [*good, *bad, *(0.1 * i for i in range(100))]
    lines = [f"Na{i}Cl{2 * i + 1},{value}" for i, value in enumerate(values, start=1)]
    (tmp_path / "t.csv").write_text("\n".join([f"formula,{target}", *lines]))
    table = read_table(tmp_path / "t.csv", target=target)
    assert len(table.rows) == len(values) - 2
    assert [row.line for row in table.bad] == [4, 5]
    assert all("more than any solid's" in row.reason for row in table.bad)


def test_the_span_of_the_labels_is_told_with_its_lines(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("formula,gap\nCu,0\nLiF,13.6\nNaCl,8.5\n")
    assert read_table(tmp_path / "t.csv").notes[-1] == (
        "labels from 0 (Cu, line 2) to 13.6 (LiF, line 3), 1 of 3 are 0"
    )
