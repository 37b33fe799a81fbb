"""The figures of a report; each takes arrays and returns a matplotlib figure. Gaps are in eV throughout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from aldesign.report.calibration import LEVELS, Calibration
from aldesign.report.facts import SOURCE_NAMES
from aldesign.report.svg import ACCENT, GENERATOR, INK, LATENT, MUTATION, MUTED, PAPER, POOL, SEED, USER, style

if TYPE_CHECKING:
    from markupsafe import Markup
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MANY = 4000
"""More marks than this are drawn as pixels, so that a page stays small."""

_COLOURS = dict(zip(SOURCE_NAMES.values(), (SEED, LATENT, GENERATOR, MUTATION, POOL, USER), strict=True))
_MARKERS = dict(zip(SOURCE_NAMES.values(), "osDvP^", strict=True))


@dataclass(frozen=True)
class Illustration:
    """A figure's SVG and what it says."""

    svg: Markup
    caption: str


def best_so_far(
    gaps: np.ndarray,
    sources: np.ndarray,
    best: np.ndarray,
    seed_best: float | None = None,
    wanted: tuple[float, float] | None = None,
) -> Figure:
    """Draw every answer after the seed and the best material up to each.

    Args:
        gaps: Answers in order, NaN for failures, shape (n,).
        sources: Name of each answer's source, shape (n,).
        best: Gap of the best material so far, shape (n,).
        seed_best: Gap of the best seed row.
        wanted: Window or half-open range to mark, ends may be infinite.

    """
    from matplotlib.ticker import MaxNLocator

    with style():
        figure, axes = new_figure((5.4, 3.5))
        steps = np.arange(1, len(gaps) + 1)
        mark_range(axes, wanted, horizontal=True)
        if seed_best is not None:
            axes.axhline(seed_best, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label=f"best seed {seed_best:.2f}")
        for name in _present(sources):
            chosen = (sources == name) & np.isfinite(gaps)
            _dots(axes, steps[chosen], gaps[chosen], name, f"answers-{_slug(name)}")
        if len(best):
            known = [] if seed_best is None else [seed_best]
            line_x = np.concatenate([np.arange(1 - len(known), 1), steps])
            axes.plot(line_x, np.concatenate([known, best]), color=ACCENT, linewidth=2, drawstyle="steps-post")
            axes.lines[-1].set_label("best so far")
        failed = steps[~np.isfinite(gaps)]
        if len(failed):
            floor = axes.get_xaxis_transform()
            axes.plot(failed, np.full(len(failed), 0.02), "|", color=INK, transform=floor, label="no answer")
        axes.set(xlabel="oracle answers after the seed", ylabel="band gap (eV)")
        axes.set_xlim(0, max(len(gaps), 1) * 1.01 + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True, min_n_ticks=1))
        outside_legend(figure, axes)
    return figure


def gap_distribution(groups: Mapping[str, np.ndarray], wanted: tuple[float, float] | None = None) -> Figure:
    """Draw how the gaps of each source (name to shape (n,)) are spread, each as shares of its own total."""
    with style():
        figure, axes = new_figure((5.4, 3.5))
        groups = {name: values for name, values in groups.items() if len(values)}
        mark_range(axes, wanted, horizontal=False)
        if groups:
            edges = _bin_edges(np.concatenate(list(groups.values())))
            for name, values in groups.items():
                share = 100 * np.histogram(values, edges)[0] / len(values)
                axes.stairs(share, edges, fill=True, color=_COLOURS[name], alpha=0.28 if name == "seed" else 0.14)
                axes.stairs(share, edges, color=_COLOURS[name], linewidth=1.6, label=f"{name} (n = {len(values)})")
            axes.set_xlim(edges[0], edges[-1])
        axes.set(xlabel="band gap (eV)", ylabel="share of each source (%)")
        outside_legend(figure, axes)
    return figure


def parity(calibration: Calibration) -> Figure:
    """Draw what the surrogate expected, with one standard deviation, against what the oracle then answered."""
    with style():
        figure, axes = new_figure((4.6, 4.2))
        mean, std, measured = calibration.mean, calibration.std, calibration.measured
        sources = np.array([SOURCE_NAMES[t.candidate.source] for t in calibration.trials], dtype=str)
        if len(calibration):
            low, high = min(mean.min(), measured.min()), max(mean.max(), measured.max())
            ends = np.array([low, high]) + np.array([-1, 1]) * max(0.06 * (high - low), 0.1)
            axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="equal")
            axes.vlines(
                measured, mean - std, mean + std, color=SEED, linewidth=0.8, alpha=0.5, rasterized=len(mean) > MANY
            )
            axes.set(xlim=ends, ylim=ends)
        for name in _present(sources):
            chosen = sources == name
            _dots(axes, measured[chosen], mean[chosen], name, f"parity-{_slug(name)}")
        axes.set(xlabel="measured by the oracle (eV)", ylabel="expected before measuring (eV)")
        axes.set_aspect("equal", adjustable="box")
        outside_legend(figure, axes)
    return figure


def calibration_curve(calibration: Calibration) -> Figure:
    """Draw the share of answers within the surrogate's central intervals against the share there should be."""
    with style():
        figure, axes = new_figure((4.6, 4.2))
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="perfect")
        if len(calibration):
            levels = np.concatenate([[0.0], calibration.needed_levels(), [1.0]])
            covered = np.minimum(np.arange(len(levels)) / len(calibration), 1.0)
            x, y = 100 * np.repeat(levels, 2)[1:], 100 * np.repeat(covered, 2)[:-1]
            axes.plot(x, y, color=ACCENT, linewidth=2, label=f"surrogate (n = {len(calibration)})")
            axes.fill_between(x, x, y, color=ACCENT, alpha=0.1, linewidth=0)
            shares = [(100 * level, 100 * calibration.coverage(level)) for level in LEVELS]
            axes.plot(*zip(*shares, strict=True), "o", color=ACCENT, markeredgecolor=PAPER, markersize=7)
            text = "\n".join(f"{level:.0f} % interval holds {share:.0f} %" for level, share in shares)
            axes.text(98, 5, text, ha="right", va="bottom", fontsize=9)
        axes.set(xlim=(0, 100), ylim=(0, 102), xlabel="nominal level (%)", ylabel="answers inside the interval (%)")
        axes.set_aspect("equal", adjustable="box")
        outside_legend(figure, axes)
    return figure


def new_figure(size: tuple[float, float]) -> tuple[Figure, Axes]:
    """Return an empty figure of a size in inches, and its axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.add_subplot()


def _dots(axes: Axes, x: np.ndarray, y: np.ndarray, name: str, gid: str) -> None:
    (line,) = axes.plot(x, y, _MARKERS[name], color=_COLOURS[name], markersize=4.5, alpha=0.75, label=name)
    line.set(gid=gid, markeredgewidth=0, rasterized=len(x) > MANY)


def mark_range(axes: Axes, wanted: tuple[float, float] | None, *, horizontal: bool) -> None:
    """Mark the range of gaps that is wanted: a band for a window, a line for a half-open range."""
    if wanted is None:
        return
    span, line = (axes.axhspan, axes.axhline) if horizontal else (axes.axvspan, axes.axvline)
    finite = [edge for edge in wanted if np.isfinite(edge)]
    if len(finite) == 2:
        span(*wanted, color=ACCENT, alpha=0.09, linewidth=0, label=f"wanted {wanted[0]:g} to {wanted[1]:g}")
    for edge in finite:
        line(edge, color=ACCENT, linewidth=1, linestyle=(0, (1, 2)))
        if len(finite) == 1:
            axes.lines[-1].set_label(f"wanted {'≥' if np.isinf(wanted[1]) else '≤'} {edge:g}")


def outside_legend(figure: Figure, axes: Axes) -> None:
    """Put the legend above the axes, if there is anything to tell."""
    handles, labels = axes.get_legend_handles_labels()
    if handles:
        figure.legend(handles, labels, loc="outside upper left", ncols=3, columnspacing=1.1, borderaxespad=0.2)


def _bin_edges(values: np.ndarray) -> np.ndarray:
    width = next((w for w in (0.1, 0.2, 0.25, 0.5, 1.0, 2.0) if np.ptp(values) / w <= 25), np.ptp(values) / 25)
    first, last = np.floor(values.min() / width), np.floor(values.max() / width) + 1
    edges: np.ndarray = width * np.arange(first, last + 1)
    return edges


def _present(sources: np.ndarray) -> list[str]:
    return [name for name in SOURCE_NAMES.values() if (sources == name).any()]


def _slug(name: str) -> str:
    return name.replace(" ", "-")
