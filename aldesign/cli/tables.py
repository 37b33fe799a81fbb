"""Reading labelled tables for `train` and `evaluate`: what an oracle needs decides how."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from aldesign.errors import InputError

if TYPE_CHECKING:
    from aldesign.records import Table


def read_labelled(
    oracle: str,
    data: Path,
    structures: Path | None,
    target: str,
    level: str,
    negative: Literal["reject", "clip", "keep"],
    formula_column: str | None,
    value_column: str | None,
) -> Table:
    """Return the table, with every polymorph's crystal for an oracle that needs structures.

    Raises:
        InputError: The table is unusable, or the oracle needs crystals and there are none.

    """
    from dataclasses import replace

    from aldesign.datasets.table import read_table
    from aldesign.registry import oracle_class

    needs = getattr(oracle_class(oracle), "needs", "formula")
    if needs != "structure":
        return read_table(data, formula_column, value_column, level=level, negative=negative, target=target)
    if structures is None:
        beside = [data.parent / name for name in ("structures.jsonl.gz", "structures.jsonl")]
        is_table = not data.name.lower().removesuffix(".gz").endswith(("jsonl", "ndjson", "json"))
        structures = next((path for path in beside if is_table and path.is_file()), None)
    table = read_table(
        data,
        formula_column,
        value_column,
        level=level,
        negative=negative,
        target=target,
        duplicates="keep",
        structures=structures,
    )
    rows = tuple(row for row in table.rows if row.crystal is not None)
    if not rows:
        raise InputError(
            f"oracle {oracle!r} learns from crystals, and no row of {data} has one",
            "give JSON lines of {id, lattice, species, frac} with the label, or --structures FILE",
        )
    missing = len(table.rows) - len(rows)
    notes = [*table.notes, f"crystals from {structures or data}"]
    notes += [f"{missing} rows without a crystal left out"] if missing else []
    return replace(table, rows=rows, notes=tuple(notes))
