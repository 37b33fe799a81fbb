"""The paper's table with ours beside it, from the jobs that are done."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from aldesign.reproduce.paper import START_ITERATIONS, stated
from aldesign.reproduce.study import Job, Study

FIGURES = ("r2", "mae", "rmse", "test_r2", "test_mae", "test_rmse", "candidates")
SHARES = ("recovery", "new_recovery", "precision")
COUNTS = ("recovered", "false_positives")
IDENTITY = ("sample", "model", "repeat")
ROWS = ("rows", "train", "validation", "hold")
SAMPLES = ("exp1", "exp2-bs", "exp2-al", "exp2-ours", "exp3-bs", "exp3-al", "exp3-ours")
EXP4 = ("rows", "widest_start_ev", "found", "iterations", "labels", "best_ev", "best_formula")
REPEATS_HEADER = (*IDENTITY, *ROWS, *FIGURES, *SHARES, *COUNTS)


def results(study: Study, jobs: Iterable[Job]) -> list[dict[str, Any]]:
    """Return the records of the jobs that are done, by model, sample and repeat."""
    order = {job: (study.models.index(job.model), job.sample, job.repeat) for job in jobs}
    found = ((key, study.read(job)) for job, key in order.items())
    return [record for _, record in sorted(((k, r) for k, r in found if r is not None), key=lambda pair: pair[0])]


def table_one(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a line for each sample and model: means and standard deviations of ours, and the paper's values.

    The paper judges its test on 500 formulas of its own, and selects from a pool of its own: these two are ours to
    compare in kind alone.
    """
    lines = []
    for sample in SAMPLES:
        for model in dict.fromkeys(record["model"] for record in records):
            group = [r for r in records if (r["sample"], r["model"]) == (sample, model)]
            if not group:
                continue
            line: dict[str, Any] = {"sample": sample, "model": model, "repeats": len(group), "rows": group[0]["rows"]}
            for key in (*FIGURES, *SHARES, *COUNTS):
                line |= {key: _mean(group, key), f"{key}_std": _spread(group, key)}
            known = stated(sample)
            for key in ("rows", "r2", "test_r2", "mae", "rmse", "candidates", "recovery"):
                line[f"paper_{key}"] = None if known is None else getattr(known, key)
            lines.append(line)
    return lines


def first_wide(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a line for each model: how soon experiment 4 found a gap above 6 eV, and within what the paper did."""
    lines = []
    for model in dict.fromkeys(record["model"] for record in records):
        group = [r for r in records if r["sample"] == "exp4" and r["model"] == model]
        if not group:
            continue
        hits = [r for r in group if r["found"]]
        best = max(group, key=lambda r: r.get("best_ev", -math.inf))
        line: dict[str, Any] = {"model": model, "starts": len(group), "found": len(hits), "rows": group[0]["rows"]}
        for key in ("iterations", "labels"):
            line |= {key: _mean(hits, key), f"most_{key}": max((r[key] for r in hits), default=None)}
        line |= {"best_ev": best.get("best_ev"), "best_formula": best.get("best_formula")}
        lines.append(line | {"paper_iterations": START_ITERATIONS})
    return lines


def _values(group: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    return [float(r[key]) for r in group if r.get(key) is not None]


def _mean(group: Sequence[Mapping[str, Any]], key: str) -> float | None:
    values = _values(group, key)
    return round(fmean(values), 4) if values else None


def _spread(group: Sequence[Mapping[str, Any]], key: str) -> float | None:
    values = _values(group, key)
    return round(stdev(values), 4) if len(values) > 1 else None
