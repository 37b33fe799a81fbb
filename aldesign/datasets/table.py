"""A user's table of labelled formulas or crystals: columns guessed and reported, every bad row listed."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from aldesign.datasets.formulas import CHUNK, InputRow, chunks, formula_of, parse_rows
from aldesign.errors import InputError
from aldesign.records import BadRow, Crystal, LabelledRow, Level, Table
from aldesign.tables import columns as names
from aldesign.tables.numbers import number_of
from aldesign.tables.rawfile import RawFile, open_rows

Negative = Literal["reject", "clip", "keep"]
Duplicates = Literal["merge", "mean", "lowest", "keep"]
_SPREAD = 0.1  # eV; labels of one formula that lie further apart are worth a word
_SHOWN = 3  # examples of what was found
_WRONG_UNIT = 0.05  # share of labels beyond all solids that speaks of the whole column


@dataclass(frozen=True)
class _Columns:
    formula: str | None
    value: str
    std: str | None
    level: str | None
    hull: str | None
    id: str | None


@dataclass(frozen=True)
class _Labelled:
    row: LabelledRow
    hull: float
    text: str


def read_table(
    path: Path | str,
    formula_column: str | None = None,
    value_column: str | None = None,
    std_column: str | None = None,
    level: Level = "PBE",
    negative: Negative = "reject",
    *,
    target: str = "band_gap",
    duplicates: Duplicates = "merge",
    structures: Path | str | None = None,
) -> Table:
    """Return the labelled rows of a CSV, JSON or JSON-lines file.

    Args:
        path: The file, plain or gzipped.
        formula_column: Column of the formulas; guessed by name where None. A JSON line with
            ``lattice, species, frac`` needs none.
        value_column: Column of the labels; guessed by name where None.
        std_column: Column of their uncertainties, taken where there is one.
        level: Level of theory of rows that do not state one.
        negative: What becomes of a negative band gap: refused, set to zero, or kept.
        target: The property, ``"band_gap"`` (eV) or ``"formation_energy_per_atom"`` (eV/atom).
        duplicates: Rows of equal formula: ``merge`` keeps the lowest above the hull where the table says
            ``e_above_hull`` and averages otherwise; ``mean``; ``lowest``; ``keep`` them all. Rows of different
            levels of theory are never merged. What was merged is told in the notes, the widest disagreements
            with their lines.
        structures: JSON lines of crystals that belong to the rows by ``id``.

    Raises:
        InputError: The file cannot be read, a column is missing or ambiguous, no row is usable, or the labels are
            in another unit.

    """
    path = Path(path)
    measured = names.quantity(target)
    with open_rows(path) as raw:
        notes = list(raw.notes)
        chosen = _choose(path, raw, formula_column, value_column, std_column, measured, notes)
        crystals, bad = _crystals_by_id(structures, chosen) if structures else ({}, [])
        usable: list[_Labelled] = []
        beyond = 0
        for chunk in chunks(raw.rows, CHUNK):
            parsed = parse_rows(path, chunk, chosen.formula, chosen.id)
            for source, item in zip(chunk, parsed, strict=True):
                made = _label(item, chosen, level, crystals, raw.delimiter)
                if not isinstance(made, str):
                    made, far = _plausible(made, measured, negative)
                    beyond += far
                if isinstance(made, str):
                    bad.append(BadRow(str(path), source.line, source.text, made))
                else:
                    usable.append(made)
    if beyond >= 3 and beyond > _WRONG_UNIT * (len(usable) + beyond):
        raise InputError(
            f"{path}: {beyond} of {len(usable) + beyond} labels in {chosen.value!r} are beyond {measured.limit:g} "
            f"{measured.unit}, larger than any solid's: the column is in another unit",
            f"give {measured.unit}: 1 eV is 1000 meV, 8065.5 1/cm, 96.485 kJ/mol, 23.06 kcal/mol or 0.03675 hartree",
        )
    if not usable:
        first = f"; the first, line {bad[0].line}: {bad[0].reason}" if bad else ""
        raise InputError(
            f"{path} has no usable row ({len(bad)} refused{first})",
            f"formulas were read from {chosen.formula or 'species'!r}, labels from {chosen.value!r}",
        )
    below = [i for i, item in enumerate(usable) if item.row.value < 0]
    if negative == "clip" and not measured.signed and below:
        notes.append(f"{len(below)} negative gaps set to 0")
        for i in below:
            usable[i] = replace(usable[i], row=replace(usable[i].row, value=0.0))
    rows = _merge(usable, duplicates, measured.unit, notes)
    notes.append(_range(rows, measured))
    return Table(tuple(rows), tuple(bad), measured.unit, str(path), tuple(notes))


def _plausible(item: _Labelled, measured: names.Quantity, negative: Negative) -> tuple[_Labelled | str, bool]:
    """Return the row, or why its label cannot be, and whether the label is beyond that of all solids."""
    value = item.row.value
    if abs(value) > measured.limit:
        kind = measured.name.replace("_", " ")
        reason = f"{kind} {value:g} {measured.unit} is beyond {measured.limit:g}, more than any solid's; is it in meV?"
        return reason, True
    if value < 0 and not measured.signed and negative == "reject":
        return f"negative band gap {value:g} eV; a gap is 0 or more (--negative clip sets it to 0)", False
    return item, False


def _range(rows: Sequence[LabelledRow], measured: names.Quantity) -> str:
    """Return the span of the labels in words: it shows a slip that no rule can."""
    low, high = min(rows, key=lambda row: row.value), max(rows, key=lambda row: row.value)
    ends = " to ".join(f"{row.value:g} ({row.formula}, line {row.line})" for row in (low, high))
    zeros = sum(row.value == 0 for row in rows)
    metals = f", {zeros} of {len(rows)} are 0" if zeros and not measured.signed else ""
    return f"labels from {ends}{metals}"


def _choose(
    path: Path,
    raw: RawFile,
    formula: str | None,
    value: str | None,
    std: str | None,
    measured: names.Quantity,
    notes: list[str],
) -> _Columns:
    columns = raw.columns
    if formula is not None:
        formula = names.named(path, columns, formula, "--formula-column")
    else:
        formula = names.guess(path, columns, names.FORMULA_NAMES, "formula", "--formula-column")
        if formula is None and not {"species", "lattice"} <= set(columns):
            raise InputError(
                f"{path} has no column that is known to hold formulas; its header is: {', '.join(columns)}",
                "name it with --formula-column, or write a header line such as formula,band_gap",
            )
        notes.append(f"formulas from {formula!r}" if formula else "formulas from the species of the crystals")
    if value is not None:
        value = names.named(path, columns, value, "--value-column")
    else:
        value = names.guess(path, columns, measured.names, measured.name, "--value-column")
        if value is None:
            raise InputError(
                f"{path} has no column that is known to hold the {measured.name}; its header is: {', '.join(columns)}",
                f"name it with --value-column, or call it {measured.name}",
            )
        notes.append(f"{measured.name} in {measured.unit} from {value!r}")
    if std is not None:
        std = names.named(path, columns, std, "--std-column")
    elif (std := names.find(columns, names.STD_NAMES)) is not None:
        notes.append(f"uncertainties from {std!r}")
    level = names.find(columns, names.LEVEL_NAMES)
    if level is not None:
        notes.append(f"levels of theory from {level!r}")
    hull = names.find(columns, names.HULL_NAMES)
    return _Columns(formula, value, std, level, hull, names.find(columns, names.ID_NAMES))


def _crystals_by_id(path: Path | str, chosen: _Columns) -> tuple[dict[str, Crystal], list[BadRow]]:
    from aldesign.structures.cif import read_jsonl

    if chosen.id is None:
        raise InputError("the table has no id column to join crystals by", "add a column called id")
    found: dict[str, Crystal] = {}
    bad: list[BadRow] = []
    for item in read_jsonl(Path(path)):
        if isinstance(item, BadRow):
            bad.append(item)
        elif item.id in found:
            bad.append(BadRow(str(path), 0, item.id, f"a second crystal with the id {item.id!r}; the first is used"))
        else:
            found[item.id] = item
    return found, bad


def _label(
    item: InputRow, chosen: _Columns, level: Level, crystals: Mapping[str, Crystal], delimiter: str
) -> _Labelled | str:
    """Return the labelled row, or why there is none."""
    if item.formula is None or item.cells is None:
        return item.error
    try:
        value = number_of(item.cells.get(chosen.value), delimiter)
        if value is None:
            return f"no value in {chosen.value!r}"
        std = number_of(item.cells.get(chosen.std), delimiter) if chosen.std else None
        hull = number_of(item.cells.get(chosen.hull), delimiter) if chosen.hull else None
    except ValueError as error:
        return str(error)
    if std is not None and std < 0:
        return f"negative uncertainty {std:g}"
    crystal = item.crystal
    if crystal is None and crystals:
        crystal = crystals.get(item.id or "")
        if crystal is not None and (own := formula_of(crystal)) != item.formula:
            return f"formula {item.formula}, but the crystal {item.id!r} is {own}"
    stated = str(item.cells.get(chosen.level) or "") if chosen.level else ""
    row = LabelledRow(item.formula, value, std, stated or level, crystal, item.line)
    return _Labelled(row, math.inf if hull is None else hull, item.text)


def _merge(usable: Sequence[_Labelled], duplicates: Duplicates, unit: str, notes: list[str]) -> list[LabelledRow]:
    """Return one row per formula and level of theory, in the order of their first appearance."""
    if duplicates == "keep":
        return [item.row for item in usable]
    groups: dict[tuple[str, Level], list[_Labelled]] = defaultdict(list)
    for item in usable:
        groups[item.row.formula, item.row.level].append(item)
    repeated = [group for group in groups.values() if len(group) > 1]
    if not repeated:
        return [item.row for item in usable]
    hulls = any(math.isfinite(item.hull) for item in usable)
    lowest = duplicates == "lowest" or (duplicates == "merge" and hulls)
    if lowest and not hulls:
        raise InputError("the table has no e_above_hull to choose the lowest polymorph by", "use duplicates: mean")
    spare = sum(len(group) - 1 for group in repeated)
    if lowest:
        notes.append(f"{spare} rows are other polymorphs: of each formula the one lowest above the hull is kept")
        return [min(group, key=lambda item: item.hull).row for group in groups.values()]
    spreads = [max(i.row.value for i in g) - min(i.row.value for i in g) for g in repeated]
    wide = sum(spread > _SPREAD for spread in spreads)
    notes.append(
        f"{spare} rows repeat a formula: labels averaged over {len(repeated)} formulas; "
        f"largest spread {max(spreads):.3g} {unit}, {wide} above {_SPREAD} {unit}"
    )
    order = sorted(range(len(repeated)), key=lambda i: -spreads[i])
    for i in order[: min(wide, _SHOWN)]:
        told = ", ".join(f"{item.row.value:g} in line {item.row.line}" for item in repeated[i][:_SHOWN])
        notes.append(f"{repeated[i][0].row.formula}: {told}")
    return [_mean(group) for group in groups.values()]


def _mean(group: Sequence[_Labelled]) -> LabelledRow:
    """Return the mean of a formula's labels; its uncertainty is the root mean square of those stated."""
    if len(group) == 1:
        return group[0].row
    rows = [item.row for item in group]
    stds = [row.std for row in rows if row.std is not None]
    return replace(
        rows[0],
        value=math.fsum(row.value for row in rows) / len(rows),
        std=math.sqrt(math.fsum(std**2 for std in stds) / len(stds)) if stds else None,
    )
