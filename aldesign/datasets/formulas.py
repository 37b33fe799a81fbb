"""Files of formulas or crystals to work on: every row in its place, bad ones with their reason."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path
from typing import TypeVar

from aldesign.errors import FormulaError, InputError
from aldesign.records import BadRow, Crystal
from aldesign.tables import columns as names
from aldesign.tables.rawfile import RawFile, RawRow, clean, kind_of, numbered_lines, open_rows, open_text

CHUNK = 8192
_T = TypeVar("_T")


@dataclass(frozen=True)
class InputRow:
    """One row of a file of formulas or crystals, in its place even where it is unusable.

    Attributes:
        line: Line number, from 1; 0 for a CIF.
        id: The row's own id, or None where the file has no ids.
        text: The formula as it was written, or the start of the row.
        formula: Canonical formula, or None with an error.
        crystal: The crystal of a JSON line or CIF.
        error: Why the row is unusable; empty otherwise.
        cells: Every named value of the row.

    """

    line: int
    id: str | None
    text: str
    formula: str | None
    crystal: Crystal | None = None
    error: str = ""
    cells: Mapping[str, object] | None = None


@dataclass
class FormulaFile:
    """The rows of a file in order, read as they are asked for; a context manager that closes the file.

    Attributes:
        rows: Single-pass iterator.
        has_ids: Whether the rows carry ids.
        notes: What was guessed, for people.

    """

    rows: Iterator[InputRow]
    has_ids: bool
    notes: tuple[str, ...] = ()
    close: Callable[[], None] = lambda: None

    def __enter__(self) -> FormulaFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_files(paths: Sequence[Path | str], formula_column: str | None = None) -> FormulaFile:
    """Open several files as one, each as in `read_formulas`; one that cannot be read becomes a row that says why.

    Raises:
        InputError: The only file cannot be read, or none of them can.

    """
    opened: list[FormulaFile] = []
    faults: list[InputError] = []
    for path in paths:
        try:
            opened.append(read_formulas(path, formula_column))
        except InputError as error:
            faults.append(error)
            opened.append(FormulaFile(iter([InputRow(0, None, Path(path).name, None, error=error.message)]), False))
    if faults and len(faults) == len(opened):
        raise faults[0]
    ids = any(file.has_ids for file in opened)

    def close() -> None:
        for file in opened:
            file.close()

    rows = (replace(row, id=row.id or "") if ids else row for file in opened for row in file.rows)
    return FormulaFile(rows, ids, tuple(note for file in opened for note in file.notes), close)


def read_formulas(path: Path | str, formula_column: str | None = None) -> FormulaFile:
    """Open a CSV with a formula column, a text of one formula a line, JSON (lines), or CIFs.

    Args:
        path: The file, plain or gzipped, or a folder of CIFs.
        formula_column: Column of the formulas; guessed by name where None.

    Raises:
        InputError: The file cannot be read or no column holds formulas. Bad rows do not raise.

    """
    path = Path(path)
    if path.is_dir() or kind_of(path) == ".cif":
        return _cifs(path)
    if kind_of(path) == ".txt":
        lines = _lines(path)
        return FormulaFile(_parsed(path, lines, "formula", None), has_ids=False, close=lines.close)
    raw = open_rows(path)
    try:
        formula = _formula_column(path, raw, formula_column)
    except InputError:
        raw.close()
        raise
    identity = names.find(raw.columns, names.ID_NAMES)
    if formula is None and not {"species", "lattice"} <= set(raw.columns):
        raw.close()
        raise InputError(
            f"{path} has no column that is known to hold formulas; its header is: {', '.join(raw.columns)}",
            "name it with --formula-column, or call it formula",
        )
    return FormulaFile(_parsed(path, raw.rows, formula, identity), identity is not None, tuple(raw.notes), raw.close)


@dataclass
class TextFile:
    """The formulas of a file as they are written, not yet read; a context manager that closes the file.

    Attributes:
        rows: Single-pass iterator of line number, text, and why the row is unusable, empty where it may be fine.
        notes: What was guessed, for people.

    """

    rows: Iterator[tuple[int, str, str]]
    notes: tuple[str, ...] = ()
    close: Callable[[], None] = lambda: None

    def __enter__(self) -> TextFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_texts(path: Path | str, formula_column: str | None = None) -> TextFile:
    """Open a file as `read_formulas` does, and leave its formulas to be read by others, e.g. in other processes.

    Raises:
        InputError: As `read_formulas`.

    """
    path = Path(path)
    column: str | None = "formula"
    rows: Iterator[RawRow]
    notes: tuple[str, ...] = ()
    if path.is_dir() or kind_of(path) == ".cif":
        column = None
    elif kind_of(path) == ".txt":
        lines = _lines(path)
        rows, close = lines, lines.close
    else:
        raw = open_rows(path)
        try:
            column = _formula_column(path, raw, formula_column)
        except InputError:
            raw.close()
            raise
        rows, notes, close = raw.rows, tuple(raw.notes), raw.close
        if column is None:
            raw.close()
    if column is None:  # crystals say their formula themselves
        file = read_formulas(path, formula_column)
        return TextFile(((row.line, row.formula or row.text, row.error) for row in file.rows), file.notes, file.close)
    found = ((row.line, _text(row.cells.get(column)) or row.text, row.error) for row in _to_its_end(path, rows))
    return TextFile(found, notes, close)


def _formula_column(path: Path, raw: RawFile, wanted: str | None) -> str | None:
    if wanted is not None:
        return names.named(path, raw.columns, wanted, "--formula-column")
    found = names.guess(path, raw.columns, names.FORMULA_NAMES, "formula", "--formula-column")
    if found is not None:
        raw.notes.append(f"formulas from {found!r}")
    elif len(raw.columns) == 1 and _is_formula(raw.columns[0]):
        # A bare list of formulas: what looks like a header is the first of them.
        found = raw.columns[0]
        raw.rows = chain([RawRow(1, {found: found}, found)], raw.rows)
        raw.notes.append("no header line: one formula a line")
    return found


def _is_formula(text: str) -> bool:
    from aldesign.chemistry.formula import canonical

    try:
        canonical(text)
    except FormulaError:
        return False
    return True


def _lines(path: Path) -> Generator[RawRow, None, None]:
    for number, line in numbered_lines(path, open_text(path)):
        text = line.strip()
        if not (number == 1 and text.lower() == "formula"):
            yield RawRow(number, {"formula": text}, clean(text))


def _parsed(path: Path, rows: Iterator[RawRow], formula: str | None, identity: str | None) -> Iterator[InputRow]:
    rows = _to_its_end(path, rows)
    # A short first chunk gives the first answers at once.
    for chunk in chain([list(islice(rows, 256))], chunks(rows, CHUNK)):
        yield from parse_rows(path, chunk, formula, identity)


def _to_its_end(path: Path, rows: Iterator[RawRow]) -> Iterator[RawRow]:
    """Yield the rows of a file, and one more that says so where the file is cut off.

    Raises:
        InputError: The file is damaged in its midst: then no row of it can be trusted.

    """
    try:
        yield from rows
    except InputError as error:
        if not isinstance(error.__cause__, EOFError):
            raise
        yield RawRow(0, {}, path.name, error.message)


def _cifs(path: Path) -> FormulaFile:
    from aldesign.structures.cif import read_cif

    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".cif") if path.is_dir() else [path]
    if not files:
        raise InputError(f"folder {path} holds no .cif file", "name a file, or a folder of CIFs")

    def rows() -> Iterator[InputRow]:
        for file in files:
            for name, item in read_cif(file):
                if isinstance(item, BadRow):
                    yield InputRow(0, name, item.text, None, None, item.reason)
                else:
                    formula = formula_of(item)
                    yield InputRow(0, name, formula, formula, item)

    return FormulaFile(rows(), has_ids=True)


def chunks(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Yield lists of at most `size` items."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk


def formula_of(crystal: Crystal) -> str:
    """Return the canonical formula of a crystal."""
    from aldesign.structures import cif

    return cif.formula_of(crystal)


def parse_rows(path: Path, rows: Sequence[RawRow], formula: str | None, id_column: str | None) -> list[InputRow]:
    """Return the rows with canonical formulas and crystals, errors in place."""
    from aldesign.chemistry.formula import canonical_many

    texts = [_text(row.cells.get(formula)) if formula else "" for row in rows]
    canonical = canonical_many(texts)
    parsed = []
    for row, text, formula_or_error in zip(rows, texts, canonical, strict=True):
        name = None if id_column is None else _text(row.cells.get(id_column))
        shown = clean(text or row.text)
        if row.error:
            parsed.append(InputRow(row.line, name, shown, None, None, row.error, row.cells))
            continue
        crystal: Crystal | None = None
        if "species" in row.cells and "lattice" in row.cells:
            from aldesign.structures.cif import from_record

            fallback: dict[str, object] = {"id": name or f"{path.name}:{row.line}"}
            if "frac_coords" in row.cells:
                fallback["frac"] = row.cells["frac_coords"]
            try:
                crystal = from_record({**fallback, **row.cells})
                own = formula_of(crystal)
            except InputError as error:
                parsed.append(InputRow(row.line, name, shown, None, None, error.message, row.cells))
                continue
            if not text:
                formula_or_error, shown = own, own
            elif isinstance(formula_or_error, str) and formula_or_error != own:
                reason = f"formula {text!r}, but the crystal is {own}"
                parsed.append(InputRow(row.line, name, shown, None, None, reason, row.cells))
                continue
        if isinstance(formula_or_error, FormulaError):
            reason = formula_or_error.message if text else "no formula"
            parsed.append(InputRow(row.line, name, shown if text else "", None, None, reason, row.cells))
        else:
            parsed.append(InputRow(row.line, name, shown, formula_or_error, crystal, "", row.cells))
    return parsed


def _text(cell: object) -> str:
    return "" if cell is None else str(cell).strip()


def parse_texts(texts: Sequence[str]) -> list[InputRow]:
    """Return rows for formulas that were given by hand; one that cannot be read carries its error."""
    from aldesign.chemistry.formula import canonical_many

    return [
        InputRow(0, None, text, None, error=found.message)
        if isinstance(found, FormulaError)
        else InputRow(0, None, text, found)
        for text, found in zip(texts, canonical_many(list(texts)), strict=True)
    ]
