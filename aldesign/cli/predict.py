"""``aldesign predict``: one line for a number."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aldesign.cli.options import LoadOptions, OracleName, flowing, parse_options
from aldesign.cli.output import FormulaColumn, Json, note, print_json, print_rows
from aldesign.errors import InputError

if TYPE_CHECKING:
    from aldesign.predict import PredictedRow
    from aldesign.protocols import Oracle

_FILES = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".cif", ".gz")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=flowing(predict.__doc__))(predict)


def predict(
    formulas: Annotated[
        list[str] | None, typer.Argument(metavar="[FORMULA]...", help="Formulas in any spelling.")
    ] = None,
    oracle: OracleName = "random_forest",
    model: Annotated[Path | None, typer.Option(metavar="DIR", help="Weights of `train`; default the shipped.")] = None,
    source: Annotated[
        list[Path] | None,
        typer.Option("--input", metavar="FILE", help="CSV, text, JSON (lines) with crystals, CIFs; repeatable."),
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE", help="CSV, or JSON where it ends in .json.")] = None,
    level: Annotated[
        str | None, typer.Option(help="Level of theory, e.g. experiment; default the oracle's own.")
    ] = None,
    formula_column: FormulaColumn = None,
    options: LoadOptions = None,
    as_json: Json = False,
) -> None:
    """Predict a property of formulas or crystals, with its uncertainty.

    A row comes out for every row that goes in, in order, with its id; one that cannot be read or answered has no
    value and says why in `error`, and in_domain is false where the oracle was asked beyond its training data.
    Exit code 2 where no row has a value.
    """
    texts, files = list(formulas or []), list(source or [])
    if files:
        # The shell turns `--input *.cif` into one input and many arguments.
        files += [Path(text) for text in texts if text.lower().endswith(_FILES) and Path(text).exists()]
        texts = [text for text in texts if Path(text) not in files]
    if bool(texts) == bool(files):
        raise InputError(
            "both formulas and --input were given" if texts else "nothing to predict was given",
            "give formulas, or --input FILE",
        )
    for file in files:
        if not file.exists():
            raise InputError(f"there is no file {file}", "check the path given to --input")
    from aldesign.files import refuse_overwriting
    from aldesign.registry import load_oracle

    refuse_overwriting(output, *files)
    settings = parse_options(options) | ({} if level is None else {"level": level})
    loaded = load_oracle(oracle, model, **settings)
    rows, header = _rows(loaded, texts, files, formula_column)
    _deliver(rows, header, output, as_json)


def _rows(
    oracle: Oracle, texts: list[str], files: list[Path], column: str | None
) -> tuple[Iterator[PredictedRow], tuple[str, ...]]:
    from aldesign.datasets.formulas import read_files
    from aldesign.predict import header, predict_formulas, predict_rows

    if texts:
        return iter(predict_formulas(oracle, texts)), header(False)
    opened = read_files(files, column)

    def stream() -> Iterator[PredictedRow]:
        with opened:
            yield from predict_rows(oracle, opened.rows)

    return stream(), header(opened.has_ids)


def _deliver(rows: Iterator[PredictedRow], header: tuple[str, ...], output: Path | None, as_json: bool) -> None:
    counts = {"rows": 0, "errors": 0}
    first_error: list[str] = []

    def counted() -> Iterator[PredictedRow]:
        for row in rows:
            counts["rows"] += 1
            if not row.prediction.ok:
                counts["errors"] += 1
                first_error.append(f"{row.formula!r}: {row.prediction.error}") if not first_error else None
            yield row

    if output is None:
        if as_json:
            print_json([row.record() for row in counted()])
        elif sys.stdout.isatty():
            _show(list(counted()), header)
        else:
            print_rows(header, (row.cells() for row in counted()))
    else:
        from aldesign.cli.live import counting
        from aldesign.files import write_csv, write_json

        with counting(counted()) as found:
            if as_json or output.suffix == ".json":
                write_json(output, [row.record() for row in found])
            else:
                write_csv(output, header, (row.cells() for row in found))
        note(f"{counts['rows']} rows, {counts['errors']} without a value: {output}")
    if output is None and 0 < counts["errors"] < counts["rows"] and not sys.stdout.isatty():
        note(f"{counts['errors']} of {counts['rows']} rows have no value; the first, {first_error[0]}")
    if counts["rows"] == 0:
        raise InputError("the input has no rows", "give at least one formula")
    if counts["errors"] == counts["rows"]:
        raise InputError(f"no row has a value; the first: {first_error[0]}", "see the column `error`")


def _show(rows: list[PredictedRow], header: tuple[str, ...]) -> None:
    """Print a table for people: three decimals, columns that say the same of all rows left out, errors below."""
    good = [row for row in rows if row.prediction.ok]
    if good:
        first = good[0].prediction
        cells = []
        for row in good:
            found = row.prediction
            spread = "" if found.std is None else f"± {found.std:.3f}"
            domain = {True: "yes", False: "no", None: ""}[found.in_domain]
            cells.append([*([row.id] if "id" in header else []), row.formula, f"{found.value:.3f}", spread, domain])
        names = [*(["id"] if "id" in header else []), "formula", f"value ({first.unit})", "std", "in domain"]
        print_rows(names, cells, f"{first.oracle.name}, {first.level}")
    for row in rows:
        if not row.prediction.ok:
            note(f"no value for {row.formula!r}: {row.prediction.error}")
