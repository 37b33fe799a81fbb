"""One self-contained HTML page about a campaign; it asks no network for anything."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from aldesign.campaign.assessment import Assessed, Assessment, assess
from aldesign.campaign.export import CANDIDATES, VALIDATION
from aldesign.campaign.ranking import best_first, objective, shortlist, utilities
from aldesign.campaign.recipe import NAMES, NEAREST_TEXT, pareto_text, recipe_text
from aldesign.campaign.scoring import UNITS
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState, Proposal
from aldesign.campaign.summary import findings
from aldesign.campaign.validation import validation
from aldesign.chemistry.supply import PRICES_ORIGIN, SUPPLY_ORIGIN
from aldesign.files import atomic_path
from aldesign.records import Source, TrialState
from aldesign.report import facts
from aldesign.report.calibration import LEVELS, Calibration
from aldesign.report.checks import figures_text
from aldesign.report.illustrations import illustrations
from aldesign.report.narrative import SCORE, narrate

PAGE_NAME = "report.html"
EXPORT_FOLDER = "export"
MOST_MEASURED, MOST_EXAMPLES, MOST_ASIDE = 200, 4, 200
_STAGES = ("learn", "propose", "screen", "measure")


def write_report(directory: Path, out: Path | None = None) -> Path:
    """Write the page about the campaign in a run directory, also while it runs.

    Args:
        directory: The run directory.
        out: The page; ``report.html`` in the run directory where None. Links to CIFs are relative to it.

    Returns:
        The path of the page.

    Raises:
        RunDirectoryError: No run directory, or one of another format.

    """
    from aldesign.campaign.reading import read_state

    state, spec = read_state(directory)
    page = directory / PAGE_NAME if out is None else out
    text = render(state, spec, exported_cifs(directory, page.resolve().parent))
    with atomic_path(page) as path:
        path.write_text(text, encoding="utf-8")
    return page


def render(state: CampaignState, spec: CampaignSpec, cifs: Mapping[int, str] | None = None) -> str:
    """Return the page as text; equal states give equal pages.

    Args:
        state: The campaign so far.
        spec: Its definition.
        cifs: Relative address of the exported CIF by trial number.

    """
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(
        formula=formula_markup,
        gap=facts.gap_text,
        number=facts.number_text,
        duration=facts.duration_text,
        oxidation=facts.oxidation_text,
        source=lambda trial: facts.SOURCE_NAMES[trial.candidate.source],
        counted=facts.counted,
        moment=_moment,
        share=_share,
        amount=facts.amount_text,
        significant=facts.significant_text,
        term=NAMES.__getitem__,
        unit=UNITS.__getitem__,
    )
    template = environment.from_string(resources.files("aldesign.report").joinpath("page.html").read_text("utf-8"))
    assessment = assess(shortlist(state, spec), state, spec)
    return template.render(
        spec=spec,
        state=state,
        cifs=cifs or {},
        figures=illustrations(state, spec, assessment),
        **_content(state, spec),
        **_checked(state),
        **_ranked(assessment, state, spec),
    )


def formula_markup(formula: str) -> Markup:
    """Return a formula with its numbers as subscripts; anything else in it is escaped."""
    parts = re.split(r"(\d+(?:\.\d+)?)", formula)
    return Markup().join(Markup("<sub>{}</sub>").format(p) if i % 2 else escape(p) for i, p in enumerate(parts))


def exported_cifs(directory: Path, page_folder: Path) -> dict[int, str]:
    """Return the address, relative to the page, of each CIF that the tables in ``export`` list and that exists."""
    folder = (directory / EXPORT_FOLDER).resolve()
    rows: list[dict[str, str]] = []
    for table in (CANDIDATES, VALIDATION):
        with suppress(OSError, UnicodeDecodeError, csv.Error), (folder / table).open(encoding="utf-8", newline="") as f:
            rows += list(csv.DictReader(f))
    found = {}
    for row in rows:
        name, trial = Path(row.get("cif") or "").name, row.get("trial") or ""
        if name and trial.isdigit() and (folder / name).is_file():
            found[int(trial)] = quote(Path(os.path.relpath(folder / name, page_folder)).as_posix())
    return found


def _content(state: CampaignState, spec: CampaignSpec) -> dict[str, Any]:
    listed, best = shortlist(state, spec), best_first(state, spec)
    measured = state.measured
    calibration = Calibration.of(measured)
    seeds = [trial for trial in measured if trial.candidate.source is Source.SEED]
    levels = {trial.prediction.level for trial in measured if trial.prediction is not None}
    return {
        "goal": facts.goal_text(spec),
        "status": facts.status_text(state),
        "labels": facts.labels_text(measured, spec, facts.stated_level(state)),
        "energies": facts.energies_text(state.structures.values()),
        "levels": sorted(levels),
        "best": best[0] if best else None,
        "best_crystal": next((t for t in best if t.number in {item.trial.number for item in listed.accepted}), None),
        "seed_best": facts.progress(state, spec).seed_best,
        "seeds": len(seeds),
        "candidates": len(measured) - len(seeds),
        "failed": state.in_state(TrialState.FAILED, TrialState.ABANDONED),
        "rejected": state.in_state(TrialState.REJECTED),
        "rejections": _rejections(state),
        "listed": listed,
        "set_aside": listed.set_aside[:MOST_ASIDE],
        "measured": best[:MOST_MEASURED],
        "calibration": calibration,
        "coverage": [(level, calibration.coverage(level)) for level in LEVELS] if len(calibration) else [],
        "proposals": [_iteration(state, spec, p) for _, p in sorted(state.proposals.items())],
        "stages": [s for s in _STAGES if any(s in p.seconds for p in state.proposals.values())],
        "seconds": facts.seconds_spent(state),
        "label_groups": facts.label_groups(state),
        "created": state.created,
        "yaml": spec.to_yaml(),
    }


def _checked(state: CampaignState) -> dict[str, Any]:
    found = validation(state)
    return {"checks": found.checks if found else (), "checks_text": figures_text(found) if found else []}


def _ranked(assessment: Assessment, state: CampaignState, spec: CampaignSpec) -> dict[str, Any]:
    everyone = (*assessment.accepted, *assessment.set_aside)
    return {
        "assessment": assessment,
        "cards": [_card(assessed, assessment.stability, state, spec) for assessed in assessment.accepted],
        "hulled": any(a.item.record.facts.get("e_above_hull_ev_per_atom") is not None for a in everyone),
        "disagreeing": any(a.item.record.facts.get("energies_disagree") for a in assessment.accepted),
        "hazardous": any(a.supply.hazards for a in assessment.accepted),
        "recipe": recipe_text(spec),
        "pareto": pareto_text(spec, assessment.stability),
        "nearest_text": NEAREST_TEXT,
        "prices_origin": PRICES_ORIGIN,
        "supply_origin": SUPPLY_ORIGIN,
    }


def _card(assessed: Assessed, stability: str, state: CampaignState, spec: CampaignSpec) -> dict[str, Any]:
    formula = assessed.item.trial.candidate.formula
    told = {"formula": formula, "stability": stability, **findings(assessed)}
    chapters = narrate(told, state, spec)
    return {
        "item": assessed.item,
        "front": assessed.front,
        "score": assessed.score,
        "chapters": [chapter for chapter in chapters if chapter.title != SCORE],
    }


def _rejections(state: CampaignState) -> list[dict[str, Any]]:
    rows = []
    for screen, found in facts.rejections(state).items():
        # Examples that say different things tell more than the first few of one kind.
        by_reason = {_kind(trial.candidate.formula, verdict.reason): (trial, verdict) for trial, verdict in found[::-1]}
        chosen = list(reversed(by_reason.values()))[:MOST_EXAMPLES]
        rows.append({"screen": screen, "count": len(found), "examples": chosen})
    return rows


def _kind(formula: str, reason: str) -> str:
    return re.sub(r"[\d.]+", "0", reason.replace(formula, ""))


def _iteration(state: CampaignState, spec: CampaignSpec, proposal: Proposal) -> dict[str, Any]:
    trials = [trial for trial in state.trials.values() if trial.iteration == proposal.iteration]
    states = [trial.state for trial in trials]
    done = [trial for trial in trials if trial.state is TrialState.MEASURED]
    goal = objective(spec)
    best = done[int(np.argmax(utilities(done, goal)))] if done else None
    return {
        "number": proposal.iteration,
        "closed": proposal.closed,
        "stats": proposal.stats,
        "seconds": proposal.seconds,
        "rejected": states.count(TrialState.REJECTED),
        "measured": len(done),
        "failed": states.count(TrialState.FAILED) + states.count(TrialState.ABANDONED),
        "pending": states.count(TrialState.PENDING),
        "best": best,
    }


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%d %H:%M UTC") if seconds else "–"


def _share(part: object, whole: object) -> str:
    """Return ``12 of 30 (40 %)``, or a dash where the part is not known."""
    if not isinstance(part, int):
        return "–"
    return f"{part} of {whole} ({100 * part / whole:.0f} %)" if isinstance(whole, int) and whole else str(part)
