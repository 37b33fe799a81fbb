"""When a campaign ends."""

from __future__ import annotations

import numpy as np

from aldesign.campaign.ranking import gap_of, objective, utilities
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState
from aldesign.records import Source


def stop_reason(state: CampaignState, spec: CampaignSpec) -> str:
    """Return why the campaign is over, or an empty text while it may go on."""
    stop = spec.stop
    if stop.iterations == 0:
        return "the first rows were asked for, and nothing is proposed (stop.iterations: 0)"
    if stop.iterations is not None and state.iterations >= stop.iterations:
        return f"{state.iterations} iterations done (stop.iterations)"
    if stop.budget is not None and state.paid >= stop.budget:
        return f"{state.paid} oracle answers paid for (stop.budget)"
    if stop.target is not None and state.measured:
        gaps = [gap_of(trial) for trial in state.measured if trial.iteration > 0]
        reached = [g for g in gaps if (g >= stop.target if spec.target.maximize else g <= stop.target)]
        if reached:
            return f"a gap of {reached[0]:.3f} eV reached {stop.target} eV (stop.target)"
    if nothing_left(state):
        return "no new candidate passed the screens"
    if stop.patience is not None:
        idle = iterations_without_improvement(state, spec)
        if idle >= stop.patience:
            return f"no better material for {idle} iterations (stop.patience)"
    if stop.hours is not None:
        hours = sum(sum(p.seconds.values()) for p in state.proposals.values()) / 3600
        if hours >= stop.hours:
            return f"{hours:.2f} hours spent (stop.hours)"
    return ""


def nothing_left(state: CampaignState) -> bool:
    """Return whether the last iteration found no candidate at all, and nothing was told since."""
    last = max(state.proposals, default=0)
    if last == 0 or not state.proposals[last].closed or state.proposals[last].stats.get("chosen"):
        return False
    return not any(trial.iteration == last and trial.candidate.source is Source.USER for trial in state.measured)


def iterations_without_improvement(state: CampaignState, spec: CampaignSpec) -> int:
    """Return how many of the last closed iterations found nothing better than earlier iterations.

    Seed rows do not count: a campaign is not over because it began with a good material. Any new material inside a
    target window counts as better. An iteration that still waits for answers is not idle.
    """
    last = max((p.iteration for p in state.proposals.values() if p.closed), default=0)
    waiting = {trial.iteration for trial in state.pending}
    goal = objective(spec)
    measured = state.measured
    idle, best = 0, -np.inf
    for iteration in range(1, last + 1):
        found = utilities([t for t in measured if t.iteration == iteration], goal).max(initial=-np.inf)
        hit = spec.target.window is not None and found == 0
        idle = 0 if found > best or hit or iteration in waiting else idle + 1
        best = max(best, found)
    return idle


def batch_left(state: CampaignState, spec: CampaignSpec, wanted: int | None = None) -> int:
    """Return the size of the next batch: `wanted` or the campaign's own, within what is left of the budget."""
    wanted = spec.batch_size if wanted is None else wanted
    if spec.stop.budget is None:
        return wanted
    waiting = sum(1 for trial in state.pending if trial.iteration > 0)
    return max(0, min(wanted, spec.stop.budget - state.paid - waiting))
