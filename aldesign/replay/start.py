"""What a replay knows before its first label: the campaign's own data, or random rows of the table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from aldesign.campaign.seeding import seed_trials
from aldesign.campaign.spec import CampaignSpec
from aldesign.errors import InputError
from aldesign.records import BadRow, LabelledRow, TrialState
from aldesign.replay.pool import Pool
from aldesign.seeds import stream

_SHOWN = 5  # formulas named in a note
_DIFFERENT_EV = 0.05  # from which on two gaps of one formula are worth a word


@dataclass(frozen=True)
class Start:
    """What is known before the first label is bought.

    Attributes:
        count: So many random rows of the table, drawn for each seed; None for the campaign's own data.
        below_ev: Only rows with a gap below it are drawn.
        keep_foreign: Whether rows of the campaign's data that are not in the table are learned from, too.
    """

    count: int | None = None
    below_ev: float | None = None
    keep_foreign: bool = False

    def __post_init__(self) -> None:
        if self.count is not None and self.count < 2:
            raise InputError(f"a replay cannot start from {self.count} rows", "give --start 2 or more")
        if self.below_ev is not None and self.count is None:
            raise InputError("--start-below was given without --start", "say how many random rows: --start 300")
        if self.keep_foreign and self.count is not None:
            raise InputError("--keep-foreign speaks of the campaign's own data, --start of random rows", "give one")


@dataclass(frozen=True)
class OwnData:
    """The rows that the campaign itself begins with.

    Attributes:
        formulas: By seed, in trial order; none where a replay starts from random rows.
        labels: Their gaps in eV, of those that have one, by formula.
        bad: Rows that could not be read.
    """

    formulas: Mapping[int, Sequence[str]]
    labels: Mapping[str, float]
    bad: tuple[BadRow, ...] = ()

    @property
    def rows(self) -> list[LabelledRow]:
        """Those with a gap."""
        return [LabelledRow(formula, gap) for formula, gap in self.labels.items()]


def own_data(spec: CampaignSpec, seeds: Sequence[int], start: Start) -> OwnData:
    """Return the campaign's data as it begins with each seed; a `data.limit` draws other rows for each."""
    if start.count is not None:
        return OwnData(dict.fromkeys(seeds, ()), {})
    formulas: dict[int, Sequence[str]] = {}
    labels: dict[str, float] = {}
    bad: tuple[BadRow, ...] = ()
    for seed in seeds:
        if formulas and spec.data.limit is None:
            formulas[seed] = formulas[seeds[0]]
            continue
        trials, origin = seed_trials(spec.model_copy(update={"seed": seed}), spec.data.level)
        formulas[seed] = [trial.candidate.formula for trial in trials]
        bad = tuple(BadRow(**row) for row in origin["bad_rows"])
        for trial in trials:
            gap = None if trial.prediction is None else trial.prediction.value
            if trial.state is TrialState.MEASURED and gap is not None:
                labels[trial.candidate.formula] = gap
    return OwnData(formulas, labels, bad)


def start_rows(start: Start, pool: Pool, own: Sequence[str], seed: int) -> np.ndarray:
    """Return the numbers of the rows that are known at the start, in the order in which they are learned.

    Args:
        start: The rule.
        pool: The rows.
        own: Formulas of the campaign's own data.
        seed: Decides which random rows are drawn.

    Raises:
        InputError: The table has fewer such rows than wanted, or fewer than two of the campaign's own.
    """
    if start.count is None:
        rows = list(dict.fromkeys(pool.row_of[formula] for formula in own if formula in pool.row_of))
        if len(rows) < 2:
            raise InputError(
                f"only {len(rows)} of the campaign's {len(own)} data rows are in {pool.origin}",
                "start from random rows of the table instead: --start 300",
            )
        return np.array(rows, dtype=np.int64)
    allowed = pool.buyable & (pool.gaps < (math.inf if start.below_ev is None else start.below_ev))
    if start.count >= allowed.sum():
        below = "" if start.below_ev is None else f" with a gap below {start.below_ev:g} eV"
        raise InputError(
            f"{start.count} start rows were asked for, {pool.origin} has {int(allowed.sum())} rows{below}",
            "give a smaller --start, or another --start-below",
        )
    drawn = stream(seed, 0, "replay-start").choice(np.flatnonzero(allowed), start.count, replace=False)
    return np.sort(drawn)


def start_notes(start: Start, pool: Pool, own: OwnData, seed: int, rows: np.ndarray) -> list[str]:
    """Return, in words, what the run of `seed` starts from, and which of the campaign's rows do not count."""
    if start.count is not None:
        below = "" if start.below_ev is None else f" with a gap below {start.below_ev:g} eV"
        return [f"start: {start.count} random rows{below}, drawn for each seed"]
    formulas = dict.fromkeys(own.formulas[seed])
    notes = [f"start: {len(rows)} of the campaign's {len(formulas)} data rows"]
    if absent := [formula for formula in formulas if formula not in pool.row_of]:
        notes.append(f"{len(absent)} data rows left out, not in the table: {', '.join(absent[:_SHOWN])}")
    if free := int((~pool.buyable[rows]).sum()):
        notes.append(f"{free} start rows are known for free: outside the table or the space")
    known = {formula: float(pool.gaps[pool.row_of[formula]]) for formula in formulas if formula in pool.row_of}
    moved = [f for f, gap in known.items() if abs(own.labels.get(f, gap) - gap) > _DIFFERENT_EV]
    if moved:
        notes.append(f"{len(moved)} data rows have another gap in the table, which counts: {', '.join(moved[:_SHOWN])}")
    return notes
