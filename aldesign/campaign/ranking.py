"""Which measured candidates are best, and which of them became crystals that may be exported."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from aldesign.campaign.scoring import properties, score
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState, StructureRecord
from aldesign.chemistry.supply import supply_of
from aldesign.models.acquisition import Objective
from aldesign.records import Source, Trial

FEW = 5
"""Elements of a formula that counts as simple; the paper's loop seldom kept to so few."""


@dataclass(frozen=True)
class Ranked:
    """A measured candidate with its crystal's record; `rank` counts from 1 within its list."""

    rank: int
    trial: Trial
    record: StructureRecord


@dataclass(frozen=True)
class Shortlist:
    """The end of a campaign: what is exported, and what was set aside for a stated reason."""

    accepted: tuple[Ranked, ...]
    set_aside: tuple[Ranked, ...]


def objective(spec: CampaignSpec) -> Objective:
    """Return what the campaign looks for."""
    if spec.target.window is not None:
        return Objective("window", *spec.target.window)
    return Objective("maximize" if spec.target.maximize else "minimize")


def gap_of(trial: Trial) -> float:
    """Return the measured gap of a trial in eV."""
    if trial.prediction is None or trial.prediction.value is None:
        raise ValueError(f"trial {trial.number} ({trial.candidate.formula}) has no measured gap")
    return trial.prediction.value


def utilities(trials: list[Trial], goal: Objective) -> np.ndarray:
    """Return how good each measured trial is, shape (n,), higher is better, in eV."""
    return goal.utility(np.array([gap_of(trial) for trial in trials], dtype=float))


def best_first(state: CampaignState, spec: CampaignSpec, *, seeds: bool = False) -> list[Trial]:
    """Return measured trials, the best first; equal ones in the order in which they were proposed.

    Args:
        state: The campaign so far.
        spec: Its definition.
        seeds: Whether to keep the rows that the campaign began with.
    """
    trials = [t for t in state.measured if seeds or t.candidate.source is not Source.SEED]
    order = np.argsort(-utilities(trials, objective(spec)), kind="stable")
    return [trials[i] for i in order]


def considered(spec: CampaignSpec) -> int:
    """Return how many of the best trials are given structures at most."""
    return spec.shortlist.consider or 3 * spec.shortlist.size


def shortlist(state: CampaignState, spec: CampaignSpec) -> Shortlist:
    """Return the candidates of the final table, in order of rank, accepted and set aside.

    The best trials are walked in order until enough are accepted, so the table depends on the answers alone and
    not on when structures were made. The walk ends early at a trial whose structure is still to be made. With
    ``shortlist.order: score`` those whom the walk accepted are then listed by their scores, equal ones as walked.
    """
    accepted: list[Ranked] = []
    aside: list[Ranked] = []
    for trial in best_first(state, spec)[: considered(spec)]:
        record = state.structures.get(trial.number)
        if record is None or len(accepted) == spec.shortlist.size:
            break
        chosen = accepted if record.accepted else aside
        chosen.append(Ranked(len(chosen) + 1, trial, record))
    if spec.shortlist.order == "score":
        accepted = _by_score(accepted, spec)
    return Shortlist(tuple(accepted), tuple(aside))


def _by_score(accepted: list[Ranked], spec: CampaignSpec) -> list[Ranked]:
    recipe, goal = spec.shortlist.score, objective(spec)

    def value(item: Ranked) -> float:
        supply = supply_of(item.trial.candidate.formula, recipe.hazard.classes)
        found = score(properties(item.trial, item.record, supply), recipe, goal).value
        return 0.0 if found is None else found

    ordered = sorted(accepted, key=value, reverse=True)  # stable: equal scores stay as the walk met them
    return [replace(item, rank=rank) for rank, item in enumerate(ordered, start=1)]
