"""The picture of a replay: what was found, and how much faster than chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aldesign.files import atomic_path
from aldesign.replay.metrics import SHARES, Curve, band
from aldesign.replay.rehearsal import Replayed
from aldesign.replay.seeds import acceleration, hits_at
from aldesign.report.replay import counts, in_words
from aldesign.report.svg import ACCENT, GENERATOR, LATENT, MUTED, PAPER, SEED, USER, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {"campaign": ACCENT, "greedy": GENERATOR, "random": SEED, "best": USER}
_SIZE = (12.8, 4.4)  # inches
_DASHED, _DOTTED = (0, (4, 3)), (0, (1, 2))
_LEAST_SHARE = 0.03  # below it an AF is a ratio of a few labels
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
    rows, hits = counts(found)
    wanted = found.hits.text.replace(">=", "≥").replace("<=", "≤")
    return f"{found.name}: {in_words(hits)} of {in_words(rows)} materials have a {wanted}"


def _below(found: Replayed) -> str:
    seeds = len({course.seed for course in found.courses})
    many = f"means of {seeds} seeds with bands of one standard error" if seeds > 1 else "one seed"
    return f"{found.labels:,} labels in batches of {found.batch}; {many}"


def _draw_share(axes: Axes, curves: Mapping[str, Sequence[Curve]]) -> None:
    """Draw the share of the hits that is found after each label."""
    seeds = next(iter(curves.values()))
    n = seeds[0].labels
    ceiling = np.mean([100 * np.minimum(n, curve.hits) / curve.hits for curve in seeds], axis=0)
    chance = np.mean([100 * curve.by_chance / curve.hits for curve in seeds], axis=0)
    axes.plot(n, ceiling, color=MUTED, linewidth=1, linestyle=_DOTTED)
    axes.plot(n, chance, color=MUTED, linewidth=1, linestyle=_DASHED)
    ends = [] if "best" in curves else [("every label a hit", float(ceiling[-1]), MUTED)]
    for name, measured in curves.items():
        mean, error = band([100 * curve.share for curve in measured])
        _line(axes, n, mean, error, name)
        ends.append((f"{name} {_short(mean[-1])} %", float(mean[-1]), _colour(name)))
    axes.set(xlabel="labels paid", ylabel="share of the hits found (%)", xlim=(0, n[-1]), ylim=(0, 102))
    _label_ends(axes, ends)


def _draw_enhancement(axes: Axes, curves: Mapping[str, Sequence[Curve]]) -> None:
    """Draw hits found over hits by chance after each label."""
    n = next(iter(curves.values()))[0].labels
    # a lucky first label is worth a hundred of those that follow: the curves begin where that has passed
    begin = max(1, len(n) // 25)
    top, ends = 1.0, []
    for name, measured in curves.items():
        mean, error = band([curve.enhancement for curve in measured])
        if name != "best":
            _line(axes, n[begin:], mean[begin:], error[begin:], name)
            top = max(top, float((mean + error)[begin:].max()))
            ends.append((_short(mean[-1]), float(mean[-1]), _colour(name)))
    axes.axhline(1.0, color=MUTED, linewidth=1, linestyle=_DASHED)
    axes.set(xlabel="labels paid", ylabel="EF: hits found / hits by chance", xlim=(0, n[-1]), ylim=(0, 1.05 * top))
    _label_ends(axes, ends)


def _draw_acceleration(axes: Axes, curves: Mapping[str, Sequence[Curve]]) -> None:
    """Draw labels by chance over labels paid for each share of the hits that every seed found."""
    top = 1.0
    for name, measured in curves.items():
        hits = min(curve.hits for curve in measured)
        told = {k / hits: acceleration(measured, k / hits) for k in range(1, hits + 1) if k >= _LEAST_SHARE * hits}
        reached = [(share, spread.mean, spread.error or 0.0) for share, spread in told.items() if spread.mean]
        if name == "best" or not reached or reached[-1][0] < SHARES[0]:
            continue
        shares, mean, error = np.array(reached).T
        _line(axes, 100 * shares, mean, error, name)
        top = max(top, float((mean + error).max()))
        ours = {share: acceleration(measured, share).mean for share in SHARES}
        marks = {share: factor for share, factor in ours.items() if factor is not None}
        # a share that no whole number of hits makes up stands at the next that one does
        x, y = [100 * hits_at(share, hits) / hits for share in marks], list(marks.values())
        axes.plot(x, y, "o", color=_colour(name), markeredgecolor=PAPER, markersize=7)
        if name == "campaign":
            for place in zip(x, y, strict=True):
                axes.annotate(_short(place[1]), place, (0, 10), textcoords="offset points", ha="center")
    axes.axhline(1.0, color=MUTED, linewidth=1, linestyle=_DASHED)
    axes.set(xlabel="share of the hits found (%)", ylabel="AF: labels by chance / labels paid", xlim=(0, 100))
    axes.set_ylim(0, 1.1 * top)
    if len(axes.lines) == 1:
        text = axes.text(0.5, 0.5, f"no strategy found {100 * SHARES[0]:.0f} %\nof the hits in every seed")
        text.set(transform=axes.transAxes, ha="center", va="center", color=MUTED)


def _line(axes: Axes, x: np.ndarray, mean: np.ndarray, error: np.ndarray, name: str) -> None:
    colour = _colour(name)
    axes.fill_between(x, mean - error, mean + error, color=colour, alpha=0.2, linewidth=0)
    axes.plot(x, mean, color=colour, linewidth=2.4 if name == "campaign" else 1.6, label=name)


def _short(value: float) -> str:
    return f"{value:.{0 if value >= 10 else 1}f}"


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
