"""The periodic table, coloured by how often a campaign measured each element."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aldesign.chemistry.elements import NUMBER, SYMBOLS
from aldesign.report.svg import ACCENT, INK, LINE, MUTED, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_NOBLE = (2, 10, 18, 36, 54, 86, 118)
_F_BLOCKS = {6: 57, 7: 89}
_F_LENGTH = 15


def position(symbol: str) -> tuple[int, int]:
    """Return the row and column, both from 1, at which an element stands in the 18-column table.

    The 15 lanthanides and 15 actinides stand apart, in rows 9 and 10 from column 3 on.
    """
    z = NUMBER[symbol]
    period = next(i for i, last in enumerate(_NOBLE, start=1) if z <= last)
    begin = _F_BLOCKS.get(period)
    if begin is not None and begin <= z < begin + _F_LENGTH:
        return period + 3, 3 + z - begin
    from_left = z - (_NOBLE[period - 2] if period > 1 else 0)
    width_of_left = 1 if period == 1 else 2
    return (period, from_left) if from_left <= width_of_left else (period, 18 - (_NOBLE[period - 1] - z))


def periodic_table(counts: Mapping[str, int], notes: Mapping[str, str] | None = None) -> Figure:
    """Draw each element with its count as the depth of its colour.

    Args:
        counts: How many materials hold each element; absent ones count zero.
        notes: A second line for some elements, e.g. the best gap among theirs.

    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    most = max(counts.values(), default=0)
    with style():
        figure = Figure(figsize=(9.6, 5.3))
        axes = figure.add_axes((0.005, 0.005, 0.99, 0.99))
        for symbol in SYMBOLS[1:]:
            row, column = position(symbol)
            count = counts.get(symbol, 0)
            gap = 0.04 if row < 9 else -0.46
            left, bottom = column + 0.04, row + gap
            alpha = 0.10 + 0.55 * (count / most) ** 0.5 if count else 0.0
            axes.add_patch(Rectangle((left, bottom), 0.92, 0.92, facecolor=ACCENT, alpha=alpha, linewidth=0, zorder=1))
            outline = Rectangle((left, bottom), 0.92, 0.92, facecolor=(0, 0, 0, 0), edgecolor=LINE, linewidth=0.8)
            outline.set(gid=f"element-{symbol}", zorder=2)
            axes.add_patch(outline)
            middle: dict[str, Any] = {"x": left + 0.46, "ha": "center", "va": "center"}
            tone, lift = (INK, 0.36) if count else (MUTED, 0.46)
            axes.text(y=bottom + lift, s=symbol, color=tone, fontsize=11, **middle)
            if count:
                axes.text(left + 0.88, bottom + 0.05, str(count), color=INK, fontsize=7, ha="right", va="top")
                axes.text(y=bottom + 0.72, s=(notes or {}).get(symbol, ""), color=INK, fontsize=7.5, **middle)
        axes.set(xlim=(0.95, 19.05), ylim=(10.6, 0.95))
        axes.set_axis_off()
    return figure
