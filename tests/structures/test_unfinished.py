"""Rows of a table of crystals survive a kill, and nothing else is taken for one of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from aldesign.errors import InputError
from aldesign.structures.build import StructureRow
from aldesign.structures.making import Recipe
from aldesign.structures.unfinished import FILE_NAME, Unfinished, held, settings_key


def filled(folder):
    unfinished = Unfinished(folder, "key")
    (folder / "NaCl.cif").write_text("a crystal")
    unfinished.add(StructureRow("NaCl", "t", "KCl", 0.5, "NaCl.cif", -2.1, details={"support": 3}))
    unfinished.add(StructureRow("Na9Cl", reason="no template"))


def test_rows_are_found_again(tmp_path):
    filled(tmp_path)
    again = Unfinished(tmp_path, "key")
    assert again.found == 2
    assert again.get("NaCl") == StructureRow("NaCl", "t", "KCl", 0.5, "NaCl.cif", -2.1)
    assert again.get("NaCl").details == {"support": 3}
    assert again.get("Na9Cl").reason == "no template"
    assert again.get("KCl") is None
    again.complete()
    assert not (tmp_path / FILE_NAME).exists()


def test_a_line_cut_short_by_a_kill_costs_its_row_alone(tmp_path):
    filled(tmp_path)
    path = tmp_path / FILE_NAME
    path.write_text(path.read_text()[:-10])
    again = Unfinished(tmp_path, "key")
    assert again.get("NaCl") is not None
    assert again.get("Na9Cl") is None
    again.add(StructureRow("Na9Cl", reason="no template"))
    assert Unfinished(tmp_path, "key").found == 2


def test_rows_of_other_settings_and_rows_without_their_file_are_made_anew(tmp_path):
    filled(tmp_path)
    (tmp_path / "NaCl.cif").unlink()
    assert Unfinished(tmp_path, "key").get("NaCl") is None
    assert Unfinished(tmp_path, "other").found == 0
    assert Unfinished(tmp_path, "key").found == 0


def test_settings_decide_the_key():
    keys = {settings_key("a", Recipe(), ""), settings_key("b", Recipe(), ""), settings_key("a", Recipe(steps=7), "")}
    assert len(keys | {settings_key("a", Recipe(), "hull")}) == 4
    assert settings_key("a", Recipe(), "") in keys


def test_a_place_that_cannot_be_written_is_bad_input():
    with pytest.raises(InputError, match="cannot write /proc/x/y"):
        Unfinished(Path("/proc/x/y"), "key")


def test_a_folder_is_one_processes_at_a_time(tmp_path):
    folder = tmp_path / "out"
    script = (
        "import sys, pathlib; from aldesign.structures.unfinished import held; kept = held(pathlib.Path(sys.argv[1])); "
        "kept.__enter__(); print('has it', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", script, folder]
    with held(folder):
        denied = subprocess.run(command, capture_output=True, text=True, check=False)
        assert "being written by another process" in denied.stderr
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"has it\n"
        with pytest.raises(InputError, match="being written by another process"), held(folder):
            pytest.fail("two had it at once")
        other.kill()
    with held(folder):
        assert list(folder.iterdir()) == []
