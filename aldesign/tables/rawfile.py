"""CSV, JSON and JSON-lines files as rows of named cells, with line numbers; nothing is interpreted here."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import IO

from aldesign.errors import InputError

DELIMITED = (".csv", ".tsv", ".txt")
JSON_LINES = (".jsonl", ".ndjson")
KNOWN = "csv, tsv, json or jsonl, each also as .gz"
_HEAD = 65536  # bytes by which a file is judged
_PEEK = 100  # records whose keys make the column list of a JSON-lines file


@dataclass(frozen=True)
class RawRow:
    """One row as it stands in the file.

    Attributes:
        line: Line number, from 1; for a JSON array the position in it.
        cells: Value by column name: texts of a CSV, any JSON value otherwise.
        text: The row as people know it, shortened.
        error: Why the row cannot be read at all; empty otherwise.

    """

    line: int
    cells: Mapping[str, object]
    text: str
    error: str = ""


def _nothing() -> None:
    pass


@dataclass
class RawFile:
    """A file's column names and a single-pass iterator over its rows; `notes` says what was guessed.

    A context manager: leaving it closes the file.
    """

    columns: tuple[str, ...]
    rows: Iterator[RawRow]
    notes: list[str] = field(default_factory=list)
    delimiter: str = ","
    close: Callable[[], None] = _nothing

    def __enter__(self) -> RawFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def kind_of(path: Path) -> str:
    """Return the lower-case suffix that says the format, without ``.gz``."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def open_text(path: Path) -> IO[str]:
    """Open a plain or gzipped text; UTF-8 or UTF-16 by its byte-order mark, odd bytes kept as surrogates.

    Raises:
        InputError: The file is missing, a directory, empty, or not text.

    """
    if path.is_dir():
        raise InputError(f"{path} is a directory", "name a file")
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
        stream = gzip.open(path, "rb") if packed else path.open("rb")  # noqa: SIM115
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}", "check the path") from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read", "check its permissions") from error
    try:
        head = _head(stream)
        stream.seek(0)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        stream.close()
        raise InputError(f"{path} is damaged: {error}", "copy or download it again") from error
    if not head.strip():
        stream.close()
        raise InputError(f"{path} is empty", "it needs a header line and at least one row")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encoding = "utf-16"
    elif b"\0" in head:
        stream.close()
        raise InputError(f"{path} is not a text file", f"export it as {KNOWN}")
    else:
        encoding = "utf-8-sig"
    return io.TextIOWrapper(stream, encoding=encoding, errors="surrogateescape", newline="")


def _head(stream: gzip.GzipFile | io.BufferedReader) -> bytes:
    """Return the first bytes of a file; of a truncated archive those that are there, if any."""
    head = b""
    while len(head) < _HEAD:
        try:
            part = stream.read1(_HEAD)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            if head:
                break
            raise
        if not part:
            break
        head += part
    return head


def clean(text: str, limit: int = 120) -> str:
    """Return `text` printable and shortened, for messages."""
    text = text.encode("utf-8", "replace").decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def open_rows(path: Path) -> RawFile:
    """Return the columns and rows of a CSV (any common separator), JSON or JSON-lines file.

    Raises:
        InputError: The file is missing, empty, damaged, of an unknown kind, or has no columns.

    """
    if path.is_dir():
        raise InputError(f"{path} is a directory", "name a file")
    kind = kind_of(path)
    if kind in DELIMITED:
        return _open_csv(path)
    if kind in JSON_LINES:
        lines = _json_lines(path)
        return _from_records(path, lines, lines.close)
    if kind == ".json":
        return _from_records(path, iter(_json_rows(path)))
    raise InputError(f"cannot read {path}: its kind is {kind or 'not given'}", f"allowed: {KNOWN}")


def _open_csv(path: Path) -> RawFile:
    stream = open_text(path)
    lines = numbered_lines(path, stream)
    number, header = next(lines, (0, ""))
    if not header:
        raise InputError(f"{path} is empty", "it needs a header line and at least one row")
    delimiter = max(",;\t|", key=lambda c: (header.count(c), c == ","))
    names, problem = _cells(header, delimiter)
    if problem:
        lines.close()
        raise InputError(f"{path}, line {number}: {problem}", "check the quotes in that line")
    columns = tuple(clean(name.strip(), 60) for name in names)
    notes = [f"separator {delimiter!r}"] if delimiter != "," else []
    doubled = {name for name in columns if name and columns.count(name) > 1}
    if doubled:
        lines.close()
        raise InputError(f"{path}, line {number}: the column {sorted(doubled)[0]!r} stands twice", "rename one")
    return RawFile(columns, _csv_rows(lines, columns, delimiter), notes, delimiter, lines.close)


def numbered_lines(path: Path, stream: IO[str]) -> Generator[tuple[int, str], None, None]:
    """Yield the lines that are neither blank nor comments, with their numbers; close the stream at the end.

    Raises:
        InputError: The file is damaged beyond some line.

    """
    with stream:
        number = 0
        try:
            # Universal newlines by hand: old exports end lines with a lone carriage return.
            for number, line in enumerate(_lines(stream), start=1):
                if line.strip() and not line.lstrip().startswith("#"):
                    yield number, line
        except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeError) as error:
            raise InputError(f"{path} is damaged after line {number}: {error}", "copy or download it again") from error


def _lines(stream: IO[str]) -> Iterator[str]:
    for line in stream:
        if "\r" in line.rstrip("\r\n"):
            yield from line.splitlines()
        else:
            yield line.rstrip("\r\n")


def _csv_rows(lines: Iterator[tuple[int, str]], columns: tuple[str, ...], delimiter: str) -> Iterator[RawRow]:
    for number, line in lines:
        cells, problem = _cells(line, delimiter)
        if problem:
            yield RawRow(number, {}, clean(line), problem)
            continue
        text = clean(delimiter.join(cells))
        extra = [cell for cell in cells[len(columns) :] if cell.strip()]
        problem = f"{len(cells)} cells where the header has {len(columns)}" if extra else ""
        padded = [cell.strip() for cell in cells[: len(columns)]] + [""] * (len(columns) - len(cells))
        yield RawRow(number, dict(zip(columns, padded, strict=True)), text, problem)


def _cells(line: str, delimiter: str) -> tuple[list[str], str]:
    """Return the cells of one line, or why it has none; a cell never goes on in the next line."""
    if '"' not in line:
        return line.split(delimiter), ""
    # The second line is only asked for where a quote of the first is still open.
    reader = csv.reader((line + "\n", "\n"), delimiter=delimiter)
    try:
        cells = next(reader)
    except csv.Error as error:
        return [], str(error)
    if reader.line_num > 1:
        return [], "a quote opens in this line and does not close in it"
    return cells, ""


def _json_lines(path: Path) -> Generator[RawRow, None, None]:
    for number, line in numbered_lines(path, open_text(path)):
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield RawRow(number, {}, clean(line.strip()), f"not JSON: {error}")
            continue
        yield _record(number, value, clean(line.strip()))


def _record(number: int, value: object, text: str = "") -> RawRow:
    text = text or clean(json.dumps(value))
    if not isinstance(value, dict):
        return RawRow(number, {}, text, "not a JSON object with named values")
    return RawRow(number, value, text)


def _json_rows(path: Path) -> list[RawRow]:
    """Read a JSON file: a list of objects, columns of lists, pandas' split form, or formula-to-value pairs."""
    with open_text(path) as stream:
        try:
            value = json.load(stream)
        except (ValueError, RecursionError, EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{path} is not valid JSON: {error}", "use .jsonl for one object a line") from error
    if isinstance(value, list):
        return [_record(i, item) for i, item in enumerate(value, start=1)]
    if isinstance(value, dict) and isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        names = [str(name) for name in value["columns"]]
        rows = value["data"]
        return [_record(i, dict(zip(names, row, strict=False))) for i, row in enumerate(rows, start=1)]
    if isinstance(value, dict) and value:
        items = list(value.values())
        if all(isinstance(item, list) for item in items) and len({len(item) for item in items}) == 1:
            rows = zip(*items, strict=True)
            return [_record(i, dict(zip(value, row, strict=True))) for i, row in enumerate(rows, start=1)]
        if all(isinstance(item, int | float) for item in items):
            return [_record(i, {"formula": k, "value": v}) for i, (k, v) in enumerate(value.items(), start=1)]
    raise InputError(f"{path} holds no table", "allowed: a list of objects, or columns of equal length")


def _from_records(path: Path, rows: Iterator[RawRow], close: Callable[[], None] = _nothing) -> RawFile:
    head = list(islice(rows, _PEEK))
    columns = dict.fromkeys(name for row in head for name in row.cells)
    if not head:
        raise InputError(f"{path} is empty", "it needs at least one object")
    if not columns:
        raise InputError(f"{path}, line {head[0].line}: {head[0].error}", "every line must be a JSON object")
    return RawFile(tuple(columns), chain(head, rows), close=close)
