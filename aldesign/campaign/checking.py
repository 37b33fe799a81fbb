"""A dry run: every part is built, nothing is paid for."""

from __future__ import annotations

import time
from typing import Any

from aldesign.campaign.parts import Parts
from aldesign.campaign.seeding import seed_trials
from aldesign.campaign.spec import CampaignSpec
from aldesign.errors import SpecError
from aldesign.records import TrialState
from aldesign.screens import ScreenContext


def check_campaign(spec: CampaignSpec) -> dict[str, Any]:
    """Build every part of a campaign and estimate what it would cost.

    Returns:
        Facts for people and programs: the parts, the most oracle answers, memory of the surrogate, notes.

    Raises:
        AldesignError: A part cannot be built; the message says which.
    """
    parts = Parts(spec)
    began = time.perf_counter()
    card = parts.card
    trials, seed = seed_trials(spec)
    screens = parts.screens(ScreenContext(seen={}, expected={}))
    templates = len(parts.templates)
    latent_size = parts.encoder.encode([t.candidate.formula for t in trials[:1]]).shape[1] if trials else 0
    generator = type(parts.generator).__name__ if parts.generator is not None else "none"
    answers = _answers(spec, sum(t.state is TrialState.PENDING for t in trials))
    levels = {t.prediction.level for t in trials if t.prediction is not None}
    if card.answers == "predict" and levels - {card.level}:
        raise SpecError(
            f"the seed rows are {', '.join(sorted(levels))} gaps, the oracle {card.identity.name!r} gives {card.level}",
            f"set data.level to what the table holds, or choose an oracle of level {', '.join(sorted(levels))}",
        )
    most = min(spec.surrogate.max_observations, len(trials) + (answers or 0))
    return {
        "name": spec.name,
        "goal": parts.goal.describe(),
        "seed_rows": f"{len(trials)} from {seed['origin']}; {len(seed['bad_rows'])} rows refused",
        "oracle": f"{card.identity.name} {card.identity.version} ({card.level}, {card.unit}); {card.description}",
        "encoder": f"{spec.encoder.kind}, {latent_size} latent dimensions",
        "generator": generator,
        "screens": ", ".join(screen.name for screen in screens),
        "templates": f"{templates} from {spec.structures.templates}",
        "oracle_answers_at_most": answers if answers is not None else "bounded by time only",
        "surrogate_memory_mib": round(3 * 8 * most**2 / 2**20, 1),
        "parts_built_in_seconds": round(time.perf_counter() - began, 1),
    }


def _answers(spec: CampaignSpec, seeds: int) -> int | None:
    """Return how many answers the stop rules allow, seed labels included; None where only time bounds them."""
    bounds = [spec.stop.iterations * spec.batch_size] if spec.stop.iterations is not None else []
    bounds += [spec.stop.budget] if spec.stop.budget is not None else []
    return min(bounds) + seeds if bounds else None
