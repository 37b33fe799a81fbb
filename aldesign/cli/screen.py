"""``aldesign screen``: is a formula chemically plausible, and why (not)?"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aldesign.cli.output import FormulaColumn, Json, note, print_json, print_rows
from aldesign.errors import InputError

if TYPE_CHECKING:
    from aldesign.chemistry.neutrality import Options
    from aldesign.datasets.formulas import InputRow

COLUMNS = ("formula", "neutral", "electronegativity", "valid", "oxidation_states", "reason")
_CHUNK = 8192


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(screen)


def screen(
    formulas: Annotated[
        list[str] | None, typer.Argument(metavar="[FORMULA]...", help="Formulas in any spelling.")
    ] = None,
    source: Annotated[Path | None, typer.Option("--input", metavar="FILE", help="CSV, text or JSON lines.")] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="The CSV; default standard output.")] = None,
    oxidation_states: Annotated[str, typer.Option(metavar="TABLE", help="icsd24, icsd16, smact14, …")] = "icsd24",
    alloys: Annotated[bool, typer.Option(help="Accept formulas of metals only, whatever their charges.")] = True,
    pauling: Annotated[bool, typer.Option(help="Ask that cations be less electronegative than anions.")] = True,
    formula_column: FormulaColumn = None,
    as_json: Json = False,
) -> None:
    """Test formulas for charge neutrality and electronegativity balance, with the oxidation states found."""
    from aldesign.chemistry.neutrality import Options
    from aldesign.datasets.formulas import FormulaFile, parse_texts, read_formulas
    from aldesign.files import refuse_overwriting

    if bool(formulas) == bool(source):
        raise InputError(
            "nothing to screen was given" if not formulas else "both formulas and --input were given",
            "give formulas, or --input FILE",
        )
    refuse_overwriting(output, source)
    options = Options(oxidation_states, include_alloys=alloys, use_pauling_test=pauling)
    if source is not None:
        file = read_formulas(source, formula_column)
    else:
        file = FormulaFile(iter(parse_texts(formulas or [])), has_ids=False)
    counts = {"rows": 0, "valid": 0}
    with file:
        records = _records(file.rows, options, counts, file.has_ids)
        header = ("id", *COLUMNS) if file.has_ids else COLUMNS
        if as_json and output is None:
            print_json(list(records))
        elif output is None:
            print_rows(header, (_cells(record) for record in records))
        else:
            from aldesign.files import write_csv, write_json

            if as_json or output.suffix == ".json":
                write_json(output, list(records))
            else:
                write_csv(output, header, (_cells(record) for record in records))
            note(f"{counts['rows']} rows, {counts['valid']} valid: {output}")
    if counts["rows"] == 0:
        raise InputError("the input has no rows", "give at least one formula")


def _records(
    rows: Iterator[InputRow], options: Options, counts: dict[str, int], ids: bool
) -> Iterator[dict[str, object]]:
    from aldesign.chemistry.neutrality import assess
    from aldesign.datasets.formulas import chunks

    for chunk in chunks(rows, _CHUNK):
        verdicts = assess([row.formula or "" for row in chunk], options)
        for row, verdict in zip(chunk, verdicts, strict=True):
            counts["rows"] += 1
            counts["valid"] += verdict.valid and not row.error
            record: dict[str, object] = {"id": row.id or ""} if ids else {}
            yield record | {
                "formula": row.formula or row.text,
                "neutral": verdict.neutral and not row.error,
                "electronegativity": verdict.electronegativity and not row.error,
                "valid": verdict.valid and not row.error,
                "oxidation_states": verdict.oxidation_states if not row.error else None,
                "reason": row.error or verdict.reason,
            }


def _cells(record: dict[str, object]) -> list[object]:
    return [_cell(value) for value in record.values()]


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        import json

        return json.dumps(value, separators=(",", ":"))
    return value
