"""Raw rows: a row for every line, whatever stands in it."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldesign.datasets.formulas import read_formulas
from aldesign.errors import InputError
from aldesign.tables.rawfile import open_rows


def test_a_stray_quote_costs_its_own_line_only(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text('formula,note\nNaCl,"oops\nMgO,x\nKBr,y\nKF,z"\nLiF,"a, ""b"""\n')
    rows = list(open_rows(path).rows)
    assert [row.line for row in rows] == [2, 3, 4, 5, 6]
    assert "a quote opens in this line" in rows[0].error
    assert not any(row.error for row in rows[1:])
    assert [row.cells.get("formula") for row in rows] == [None, "MgO", "KBr", "KF", "LiF"]
    assert rows[4].cells["note"] == 'a, "b"'


def test_a_stray_quote_in_the_header_is_named(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_text('# remark\nformula,"note\nNaCl,x\n')
    with pytest.raises(InputError, match="line 2: a quote opens"):
        open_rows(path)


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Zl", "Zp"])), min_size=3, max_size=3))
def test_lines_are_cut_as_by_the_csv_module(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    path = tmp_path_factory.mktemp("t") / "in.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["first", *"abc"])
        writer.writerow(["x", *cells])
    (row,) = open_rows(path).rows
    assert not row.error
    assert list(row.cells.values()) == ["x", *(cell.strip() for cell in cells)]


def test_a_line_nested_too_deep_is_a_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"formula": "NaCl"}\n' + "[" * 100_000 + '\n{"formula": "KBr"}\n')
    first, deep, last = open_rows(path).rows
    assert (first.error, last.error) == ("", "")
    assert deep.line == 2
    assert deep.error.startswith("not JSON")
    (tmp_path / "in.json").write_text("[" * 100_000)
    with pytest.raises(InputError, match="not valid JSON"):
        open_rows(tmp_path / "in.json")


@pytest.mark.parametrize("name", ["in.csv.gz", "in.jsonl.gz", "in.txt.gz", "in.json.gz"])
def test_damage_in_the_middle_of_a_gzip_is_bad_input(tmp_path: Path, name: str) -> None:
    lines = [f"Na{i % 17 + 1}Cl{i % 13 + 1},{i * 7919 % 100003}" for i in range(60000)]
    text = "formula,v\n" + "\n".join(lines)
    if ".json" in name:
        objects = ['{{"formula": "{}", "v": {}}}'.format(*line.split(",")) for line in lines]
        text = "[" + ",\n".join(objects) + "]" if name == "in.json.gz" else "\n".join(objects)
    packed = bytearray(gzip.compress(text.encode()))
    middle = len(packed) * 3 // 4
    packed[middle : middle + 64] = b"\xff" * 64
    (tmp_path / name).write_bytes(packed)
    with pytest.raises(InputError, match=r"damaged|not valid JSON"):
        for _ in read_formulas(tmp_path / name).rows:
            pass
