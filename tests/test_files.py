"""Files appear whole or not at all."""

from __future__ import annotations

import gzip
import os
import stat
from pathlib import Path

import pytest

from aldesign.errors import InputError
from aldesign.files import atomic_path, open_atomic, refuse_overwriting, write_csv, write_json, write_text


def test_a_file_appears_when_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "a.txt"
    with atomic_path(target) as temporary:
        temporary.write_text("x")
        assert temporary.suffix == ".txt"
        assert not target.exists()
    assert target.read_text() == "x"
    assert [path.name for path in target.parent.iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.csv"
    target.write_text("old")

    def rows():  # type: ignore[no-untyped-def]
        yield [1]
        raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_csv(target, ["a"], rows())
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_modes_follow_the_users_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "x")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_equal_content_gives_equal_compressed_bytes(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "b.jsonl.gz"):
        with open_atomic(tmp_path / name) as stream:
            stream.write("line\n")
    assert (tmp_path / "a.jsonl.gz").read_bytes() == (tmp_path / "b.jsonl.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.jsonl.gz").read_bytes()) == b"line\n"


def test_a_link_is_followed_and_a_device_is_written_to(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    write_text(Path(os.devnull), "gone")
    assert stat.S_ISCHR(Path(os.devnull).stat().st_mode)


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is a directory"):
        write_text(tmp_path, "x")
    with pytest.raises(InputError, match="is not a directory"):
        write_text(tmp_path / "file" / "under", "x")


def test_json_refuses_what_json_has_no_word_for(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", float("nan"))
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_made_is_bad_input(tmp_path: Path) -> None:
    for path in (Path("/proc/x/y.csv"), tmp_path / ("n" * 300) / "y.csv"):
        with pytest.raises(InputError, match="cannot write"):
            write_text(path, "x")


def test_what_is_read_is_not_overwritten(tmp_path: Path) -> None:
    table, cif = tmp_path / "a.csv", tmp_path / "a.cif"
    table.write_text("x")
    cif.write_text("x")
    (tmp_path / "link").symlink_to(table)
    for output, source in ((table, table), (table, tmp_path / "link"), (tmp_path / "link", table), (cif, tmp_path)):
        with pytest.raises(InputError, match="would be overwritten"):
            refuse_overwriting(output, None, source)
    refuse_overwriting(None, table)
    refuse_overwriting(tmp_path / "new.csv", table, tmp_path)
    refuse_overwriting(table, tmp_path, tmp_path / "absent")
    refuse_overwriting(Path(os.devnull), Path(os.devnull))
