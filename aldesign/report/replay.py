"""The files of a replay: every number of it as CSV and JSON, and one picture."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.files import write_csv, write_json
from aldesign.replay.metrics import Spread, band
from aldesign.replay.rehearsal import Replayed
from aldesign.replay.seeds import chance_figures, figures

CURVES, SUMMARY, PICKS, FIGURES, PICTURE = (
    "replay.csv",
    "summary.csv",
    "picks.csv",
    "summary.json",
    "replay.png",
)
CHANCE = "chance"
"""What `random` would find on average, in closed form."""
MEANINGS = {
    "labels_to_first_hit": "place of the first hit in the order of choice; batches are paid as a whole",
    "first_hit_batch_labels": "labels paid up to the end of the batch that holds the first hit",
    "enhancement_factor": "hits found over hits that chance finds with as many labels, on average",
    "acceleration": "mean over seeds of the labels that chance needs for a share of the hits, over the mean place of "
    "the hit that completes it",
    "error": "standard error over seeds; of an acceleration by the delta method",
    "seeds": "seeds that have the figure; a mean stands only where all of them have",
}
"""What the columns of the summary mean."""
_DIGITS = 6


def write_replay(found: Replayed, folder: Path) -> list[str]:
    """Write every file into `folder`; return their names."""
    from aldesign.report.replay_figures import write_picture

    write_csv(folder / CURVES, _CURVE_COLUMNS, _curve_rows(found))
    write_csv(folder / PICKS, _PICK_COLUMNS, _pick_rows(found))
    records = summary(found)
    write_csv(folder / SUMMARY, list(records[0]), [list(record.values()) for record in records])
    write_json(
        folder / FIGURES, {**facts(found), "columns": MEANINGS, "figures": records, "checkpoints": checkpoints(found)}
    )
    write_picture(found, folder / PICTURE)
    return [CURVES, PICKS, SUMMARY, FIGURES, PICTURE]


def facts(found: Replayed) -> dict[str, Any]:
    """Return what was replayed, as JSON values."""
    rows, hits = counts(found)
    return {
        "campaign": found.name,
        "table": found.pool.origin,
        "wanted": found.hits.text,
        "rows_to_buy": _mean(rows),
        "rows_to_buy_range": [min(rows), max(rows)],
        "hits_to_find": _mean(hits),
        "hits_to_find_range": [min(hits), max(hits)],
        "seeds": sorted({course.seed for course in found.courses}),
        "labels": found.labels,
        "batch": found.batch,
        "notes": list(found.notes),
    }


def counts(found: Replayed) -> tuple[list[int], list[int]]:
    """Return the rows that may be bought and the hits among them, one of each a seed: they depend on its start."""
    curves = next(iter(found.by_strategy.values()))[1]
    return [curve.rows for curve in curves], [curve.hits for curve in curves]


def in_words(numbers: Sequence[int]) -> str:
    """Return one number, or the range of several and their mean."""
    low, high = min(numbers), max(numbers)
    return f"{low:,}" if low == high else f"{low:,} to {high:,} (mean {_mean(numbers):,})"


def summary(found: Replayed) -> list[dict[str, Any]]:
    """Return the figures at the last label, one record a strategy; chance in closed form is the last.

    A figure is its mean over seeds (AF: a ratio of means), its standard error (empty for one seed), and, of those that
    a seed may lack, the number of seeds that have it. A mean stands only where every seed has the figure.
    """
    told = {name: figures(courses, curves) for name, (courses, curves) in found.by_strategy.items()}
    told[CHANCE] = chance_figures(next(iter(found.by_strategy.values()))[1])
    columns = dict.fromkeys(column for spreads in told.values() for column in spreads)
    return [{"strategy": name, **_flat(columns, spreads)} for name, spreads in told.items()]


def checkpoints(found: Replayed, count: int = 10) -> list[dict[str, Any]]:
    """Return share found and EF at some numbers of labels, with standard errors, one record a strategy and number."""
    at = sorted({max(1, round(found.labels * (i + 1) / count)) for i in range(count)})
    records = []
    for name, (_, curves) in found.by_strategy.items():
        mean, error = band([curve.share for curve in curves])
        factor, factor_error = band([curve.enhancement for curve in curves])
        records += [
            {
                "strategy": name,
                "labels": n,
                "share": _rounded(mean[n]),
                "share_error": _rounded(error[n]),
                "enhancement_factor": _rounded(factor[n]),
                "enhancement_factor_error": _rounded(factor_error[n]),
            }
            for n in at
        ]
    return records


def _flat(columns: dict[str, None], spreads: dict[str, Spread]) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for column in columns:
        spread = spreads.get(column, Spread(None, None, 0))
        record[column] = _rounded(spread.mean)
        record[f"{column}_error"] = _rounded(spread.error)
        if column.startswith(("labels_to", "first_hit", "acceleration")):
            record[f"{column}_seeds"] = spread.count
    return record


_CURVE_COLUMNS = (
    "strategy",
    "seed",
    "labels",
    "found",
    "share",
    "best_gap_ev",
    "found_by_chance",
    "enhancement_factor",
)
_PICK_COLUMNS = ("strategy", "seed", "order", "batch", "formula", "gap_ev", "expected_ev", "expected_std_ev", "hit")


def _curve_rows(found: Replayed) -> Iterator[Sequence[object]]:
    for course, curve in zip(found.courses, found.curves, strict=True):
        columns = (curve.share, curve.best_ev, curve.by_chance, curve.enhancement)
        for n in curve.labels.tolist():
            numbers = [_rounded(column[n]) for column in columns]
            yield course.strategy, course.seed, n, int(curve.found[n]), *numbers


def _pick_rows(found: Replayed) -> Iterator[Sequence[object]]:
    for course in found.courses:
        batch = np.repeat(np.arange(1, len(course.batches) + 1), course.batches)
        for i, row in enumerate(course.rows.tolist()):
            expected = _rounded(course.mean[i]), _rounded(course.std[i])
            formula, gap = found.pool.formulas[row], float(found.pool.gaps[row])
            hit = str(bool(found.hits.mask[row])).lower()
            yield course.strategy, course.seed, i + 1, int(batch[i]), formula, gap, *expected, hit


def _mean(numbers: Sequence[int]) -> float:
    mean = sum(numbers) / len(numbers)
    return int(mean) if mean == int(mean) else round(mean, 1)


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(float(value), _DIGITS)
