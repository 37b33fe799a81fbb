"""Tables for the terminal; all fit into 80 columns and print users' texts as they are."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from aldesign.campaign.ranking import Shortlist
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState, StructureRecord
from aldesign.records import Source, Trial, TrialState
from aldesign.report.calibration import LEVELS, Calibration
from aldesign.report.facts import (
    SOURCE_NAMES,
    best_trial,
    counted,
    duration_text,
    energies_text,
    gap_text,
    goal_text,
    labels_text,
    number_text,
    oracle_text,
    oxidation_text,
    progress,
    rejections,
    seconds_spent,
    stated_level,
    status_text,
)


def ranked_table(listed: Shortlist, spec: CampaignSpec) -> RenderableType:
    """Return the accepted candidates in order of rank, with what their numbers are."""
    if not listed.accepted:
        return Text("No candidate is accepted yet: none was both measured and given an acceptable crystal.")
    table = Table(title=f"{spec.name}: {goal_text(spec)}", title_justify="left", box=None, pad_edge=False)
    table.add_column("#", justify="right")
    table.add_column("formula", overflow="fold", style="bold")
    table.add_column("gap (eV)", justify="right", no_wrap=True)
    table.add_column("Ef (eV/at.)", justify="right")
    table.add_column("space gr.")
    table.add_column("template", overflow="fold")
    table.add_column("EMD", justify="right", no_wrap=True)
    table.add_column("from")
    for item in listed.accepted:
        facts = item.record.facts
        table.add_row(
            str(item.rank),
            Text(item.trial.candidate.formula),
            _gap(item.trial) + _mark(item.trial),
            number_text(facts.get("formation_energy_ev_per_atom"), 3),
            Text(str(facts.get("space_group") or "–")),
            Text(str(facts.get("template_formula") or "–")),
            number_text(facts.get("emd"), 2),
            _SHORT[item.trial.candidate.source],
        )
    trials = [item.trial for item in listed.accepted]
    records = [item.record for item in listed.accepted]
    beyond = "* beyond the oracle's training data" if any(_mark(trial) == "*" for trial in trials) else ""
    notes = [beyond, labels_text(trials, spec), energies_text(records)]
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


def explain_text(trials: Sequence[Trial], record: StructureRecord | None) -> RenderableType:
    """Return all that happened to one formula: each of its trials, every verdict, the answer and the crystal."""
    if not trials:
        return Text("The campaign never met this formula.")
    parts: list[RenderableType] = []
    for trial in trials:
        parts.append(Text(f"{trial.candidate.formula}: trial {trial.number}, {trial.state.value}", style="bold"))
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, value in _story_rows(trial):
            grid.add_row(f"  {name}", Text(value))
        parts.append(grid)
    if record is not None:
        parts.append(Text("Crystal: " + ("accepted" if record.accepted else f"set aside: {record.reason}")))
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for key in ("template_id", "template_formula", "emd", "space_group", "mapping"):
            if record.facts.get(key) is not None:
                grid.add_row(f"  {key.replace('_', ' ')}", Text(_plain(record.facts[key])))
        energy = record.facts.get("formation_energy_ev_per_atom")
        if energy is not None:
            method = record.facts.get("energy_method", "unknown method")
            grid.add_row("  formation energy", Text(f"{energy:.3f} eV/atom, predicted by {method}, not DFT"))
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


def _story_rows(trial: Trial) -> list[tuple[str, str]]:
    origin = SOURCE_NAMES[trial.candidate.source]
    rows = [("from", origin if trial.candidate.source is Source.SEED else f"{origin}, iteration {trial.iteration}")]
    if trial.expected is not None:
        rows.append(("expected", f"{gap_text(*trial.expected)} eV by the surrogate, before measuring"))
    rows.extend((v.screen, f"{'passed' if v.passed else 'FAILED'}: {v.reason}") for v in trial.verdicts)
    if states := oxidation_text(trial):
        rows.append(("oxidation states", states))
    answer = trial.prediction
    if answer is None:
        return rows
    if answer.value is None:
        rows.append(("no answer", f"{answer.error} ({answer.oracle.name}, attempt {trial.attempts})"))
        return rows
    domain = {True: "in domain", False: "outside the oracle's domain", None: "domain unknown"}[answer.in_domain]
    rows.append(("gap", f"{_gap(trial)} eV, {oracle_text(answer)}, level {answer.level}, {domain}"))
    return rows


_SHORT = {
    Source.SEED: "seed",
    Source.LATENT: "latent",
    Source.GAN: "gan",
    Source.MUTATION: "mutation",
    Source.USER: "user",
}


def _gap(trial: Trial) -> str:
    return gap_text(trial.prediction.value, trial.prediction.std) if trial.prediction else "–"


def _mark(trial: Trial) -> str:
    return "*" if trial.prediction and trial.prediction.in_domain is False else " "


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} → {new}" for key, new in value.items())
    return f"{value:.3f}" if isinstance(value, float) else str(value)
