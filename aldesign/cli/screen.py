"""``aldesign screen``: is a formula chemically plausible, and why (not)? Is it new, and within the rules?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aldesign.cli.options import flowing
from aldesign.cli.output import FormulaColumn, Json, note, print_json, print_rows
from aldesign.cli.sieves import (
    Alloys,
    Elements,
    Exclude,
    Known,
    MaxAtoms,
    MaxCount,
    MaxElements,
    MinElements,
    Require,
    rules_of,
)
from aldesign.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from aldesign.chemistry.neutrality import Options
    from aldesign.datasets.formulas import InputRow
    from aldesign.survey.seen import Seen
    from aldesign.survey.sieves import Rules

COLUMNS = ("formula", "neutral", "electronegativity", "valid", "oxidation_states", "reason")
_CHUNK = 8192


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=flowing(screen.__doc__))(screen)


def screen(
    formulas: Annotated[
        list[str] | None, typer.Argument(metavar="[FORMULA]...", help="Formulas in any spelling.")
    ] = None,
    source: Annotated[Path | None, typer.Option("--input", metavar="FILE", help="CSV, text or JSON lines.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="The CSV; default standard output.")] = None,
    oxidation_states: Annotated[str, typer.Option(metavar="TABLE", help="icsd24, icsd16, smact14, …")] = "icsd24",
    alloys: Alloys = True,
    pauling: Annotated[bool, typer.Option(help="Ask that cations be less electronegative than anions.")] = True,
    known: Known = None,
    elements: Elements = None,
    exclude: Exclude = None,
    require: Require = None,
    min_elements: MinElements = 1,
    max_elements: MaxElements = None,
    max_count: MaxCount = None,
    max_atoms: MaxAtoms = None,
    distinct: Annotated[bool, typer.Option("--distinct", help="Leave out repeats, in any spelling.")] = False,
    only_valid: Annotated[
        bool, typer.Option("--only-valid", help="Leave out what does not pass all that is asked.")
    ] = False,
    verdicts_only: Annotated[
        bool, typer.Option("--verdicts-only", help="No oxidation states and no reasons: much faster.")
    ] = False,
    formula_column: FormulaColumn = None,
    as_json: Json = False,
) -> None:
    """Test formulas for charge neutrality and electronegativity balance, with the oxidation states found.

    A column `novel` is added where --known is given, `within_rules` and `broken_rules` where there are rules for
    elements and sizes. Files are read as they are written: memory does not grow, but for eight bytes a row with
    --distinct.
    """
    from aldesign.chemistry.neutrality import Options
    from aldesign.datasets.formulas import FormulaFile, parse_texts, read_formulas
    from aldesign.files import refuse_overwriting
    from aldesign.survey.seen import Seen
    from aldesign.survey.sieves import check_lists

    if bool(formulas) == bool(source):
        raise InputError(
            "nothing to screen was given" if not formulas else "both formulas and --input were given",
            "give formulas, or --input FILE",
        )
    refuse_overwriting(output, source)
    check_lists(known or ())
    asked = _Asked(
        Options(oxidation_states, include_alloys=alloys, use_pauling_test=pauling),
        rules_of(elements, exclude, require, min_elements, max_elements, max_count, max_atoms),
        tuple(known or ()),
        Seen() if distinct else None,
        only_valid,
        verdicts_only,
    )
    if source is not None:
        file = read_formulas(source, formula_column)
    else:
        file = FormulaFile(iter(parse_texts(formulas or [])), has_ids=False)
    with file:
        header = (*(("id",) if file.has_ids else ()), *asked.columns)
        rows = asked.answers(file.rows, file.has_ids)
        if as_json and output is None:
            print_json([dict(zip(header, row, strict=True)) for row in rows])
        elif output is None:
            print_rows(header, (_cells(row) for row in rows))
        else:
            from aldesign.files import write_csv, write_json

            if as_json or output.suffix == ".json":
                write_json(output, [dict(zip(header, row, strict=True)) for row in rows])
            else:
                write_csv(output, header, (_cells(row) for row in rows))
            note(f"{asked.told()}: {output}")
    if asked.rows == 0:
        raise InputError("the input has no rows", "give at least one formula")


@dataclass
class _Asked:
    """What is asked of each formula, and what has been answered so far."""

    options: Options
    rules: Rules
    known: tuple[str, ...]
    seen: Seen | None
    only_valid: bool
    verdicts_only: bool
    rows: int = 0
    valid: int = 0
    repeats: int = 0
    passed: int = 0
    columns: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        ruled = (
            ()
            if not self.rules.strict
            else ("within_rules",)
            if self.verdicts_only
            else ("within_rules", "broken_rules")
        )
        usual = ("formula", "valid") if self.verdicts_only else COLUMNS
        self.columns = (*usual, *(("novel",) if self.known else ()), *ruled)

    def told(self) -> str:
        """Return what has been counted, for people."""
        repeats = "" if self.seen is None else f", {self.repeats} repeats left out"
        passed = f", {self.passed} pass all that is asked" if self.known or self.rules.strict else ""
        return f"{self.rows} rows, {self.valid} valid{passed}{repeats}"

    def answers(self, rows: Iterator[InputRow], ids: bool) -> Iterator[list[object]]:
        """Yield the values of each row that is wanted, the id first where there are `ids`, then the columns."""
        from aldesign.datasets.formulas import chunks

        for chunk in chunks(rows, _CHUNK):
            yield from self._chunk(chunk, ids)

    def _chunk(self, chunk: Sequence[InputRow], ids: bool) -> Iterator[list[object]]:
        import numpy as np

        from aldesign.chemistry.formula import parse_many
        from aldesign.chemistry.neutrality import assess, valid_mask
        from aldesign.survey.sieves import is_known

        texts = [row.formula or "" for row in chunk]
        readable = np.array([row.formula is not None for row in chunk])
        parsed, _ = parse_many(texts)
        new = readable.copy()
        new[readable] = ~is_known([text for text in texts if text], self.known)
        kept = readable & self.rules.elements_fit(parsed) & self.rules.sizes_fit(parsed)
        wanted = self._first(texts, readable)
        verdicts = None if self.verdicts_only else assess(texts, self.options)
        if verdicts is None:
            valid = readable & valid_mask(parsed, self.options)
        else:
            valid = readable & np.array([verdict.valid for verdict in verdicts])
        passed = valid & new & kept
        self.rows, self.repeats = self.rows + len(chunk), self.repeats + int((~wanted).sum())
        self.valid, self.passed = self.valid + int((valid & wanted).sum()), self.passed + int((passed & wanted).sum())
        if self.only_valid:
            wanted &= passed
        flags = (array.tolist() for array in (valid, new, kept))
        for place, (row, ok, novel, within, want) in enumerate(zip(chunk, *flags, wanted.tolist(), strict=True)):
            if not want:
                continue
            values: list[object] = [row.id or ""] if ids else []
            if verdicts is None:
                values += [row.formula or row.text, ok]
            else:
                found = verdicts[place]
                fine = not row.error
                states = found.oxidation_states if fine else None
                values += [row.formula or row.text, found.neutral and fine, found.electronegativity and fine, ok]
                values += [states, row.error or found.reason]
            if self.known:
                values.append(novel)
            if self.rules.strict:
                values.append(within)
                if not self.verdicts_only:
                    values.append(self.rules.broken(parsed, place) if not within and row.formula else "")
            yield values

    def _first(self, texts: Sequence[str], readable: np.ndarray) -> np.ndarray:
        """Return which rows are no repeats, bool (n,); what cannot be read never is one."""
        import numpy as np

        from aldesign.survey.seen import fingerprints

        first = np.ones(len(texts), dtype=bool)
        if self.seen is not None:
            first[readable] = self.seen.add(fingerprints([text for text in texts if text]))
        return first


def _cells(row: Sequence[object]) -> list[object]:
    return [_cell(value) for value in row]


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        import json

        return json.dumps(value, separators=(",", ":"))
    return value
