"""Tables for the terminal; all fit into 80 columns and print users' texts as they are."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aldesign.campaign.assessment import weigh
from aldesign.campaign.ranking import Shortlist
from aldesign.campaign.recipe import NAMES
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState
from aldesign.records import Source, Trial, TrialState
from aldesign.report.calibration import LEVELS, Calibration
from aldesign.report.facts import (
    best_trial,
    counted,
    duration_text,
    energies_text,
    gap_text,
    goal_text,
    labels_text,
    number_text,
    progress,
    rejections,
    seconds_spent,
    stated_level,
    status_text,
)
from aldesign.report.narrative import Chapter


def ranked_table(listed: Shortlist, spec: CampaignSpec) -> RenderableType:
    """Return the accepted candidates in order of rank, with what their numbers are."""
    if not listed.accepted:
        return Text("No candidate is accepted yet: none was both measured and given an acceptable crystal.")
    table = Table(title=f"{spec.name}: {goal_text(spec)}", title_justify="left", box=None, pad_edge=False)
    weighed, stability = weigh(listed.accepted, spec)
    hulled = any(item.record.facts.get("e_above_hull_ev_per_atom") is not None for item in listed.accepted)
    table.add_column("#", justify="right")
    table.add_column("formula", overflow="fold", style="bold")
    table.add_column("gap (eV)", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("front", justify="right", no_wrap=True)
    if hulled:
        table.add_column("Ehull", justify="right", no_wrap=True)
    table.add_column("Ef", justify="right", no_wrap=True)
    table.add_column("space gr.", overflow="fold")
    if not hulled:
        table.add_column("template", overflow="fold")
    table.add_column("EMD", justify="right", no_wrap=True)
    for item, (score, front) in zip(listed.accepted, weighed, strict=True):
        facts = item.record.facts
        cells: list[str | Text | None] = [
            str(item.rank),
            Text(item.trial.candidate.formula),
            _gap(item.trial) + _mark(item.trial),
            number_text(score.value, 2),
            "–" if front is None else str(front),
            number_text(facts.get("e_above_hull_ev_per_atom"), 3) if hulled else None,
            number_text(facts.get("formation_energy_ev_per_atom"), 3) + ("!" if facts.get("energies_disagree") else ""),
            Text(str(facts.get("space_group_relaxed") or facts.get("space_group") or "–")),
            None if hulled else Text(str(facts.get("template_formula") or "–")),
            number_text(facts.get("emd"), 2),
        ]
        table.add_row(*(cell for cell in cells if cell is not None))
    trials = [item.trial for item in listed.accepted]
    records = [item.record for item in listed.accepted]
    marks = {
        "* beyond the oracle's training data": any(_mark(trial) == "*" for trial in trials),
        "! a second model disagrees with the formation energy": any(r.facts.get("energies_disagree") for r in records),
    }
    goals = " and ".join(NAMES[stability] if name == "stability" else NAMES[name] for name in spec.shortlist.pareto)
    columns = (
        f"In order of the {spec.shortlist.order}. Score: 0 to 1, by the recipe in the campaign's file. "
        f"Front: Pareto front of {goals}. Ef"
        f"{' and Ehull' if hulled else ''} in eV/atom."
    )
    notes = [*(mark for mark, shown in marks.items() if shown), columns]
    notes += [labels_text(trials, spec), energies_text(records)]
    return Group(table, Text(), *(Text(note, style="dim") for note in notes if note))


def set_aside_table(listed: Shortlist, spec: CampaignSpec, most: int = 8) -> RenderableType:
    """Return the candidates that were set aside, each with its reason; at most `most` of them."""
    if not listed.set_aside:
        return Text(f"No candidate of {spec.name} was set aside.", style="dim")
    shown = listed.set_aside[:most]
    title = f"Set aside: {len(listed.set_aside)}"
    if len(shown) < len(listed.set_aside):
        title += f", the first {len(shown)} shown"
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("formula", overflow="fold", style="bold")
    table.add_column("gap (eV)", justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for item in shown:
        table.add_row(Text(item.trial.candidate.formula), _gap(item.trial), Text(item.record.reason))
    return table


def status_table(state: CampaignState, spec: CampaignSpec) -> RenderableType:
    """Return where a campaign stands: counts, best material, calibration, time, and what its labels are."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in _status_rows(state, spec):
        grid.add_row(name, Text(value))
    labels = labels_text(state.measured, spec, stated_level(state))
    return Group(Text(spec.name, style="bold"), grid, Text(), Text(labels, style="dim"))


def explain_text(chapters: Sequence[Chapter]) -> RenderableType:
    """Return one formula's story: its chapters with their sentences."""
    parts: list[RenderableType] = []
    for chapter in chapters:
        parts.append(Text(chapter.title, style="bold"))
        grid = Table.grid(padding=(0, 1))
        grid.add_column(width=1)
        grid.add_column(overflow="fold")
        for sentence in chapter.sentences:
            grid.add_row("", Text(sentence))
        parts.append(grid)
    return Group(*parts)


def _status_rows(state: CampaignState, spec: CampaignSpec) -> list[tuple[str, str]]:
    seeds = sum(trial.candidate.source is Source.SEED for trial in state.measured)
    failed = len(state.in_state(TrialState.FAILED, TrialState.ABANDONED))
    rejected = state.in_state(TrialState.REJECTED)
    why = ", ".join(f"{name} {len(found)}" for name, found in rejections(state).items())
    rows = [
        ("goal", goal_text(spec)),
        ("status", status_text(state)),
        ("measured", f"{len(state.measured)}: {seeds} seed rows, {len(state.measured) - seeds} candidates"),
        ("oracle answers", f"{state.paid} paid for in {counted(state.iterations, 'iteration')}, {failed} failed"),
        ("waiting", str(len(state.pending))),
        ("rejected", f"{len(rejected)}" + (f" ({why})" if why else "")),
        ("structures", f"{len(state.structures)} tried, {sum(r.accepted for r in state.structures.values())} accepted"),
        ("time", duration_text(seconds_spent(state))),
    ]
    seed = progress(state, spec).seed_best
    best = best_trial(state, spec)
    for name, trial in (("best seed", seed), ("best candidate", best)):
        if trial is not None:
            rows.append((name, f"{trial.candidate.formula}, {_gap(trial)} eV"))
    calibration = Calibration.of(state.measured)
    if len(calibration):
        held = ", ".join(f"{100 * calibration.coverage(level):.0f} % within {100 * level:.0f} %" for level in LEVELS)
        rows.append(
            ("surrogate", f"MAE {calibration.mae:.2f} eV, bias {calibration.bias:+.2f} eV (n = {len(calibration)})")
        )
        rows.append(("calibration", f"{held}; miscalibration area {calibration.miscalibration_area:.3f}"))
    return rows


def _gap(trial: Trial) -> str:
    return gap_text(trial.prediction.value, trial.prediction.std) if trial.prediction else "–"


def _mark(trial: Trial) -> str:
    return "*" if trial.prediction and trial.prediction.in_domain is False else " "
