"""What GPAW needs, and what is said where a piece is missing."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from aldesign.dft import setups


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Data sets in a folder that GPAW_SETUP_PATH names, and none elsewhere."""
    monkeypatch.setenv("GPAW_SETUP_PATH", str(tmp_path))
    monkeypatch.setattr(setups, "_DEBIAN", tmp_path / "nowhere")
    monkeypatch.setattr(setups, "find_spec", lambda name: None if name == "gpaw_data" else object())
    return tmp_path


def test_an_absent_gpaw_is_told_with_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setups, "find_spec", lambda name: None)
    told = setups.missing()
    assert told is not None
    for word in ("GPAW is not installed", "g++", "libxc-dev", "libopenblas-dev", "CC=g++", "[dft]"):
        assert word in told


def test_a_gpaw_without_its_compiled_part_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setups, "find_spec", lambda name: None if name == "_gpaw" else object())
    assert "compiled part" in (setups.missing() or "")


def test_missing_data_sets_are_told_with_where_they_were_looked_for(folder: Path) -> None:
    told = setups.missing() or ""
    assert str(folder) in told
    assert "GPAW_SETUP_PATH" in told


def test_only_whole_names_of_elements_are_data_sets(folder: Path) -> None:
    for name in ("Mg.PBE.gz", "O.PBE", "Ag.11.PBE.gz", "Zn.LDA.gz", "notes.PBE.txt", "Qq.PBE.gz"):
        (folder / name).write_bytes(gzip.compress(b"<paw/>"))
    assert setups.elements() == {"Mg", "O"}
    assert setups.lacking(["O", "Tc", "Mg", "Zn", "Tc"]) == ["Tc", "Zn"]


def test_the_fingerprint_is_that_of_the_unpacked_file(folder: Path) -> None:
    (folder / "Mg.PBE.gz").write_bytes(gzip.compress(b"<paw_setup/>"))
    assert setups.fingerprint("Mg") == hashlib.md5(b"<paw_setup/>").hexdigest()
    assert setups.fingerprint("O") is None
