"""Files on disk: written whole or not at all, read whether compressed or not."""

from __future__ import annotations

import csv
import errno
import gzip
import io
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from aldesign.errors import InputError

# What a place says that cannot hold a file at all; a full disk is not among them
_UNFIT = (errno.ENOENT, errno.ENOTDIR, errno.EEXIST, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENAMETOOLONG)


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it there when the block ends well, remove it otherwise.

    The temporary name keeps the suffix, for writers that choose a format by it. Missing parent folders
    are made; devices and pipes are written directly.

    Raises:
        InputError: `path` is a directory, a parent of it is a file, or the place may not be written.

    """
    path = Path(os.path.realpath(path))
    special = False
    try:
        if path.is_dir():
            raise InputError(f"cannot write {path}: it is a directory", "name a file")
        special = path.exists() and not path.is_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}{path.suffix}")
        if not special:
            temporary.touch()
    except (FileExistsError, NotADirectoryError) as error:
        raise InputError(f"cannot write {path}: {error.filename} is not a directory") from error
    except OSError as error:
        if error.errno not in _UNFIT:
            raise
        raise InputError(f"cannot write {path}: {error.strerror}", "choose a place that may be written") from error
    if special:
        yield path
        return
    try:
        yield temporary
        with temporary.open("rb+") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def refuse_overwriting(output: Path | None, *inputs: Path | None) -> None:
    """Raise InputError where `output` is one of the files read, or a CIF in a folder that is; None is no file."""
    try:
        if output is None or not output.is_file():
            return
    except OSError:  # no such file can be; writing it will say why
        return
    for source in inputs:
        if source is None or not source.exists():
            continue
        within = source.is_dir() and output.suffix.lower() == ".cif" and output.parent.samefile(source)
        if within or output.samefile(source):
            raise InputError(f"{output} would be overwritten, and it is read from", "name another file to write")


@contextmanager
def open_atomic(path: Path) -> Iterator[IO[str]]:
    """Yield a UTF-8 text stream whose content appears at `path` when the block ends well; ``.gz`` compresses."""
    with atomic_path(path) as temporary:
        if path.suffix == ".gz":
            # No time stamp and no name inside: equal content gives equal bytes.
            with (
                temporary.open("wb") as raw,
                gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
                io.TextIOWrapper(packed, encoding="utf-8", newline="") as stream,
            ):
                yield stream
        else:
            with temporary.open("w", encoding="utf-8", newline="") as stream:
                yield stream


def write_text(path: Path, text: str) -> None:
    """Write `text` as UTF-8, whole or not at all."""
    with open_atomic(path) as stream:
        stream.write(text)


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON, whole or not at all; NaN and infinity are refused."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def csv_writer(stream: IO[str]) -> Any:
    """Return a ``csv`` writer with the line ends that every tool here uses."""
    return csv.writer(stream, lineterminator="\n")


def write_csv(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Write a CSV, whole or not at all; None becomes an empty cell. Return the number of rows."""
    count = 0
    with open_atomic(path) as stream:
        writer = csv_writer(stream)
        writer.writerow(header)
        for row in rows:
            writer.writerow(row)
            count += 1
    return count
