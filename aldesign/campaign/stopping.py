"""When a campaign ends."""

from __future__ import annotations

import numpy as np

from aldesign.campaign.ranking import gap_of, objective, utilities
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState


def stop_reason(state: CampaignState, spec: CampaignSpec) -> str:
    """Return why the campaign is over, or an empty text while it may go on."""
    stop = spec.stop
    if stop.iterations is not None and state.iterations >= stop.iterations:
        return f"{state.iterations} iterations done (stop.iterations)"
    if stop.budget is not None and state.paid >= stop.budget:
        return f"{state.paid} oracle answers paid for (stop.budget)"
    if stop.target is not None and state.measured:
        gaps = [gap_of(trial) for trial in state.measured if trial.iteration > 0]
        reached = [g for g in gaps if (g >= stop.target if spec.target.maximize else g <= stop.target)]
        if reached:
            return f"a gap of {reached[0]:.3f} eV reached {stop.target} eV (stop.target)"
    if stop.patience is not None:
        idle = iterations_without_improvement(state, spec)
        if idle >= stop.patience:
            return f"no better material for {idle} iterations (stop.patience)"
    if stop.hours is not None:
        hours = sum(sum(p.seconds.values()) for p in state.proposals.values()) / 3600
        if hours >= stop.hours:
            return f"{hours:.2f} hours spent (stop.hours)"
    return ""


def iterations_without_improvement(state: CampaignState, spec: CampaignSpec) -> int:
    """Return how many of the last closed iterations found nothing better than all before them."""
    last = max((p.iteration for p in state.proposals.values() if p.closed), default=0)
    goal = objective(spec)
    idle, best = 0, -np.inf
    for iteration in range(last + 1):
        trials = [t for t in state.measured if t.iteration == iteration]
        found = utilities(trials, goal).max(initial=-np.inf)
        idle = 0 if found > best or iteration == 0 else idle + 1
        best = max(best, found)
    return idle


def batch_left(state: CampaignState, spec: CampaignSpec) -> int:
    """Return the size of the next batch: the campaign's, or what is left of the budget."""
    if spec.stop.budget is None:
        return spec.batch_size
    return max(0, min(spec.batch_size, spec.stop.budget - state.paid))
