"""Answers from outside as rows of a table: whose they are, how much, how sure, and in which unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from aldesign.campaign.answer_columns import HINT, Layout, layout
from aldesign.campaign.units import UNITS, is_number, parse, to_ev, unit_of
from aldesign.errors import InputError
from aldesign.records import BadRow
from aldesign.tables import columns as names
from aldesign.tables.rawfile import RawRow, open_rows

LIMIT_EV = names.QUANTITIES["band_gap"].limit
_MISSING = frozenset({"", "nan", "na", "n/a", "none", "null", "-", "–", "?", "tbd"})
_FEW, _SHARE = 2, 0.05  # values beyond all solids from which on they speak of the whole column


@dataclass(frozen=True)
class Answer:
    """What was found out about one material, or why nothing was.

    Attributes:
        formula: In any spelling; may be empty where `trial` or `cif` is given.
        trial: Number of the trial that was asked; None for a material of which only the formula is known.
        cif: Name of the CIF that was asked.
        value: The gap in eV; None with an error.
        std: One standard deviation in eV; None where none is stated.
        level: Level of theory or ``experiment``; that of the campaign where empty.
        error: Why there is no value.
        notes: What else is to be kept: comment, source, temperature, whatever the table says.
        written: Value, std and unit as they stood there, where that was not eV.
        file: Name of the file that the answer stood in.
        line: Its line.

    """

    formula: str = ""
    trial: int | None = None
    cif: str = ""
    value: float | None = None
    std: float | None = None
    level: str = ""
    error: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)
    written: str = ""
    file: str = ""
    line: int = 0

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return self.formula or self.cif or f"trial {self.trial}"


@dataclass(frozen=True)
class Answers:
    """The rows of a table of answers.

    Attributes:
        answers: Rows with a value or an error, in order.
        refused: Rows that cannot be used, with their reasons.
        unanswered: Rows with neither, not yet filled in.

    """

    answers: tuple[Answer, ...]
    refused: tuple[BadRow, ...] = ()
    unanswered: int = 0


def read_answers(path: Path) -> Answers:
    """Return the answers in a CSV (any common separator), JSON or JSON-lines file; a bad row sinks no other.

    Raises:
        InputError: The file cannot be read, or has no column for the material or the gap.

    """
    answers: list[Answer] = []
    refused: list[BadRow] = []
    unanswered = 0
    bare: list[int] = []  # answers whose unit nobody stated
    with open_rows(path) as raw:
        columns = layout(path, raw.columns)
        for row in raw.rows:
            try:
                answer, stated = _answer(row, columns, raw.delimiter, path.name)
            except ValueError as error:
                refused.append(BadRow(str(path), row.line, row.text, str(error)))
                continue
            if answer is None:
                unanswered += 1
                continue
            bare += [len(answers)] if not stated and answer.value is not None else []
            answers.append(answer)
    if not (answers or refused or unanswered):
        raise InputError(f"{path} holds no rows", HINT)
    doubtful = _doubtful(answers, bare)
    refused += [BadRow(str(path), answers[i].line, answers[i].name, reason) for i, reason in doubtful.items()]
    kept = tuple(answer for i, answer in enumerate(answers) if i not in doubtful)
    return Answers(kept, tuple(sorted(refused, key=lambda row: row.line)), unanswered)


def refuse_unsound(answer: Answer) -> None:
    """Raise ValueError unless an answer has either a gap that a solid may have or an error."""
    if (answer.value is None) == (not answer.error):
        raise ValueError(f"it has the value {answer.value} and the error {answer.error!r}: give one of them")
    for what, number in (("value", answer.value), ("std", answer.std)):
        if number is not None and not 0 <= number <= LIMIT_EV:
            raise ValueError(f"its {what} is {number} eV; that of a solid's gap lies between 0 and {LIMIT_EV:g} eV")


def _doubtful(answers: list[Answer], bare: list[int]) -> dict[int, str]:
    """Return which of the answers without a unit seem to be in another one than eV, and why."""
    beyond = [i for i in bare if (answers[i].value or 0.0) > LIMIT_EV]
    remedy = f"state the unit in the column's name, as in gap_meV, or in a column unit ({', '.join(UNITS)})"
    wide = f"more than {LIMIT_EV:g} eV, which no solid has"
    found = {i: f"{answers[i].value:g} eV is {wide}; {remedy}" for i in beyond}
    if len(beyond) >= max(_FEW, _SHARE * len(bare)) or 2 * len(beyond) >= len(bare) > 0:
        others = (
            f"{len(beyond)} other values without a unit are {wide}, so this one may be in another unit, too; {remedy}"
        )
        found.update({i: others for i in bare if i not in found})
    return found


def _answer(row: RawRow, columns: Layout, delimiter: str, name: str) -> tuple[Answer | None, bool]:
    """Return a row's answer, or None where it has none yet, and whether the unit was stated. Raises ValueError."""
    if row.error:
        raise ValueError(row.error)
    cells = {column: _text(cell) for column, cell in row.cells.items()}
    given = {key: cells.get(column, "") for key, column in columns.keys.items()}
    error = cells.get(columns.error or "", "")
    filled = _filled(cells, columns.values)
    if not filled and not error:
        return None, False
    if filled and error:
        where = "an uncertainty belongs into std" if is_number(error) else "a remark belongs into comment"
        raise ValueError(f"the row has the value {cells[next(iter(filled))]} and the error {error!r}: {where}")
    if not any(given.values()):
        raise ValueError("neither formula nor trial nor cif is given")
    value = std = None
    stated, written = False, ""
    if filled:
        value, std, stated, written = _measured(cells, filled, columns, delimiter)
    answer = Answer(
        given.get("formula", ""),
        _trial(given.get("trial", "")),
        given.get("cif", ""),
        value,
        std,
        cells.get(columns.level or "", ""),
        error,
        {column: cells[column] for column in columns.kept if cells.get(column)},
        written,
        name,
        row.line,
    )
    return answer, stated


def _filled(cells: Mapping[str, str], columns: Mapping[str, str]) -> dict[str, str]:
    """Return those of the columns that hold something in this row, with their units."""
    return {column: unit for column, unit in columns.items() if cells.get(column, "").lower() not in _MISSING}


def _measured(
    cells: Mapping[str, str], filled: Mapping[str, str], columns: Layout, delimiter: str
) -> tuple[float, float | None, bool, str]:
    """Return value and std in eV, whether the unit was stated, and the text where it was not in eV."""
    stds = _filled(cells, columns.stds)
    if len(filled) > 1:
        raise ValueError(f"the row has {len(filled)} values: {', '.join(f'{c} {cells[c]}' for c in filled)}")
    ((column, unit),) = filled.items()
    value, std, cell_unit = parse(cells[column], delimiter, column)
    row_unit = cells.get(columns.unit or "", "")
    units = {found for found in (unit, unit_of(row_unit) if row_unit else "", cell_unit) if found}
    if len(units) > 1:
        raise ValueError(f"{column} is {cells[column]} in {' and in '.join(sorted(units))}: which one?")
    if len(stds) + (std is not None) > 1:
        raise ValueError(f"{column} {cells[column]} has more than one uncertainty: {', '.join(stds)}")
    std_unit = ""
    for name, named in stds.items():
        std, more, inner = parse(cells[name], delimiter, name)
        std_unit = inner or named
        if more is not None:
            raise ValueError(f"{name} is {cells[name]!r}, not one number")
    known = next(iter(units), "eV")
    energy = to_ev(value, known, std, std_unit)
    if energy.value < 0 or (energy.std or 0.0) < 0:
        raise ValueError(f"{column} is {value:g}, std {std}: a gap and its uncertainty are 0 or more")
    if units and energy.value > LIMIT_EV:
        raise ValueError(
            f"{column} is {value:g} {known}, {energy.value:.4g} eV; no solid has more than {LIMIT_EV:g} eV"
        )
    if energy.std is not None and energy.std > LIMIT_EV:
        raise ValueError(f"the uncertainty is {energy.std:.4g} eV; no solid has a gap of more than {LIMIT_EV:g} eV")
    plain = known == "eV" and std_unit in ("", "eV")
    written = f"{value:g}{'' if std is None else f' ± {std:g} {std_unit}'.rstrip()} {known}"
    return energy.value, energy.std, bool(units), "" if plain else written


def _trial(text: str) -> int | None:
    if text.lower() in _MISSING:
        return None
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if number < 0 or not number.is_integer():
        raise ValueError(f"trial is {text!r}, not the number of one")
    return int(number)


def _text(cell: object) -> str:
    """Return a cell of a CSV, or any JSON value, as text; a number keeps all its digits."""
    return "" if cell is None else str(cell).strip()
