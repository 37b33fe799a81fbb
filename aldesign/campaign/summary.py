"""Where a campaign stands, and the story of one formula, as JSON values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from aldesign.campaign.codec import trial_to_json
from aldesign.campaign.ranking import best_first, gap_of, shortlist
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState
from aldesign.chemistry.formula import canonical
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
        "candidates": len(listed.accepted),
        "set_aside": len(listed.set_aside),
    }


def story(state: CampaignState, spec: CampaignSpec, text: str) -> dict[str, Any]:
    """Return everything that the campaign knows about a formula, in any spelling.

    Raises:
        FormulaError: `text` is no formula.
    """
    formula = canonical(text)
    trials = state.of_formula(formula)
    listed = shortlist(state, spec)
    ranks = {item.trial.number: item.rank for item in listed.accepted}
    rank = next((ranks[t.number] for t in trials if t.number in ranks), None)
    records = [state.structures[t.number] for t in trials if t.number in state.structures]
    return {
        "formula": formula,
        "trials": [trial_to_json(trial) for trial in trials],
        "structures": [
            {"accepted": r.accepted, "reason": r.reason, **{k: v for k, v in r.facts.items() if k != "crystal"}}
            for r in records
        ],
        "rank": rank,
        "conclusion": _conclusion(state, spec, formula, rank),
    }


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
    record = state.structures.get(last.number)
    if record is not None:
        return (
            f"{formula} was measured and set aside: {record.reason}" if record.reason else f"{formula} has a crystal."
        )
    place = [t.number for t in best_first(state, spec, seeds=True)].index(last.number) + 1
    seed = " It was a seed row, and those are not exported." if last.candidate.source is Source.SEED else ""
    return f"{formula} is number {place} of {len(state.measured)} measured materials and was given no crystal.{seed}"


def _totals(state: CampaignState) -> dict[str, float]:
    totals: Counter[str] = Counter()
    for proposal in state.proposals.values():
        totals.update(dict(proposal.seconds))
    return {stage: round(seconds, 2) for stage, seconds in totals.items()}
