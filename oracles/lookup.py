"""An oracle that looks its answers up in a table: for replaying a campaign on known data."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import math
import time
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import ClassVar

from aldesign.chemistry.formula import canonical_many
from aldesign.errors import InputError
from aldesign.records import Candidate, OracleCard, OracleIdentity, Prediction
from oracles.common import canonical_formulas
from oracles.settings import UNITS

FORMULA_COLUMNS = ("formula", "composition", "reduced_formula")
VALUE_COLUMNS = ("value", "band_gap", "gap", "gap_ev", "Eg", "formation_energy_per_atom")
DUPLICATES = ("error", "first", "mean", "lowest", "highest")


class LookupOracle:
    """Answers from a CSV table, by canonical formula.

    Args:
        path: The table, ``.csv`` or ``.csv.gz``, with a header line.
        formula_column: Its column of formulas; guessed from common names where None.
        value_column: Its column of values in the property's unit; guessed where None.
        std_column: Its column of standard deviations, if it has one.
        level: Level of theory of the values.
        property: What the values are.
        duplicates: What to do where a formula stands twice with different values: refuse the table (``error``),
            or take the ``first``, ``mean``, ``lowest`` or ``highest``.

    Raises:
        InputError: The table or a column is missing, no row is usable, or a formula has two values.

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
        content = _read(path)
        self._values: dict[str, tuple[float, float | None]] = {}
        self._refused: dict[str, str] = {}
        rows = self._rows(path, content, formula_column, value_column, std_column)
        self._fill(path, rows, duplicates)
        self._card = OracleCard(
            OracleIdentity(self.name, self.version, hashlib.sha256(content).hexdigest()[:16]),
            property,
            UNITS[property],
            level,
            description=f"Values of {len(self._values)} formulas in {path.name}",
            training={"data": {"rows": len(self._values), "refused": len(self._refused), "path": str(path)}},
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
            raise InputError("lookup was given no table", "name one: oracle: {kind: lookup, path: gaps.csv}")
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

    def _rows(
        self, path: Path, content: bytes, formula: str | None, value: str | None, std: str | None
    ) -> list[tuple[int, str, str, str | None]]:
        """Return (line, formula, value, std) as text of every row."""
        try:
            reader = csv.DictReader(io.StringIO(content.decode("utf-8-sig")))
            header = [name for name in reader.fieldnames or () if name]
            chosen = _column(path, header, formula, FORMULA_COLUMNS, "formula")
            target = _column(path, header, value, VALUE_COLUMNS, "value")
            spread = None if std is None else _column(path, header, std, (), "std")
            return [
                (reader.line_num, row[chosen] or "", row[target] or "", None if spread is None else row[spread])
                for row in reader
            ]
        except (UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"{path} is not a CSV table in UTF-8: {error}") from error

    def _fill(self, path: Path, rows: list[tuple[int, str, str, str | None]], duplicates: str) -> None:
        seen: dict[str, list[tuple[int, float, float | None]]] = {}
        for (line, _, value, std), formula in zip(rows, canonical_many([r[1] for r in rows]), strict=True):
            if not isinstance(formula, str):
                continue  # nobody can ask for what is no formula
            number, spread = _number(value), _number(std) if std else None
            if number is None or (std and (spread is None or spread < 0)):
                wrong = value if number is None else std
                self._refused.setdefault(formula, f"{formula}: {path.name}, line {line}: {wrong!r} is no number")
            else:
                seen.setdefault(formula, []).append((line, number, spread))
        if not seen:
            raise InputError(f"{path} has no row with a formula and a number", "look at its columns")
        for formula, entries in seen.items():
            self._values[formula] = _one(path, formula, entries, duplicates)
            self._refused.pop(formula, None)


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError) as error:
        raise InputError(f"the table {path} cannot be read: {error}", "paths are relative to the campaign") from error


def _column(path: Path, header: list[str], wanted: str | None, usual: Sequence[str], role: str) -> str:
    if wanted is not None:
        if wanted in header:
            return wanted
        near = get_close_matches(wanted, header, n=1)
        meant = f"did you mean {near[0]!r}? " if near else ""
        raise InputError(f"{path} has no column {wanted!r}", f"{meant}it has: {', '.join(header)}")
    found = [name for name in usual if name in header]
    if not found:
        raise InputError(
            f"{path} has no column called {', '.join(usual)}",
            f"name it with {role}_column; it has: {', '.join(header)}",
        )
    return found[0]


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


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
