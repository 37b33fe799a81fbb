"""Plots of an oracle's errors on rows that it has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aldesign.files import atomic_path
from aldesign.fitting import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE = (5.0, 4.6)  # inches
_INK = "#1f4e79"


def parity_plot(found: Evaluation, path: Path, title: str = "") -> None:
    """Write predicted over true values with one standard deviation as bars, as PNG."""
    figure, axes = _canvas()
    use = np.isfinite(found.mean)
    truth, mean, std = found.truth[use], found.mean[use], found.std[use]
    if len(truth) > 2000:
        # Bars of many rows cover each other: show density instead.
        shade = axes.hexbin(truth, mean, gridsize=60, mincnt=1, bins="log", cmap="Blues", linewidths=0)
        figure.colorbar(shade, label="rows (logarithmic)")
    else:
        bars = np.where(np.isfinite(std), std, 0.0)
        axes.errorbar(truth, mean, yerr=bars, fmt="o", ms=3, lw=0.6, alpha=0.45, color=_INK, ecolor="#9db7d1")
    ends = [float(min(truth.min(), mean.min())), float(max(truth.max(), mean.max()))] if len(truth) else [0.0, 1.0]
    axes.plot(ends, ends, color="#888888", lw=1)
    axes.set_xlabel(f"true ({found.unit})")
    axes.set_ylabel(f"predicted ({found.unit})")
    overall = found.figures()[0]
    axes.set_title(
        f"{title}: MAE {overall['mae']} {found.unit}, R² {overall['r2']}, {overall['rows']} rows", fontsize=10
    )
    _save(figure, path)


def residual_plot(found: Evaluation, path: Path, title: str = "") -> None:
    """Write a histogram of predicted minus true, metals and non-metals apart where both are there, as PNG."""
    figure, axes = _canvas()
    use = np.isfinite(found.mean)
    truth, error = found.truth[use], (found.mean - found.truth)[use]
    if len(error):
        edges = np.linspace(float(error.min()), float(error.max()) + 1e-9, 51)
        if found.unit == "eV" and (truth > 0).any() and (truth <= 0).any():
            parts, names, colours = [error[truth > 0], error[truth <= 0]], ["non-metals", "metals"], [_INK, "#d08a3c"]
            axes.hist(parts, bins=edges.tolist(), stacked=True, label=names, color=colours)
            axes.legend(frameon=False)
        else:
            axes.hist(error, bins=edges.tolist(), color=_INK)
    axes.axvline(0.0, color="#888888", lw=1)
    axes.set_xlabel(f"predicted − true ({found.unit})")
    axes.set_ylabel("rows")
    axes.set_title(title, fontsize=10)
    _save(figure, path)


def _canvas() -> tuple[Figure, Axes]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # Figures made by hand, not by pyplot: no display is looked for and nothing is kept.
    figure = Figure(figsize=_SIZE, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots()


def _save(figure: Figure, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, dpi=150)
