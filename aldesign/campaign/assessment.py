"""Everything that can be said of the candidates of a final table: score, Pareto front, novelty, cost and hazards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aldesign.campaign.novelty import Known, Nearest, in_sketch
from aldesign.campaign.pareto import fronts
from aldesign.campaign.ranking import Ranked, Shortlist, objective
from aldesign.campaign.scoring import Score, properties, score
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState
from aldesign.chemistry.supply import Supply, supply_of

STABILITY: dict[str, str] = {
    "e_above_hull": "energy above hull (eV/atom)",
    "formation_energy": "formation energy (eV/atom)",
}
"""What may stand for stability on a Pareto front, in words."""


@dataclass(frozen=True)
class Assessed:
    """A ranked candidate and what was found out about it.

    Attributes:
        item: The candidate.
        supply: Cost, supply risk and hazards of its elements.
        nearest: The nearest formula known when the campaign began; None where there is none.
        sketched: Whether the shipped sketch of the Materials Project's formulas takes it for known.
        score: Its score; None for what was set aside.
        front: Number of its Pareto front among the accepted, from 1; None where a goal has no value, and for what was
            set aside.

    """

    item: Ranked
    supply: Supply
    nearest: Nearest | None
    sketched: bool
    score: Score | None = None
    front: int | None = None


@dataclass(frozen=True)
class Assessment:
    """A final table with what was found out about its rows.

    Attributes:
        accepted: Those that are exported, in the order of the table.
        set_aside: The others.
        stability: What stands for stability on the Pareto fronts: ``e_above_hull`` or ``formation_energy``.
        notes: What could not be looked at.

    """

    accepted: tuple[Assessed, ...]
    set_aside: tuple[Assessed, ...]
    stability: str
    notes: tuple[str, ...]

    def of_trial(self, number: int) -> Assessed | None:
        """Return the row of a trial, if it is in the table."""
        return next((a for a in (*self.accepted, *self.set_aside) if a.item.trial.number == number), None)


def assess(listed: Shortlist, state: CampaignState, spec: CampaignSpec) -> Assessment:
    """Return the final table with all that can be said of its rows; nothing is asked of a model or the network."""
    everyone = (*listed.accepted, *listed.set_aside)
    formulas = [item.trial.candidate.formula for item in everyone]
    known = Known.of(state, spec)
    supplies = [supply_of(formula, spec.shortlist.score.hazard.classes) for formula in formulas]
    near = known.nearest(formulas)
    sketched = in_sketch(formulas)
    weighed, stability = weigh(listed.accepted, spec, supplies)
    rows = [
        Assessed(item, supplies[i], near[i], sketched[i], *(weighed[i] if i < len(weighed) else ()))
        for i, item in enumerate(everyone)
    ]
    return Assessment(tuple(rows[: len(weighed)]), tuple(rows[len(weighed) :]), stability, known.notes)


def weigh(
    accepted: Sequence[Ranked], spec: CampaignSpec, supplies: Sequence[Supply] | None = None
) -> tuple[list[tuple[Score, int | None]], str]:
    """Return score and Pareto front of each accepted candidate, and what stands for stability on the fronts.

    Args:
        accepted: The candidates.
        spec: The campaign.
        supplies: What is known of their elements, where that was looked up before.

    """
    recipe, goal = spec.shortlist.score, objective(spec)
    if supplies is None:
        supplies = [supply_of(item.trial.candidate.formula, recipe.hazard.classes) for item in accepted]
    values = [properties(item.trial, item.record, supplies[i]) for i, item in enumerate(accepted)]
    stability = stability_axis(values)
    front = pareto_fronts(values, spec, stability)
    return [(score(value, recipe, goal), front[i]) for i, value in enumerate(values)], stability


def stability_axis(values: Sequence[dict[str, float | None]]) -> str:
    """Return what stands for stability: the energy above hull where all candidates have one, for the two do not mix."""
    hull_known = bool(values) and all(value["e_above_hull"] is not None for value in values)
    return "e_above_hull" if hull_known else "formation_energy"


def pareto_fronts(values: Sequence[dict[str, float | None]], spec: CampaignSpec, stability: str) -> list[int | None]:
    """Return the Pareto front of each candidate, from 1; None where one of the goals has no value.

    Args:
        values: Properties of each candidate.
        spec: The campaign, whose `shortlist.pareto` names the goals.
        stability: As `stability_axis` gives it.

    """
    goal = objective(spec)
    names = [stability if name == "stability" else name for name in spec.shortlist.pareto]
    rows: list[list[float]] = []
    complete: list[int] = []
    for place, value in enumerate(values):
        found = [value[name] for name in names]
        numbers = [x for x in found if x is not None]
        if len(numbers) == len(names):
            wished = [
                -float(goal.utility(np.array([x]))[0]) if name == "gap" else x
                for name, x in zip(names, numbers, strict=True)
            ]
            rows.append(wished)
            complete.append(place)
    result: list[int | None] = [None] * len(values)
    for place, front in zip(complete, fronts(np.array(rows).reshape(-1, len(names))).tolist(), strict=True):
        result[place] = front
    return result
