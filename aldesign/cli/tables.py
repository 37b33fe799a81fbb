"""Reading labelled tables for `train` and `evaluate`: what an oracle needs decides how."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from aldesign.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aldesign.records import OracleCard, Table


def settle(oracle: str, wanted: str | None, options: Mapping[str, Any]) -> tuple[OracleCard, dict[str, Any]]:
    """Return the card of a new oracle, and its settings, which name the property where that must be said.

    Raises:
        InputError: The oracle does not learn, refuses a setting, or the property is unknown.

    """
    from aldesign.fitting import new_oracle
    from aldesign.tables.columns import quantity

    usual = new_oracle(oracle, options).card
    if wanted is None or wanted == usual.property:
        return usual, dict(options)
    quantity(wanted)
    chosen = {**options, "property": wanted}
    return new_oracle(oracle, chosen).card, chosen


def read_labelled(
    card: OracleCard,
    data: Path,
    structures: Path | None,
    level: str,
    negative: Literal["reject", "clip", "keep"],
    formula_column: str | None,
    value_column: str | None,
) -> Table:
    """Return the table of an oracle's property, with every polymorph's crystal for one that needs structures.

    Raises:
        InputError: The table is unusable, or the oracle needs crystals and there are none.

    """
    from dataclasses import replace

    from aldesign.datasets.table import read_table

    target = card.property
    if card.needs != "structure":
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
            f"oracle {card.identity.name!r} learns from crystals, and no row of {data} has one",
            "give JSON lines of {id, lattice, species, frac} with the label, or --structures FILE",
        )
    missing = len(table.rows) - len(rows)
    notes = [*table.notes, f"crystals from {structures or data}"]
    notes += [f"{missing} rows without a crystal left out"] if missing else []
    return replace(table, rows=rows, notes=tuple(notes))
