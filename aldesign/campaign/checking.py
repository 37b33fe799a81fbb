"""A dry run: every part is built, nothing is paid for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from aldesign.campaign.learning import encodable
from aldesign.campaign.parts import Parts
from aldesign.campaign.seeding import seed_trials
from aldesign.campaign.spec import CampaignSpec
from aldesign.errors import InputError, SpecError
from aldesign.execution import job_script, worker_count
from aldesign.records import Trial, TrialState
from aldesign.screens import ScreenContext
from aldesign.structures.templates import SHIPPED


def check_campaign(spec: CampaignSpec) -> dict[str, Any]:
    """Build every part of a campaign and estimate what it would cost.

    Returns:
        Facts for people and programs: the parts, the most oracle answers, memory of the surrogate, notes;
        where jobs of a queue do the work, also the script that would be submitted.

    Raises:
        AldesignError: A part cannot be built; the message says which.
    """
    parts = Parts(spec)
    cluster = spec.execution.cluster
    script = {"job_script": job_script(cluster.job_queue())} if cluster is not None else {}
    began = time.perf_counter()
    trials, seed = seed_trials(spec, parts.card.level)
    notes = build_all(parts, trials)
    card = parts.card
    screens = parts.screens(ScreenContext(seen={}, expected={}))
    latent_size = parts.encoder.encode(["NaCl"]).shape[1]
    generator = type(parts.generator).__name__ if parts.generator is not None else "none"
    answers = _answers(spec, sum(t.state is TrialState.PENDING for t in trials))
    most = min(spec.surrogate.max_observations, len(trials) + (answers or 0))
    return {
        "name": spec.name,
        "goal": parts.goal.describe(),
        "seed_rows": f"{len(trials)} from {seed['origin']}; {_refused(seed['bad_rows'])}",
        "notes": "; ".join([*seed["notes"], *notes]) or "none",
        "warnings": "; ".join(card.training.get("warnings", ())) or "none",
        "oracle": f"{card.identity.name} {card.identity.version} ({card.level}, {card.unit}); {card.description}",
        "encoder": f"{spec.encoder.kind}, {latent_size} latent dimensions",
        "generator": generator,
        "surrogate": f"{spec.surrogate.kind} on {', '.join(spec.surrogate.features)}",
        "features": sum(parts.features.blocks),
        "acquisition": spec.acquisition.kind,
        "pool": "none: formulas are made" if parts.pool is None else f"{len(parts.pool)} from {spec.space.pool}",
        "screens": ", ".join(screen.name for screen in screens),
        "templates": f"{len(parts.templates)} from {spec.structures.templates}",
        "known_phases": "none" if parts.hull is None else f"{len(parts.hull)} from {spec.structures.hull}",
        "execution": spec.execution.describe(),
        "oracle_answers_at_most": answers if answers is not None else "bounded by time only",
        "surrogate_memory_mib": round(3 * 8 * most**2 / 2**20, 1),
        "parts_built_in_seconds": round(time.perf_counter() - began, 1),
        **script,
    }


def build_all(parts: Parts, trials: Sequence[Trial]) -> list[str]:
    """Build every part of a campaign, so that it fails before it begins rather than after its budget is spent.

    Returns:
        What people should know of the oracle, seed rows, templates and known phases.

    Raises:
        AldesignError: A part cannot be built, the seed rows are of another level of theory than the oracle, or
            fewer than two of them can be learned from.
    """
    card = parts.card
    levels = {trial.prediction.level for trial in trials if trial.prediction is not None}
    if levels - {card.level}:
        others = ", ".join(sorted(levels))
        raise SpecError(
            f"the seed rows are {others} gaps, the oracle {card.identity.name!r} gives {card.level}",
            f"set data.level to what the table holds, or choose an oracle of level {others}",
        )
    parts.screens(ScreenContext(seen={}, expected={}))
    _refuse_empty_space(parts)
    parts.surrogate()
    if parts.second is None:
        parts.acquirer(0.0)
    if parts.spec.execution.workers != "auto":
        worker_count(parts.spec.execution.workers)
    parts.digests()
    pool = _of_pool(parts)
    usable = len(encodable(parts, trials)[0])
    left_out = f"{len(trials) - usable} of {len(trials)} seed rows are not learned from: fractional amounts or above 20"
    if usable < 2 and parts.spec.stop.iterations != 0:
        raise InputError(
            f"a campaign learns from at least 2 seed rows, and has {usable}: {left_out if trials else 'no rows'}",
            "give more rows of whole amounts up to 20 (data)",
        )
    oracle = [f"oracle: {text}" for text in card.training.get("warnings", ())]
    return [*oracle, *([left_out] if usable < len(trials) else []), *pool, *_of_sources(parts)]


def _of_pool(parts: Parts) -> list[str]:
    """Return what people should know of the candidates given. Raises InputError where the space allows none."""
    if parts.pool is None:
        return []
    formulas = list(parts.pool.crystals)
    inside = int(parts.within(formulas).sum())
    if not inside:
        source = f"{len(formulas)} formulas of {parts.spec.space.pool} (space.pool)"
        raise InputError(
            f"none of the {source} is within the space; the first, {formulas[0]}: {parts.outside(formulas[:1])[0]}",
            "loosen the rules of space that they break, e.g. --set space.max_atoms=200 or space.n_elements=[1,5]",
        )
    notes = [f"pool: {text}" for text in parts.pool.notes]
    return notes + ([f"pool: {inside} of its formulas are within the space"] if inside < len(parts.pool) else [])


def _of_sources(parts: Parts) -> list[str]:
    """Return what people should know of their own templates and known phases."""
    found = (
        [] if parts.spec.structures.templates in SHIPPED else [f"templates: {text}" for text in parts.templates.notes]
    )
    return found + ([f"known phases: {text}" for text in parts.hull.notes] if parts.hull is not None else [])


def _refuse_empty_space(parts: Parts) -> None:
    """Raise SpecError where the rules of the space contradict one another, so that no formula can keep them all."""
    from aldesign.chemistry.elements import resolve

    space, allowed = parts.spec.space, parts.allowed
    if not allowed:
        raise SpecError("space leaves no element at all", "allow more with space.include, or exclude fewer")
    if space.require and not resolve(space.require).intersection(allowed):
        raise SpecError(
            f"space.require asks for one of {', '.join(space.require)}, and the other rules allow none of them",
            "exclude fewer, or include them",
        )
    least = space.n_elements[0]
    if len(allowed) < least:
        raise SpecError(
            f"space.n_elements asks for {least} elements, and {len(allowed)} may occur", "allow more elements"
        )
    if space.max_atoms < least:
        raise SpecError(
            f"{least} elements (space.n_elements) need more than {space.max_atoms} atoms (space.max_atoms)",
            "allow more atoms",
        )


def _refused(bad_rows: Sequence[Mapping[str, Any]]) -> str:
    """Return how many rows were refused, and why the first."""
    first = f"; the first, line {bad_rows[0]['line']}: {bad_rows[0]['reason']}" if bad_rows else ""
    return f"{len(bad_rows)} rows refused{first}"


def _answers(spec: CampaignSpec, seeds: int) -> int | None:
    """Return how many answers the stop rules allow, seed labels included; None where only time bounds them."""
    bounds = [spec.stop.iterations * spec.batch_size] if spec.stop.iterations is not None else []
    bounds += [spec.stop.budget] if spec.stop.budget is not None else []
    return min(bounds) + seeds if bounds else None
