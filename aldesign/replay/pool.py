"""The table that a replay buys from: which rows may be bought, and which of them count as found."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np

from aldesign.campaign.parts import Parts
from aldesign.campaign.ranking import objective
from aldesign.campaign.spec import CampaignSpec
from aldesign.chemistry.formula import compositions
from aldesign.chemistry.onehot import MAX_COUNT
from aldesign.errors import InputError
from aldesign.records import BadRow, LabelledRow, Table

TOP = 0.01
"""Share of the best rows that count as found where no threshold is given."""


@dataclass(frozen=True)
class Pool:
    """Known gaps by formula.

    Attributes:
        formulas: One canonical formula a row, sorted, so that the order of a file cannot matter.
        gaps: Labels in eV, shape (n,).
        buyable: Whether a row may be bought: it is in the table and within the campaign's space, shape (n,).
        origin: Where the table came from.
        notes: What was left out, for people.
        bad: Rows that could not be read.
    """

    formulas: tuple[str, ...]
    gaps: np.ndarray
    buyable: np.ndarray
    origin: str
    notes: tuple[str, ...] = ()
    bad: tuple[BadRow, ...] = ()

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row number of each formula."""
        return {formula: row for row, formula in enumerate(self.formulas)}


@dataclass(frozen=True)
class Hits:
    """Which rows count as found.

    Attributes:
        mask: Shape (n,).
        text: The rule in words, e.g. ``gap >= 6 eV``.
    """

    mask: np.ndarray
    text: str


def make_pool(spec: CampaignSpec, table: Table, foreign: Sequence[LabelledRow] = ()) -> Pool:
    """Return the rows of `table` that can be represented, with the campaign's space rules applied.

    Args:
        spec: Its `space` decides what may be bought; the other screens judge new formulas, and these are known.
        table: Known gaps, merged to one label per formula and level of theory.
        foreign: Labelled rows outside the table that are known for free.

    Raises:
        InputError: The table is not in eV, or no row is left.
    """
    rows, notes = _one_level(table.rows, spec.data.level)
    known = {row.formula for row in rows}
    rows = sorted((*rows, *(row for row in foreign if row.formula not in known)), key=lambda row: row.formula)
    parsed = compositions([row.formula for row in rows])
    whole = (parsed.amounts == np.round(parsed.amounts)).all(axis=1) & (parsed.amounts.max(axis=1) <= MAX_COUNT)
    if not whole.all():
        notes.append(f"{int((~whole).sum())} rows left out: fractional, or more than {MAX_COUNT} of an element")
        rows = [row for row, fine in zip(rows, whole, strict=True) if fine]
    formulas = tuple(row.formula for row in rows)
    within = _within(spec, formulas)
    ours = np.array([formula in known for formula in formulas], dtype=bool)
    if not (within & ours).any():
        raise InputError(
            f"{table.origin}: none of {len(formulas)} rows is within the campaign's space",
            "loosen space, e.g. --set space.max_atoms=200",
        )
    if (ours & ~within).any():
        notes.append(f"{int((ours & ~within).sum())} rows cannot be bought: outside the campaign's space")
    gaps = np.array([row.value for row in rows], dtype=np.float64)
    return Pool(formulas, gaps, within & ours, table.origin, (*table.notes, *notes), table.bad)


def find_hits(spec: CampaignSpec, pool: Pool, threshold_ev: float | None = None, top: float | None = None) -> Hits:
    """Return which rows count as found: beyond the threshold, inside the window, or the best share.

    Args:
        spec: Its target says which side of a threshold is wanted.
        pool: The rows.
        threshold_ev: Least gap (maximize) or largest (minimize).
        top: Share of the buyable rows, best first, instead; ties with the last of them count, too.

    Raises:
        InputError: Arguments that do not fit the target, or no buyable row counts.
    """
    goal = objective(spec)
    if threshold_ev is not None and top is not None:
        raise InputError("--threshold and --top exclude each other", "give one of them")
    if spec.target.window is not None:
        if threshold_ev is not None or top is not None:
            raise InputError(
                "the campaign's target is a window: what lies inside counts as found",
                "leave out --threshold and --top, or move the window: --set target.window=[1,2]",
            )
        mask, text = goal.utility(pool.gaps) >= 0, "gap from {:g} to {:g} eV".format(*spec.target.window)
    else:
        if threshold_ev is None:
            threshold_ev = _edge_of_top(goal.utility(pool.gaps[pool.buyable]), TOP if top is None else top)
            threshold_ev = threshold_ev if spec.target.maximize else -threshold_ev
        mask = goal.utility(pool.gaps) >= goal.utility(np.array([threshold_ev]))
        text = f"gap {'>=' if spec.target.maximize else '<='} {threshold_ev:g} eV"
    if not (mask & pool.buyable).any():
        raise InputError(
            f"{pool.origin}: no row that may be bought has a {text}; nothing can be found",
            f"its gaps reach from {pool.gaps[pool.buyable].min():g} to {pool.gaps[pool.buyable].max():g} eV",
        )
    return Hits(mask & pool.buyable, text)


def read_pool_table(
    spec: CampaignSpec,
    path: Path,
    formula_column: str | None = None,
    value_column: str | None = None,
    negative: Literal["reject", "clip", "keep"] = "reject",
) -> Table:
    """Return the table of known gaps. Raises InputError where it is missing, empty or unusable."""
    from aldesign.datasets.table import read_table

    if not path.is_file():
        raise InputError(f"there is no file {path}", "check the path given to --data")
    return read_table(path, formula_column, value_column, level=spec.data.level, negative=negative)


def _one_level(rows: Sequence[LabelledRow], level: str) -> tuple[list[LabelledRow], list[str]]:
    """Return one row per formula: those of the campaign's level of theory where the table has several."""
    levels = Counter(row.level for row in rows)
    if len(levels) < 2:
        return list(rows), []
    if level not in levels:
        raise InputError(
            f"the table holds gaps of the levels {', '.join(sorted(levels))}, the campaign's data.level is {level}",
            f"choose one: --set data.level={levels.most_common(1)[0][0]}",
        )
    return [row for row in rows if row.level == level], [
        f"{len(rows) - levels[level]} rows left out: of another level of theory than {level}"
    ]


def _within(spec: CampaignSpec, formulas: Sequence[str]) -> np.ndarray:
    from aldesign.screens import ScreenContext, make_screen

    entries = Parts(spec).screen_entries
    rules = [entry for entry in entries if isinstance(entry, dict) and "elements" in entry]
    fine = np.ones(len(formulas), dtype=bool)
    for entry in rules:
        verdicts = make_screen(entry, ScreenContext()).check(formulas)
        fine &= np.array([verdict.passed for verdict in verdicts], dtype=bool)
    return fine


def _edge_of_top(utility: np.ndarray, top: float) -> float:
    if not 0 < top < 1:
        raise InputError(f"--top is {top:g}", "give a share between 0 and 1, e.g. 0.01 for the best 1 %")
    count = max(1, math.ceil(top * len(utility)))
    return float(np.sort(utility)[-count])
