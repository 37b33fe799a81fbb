"""The figures of one campaign as SVG, each with a caption that holds its figures in words."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from aldesign.campaign.assessment import Assessment
from aldesign.campaign.ranking import gap_of, objective, utilities
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState
from aldesign.chemistry.elements import SYMBOLS
from aldesign.records import Source, Trial
from aldesign.report.calibration import Calibration
from aldesign.report.facts import SOURCE_NAMES, by_element, counted, gap_text, progress
from aldesign.report.figures import Illustration, best_so_far, calibration_curve, gap_distribution, parity
from aldesign.report.pareto_figure import pareto_illustration
from aldesign.report.periodic import periodic_table
from aldesign.report.svg import to_svg


def illustrations(state: CampaignState, spec: CampaignSpec, assessment: Assessment) -> dict[str, Illustration]:
    """Return by name the figures that the campaign has anything to show in."""
    figures: dict[str, Illustration] = {}
    measured = state.measured
    if any(trial.candidate.source is not Source.SEED for trial in measured):
        figures["progress"] = _progress(state, spec)
    if measured:
        figures["distribution"] = _distribution(state, spec)
        figures["elements"] = _elements(state, spec)
    calibration = Calibration.of(measured)
    if len(calibration):
        figures["parity"] = _parity(calibration)
        figures["calibration"] = _calibration(calibration)
    if (trade_off := pareto_illustration(assessment, spec, wanted(spec))) is not None:
        figures["pareto"] = trade_off
    return figures


def wanted(spec: CampaignSpec) -> tuple[float, float] | None:
    """Return the range of gaps in eV that the campaign would be content with, if it names one."""
    if spec.target.window is not None:
        return spec.target.window
    if spec.stop.target is None:
        return None
    return (spec.stop.target, np.inf) if spec.target.maximize else (-np.inf, spec.stop.target)


def _progress(state: CampaignState, spec: CampaignSpec) -> Illustration:
    done = progress(state, spec)
    sources = _sources(done.trials)
    seed = gap_of(done.seed_best) if done.seed_best is not None else None
    figure = best_so_far(done.gaps, sources, done.best, seed, wanted(spec))
    failed = int((~np.isfinite(done.gaps)).sum())
    caption = f"{counted(len(done.gaps), 'oracle answer')} after the seed, {failed} of them without a value. "
    if seed is None:
        caption += f"Best gap at the end: {done.best[-1]:.2f} eV."
    elif objective(spec).better(done.best[-1], seed):
        caption += f"Best gap in the seed {seed:.2f} eV, at the end {done.best[-1]:.2f} eV."
    else:
        caption += f"None was better than the best of the seed, {seed:.2f} eV."
    tips = {
        f"answers-{name.replace(' ', '-')}": [
            f"{trial.candidate.formula}: {gap_text(gap)} eV, answer {number}, iteration {trial.iteration}"
            for number, (trial, gap, source) in enumerate(zip(done.trials, done.gaps, sources, strict=True), start=1)
            if source == name and np.isfinite(gap)
        ]
        for name in SOURCE_NAMES.values()
    }
    return Illustration(Markup(to_svg(figure, "progress", f"Best gap so far. {caption}", tips)), caption)  # noqa: S704


def _distribution(state: CampaignState, spec: CampaignSpec) -> Illustration:
    measured = state.measured
    groups = {
        name: np.array([gap_of(trial) for trial in measured if trial.candidate.source is source])
        for source, name in SOURCE_NAMES.items()
    }
    said = [f"{name}: n = {len(v)}, median {np.median(v):.2f} eV" for name, v in groups.items() if len(v)]
    if (target := wanted(spec)) is not None:
        inside = {name: int(((v >= target[0]) & (v <= target[1])).sum()) for name, v in groups.items() if len(v)}
        said.append("wanted gaps found: " + ", ".join(f"{count} ({name})" for name, count in inside.items()))
    caption = "; ".join(said) + "."
    svg = to_svg(gap_distribution(groups, target), "distribution", f"Distribution of measured gaps. {caption}")
    return Illustration(Markup(svg), caption)  # noqa: S704 - SVG of our own, its texts escaped by ElementTree


def _elements(state: CampaignState, spec: CampaignSpec) -> Illustration:
    proposed = [trial for trial in state.measured if trial.candidate.source is not Source.SEED]
    held, seeds = by_element(proposed or state.measured), by_element(_seeds(state))
    goal = objective(spec)
    best = {s: trials[int(np.argmax(utilities(trials, goal)))] for s, trials in held.items()}
    counts = {symbol: len(trials) for symbol, trials in held.items()}
    what = "measured candidates" if proposed else "seed rows"
    tips = {}
    for symbol in SYMBOLS[1:]:
        text = f"{symbol}: {counts.get(symbol, 0)} {what}"
        if symbol in best:
            text += f", best {best[symbol].candidate.formula} {gap_text(gap_of(best[symbol]))} eV"
        if proposed:
            text += f"; {len(seeds.get(symbol, []))} seed rows"
        tips[f"element-{symbol}"] = [text]
    figure = periodic_table(counts, {symbol: gap_text(gap_of(trial)) for symbol, trial in best.items()})
    top = sorted(counts, key=lambda symbol: (-counts[symbol], symbol))[:5]
    new = sorted(set(counts) - set(seeds)) if proposed else []
    caption = (
        f"{counted(len(counts), 'element')} in {len(proposed or state.measured)} {what}; above each symbol how many "
        f"hold it, below the best gap among them (eV). Most frequent: {', '.join(f'{s} {counts[s]}' for s in top)}."
    )
    if new:
        caption += f" Absent from the seed: {', '.join(new)}."
    svg = to_svg(figure, "elements", f"Periodic table of the elements explored. {caption}", tips)
    return Illustration(Markup(svg), caption)  # noqa: S704


def _parity(calibration: Calibration) -> Illustration:
    caption = (
        f"n = {len(calibration)}: mean absolute error {calibration.mae:.2f} eV, root mean square error "
        f"{calibration.rmse:.2f} eV, bias {calibration.bias:+.2f} eV (expected minus measured). Bars are one expected "
        "standard deviation."
    )
    sources = _sources(calibration.trials)
    tips = {
        f"parity-{name.replace(' ', '-')}": [
            f"{trial.candidate.formula}: expected {gap_text(*(trial.expected or (None, None)))}, "
            f"measured {gap_text(gap_of(trial))} eV"
            for trial, source in zip(calibration.trials, sources, strict=True)
            if source == name
        ]
        for name in SOURCE_NAMES.values()
    }
    svg = to_svg(parity(calibration), "parity", f"Expected before measuring against measured. {caption}", tips)
    return Illustration(Markup(svg), caption)  # noqa: S704


def _calibration(calibration: Calibration) -> Illustration:
    caption = (
        f"n = {len(calibration)}: the 68 % interval holds {100 * calibration.coverage(0.68):.0f} % of the answers, the "
        f"95 % interval {100 * calibration.coverage(0.95):.0f} %; miscalibration area "
        f"{calibration.miscalibration_area:.3f} (0 is perfect, 0.5 the worst)."
    )
    figure = calibration_curve(calibration)
    svg = to_svg(figure, "calibration", f"Calibration of the surrogate. {caption}")
    return Illustration(Markup(svg), caption)  # noqa: S704


def _sources(trials: tuple[Trial, ...]) -> np.ndarray:
    return np.array([SOURCE_NAMES[trial.candidate.source] for trial in trials], dtype=str)


def _seeds(state: CampaignState) -> list[Trial]:
    return [trial for trial in state.measured if trial.candidate.source is Source.SEED]
