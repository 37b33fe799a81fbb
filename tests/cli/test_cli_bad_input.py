"""Bad input to `predict` and `train`: a row with its reason, and the rest is done."""

from __future__ import annotations

import csv
import gzip
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from aldesign.cli.app import run

CELL = {"lattice": [3.99, 3.99, 3.99, 60, 60, 60], "species": ["Na", "Cl"], "frac": [[0, 0, 0], [0.5, 0.5, 0.5]]}
Predict = Callable[..., tuple[int, list[dict[str, str]], str]]


@pytest.fixture
def predict(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Predict:
    """Return what predicts files with a table of a few gaps: the exit code, the rows, and what was said."""
    (tmp_path / "table.csv").write_text("formula,gap\nNaCl,5.0\nKCl,4.9\nNaN,1.5\nAg0.5GePb1.75Se4,0.3\n")

    def ask(*files: Path) -> tuple[int, list[dict[str, str]], str]:
        inputs = [word for file in files for word in ("--input", str(file))]
        code = run(["predict", "--oracle", "lookup", "--option", f"path={tmp_path / 'table.csv'}", *inputs])
        shown = capsys.readouterr()
        return code, list(csv.DictReader(shown.out.splitlines())), shown.err

    return ask


def cif(sites: list[tuple[object, ...]], edge: float = 3.4, group: str = "P 1") -> str:
    """Return a CIF of a cubic cell with (symbol, x, y, z, occupancy) of each site."""
    lengths = "".join(f"_cell_length_{axis} {edge}\n" for axis in "abc")
    angles = "".join(f"_cell_angle_{name} 90\n" for name in ("alpha", "beta", "gamma"))
    columns = ("label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy")
    loop = "loop_\n" + "".join(f"_atom_site_{column}\n" for column in columns)
    rows = "".join(f"{site[0]}{i} {' '.join(map(str, site))}\n" for i, site in enumerate(sites))
    return f"data_x\n{lengths}{angles}_symmetry_space_group_name_H-M '{group}'\n{loop}{rows}"


SALT = [("Na", 0, 0, 0, 1), ("Cl", 0.5, 0.5, 0.5, 1)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no formula"),
        ("nan", "unexpected 'n'"),
        ("Xx2O", "'Xx' is not an element"),
        ("Na(Cl", "never closed"),
        ("12", "follows no element"),
        ("Na-1Cl", "unexpected '-'"),
        ("H" + "9" * 5000, "too large"),
        ("NaCl;DROP", "unexpected ';'"),
        ('"NaCl', "quote opens"),
        ("NaCl,7,8", "4 cells where the header has 2"),
        ("Og", "not in the table"),
    ],
)
def test_a_bad_formula_is_a_row_and_the_rest_is_predicted(
    predict: Predict, tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "in.csv").write_text(f"id,formula\na,NaCl\nb,{text}\nc,NaN\nc,KCl\n")
    code, rows, _ = predict(tmp_path / "in.csv")
    assert code == 0
    assert [row["value"] for row in rows] == ["5.0", "", "1.5", "4.9"]
    assert words in rows[1]["error"]
    assert [row["id"] for row in rows][2:] == ["c", "c"]


def test_fractional_and_very_long_formulas_are_read(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(f"formula\nAg0.5Ge1Pb1.75Se4\n{'NaCl' * 3000}\n")
    code, rows, _ = predict(tmp_path / "in.csv")
    assert code == 0
    assert [row["value"] for row in rows] == ["0.3", "5.0"]


LINES = {
    "a list": ('["NaCl"]', "not a JSON object"),
    "a number": ("42", "not a JSON object"),
    "null": ("null", "not a JSON object"),
    "cut": ('{"id": "x", ', "not JSON"),
    "no frac": (json.dumps({"lattice": CELL["lattice"], "species": ["Na"]}), "no frac"),
    "NaN lattice": ('{"lattice": [NaN,4,4,90,90,90], "species": ["Na"], "frac": [[0,0,0]]}', "is not a cell"),
    "infinite lattice": ('{"lattice": [1e999,4,4,90,90,90], "species": ["Na"], "frac": [[0,0,0]]}', "is not a cell"),
    "negative length": (json.dumps({**CELL, "lattice": [-4, 4, 4, 90, 90, 90]}), "is not a cell"),
    "open angles": (json.dumps({**CELL, "lattice": [4, 4, 4, 10, 100, 170]}), "close no cell"),
    "flat": (json.dumps({**CELL, "lattice": [4, 4, 4, 120, 120, 120]}), "close no cell"),
    "vectors": (json.dumps({**CELL, "lattice": [[4, 0, 0], [0, 4, 0], [0, 0, 4]]}), "three entries"),
    "a text": (json.dumps({**CELL, "lattice": "cubic"}), "something else than numbers"),
    "no species": (json.dumps({**CELL, "species": [], "frac": []}), "no sites"),
    "null species": (json.dumps({**CELL, "species": None}), "something else than numbers"),
    "no element": (json.dumps({**CELL, "species": ["Na", "Xx"]}), "'Xx' are no elements"),
    "partial occupancy": (json.dumps({**CELL, "species": [{"Na": 0.5}, "Cl"]}), "several species or occupancies"),
    "too few sites": (json.dumps({**CELL, "frac": [[0, 0, 0]]}), "2 species need (2, 3)"),
    "no number": (json.dumps({**CELL, "frac": [[0, 0, 0], [None, 0, 0]]}), "is not finite"),
    "other formula": (json.dumps({**CELL, "formula": "KCl"}), "but the crystal is NaCl"),
}


@pytest.mark.parametrize(("line", "words"), LINES.values(), ids=LINES)
def test_a_bad_json_line_is_a_row_and_the_rest_is_predicted(
    predict: Predict, tmp_path: Path, line: str, words: str
) -> None:
    good = json.dumps({"id": "good", **CELL})
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(f"{good}\n{line}\n{good}\n".encode()))
    code, rows, _ = predict(tmp_path / "in.jsonl.gz")
    assert code == 0
    assert [row["value"] for row in rows] == ["5.0", "", "5.0"]
    assert words in rows[1]["error"]


def checkerboard(n: int) -> list[tuple[object, ...]]:
    """Return the sites of rock salt's pattern on a grid of n³."""
    places = itertools.product(range(n), repeat=3)
    return [("Na" if sum(p) % 2 == 0 else "Cl", *(f"{x / n:.5f}" for x in p), 1) for p in places]


CIFS: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "no block has a cell or atoms"),
    "no structure": ("data_x\n_chemical_name 'salt'\n", "no block has a cell or atoms"),
    "rubbish": (bytes(range(256)) * 20, "no block has a cell or atoms"),
    "partial occupancy": (cif([("Na", 0, 0, 0, 0.5), SALT[1]]), "partly occupied site: Na0.5"),
    "mixed site": (cif([("Na", 0, 0, 0, 0.5), ("K", 0, 0, 0, 0.5), SALT[1]]), "partly occupied"),
    "two on one site": (cif([SALT[0], ("Cl", 0, 0, 0, 1)]), "coincide"),
    "no element": (cif([("Xx", 0, 0, 0, 1), SALT[1]]), "'Xx' are no elements"),
    "no number": (cif([("Na", "abc", 0, 0, 1), SALT[1]]), "'abc'"),
    "unknown cell": (cif(SALT).replace("_a 3.4", "_a ?"), "'?'"),
    "negative cell": (cif(SALT).replace("_a 3.4", "_a -3.4"), "negative cell parameter: _cell_length_a -3.4"),
    "cut in a line": (cif(SALT)[:-12], "does not parse"),
    "cut in the cell": (cif(SALT)[:90], "does not parse"),
}


@pytest.mark.parametrize(("content", "words"), CIFS.values(), ids=CIFS)
def test_a_bad_cif_is_a_row_and_the_rest_is_predicted(
    predict: Predict, tmp_path: Path, content: str | bytes, words: str
) -> None:
    good, bad = tmp_path / "good.cif", tmp_path / "bad.cif"
    good.write_text(cif(SALT))
    bad.write_bytes(content if isinstance(content, bytes) else content.encode())
    code, rows, _ = predict(good, bad, good)
    assert code == 0
    assert [row["id"] for row in rows] == ["good", "bad", "good"]
    assert [row["value"] for row in rows] == ["5.0", "", "5.0"]
    assert words in rows[1]["error"]
    assert "\n" not in rows[1]["error"]
    assert predict(bad)[0] == 2


def test_a_cif_of_two_thousand_atoms_is_read(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "large.cif").write_text(cif(checkerboard(13), 13 * 2.82))
    (tmp_path / "good.cif").write_text(cif(SALT))
    code, rows, _ = predict(tmp_path / "large.cif", tmp_path / "good.cif")
    assert code == 0
    assert [row["formula"] for row in rows] == ["Na1099Cl1098", "NaCl"]


FILES: dict[str, tuple[bytes, str]] = {
    "empty.csv": (b"", "is empty"),
    "blank.csv": (b"\n \n", "is empty"),
    "other.csv": (b"a,b\n1,2\n", "header is: a, b"),
    "zeros.csv": (bytes(range(256)) * 9, "not a text file"),
    "rubbish.csv": (bytes(range(1, 256)) * 9, "known to hold formulas"),
    "list.jsonl": (b"[1]\n", "not a JSON object"),
    "cut.json": (b'[{"formula": "NaCl"}', "not valid JSON"),
    "cut.csv.gz": (gzip.compress(b"formula\nNaCl\n")[:12], "is damaged"),
    "what.xlsx": (b"PK\3\4", "its kind is .xlsx"),
}


@pytest.mark.parametrize(("name", "content", "words"), [(name, *rest) for name, rest in FILES.items()], ids=FILES)
def test_a_file_that_cannot_be_read_is_a_row_beside_others(
    predict: Predict, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    (tmp_path / "good.csv").write_text("id,formula\n7,NaCl\n")
    (tmp_path / name).write_bytes(content)
    code, rows, _ = predict(tmp_path / "good.csv", tmp_path / name, tmp_path / "good.csv")
    assert code == 0
    assert [(row["id"], row["formula"], row["value"]) for row in rows] == [
        *(("7", "NaCl", "5.0"), ("", name, ""), ("7", "NaCl", "5.0")),
    ]
    assert words in rows[1]["error"]
    code, _, said = predict(tmp_path / name)
    assert code == 2
    assert words in said


def test_a_truncated_archive_is_predicted_as_far_as_it_goes(predict: Predict, tmp_path: Path) -> None:
    whole = gzip.compress(b"formula\n" + b"NaCl\nKCl\n" * 20_000)
    for cut in (len(whole) // 2, len(whole) - 8):
        (tmp_path / "in.csv.gz").write_bytes(whole[:cut])
        code, rows, _ = predict(tmp_path / "in.csv.gz")
        assert code == 0
        assert [row["value"] for row in rows[:4]] == ["5.0", "4.9", "5.0", "4.9"]
        assert [i for i, row in enumerate(rows) if row["error"]] == [len(rows) - 1]
        assert f"is damaged after line {len(rows)}" in rows[-1]["error"]  # the header is a line too


def test_a_header_alone_is_no_input(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("formula\n")
    code, rows, said = predict(tmp_path / "in.csv")
    assert (code, rows) == (2, [])
    assert "no rows" in said


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("1500", "line 3: band gap 1500 eV is beyond 25"),
        ("-0.4", "line 3: negative band gap -0.4 eV"),
        ("wide", "line 3: 'wide' is not a number"),
        ("", "line 3: no value in 'gap'"),
        ("nan", "line 3: 'nan' is not a finite number"),
        ("1.2 eV", "line 3: '1.2 eV' is not a number"),
    ],
)
def test_a_bad_label_is_named_with_its_line(
    tmp_path: Path, label: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = "".join(f"Na{i}Cl,{i / 10}\n" for i in range(1, 30))
    (tmp_path / "t.csv").write_text(f"formula,gap\nMgO,4.5\nZnS,{label}\n{rest}")
    arguments = ["--oracle", "random_forest", "--data", str(tmp_path / "t.csv"), "--option", "trees=3"]
    assert run(["train", *arguments, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().err
    assert "30 rows" in said
    assert words in said
    assert json.loads((tmp_path / "out" / "card.json").read_text())["data"]["refused"] == 1


def test_a_column_in_another_unit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"Na{i}Cl,{150 * i}\n" for i in range(1, 30))
    (tmp_path / "t.csv").write_text(f"formula,gap\nCu,0\n{rows}")
    arguments = ["--oracle", "random_forest", "--data", str(tmp_path / "t.csv"), "--out", str(tmp_path / "out")]
    assert run(["train", *arguments]) == 2
    said = capsys.readouterr().err
    assert "29 of 30 labels in 'gap' are beyond 25 eV" in said
    assert "1000 meV" in said
    assert not (tmp_path / "out").exists()


def test_two_labels_of_a_formula_are_told_with_their_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t.csv").write_text("formula,gap\nZnS,3.5\nMgO,4.5\nSZn,2.5\n")
    assert run(["data", "describe", str(tmp_path / "t.csv")]) == 0
    shown = capsys.readouterr()
    assert "1 rows repeat a formula: labels averaged" in shown.out + shown.err
    assert "ZnS: 3.5 in line 2, 2.5 in line 4" in shown.out + shown.err
