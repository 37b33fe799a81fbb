"""Plots of an oracle's errors on rows that it has not learnt from, and of the honesty of its uncertainties."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aldesign.files import atomic_path
from aldesign.judging import LEVELS, Evaluation, coverage, figures
from aldesign.report.svg import ACCENT, GENERATOR, LATENT, LINE, MUTED, PAPER, SEED, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLOTS = ("parity.png", "residuals.png", "calibration.png")
MANY = 1500
"""More rows than this are shown as density: their bars would cover each other."""

_SIZE = (5.0, 4.9)  # inches
_DASHED = (0, (4, 3))


def write_plots(found: Evaluation, folder: Path, title: str = "") -> list[str]:
    """Write every plot into `folder`, as PNG; return their names."""
    parity_plot(found, folder / PLOTS[0], title)
    residual_plot(found, folder / PLOTS[1], title)
    calibration_plot(found, folder / PLOTS[2], title)
    return list(PLOTS)


def parity_plot(found: Evaluation, path: Path, title: str = "") -> None:
    """Write predicted over true values, with one standard deviation as bars or, of many rows, as density."""
    with style():
        use = np.isfinite(found.mean)
        truth, mean, std = found.truth[use], found.mean[use], found.std[use]
        figure, axes = _canvas((6.0, 4.9) if len(truth) > MANY else _SIZE)
        if len(truth):
            low, high = min(truth.min(), mean.min()), max(truth.max(), mean.max())
            ends = np.array([low, high]) + np.array([-1, 1]) * max(0.04 * (high - low), 0.02)
            axes.plot(ends, ends, color=MUTED, linewidth=1, linestyle=_DASHED, zorder=3)
            axes.set(xlim=ends, ylim=ends)
            if len(truth) > MANY:
                _density(figure, axes, truth, mean, (ends[0], ends[1], ends[0], ends[1]))
            else:
                axes.errorbar(
                    truth,
                    mean,
                    np.where(np.isfinite(std), std, 0.0),
                    fmt="none",
                    ecolor=SEED,
                    elinewidth=0.7,
                    alpha=0.5,
                )
                for name, chosen, colour in _kinds(found, use):
                    axes.plot(truth[chosen], mean[chosen], "o", ms=3.6, mew=0, alpha=0.6, color=colour, label=name)
                _legend(axes)
        axes.set(xlabel=f"true ({found.unit})", ylabel=f"predicted ({found.unit})")
        axes.set_aspect("equal", adjustable="box")
        told = found.figures()[0]
        if told["mae"] is not None:
            square = "" if told["r2"] is None else f", R² {told['r2']:.3f}"
            title = (
                f"{title}\nMAE {told['mae']:.3g}, RMSE {told['rmse']:.3g} {found.unit}{square}, {told['rows']:,} rows"
            )
        _save(figure, axes, path, title)


def residual_plot(found: Evaluation, path: Path, title: str = "") -> None:
    """Write a histogram of predicted minus true, metals and non-metals apart where both are there."""
    with style():
        figure, axes = _canvas((5.6, 4.0))
        use = np.isfinite(found.mean)
        error = (found.mean - found.truth)[use]
        if len(error):
            # The few far ones would press all others into one bar: they are counted at the edges instead.
            reach = max(float(np.quantile(np.abs(error), 0.995)), 1e-3)
            edges = np.linspace(-reach, reach, 62)
            kinds = _kinds(found, use)
            axes.hist(
                [np.clip(error[chosen], -reach, reach) for _, chosen, _ in kinds],
                bins=edges.tolist(),
                stacked=True,
                label=[name for name, _, _ in kinds],
                color=[colour for _, _, colour in kinds],
            )
            _legend(axes)
            outside = int((np.abs(error) > reach).sum())
            lines = [
                f"mean {error.mean():+.3g} {found.unit}",
                f"median size {np.median(np.abs(error)):.3g} {found.unit}",
            ]
            _box(axes, [*lines, *([f"{outside} beyond, at the edges"] if outside else [])], top=True)
        axes.axvline(0.0, color=MUTED, linewidth=1, linestyle=_DASHED)
        axes.set(xlabel=f"predicted − true ({found.unit})", ylabel="rows")
        _save(figure, axes, path, title)


def calibration_plot(found: Evaluation, path: Path, title: str = "") -> None:
    """Write the share of truths within the stated central intervals against the share that should be."""
    with style():
        figure, axes = _canvas()
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle=_DASHED)
        use = np.isfinite(found.mean) & np.isfinite(found.std)
        lines = [] if use.any() else ["no standard deviations were stated"]
        groups = [("all", np.ones(int(use.sum()), dtype=bool), ACCENT), *_kinds(found, use)]
        for name, chosen, colour in groups[: 1 if len(groups) == 2 else None]:
            truth, mean, std = (x[use][chosen] for x in (found.truth, found.mean, found.std))
            if not len(truth):
                continue
            covered = coverage(truth, mean, std)
            told = figures(truth, mean, std)
            width = 2.2 if name == "all" else 1.2
            axes.plot(100 * LEVELS, 100 * covered, label=name, color=colour, linewidth=width)
            if name == "all":
                axes.fill_between(100 * LEVELS, 100 * LEVELS, 100 * covered, color=colour, alpha=0.1, linewidth=0)
                points = [(68.27, 100 * told["coverage_68"]), (95.0, 100 * told["coverage_95"])]
                axes.plot(*zip(*points, strict=True), "o", color=colour, markeredgecolor=PAPER, markersize=7)
                lines = [
                    f"±1 std holds {points[0][1]:.1f} % (68 %)",
                    f"±1.96 std holds {points[1][1]:.1f} % (95 %)",
                    f"miscalibration area {told['miscalibration_area']:.3f}",
                ]
        _legend(axes)
        _box(axes, lines)
        axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="interval that should hold (%)", ylabel="truths inside it (%)")
        axes.set_aspect("equal", adjustable="box")
        _save(figure, axes, path, title)


def _density(
    figure: Figure, axes: Axes, truth: np.ndarray, mean: np.ndarray, box: tuple[float, float, float, float]
) -> None:
    """Draw how many rows lie where, on a logarithmic scale of one colour."""
    from matplotlib.colors import LinearSegmentedColormap

    shades = LinearSegmentedColormap.from_list("rows", ["#cfdfef", LATENT, "#0c2747"])
    drawn = axes.hexbin(truth, mean, gridsize=70, extent=box, mincnt=1, bins="log", cmap=shades, linewidths=0)
    scale = figure.colorbar(drawn, label="rows", shrink=0.6, aspect=25, format=lambda rows, _: f"{rows:,.0f}")
    scale.outline.set_visible(False)
    scale.ax.minorticks_off()


def _kinds(found: Evaluation, use: np.ndarray) -> list[tuple[str, np.ndarray, str]]:
    """Return name, mask over the rows of `use`, and colour of the kinds of rows that are drawn apart."""
    if found.metals is None:
        return [("", np.ones(int(use.sum()), dtype=bool), LATENT)]
    return [("non-metals", ~found.metals[use], LATENT), ("metals", found.metals[use], GENERATOR)]


def _canvas(size: tuple[float, float] = _SIZE) -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Figures made by hand, not by pyplot: no display is looked for and nothing is kept.
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _box(axes: Axes, lines: list[str], *, top: bool = False) -> None:
    frame = {"facecolor": PAPER, "edgecolor": LINE, "boxstyle": "round,pad=0.4", "alpha": 0.9}
    if lines:
        told = axes.text(0.97, 0.97 if top else 0.03, "\n".join(lines), transform=axes.transAxes, bbox=frame, zorder=4)
        told.set(fontsize=9, ha="right", va="top" if top else "bottom")


def _legend(axes: Axes) -> None:
    if any(label for label in axes.get_legend_handles_labels()[1]):
        axes.legend(loc="upper left")


def _save(figure: Figure, axes: Axes, path: Path, title: str) -> None:
    axes.set_title(title, fontsize=10, loc="left")
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150, facecolor="white")
