"""Trials that got no answer for a reason that may be gone: a missing program, a full disk, too little time."""

from __future__ import annotations

from aldesign.campaign.state import CampaignState
from aldesign.records import Trial, TrialState

FAILURE = "failure"
"""Where a failed answer's facts keep the kind of a `CalculationError`."""
LASTING = ("element", "structure", "convergence")
"""Kinds of failure that lie in the crystal: it would fail again."""


def unanswered(state: CampaignState) -> list[Trial]:
    """Return the trials that were asked and got no value, by number."""
    return state.in_state(TrialState.FAILED, TrialState.ABANDONED)


def repairable(state: CampaignState) -> list[Trial]:
    """Return the trials without a value that may get one if they are asked again, by number.

    Those whose failure is known to lie in the crystal are left; where an oracle does not say, it may be worth a try.
    """
    return [trial for trial in unanswered(state) if _kind(trial) not in LASTING]


def _kind(trial: Trial) -> str:
    return str(trial.prediction.facts.get(FAILURE, "")) if trial.prediction else ""
