"""The picture of a replay: what was found, and how much faster than chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aldesign.campaign.replay import Replayed
from aldesign.campaign.replay_metrics import SHARES, Curve, band
from aldesign.files import atomic_path
from aldesign.report.svg import ACCENT, GENERATOR, LATENT, MUTED, PAPER, SEED, USER, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"campaign": ACCENT, "greedy": GENERATOR, "random": SEED, "best": USER}
_SIZE = (12.8, 4.4)  # inches
_DASHED, _DOTTED = (0, (4, 3)), (0, (1, 2))
_FEW = 5  # hits by chance alone below which an EF is a ratio of hardly anything
_LINE_HEIGHT = 0.055  # of a label, as a share of the axes


def write_picture(found: Replayed, path: Path) -> None:
    """Write share found, EF and AF side by side, means over seeds with bands of one standard error, as PNG."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with style():
        figure = Figure(figsize=_SIZE, layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(1, 3, width_ratios=(1.25, 1, 1))
        curves = {name: measured for name, (_, measured) in found.by_strategy.items()}
        for draw, axes in zip((_draw_share, _draw_enhancement, _draw_acceleration), panels, strict=True):
            draw(axes, curves)
        figure.suptitle(_title(found), x=0.008, ha="left", fontsize=12)
        figure.supxlabel(_below(found), x=0.008, ha="left", fontsize=9, color=MUTED)
        with atomic_path(path) as temporary:
            figure.savefig(temporary, dpi=160, facecolor="white")


def _title(found: Replayed) -> str:
    some = found.curves[0]
    wanted = found.hits.text.replace(">=", "≥").replace("<=", "≤")
    return f"{found.name}: {some.hits:,} of {some.rows:,} materials have a {wanted}"


def _below(found: Replayed) -> str:
    seeds = len({course.seed for course in found.courses})
    many = f"means of {seeds} seeds with bands of one standard error" if seeds > 1 else "one seed"
    return f"{found.labels:,} labels in batches of {found.batch}; {many}"


def _draw_share(axes: Axes, curves: Mapping[str, Sequence[Curve]]) -> None:
    """Draw the share of the hits that is found after each label."""
    some = next(iter(curves.values()))[0]
    n = some.labels
    ceiling = 100 * np.minimum(n, some.hits) / some.hits
    axes.plot(n, ceiling, color=MUTED, linewidth=1, linestyle=_DOTTED)
    axes.plot(n, 100 * some.by_chance / some.hits, color=MUTED, linewidth=1, linestyle=_DASHED)
    ends = [] if "best" in curves else [("every label a hit", float(ceiling[-1]), MUTED)]
    for name, measured in curves.items():
        mean, error = band([100 * curve.share for curve in measured])
        _line(axes, n, mean, error, name)
        digits = 0 if mean[-1] >= 10 else 1
        ends.append((f"{name} {mean[-1]:.{digits}f} %", float(mean[-1]), _colour(name)))
    axes.set(xlabel="labels paid", ylabel="share of the hits found (%)", xlim=(0, n[-1]), ylim=(0, 102))
    _label_ends(axes, ends)


def _draw_enhancement(axes: Axes, curves: Mapping[str, Sequence[Curve]]) -> None:
    """Draw hits found over hits by chance after each label; before chance has found a few, the ratio says little."""
    some = next(iter(curves.values()))[0]
    n = some.labels
    # at least a tenth of the course is left out: there one lucky label is worth more than the method
    begin = max(1, n[-1] // 50)
    top, ends = 1.0, []
    for name, measured in curves.items():
        if name == "best":
            continue
        mean, error = band([curve.enhancement for curve in measured])
        _line(axes, n[begin:], mean[begin:], error[begin:], name)
        top = max(top, float((mean + error)[begin:].max()))
        ends.append((f"{mean[-1]:.{0 if mean[-1] >= 10 else 1}f}", float(mean[-1]), _colour(name)))
    axes.axhline(1.0, color=MUTED, linewidth=1, linestyle=_DASHED)
    axes.set(xlabel="labels paid", ylabel="enhancement factor EF", xlim=(0, n[-1]), ylim=(0, 1.05 * top))
    _label_ends(axes, ends)


def _draw_acceleration(axes: Axes, curves: Mapping[str, Sequence[Curve]]) -> None:
    """Draw labels by chance over labels paid for each share of the hits that every seed found."""
    for name, measured in curves.items():
        if name == "best":
            continue
        reached = min(int(curve.found[-1]) for curve in measured)
        hits = min(curve.hits for curve in measured)
        shares = np.arange(1, reached + 1) / hits
        if not reached:
            continue
        values = np.array([[curve.acceleration(share) for share in shares] for curve in measured])
        fine = np.isfinite(values).all(axis=0)
        mean, error = band(list(values[:, fine]))
        _line(axes, 100 * shares[fine], mean, error, name)
        marks = [share for share in SHARES if all(math.isfinite(c.acceleration(share)) for c in measured)]
        told = [float(np.mean([curve.acceleration(share) for curve in measured])) for share in marks]
        axes.plot([100 * share for share in marks], told, "o", color=_colour(name), markeredgecolor=PAPER, markersize=7)
        for share, value in zip(marks, told, strict=True):
            if name == "campaign":
                axes.annotate(f"{value:.0f}", (100 * share, value), (0, 8), textcoords="offset points", ha="center")
    axes.axhline(1.0, color=MUTED, linewidth=1, linestyle=_DASHED)
    axes.set(xlabel="share of the hits found (%)", ylabel="acceleration factor AF", xlim=(0, 100))
    axes.set_ylim(0)


def _line(axes: Axes, x: np.ndarray, mean: np.ndarray, error: np.ndarray, name: str) -> None:
    colour = _colour(name)
    axes.fill_between(x, mean - error, mean + error, color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, mean, color=colour, linewidth=2.4 if name == "campaign" else 1.6, label=name)


def _colour(name: str) -> str:
    return _COLOURS.get(name, LATENT)


def _label_ends(axes: Axes, ends: Sequence[tuple[str, float, str]]) -> None:
    """Write texts beside the ends of lines (text, height, colour), moved apart where they would overlap."""
    low, high = axes.get_ylim()
    step, lowest = _LINE_HEIGHT * (high - low), -math.inf
    for text, height, colour in sorted(ends, key=lambda end: end[1]):
        lowest = max(height, lowest + step)
        axes.annotate(
            text,
            (1.0, lowest),
            (5, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            color=colour,
            va="center",
            fontsize=9,
            annotation_clip=False,
        )
