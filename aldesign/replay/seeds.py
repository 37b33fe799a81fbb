"""The figures of a replay over its seeds, with their standard errors."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from aldesign.replay.metrics import SHARES, STAGES, Course, Curve, Spread


def hits_at(share: float, hits: int) -> int:
    """Return how many of the hits make up a share of them: the next whole number, 1 at least."""
    return max(1, math.ceil(round(share * hits, 9)))


def acceleration(curves: Sequence[Curve], share: float) -> Spread:
    """Return the acceleration factor AF at a share of the hits: mean labels of chance over mean labels paid.

    The ratio of the means over seeds, not the mean of their ratios: a seed that is lucky with its first labels would
    outweigh all others, and chance itself would read far above 1. The error is that of the delta method: with
    R = a / b, the standard error of the mean of a_i - R b_i, over b (Cochran, Sampling Techniques, 3rd ed., ch. 6).

    Args:
        curves: One a seed.
        share: Of each seed's own hits; a figure stands only where every seed has found so many.
    """
    counts = [hits_at(share, curve.hits) for curve in curves]
    paid = np.array([curve.labels_to(count) for curve, count in zip(curves, counts, strict=True)])
    reached = int(np.isfinite(paid).sum())
    if reached < len(curves):
        return Spread(None, None, reached)
    chance = np.array([curve.chance_to(count) for curve, count in zip(curves, counts, strict=True)])
    ratio = float(chance.mean() / paid.mean())
    if reached == 1:
        return Spread(ratio, None, 1)
    scatter = float((chance - ratio * paid).std(ddof=1))
    return Spread(ratio, scatter / math.sqrt(reached) / float(paid.mean()), reached)


def first_hit_paid(course: Course, curve: Curve) -> float:
    """Return the labels paid up to the end of the batch that holds the first hit; infinite where none was found."""
    place = curve.labels_to(1)
    if not math.isfinite(place):
        return math.inf
    ends = np.cumsum(course.batches)
    return float(ends[np.searchsorted(ends, place)])


def figures(courses: Sequence[Course], curves: Sequence[Curve]) -> dict[str, Spread]:
    """Return the figures of one strategy at the end, over its seeds, by name."""
    told = {
        "found": [float(curve.found[-1]) for curve in curves],
        "share": [float(curve.share[-1]) for curve in curves],
        "enhancement_factor": [float(curve.enhancement[-1]) for curve in curves],
        "best_gap_ev": [float(curve.best_ev[-1]) for curve in curves],
        "labels_to_first_hit": [curve.labels_to(1) for curve in curves],
        "first_hit_batch_labels": [first_hit_paid(*pair) for pair in zip(courses, curves, strict=True)],
    }
    for stage in STAGES:
        told[f"seconds_{stage}"] = [course.seconds[stage] for course in courses]
    told["seconds"] = [sum(course.seconds.values()) for course in courses]
    return {**{name: Spread.of(values) for name, values in told.items()}, **_accelerations(curves)}


def chance_figures(curves: Sequence[Curve]) -> dict[str, Spread]:
    """Return what chance does on average, in closed form, over the seeds' pools."""
    told = {
        "found": [float(curve.by_chance[-1]) for curve in curves],
        "share": [float(curve.by_chance[-1]) / curve.hits for curve in curves],
        "enhancement_factor": [1.0 for _ in curves],
        "labels_to_first_hit": [curve.chance_to(1) for curve in curves],
        **{_name(share): [1.0 for _ in curves] for share in SHARES},
    }
    return {name: Spread.of(values) for name, values in told.items()}


def _accelerations(curves: Sequence[Curve]) -> dict[str, Spread]:
    return {_name(share): acceleration(curves, share) for share in SHARES}


def _name(share: float) -> str:
    return f"acceleration_{100 * share:.0f}"
