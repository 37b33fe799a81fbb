"""How commands show tables: for people on a terminal, CSV in a pipe, JSON where asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from aldesign.files import csv_writer

if TYPE_CHECKING:
    from aldesign.records import BadRow, Table

Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
FormulaColumn = Annotated[str | None, typer.Option(metavar="NAME", help="Column of the formulas; guessed by default.")]
ValueColumn = Annotated[str | None, typer.Option(metavar="NAME", help="Column of the labels; guessed by default.")]
SHOWN_BAD_ROWS = 5


def note(text: str) -> None:
    """Write a remark to standard error."""
    typer.echo(text, err=True)


def progress(quiet: bool) -> Callable[[str], None] | None:
    """Return what takes progress lines: standard error, or nothing."""
    return None if quiet else note


def shown(path: Path) -> str:
    """Return a path for people."""
    return str(path)


def print_json(value: object) -> None:
    """Print indented JSON."""
    typer.echo(json.dumps(value, indent=2, allow_nan=False))


def print_rows(header: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> None:
    """Print a table on a terminal, CSV anywhere else."""
    if not sys.stdout.isatty():
        writer = csv_writer(sys.stdout)
        writer.writerow(header)
        writer.writerows(rows)
        return
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(*header, title=title or None)
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    Console().print(table)


def print_records(records: Sequence[Mapping[str, object]], as_json: bool, title: str = "") -> None:
    """Print named rows as JSON, table or CSV."""
    if as_json:
        print_json(list(records))
    else:
        header = list(records[0]) if records else []
        print_rows(header, [list(record.values()) for record in records], title)


def report_table(table: Table) -> None:
    """Say on standard error what a table's reader guessed, merged and refused."""
    note(f"{table.origin}: {len(table.rows)} rows; {'; '.join(table.notes) or 'nothing guessed'}")
    report_bad(table.bad)


def report_bad(bad: Sequence[BadRow]) -> None:
    """List the first refused rows on standard error, with their reasons."""
    for row in bad[:SHOWN_BAD_ROWS]:
        note(f"  left out: {row.source}, line {row.line}: {row.reason}")
    if len(bad) > SHOWN_BAD_ROWS:
        note(f"  … and {len(bad) - SHOWN_BAD_ROWS} more rows left out")
