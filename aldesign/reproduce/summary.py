"""The paper's table with ours beside it, from the jobs that are done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from aldesign.reproduce.paper import START_ITERATIONS, stated
from aldesign.reproduce.screening import MODELS
from aldesign.reproduce.study import Study

FIGURES = ("r2", "mae", "rmse", "test_r2", "test_mae", "test_rmse", "candidates")
SHARES = ("recovery", "new_recovery", "precision")
COUNTS = ("recovered", "false_positives", "labelled_candidates", "new_candidates", "new_recovered")
AGREEMENT = (*SHARES, *COUNTS)  # with the oracle: of the oracle itself it says nothing
IDENTITY = ("sample", "model", "repeat")
ROWS = ("rows", "train", "validation", "hold")
SAMPLES = ("exp1", "exp2-bs", "exp2-al", "exp2-ours", "exp3-bs", "exp3-al", "exp3-ours")
REPEATS_HEADER = (*IDENTITY, *ROWS, *FIGURES, *SHARES, *COUNTS)


def results(study: Study) -> list[dict[str, Any]]:
    """Return the records of every job that is done, by model, sample and repeat, whichever call did it."""
    order = list(MODELS)
    return sorted(study.finished(), key=lambda r: (order.index(r["model"]), r["sample"], r["repeat"]))


def table_one(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a line for each sample and model: means and standard deviations of ours, and the paper's values.

    The paper judges its test on 500 formulas of its own, and selects from a pool of its own: these two are ours to
    compare in kind alone. The first repeat of ``exp1`` is the oracle, which agrees with itself: it is left out of
    the means that tell how well a model agrees with the oracle.
    """
    lines = []
    for sample in SAMPLES:
        for model in dict.fromkeys(record["model"] for record in records):
            group = [r for r in records if (r["sample"], r["model"]) == (sample, model)]
            if not group:
                continue
            line: dict[str, Any] = {"sample": sample, "model": model, "repeats": len(group), "rows": group[0]["rows"]}
            others = [r for r in group if r["repeat"] > 1] if sample == "exp1" else group
            for key in (*FIGURES, *AGREEMENT):
                judged = others if key in AGREEMENT else group
                line |= {key: _mean(judged, key), f"{key}_std": _spread(judged, key)}
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
        for key in ("iterations", "labels", "paid"):
            line |= {key: _mean(hits, key), f"most_{key}": max((r[key] for r in hits if r.get(key)), default=None)}
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
