"""The command that holds a campaign's finds against what is known."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from aldesign.cli.output import FormulaColumn, Json, ValueColumn, note, print_json, print_records, report_table

Known = Annotated[Path, typer.Option(metavar="TABLE.csv", help="Known formulas with gaps in eV.")]


def register(app: typer.Typer) -> None:
    """Add `audit` to the command line."""
    app.command()(audit)


def audit(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A run directory.")],
    known: Known,
    top: Annotated[int | None, typer.Option(min=1, help="So many of the best; default all that were measured.")] = 50,
    every: Annotated[bool, typer.Option("--all", help="All that were measured, instead of the best.")] = False,
    threshold: Annotated[
        float | None, typer.Option(help="Gap in eV from which (minimize: up to which) a material is a hit.")
    ] = None,
    output: Annotated[Path | None, typer.Option(metavar="FILE.csv", help="Write the rows here as well.")] = None,
    formula_column: FormulaColumn = None,
    value_column: ValueColumn = None,
    as_json: Json = False,
) -> None:
    """Show each of a campaign's best materials with its doubts: uncertainty, domain, nearest known formula, its gap."""
    from aldesign.campaign.auditing import as_records, summary
    from aldesign.campaign.auditing import audit as look_again
    from aldesign.campaign.reading import read_state
    from aldesign.datasets.table import read_table
    from aldesign.files import write_csv

    state, spec = read_state(directory)
    table = read_table(known, formula_column, value_column)
    rows = look_again(state, spec, table.rows, None if every else top, threshold)
    records, counts = as_records(rows), summary(rows)
    if output is not None:
        write_csv(output, list(records[0]), (list(record.values()) for record in records))
    if as_json:
        print_json({"summary": counts, "materials": records})
        return
    report_table(table)
    print_records(records, False, f"{spec.name}: the best and their nearest known neighbours")
    for key, value in counts.items():
        note(f"{key.replace('_', ' '):22} {'' if value is None else value}")
