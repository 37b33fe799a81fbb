"""The trade-off of gap and stability among the candidates that have a crystal, as a figure with its caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from aldesign.campaign.assessment import STABILITY, Assessed, Assessment
from aldesign.campaign.recipe import pareto_text
from aldesign.campaign.rows import difference
from aldesign.campaign.spec import CampaignSpec
from aldesign.report.facts import counted, gap_text, number_text
from aldesign.report.figures import Illustration, mark_range, new_figure, outside_legend
from aldesign.report.svg import ACCENT, INK, MUTED, PAPER, SEED, style, to_svg

NAMED = 12
"""At most so many candidates of the first front carry their formula; the others tell it on hovering."""


@dataclass(frozen=True)
class Point:
    """One candidate in the plane: gap (eV) and stability (eV/atom), each with what makes it doubtful.

    Attributes:
        formula: Its formula.
        gap_ev: The answered gap.
        std_ev: Its std; 0 where none is stated.
        energy: Energy above hull, or formation energy, by CHGNet.
        second: Where the crystal graph's formation energy would put it; None where it has none.
        front: Its Pareto front; None for what was set aside.

    """

    formula: str
    gap_ev: float
    std_ev: float
    energy: float
    second: float | None
    front: int | None


def points(assessed: Sequence[Assessed], stability: str) -> list[Point]:
    """Return those of the candidates that have both a gap and an energy."""
    key = f"{stability}_ev_per_atom"
    found = []
    for each in assessed:
        facts, answer = each.item.record.facts, each.item.trial.prediction
        energy = facts.get(key)
        if answer is None or answer.value is None or energy is None:
            continue
        apart = difference(facts)
        second = None if apart is None else energy - apart
        formula = each.item.trial.candidate.formula
        found.append(Point(formula, answer.value, answer.std or 0.0, energy, second, each.front))
    return found


def pareto_illustration(
    assessment: Assessment, spec: CampaignSpec, wanted: tuple[float, float] | None
) -> Illustration | None:
    """Return the figure, or None where fewer than two accepted candidates have gap and energy.

    Args:
        assessment: The final table.
        spec: The campaign.
        wanted: Window or half-open range of gaps to mark, in eV.

    """
    accepted = points(assessment.accepted, assessment.stability)
    if len(accepted) < 2:
        return None
    aside = points(assessment.set_aside, assessment.stability)
    first = sorted((p for p in accepted if p.front == 1), key=lambda p: p.gap_ev)
    drawn = set(spec.shortlist.pareto) == {"gap", "stability"} and spec.target.window is None
    with style():
        figure, axes = new_figure((7.2, 4.4))
        mark_range(axes, wanted, horizontal=False)
        if aside:
            axes.plot(_gaps(aside), _energies(aside), "o", color="none", markeredgecolor=SEED, markersize=5)
            axes.lines[-1].set(label="set aside", gid="pareto-aside")
        for point in accepted:
            strong = point.front == 1
            colour, alpha = (ACCENT, 0.55) if strong else (MUTED, 0.35)
            reach = [point.gap_ev - point.std_ev, point.gap_ev + point.std_ev]
            axes.plot(reach, [point.energy] * 2, color=colour, alpha=alpha, linewidth=1.2)
            if point.second is not None:
                axes.plot([point.gap_ev] * 2, [point.energy, point.second], color=colour, alpha=alpha, linewidth=1.2)
                axes.plot(point.gap_ev, point.second, "_", color=colour, alpha=alpha, markersize=7)
        if drawn and len(first) > 1:
            axes.plot(_gaps(first), _energies(first), color=ACCENT, linewidth=1.6, label="Pareto front 1")
        rest = [p for p in accepted if p.front != 1]
        if rest:
            axes.plot(_gaps(rest), _energies(rest), "o", color=MUTED, markersize=5.5, markeredgecolor=PAPER)
            axes.lines[-1].set(label="later fronts", gid="pareto-rest")
        if first:
            axes.plot(_gaps(first), _energies(first), "o", color=ACCENT, markersize=8, markeredgecolor=PAPER)
            axes.lines[-1].set(gid="pareto-first", label="_" if drawn and len(first) > 1 else "Pareto front 1")
        for point, (right, up) in zip(first[:NAMED], _label_places(first[:NAMED], accepted + aside), strict=True):
            axes.annotate(
                point.formula,
                (point.gap_ev, point.energy),
                xytext=(right, up),
                textcoords="offset points",
                ha="left" if right > 0 else "right",
                va="center",
                fontsize=9,
                color=INK,
            )
        axes.set(xlabel="band gap (eV)", ylabel=STABILITY[assessment.stability])
        outside_legend(figure, axes)
    caption = _caption(assessment, spec, len(first), len(accepted), len(aside))
    tips = {"pareto-first": _tips(first), "pareto-rest": _tips(rest), "pareto-aside": _tips(aside)}
    svg = to_svg(figure, "pareto", f"Gap against stability. {caption}", tips)
    return Illustration(Markup(svg), caption)  # noqa: S704 - SVG of our own, its texts escaped by ElementTree


def _label_places(named: Sequence[Point], every: Sequence[Point]) -> list[tuple[float, float]]:
    """Return where each label stands beside its point, in points (1/72 inch): the first place that no other holds."""
    gaps = [gap for p in every for gap in (p.gap_ev - p.std_ev, p.gap_ev + p.std_ev)]
    energies = [energy for p in every for energy in (p.energy, p.second) if energy is not None]
    across, high = 430.0 / max(np.ptp(gaps), 1e-9), 230.0 / max(np.ptp(energies), 1e-9)  # about the size of the axes
    offered = [(side, up) for up in (9.0, -9.0, 21.0, -21.0, 33.0, -33.0) for side in (7.0, -7.0)]
    marks = [(p.gap_ev * across, p.energy * high) for p in every]
    held = [(x - 5.0, x + 5.0, y) for x, y in marks]  # left, right, middle
    chosen = []
    for point in named:
        x, y, width = point.gap_ev * across, point.energy * high, 6.0 * len(point.formula)
        boxes = [(x + s, x + s + width, y + up) if s > 0 else (x + s - width, x + s, y + up) for s, up in offered]
        free = [i for i, box in enumerate(boxes) if not any(_overlap(box, other) for other in held)]
        place = free[0] if free else 0
        held.append(boxes[place])
        chosen.append(offered[place])
    return chosen


def _overlap(a: tuple[float, float, float], b: tuple[float, float, float]) -> bool:
    return a[0] < b[1] and b[0] < a[1] and abs(a[2] - b[2]) < 11.0


def _caption(assessment: Assessment, spec: CampaignSpec, first: int, accepted: int, aside: int) -> str:
    others = f"; {counted(aside, 'candidate')} set aside with an energy, hollow" if aside else ""
    return (
        f"{pareto_text(spec, assessment.stability)} {first} of {accepted} are on front 1{others}. Lower is more "
        "stable. Horizontal bars are one standard deviation of the oracle; vertical bars lead to where the crystal "
        "graph's formation energy would put the same crystal."
    )


def _tips(found: Sequence[Point]) -> list[str]:
    return [
        f"{p.formula}: {gap_text(p.gap_ev, p.std_ev or None)} eV, {number_text(p.energy, 3)} eV/atom"
        + (f", front {p.front}" if p.front else "")
        for p in found
    ]


def _gaps(found: Sequence[Point]) -> np.ndarray:
    return np.array([p.gap_ev for p in found])


def _energies(found: Sequence[Point]) -> np.ndarray:
    return np.array([p.energy for p in found])
