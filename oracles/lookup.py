"""An oracle that looks its answers up in a table: for replaying a campaign on known data."""

from __future__ import annotations

import gzip
import hashlib
import math
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from aldesign.chemistry.formula import canonical_many
from aldesign.errors import InputError
from aldesign.records import Candidate, OracleCard, OracleIdentity, Prediction
from aldesign.tables.columns import FORMULA_NAMES, STD_NAMES, Quantity, find, guess, named, quantity
from aldesign.tables.numbers import number_of
from aldesign.tables.rawfile import open_rows
from oracles.common import canonical_formulas
from oracles.settings import UNITS

DUPLICATES = ("error", "first", "mean", "lowest", "highest")
REPORTED = 20  # refused rows that the card names


class LookupOracle:
    """Answers from a table, by canonical formula.

    The table is read as everywhere: any common separator and encoding, columns known by many names. A row that
    cannot be used, such as one with a negative gap, sinks only itself; the card counts and names it.

    Args:
        path: The table: CSV with a header line, JSON or JSON lines, plain or gzipped.
        formula_column: Its column of formulas; guessed from common names where None.
        value_column: Its column of values in the property's unit; guessed where None.
        std_column: Its column of standard deviations; guessed where None, none where no name is known.
        level: Level of theory of the values.
        property: What the values are.
        duplicates: What to do where a formula stands twice with different values: refuse the table (``error``),
            or take the ``first``, ``mean``, ``lowest`` or ``highest``.

    Raises:
        InputError: The table or a column is missing or ambiguous, no row is usable, or a formula has two values.

    """

    name: ClassVar[str] = "lookup"
    version: ClassVar[str] = "1"

    def __init__(
        self,
        path: str | Path,
        formula_column: str | None = None,
        value_column: str | None = None,
        std_column: str | None = None,
        level: str = "PBE",
        property: str = "band_gap",  # noqa: A002 (the card's word)
        duplicates: str = "error",
    ) -> None:
        if property not in UNITS:
            raise InputError(f"lookup knows no property {property!r}", f"allowed: {', '.join(UNITS)}")
        if duplicates not in DUPLICATES:
            raise InputError(f"lookup got duplicates={duplicates!r}", f"allowed: {', '.join(DUPLICATES)}")
        path = Path(path)
        content = _content(path)
        self._measured = quantity(property)
        self._values: dict[str, tuple[float, float | None]] = {}
        self._refused: dict[str, str] = {}
        self._bad: list[str] = []
        self._fill(path, self._read(path, formula_column, value_column, std_column), duplicates)
        lost = f"; {len(self._bad)} rows refused, the first in {self._bad[0]}" if self._bad else ""
        self._card = OracleCard(
            OracleIdentity(self.name, self.version, hashlib.sha256(content).hexdigest()[:16]),
            property,
            UNITS[property],
            level,
            description=f"Values of {len(self._values)} formulas in {path.name}{lost}",
            training={
                "data": {
                    "rows": len(self._values),
                    "refused": len(self._bad),
                    "refusals": self._bad[:REPORTED],
                    "path": str(path),
                }
            },
        )

    @property
    def card(self) -> OracleCard:
        """Return what the table holds."""
        return self._card

    @classmethod
    def load(
        cls,
        directory: Path | None = None,
        path: str | Path | None = None,
        formula_column: str | None = None,
        value_column: str | None = None,
        std_column: str | None = None,
        level: str = "PBE",
        property: str = "band_gap",  # noqa: A002
        duplicates: str = "error",
    ) -> LookupOracle:
        """Return the oracle of the table at `path` (or `directory`); arguments as in the class.

        Raises:
            InputError: No table was named, or it cannot be used.

        """
        table = path if path is not None else directory
        if table is None:
            raise InputError("lookup was given no table", "name one: oracle: {kind: lookup, options: {path: gaps.csv}}")
        return cls(table, formula_column, value_column, std_column, level, property, duplicates)

    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        """Return the table's value for each candidate, in order; one that it lacks gives an error."""
        started = time.monotonic()
        formulas, positions, errors = canonical_formulas(candidates)
        found = dict(zip(positions.tolist(), formulas, strict=True))
        share = (time.monotonic() - started) / max(len(candidates), 1)
        answers = []
        for i in range(len(candidates)):
            formula = found.get(i, "")
            if formula in self._values:
                value, std = self._values[formula]
                card = self._card
                answers.append(Prediction(value, std, card.unit, card.identity, card.level, True, share))
            else:
                reason = errors.get(i) or self._refused.get(formula) or f"{formula} is not in the table"
                answers.append(Prediction.failed(self._card, reason, share))
        return answers

    def _read(
        self, path: Path, formula_column: str | None, value_column: str | None, std_column: str | None
    ) -> Iterator[tuple[int, str, float, float | None]]:
        """Yield (line, canonical formula, value, std) of the usable rows; keep the reasons of the others."""
        with open_rows(path) as raw:
            formula, value, std = _columns(path, raw.columns, self._measured, formula_column, value_column, std_column)
            rows = list(raw.rows)
        texts = ["" if (cell := row.cells.get(formula)) is None else str(cell).strip() for row in rows]
        for row, text, found in zip(rows, texts, canonical_many(texts), strict=True):
            try:
                if row.error:
                    raise ValueError(row.error)
                if not isinstance(found, str):
                    raise ValueError(found.message if text else "no formula")
                number = self._value(row.cells.get(value), value, raw.delimiter)
                spread = number_of(row.cells.get(std), raw.delimiter) if std else None
                if spread is not None and spread < 0:
                    raise ValueError(f"negative uncertainty {spread:g}")
            except ValueError as error:
                self._bad.append(f"line {row.line}: {error}")
                if isinstance(found, str):
                    self._refused.setdefault(found, f"{found}: {path.name}, line {row.line}: {error}")
            else:
                yield row.line, str(found), number, spread

    def _value(self, cell: object, column: str, delimiter: str) -> float:
        number = number_of(cell, delimiter)
        if number is None:
            raise ValueError(f"no value in {column!r}")
        if number < 0 and not self._measured.signed:
            raise ValueError(f"negative {self._measured.name} {number:g} {self._measured.unit}")
        return number

    def _fill(self, path: Path, rows: Iterable[tuple[int, str, float, float | None]], duplicates: str) -> None:
        seen: dict[str, list[tuple[int, float, float | None]]] = {}
        for line, formula, value, std in rows:
            seen.setdefault(formula, []).append((line, value, std))
        if not seen:
            first = f"; the first, {self._bad[0]}" if self._bad else ""
            raise InputError(f"{path} has no row with a formula and a number{first}", "look at its columns")
        for formula, entries in seen.items():
            self._values[formula] = _one(path, formula, entries, duplicates)
            self._refused.pop(formula, None)


def _content(path: Path) -> bytes:
    """Return the bytes of a file, unpacked, for its digest."""
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"the table {path} cannot be read: {error}", "paths are relative to the campaign") from error


def _columns(
    path: Path, header: Sequence[str], measured: Quantity, formula: str | None, value: str | None, std: str | None
) -> tuple[str, str, str | None]:
    """Return the columns of formulas, values and, where there is one, standard deviations."""

    def choose(wanted: str | None, tiers: Sequence[Sequence[str]], what: str, option: str) -> str:
        if wanted is not None:
            return named(path, header, wanted, option)
        found = guess(path, header, tiers, what, option)
        if found is None:
            raise InputError(
                f"{path} has no column that is known to hold the {what}",
                f"name it with {option}; it has: {', '.join(header)}",
            )
        return found

    return (
        choose(formula, FORMULA_NAMES, "formula", "formula_column"),
        choose(value, measured.names, measured.name, "value_column"),
        find(header, STD_NAMES) if std is None else named(path, header, std, "std_column"),
    )


def _one(
    path: Path, formula: str, entries: list[tuple[int, float, float | None]], duplicates: str
) -> tuple[float, float | None]:
    """Return the value and std of a formula from all rows that have it."""
    values = [value for _, value, _ in entries]
    if max(values) - min(values) > 1e-9 and duplicates == "error":
        lines = ", ".join(f"{value:g} in line {line}" for line, value, _ in entries[:3])
        raise InputError(
            f"{path} has several values for {formula}: {lines}",
            "keep one, or set duplicates to first, mean, lowest or highest",
        )
    if duplicates == "mean" and len(values) > 1:
        return math.fsum(values) / len(values), None
    choose = {"lowest": min, "highest": max}.get(duplicates)
    _, value, std = choose(entries, key=lambda entry: entry[1]) if choose else entries[0]
    return value, std
