"""Where a campaign stands, and the story of one formula, as JSON values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from aldesign.campaign.assessment import Assessed, assess, weigh
from aldesign.campaign.codec import trial_to_json
from aldesign.campaign.novelty import Known, Nearest, in_sketch
from aldesign.campaign.ranking import best_first, considered, gap_of, shortlist
from aldesign.campaign.rows import cif_name
from aldesign.campaign.scoring import UNITS
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState
from aldesign.campaign.validation import Validation, validation, validation_row
from aldesign.chemistry.formula import canonical
from aldesign.chemistry.supply import supply_of
from aldesign.records import Source, Trial, TrialState


def summarise(state: CampaignState, spec: CampaignSpec) -> dict[str, Any]:
    """Return the state of a campaign: counts, the best materials, stage times, why it ended."""
    best = best_first(state, spec)[:10]
    reasons = Counter(v.screen for t in state.in_state(TrialState.REJECTED) for v in t.verdicts if not v.passed)
    listed = shortlist(state, spec)
    return {
        "name": spec.name,
        "version": state.created["version"],
        "oracle": state.created["oracle"],
        "seed": state.created["seed"],
        "stopped": state.stopped,
        "iterations": state.iterations,
        "open_iteration": state.open_iteration,
        "trials": dict(Counter(trial.state.value for trial in state.trials.values())),
        "oracle_answers": state.paid,
        "rejected_by": dict(reasons),
        "seconds": _totals(state),
        "proposals": [
            {"iteration": p.iteration, "closed": p.closed, "stats": dict(p.stats), "seconds": dict(p.seconds)}
            for p in sorted(state.proposals.values(), key=lambda p: p.iteration)
        ],
        "best": [
            {"trial": t.number, "formula": t.candidate.formula, "gap_ev": gap_of(t), "iteration": t.iteration}
            for t in best
        ],
        "ranked": [
            {
                "rank": item.rank,
                "formula": item.trial.candidate.formula,
                "gap_ev": gap_of(item.trial),
                "score": score.value,
                "pareto": front,
            }
            for item, (score, front) in zip(listed.accepted, weigh(listed.accepted, spec)[0], strict=True)
        ],
        "candidates": len(listed.accepted),
        "set_aside": len(listed.set_aside),
        "validation": _checked(validation(state)),
    }


def _checked(found: Validation | None) -> dict[str, Any] | None:
    return None if found is None else {**found.figures(), "rows": [validation_row(check) for check in found.checks]}


def story(state: CampaignState, spec: CampaignSpec, text: str) -> dict[str, Any]:
    """Return everything that the campaign knows about a formula, in any spelling.

    Raises:
        FormulaError: `text` is no formula.
    """
    formula = canonical(text)
    trials = state.of_formula(formula)
    assessment = assess(shortlist(state, spec), state, spec)
    found = [a for t in trials if (a := assessment.of_trial(t.number)) is not None]
    listed = found[-1] if found else None
    rank = listed.item.rank if listed and listed.item.record.accepted else None
    records = [state.structures[t.number] for t in trials if t.number in state.structures]
    about = {
        "rank": None,
        "cif": None,
        "pareto": None,
        "score": None,
        "supply": asdict(supply_of(formula, spec.shortlist.score.hazard.classes)),
        "nearest_known": _nearest(Known.of(state, spec).nearest([formula])[0]),
        "known_to_sketch": in_sketch([formula])[0],
    }
    return {
        "formula": formula,
        "trials": [trial_to_json(trial) for trial in trials],
        "told": [dict(one) for trial in trials for one in state.told.get(trial.number, ())],
        "structures": [
            {"accepted": r.accepted, "reason": r.reason, **{k: v for k, v in r.facts.items() if k != "crystal"}}
            for r in records
        ],
        **(findings(listed) if listed else about),
        "stability": assessment.stability,
        "conclusion": _conclusion(state, spec, formula, rank),
    }


def findings(listed: Assessed) -> dict[str, Any]:
    """Return what was found out about a row of the final table, as JSON values."""
    rank = listed.item.rank if listed.item.record.accepted else None
    return {
        "rank": rank,
        "cif": cif_name(rank, listed.item.trial.candidate.formula) if rank is not None else None,
        "pareto": listed.front,
        "score": _score(listed),
        "supply": asdict(listed.supply),
        "nearest_known": _nearest(listed.nearest),
        "known_to_sketch": listed.sketched,
    }


def _nearest(near: Nearest | None) -> dict[str, Any] | None:
    return None if near is None else asdict(near)


def _score(listed: Assessed) -> dict[str, Any] | None:
    if listed.score is None:
        return None
    terms = [
        {**asdict(term), "unit": UNITS[term.name], "factor": round(term.factor, 4), "note": term.note}
        for term in listed.score.terms
    ]
    return {"value": listed.score.value, "terms": terms}


def decisive(trials: Sequence[Trial]) -> Trial:
    """Return the trial that decides a formula's story: the last one that was not rejected, e.g. as a duplicate."""
    return next((t for t in reversed(trials) if t.state is not TrialState.REJECTED), trials[-1])


def _conclusion(state: CampaignState, spec: CampaignSpec, formula: str, rank: int | None) -> str:
    trials = state.of_formula(formula)
    if not trials:
        return f"{formula} does not occur in this campaign: it was never proposed, or others promised more."
    last = decisive(trials)
    if rank is not None:
        return f"{formula} is number {rank} of the exported candidates."
    if last.state is TrialState.REJECTED:
        objections = "; ".join(f"{v.screen}: {v.reason}" for v in last.verdicts if not v.passed)
        return f"{formula} was rejected before any oracle was asked: {objections}"
    if last.state is TrialState.PENDING:
        return f"{formula} waits for an answer."
    if last.state is not TrialState.MEASURED:
        return f"{formula} has no gap: {last.prediction.error if last.prediction else 'no answer'}"
    if last.candidate.source is Source.SEED:
        place = [t.number for t in best_first(state, spec, seeds=True)].index(last.number) + 1
        return (
            f"{formula} is number {place} of {len(state.measured)} measured materials and was given no crystal. "
            "It was a seed row, and those are not exported."
        )
    return _unlisted(state, spec, last)


def _unlisted(state: CampaignState, spec: CampaignSpec, trial: Trial) -> str:
    """Return why a measured candidate is not among the exported ones."""
    formula, record = trial.candidate.formula, state.structures.get(trial.number)
    order = [t.number for t in best_first(state, spec)]
    place, most = order.index(trial.number) + 1, considered(spec)
    among = f"number {place} of {len(order)} measured candidates"
    if record is not None and not record.accepted:
        return f"{formula}, {among}, was measured and set aside: {record.reason}"
    if place > most:
        return f"{formula} is {among} and was given no crystal: only the best {most} are (shortlist.consider)."
    listed = shortlist(state, spec)
    if len(listed.accepted) == spec.shortlist.size:
        crystal = "has a crystal, but is not exported" if record is not None else "was given no crystal"
        return (
            f"{formula} is {among} and {crystal}: {spec.shortlist.size} with better gaps had been accepted before its "
            "turn (shortlist.size)."
        )
    if record is not None:
        return f"{formula} is {among} and has a crystal; it will be listed once those before it have theirs."
    return f"{formula} is {among} and waits for its crystal: the campaign has not finished its final table."


def _totals(state: CampaignState) -> dict[str, float]:
    totals: Counter[str] = Counter()
    for proposal in state.proposals.values():
        totals.update(dict(proposal.seconds))
    return {stage: round(seconds, 2) for stage, seconds in totals.items()}
