"""A candidate's score: desirabilities of its properties, and their weighted geometric mean.

Derringer and Suich, J. Qual. Technol. 12, 214 (1980). Everything is made of the numbers that are exported, rounded as
they are exported, so that a reader can make it again with the recipe beside them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scipy.special import ndtr

from aldesign.campaign.spec.scores import TERMS, CostTermSpec, GapTermSpec, ScoreSpec, TermSpec
from aldesign.campaign.state import StructureRecord
from aldesign.chemistry.supply import Supply
from aldesign.models.acquisition import Objective
from aldesign.records import Trial

DIGITS = 4
"""Decimals of every exported number."""

UNITS: Mapping[str, str] = {
    "gap": "eV",
    "e_above_hull": "eV/atom",
    "formation_energy": "eV/atom",
    "disagreement": "eV/atom",
    "emd": "places",
    "bond_valence": "v.u.",
    "uncertainty": "eV",
    "cost": "USD/kg",
    "hazard": "hazardous elements",
    "supply_risk": "HHI",
}
"""Unit of each term's value."""


@dataclass(frozen=True)
class Term:
    """One property's part in a score.

    Attributes:
        name: Name of the term in the recipe.
        value: The property, in the unit of `UNITS`; None where it is not known.
        desirability: From the recipe's `least` to 1; None where the term is left out.
        weight: Weight in the recipe.
        share: Weight over the sum of the weights of all terms that count; 0 where it is left out.

    """

    name: str
    value: float | None
    desirability: float | None
    weight: float
    share: float = 0.0

    @property
    def factor(self) -> float:
        """What the score is multiplied by on account of this term, ``desirability ** share``."""
        return 1.0 if self.desirability is None else self.desirability**self.share

    @property
    def note(self) -> str:
        """How a value that is not known was handled; empty where it is known."""
        if self.value is not None:
            return ""
        return "not known, left out" if self.desirability is None else "not known, counted as the worst"


@dataclass(frozen=True)
class Score:
    """A score and what it is made of; terms of weight 0 are not among them.

    Attributes:
        value: From 0 to 1; None where no term counts.
        terms: Every term of the recipe, in its order.

    """

    value: float | None
    terms: tuple[Term, ...]


def properties(trial: Trial, record: StructureRecord, supply: Supply) -> dict[str, float | None]:
    """Return the value of each term, rounded as exported; None where it is not known."""
    facts = record.facts
    first, second = (facts.get(f"formation_energy{x}_ev_per_atom") for x in ("", "_graph"))
    hazardous = {symbol for symbols in supply.hazards.values() for symbol in symbols}
    found = {
        "gap": trial.prediction.value if trial.prediction else None,
        "e_above_hull": facts.get("e_above_hull_ev_per_atom"),
        "formation_energy": first,
        "disagreement": None if first is None or second is None else abs(first - second),
        "emd": facts.get("emd"),
        "bond_valence": facts.get("bond_valence_deviation"),
        "uncertainty": trial.prediction.std if trial.prediction else None,
        "cost": supply.cost_usd_per_kg,
        "hazard": float(len(hazardous)),
        "supply_risk": supply.hhi_production,
    }
    return {name: rounded(value) for name, value in found.items()}


def rounded(value: float | None) -> float | None:
    """Return a number as it is exported."""
    return None if value is None else round(float(value), DIGITS)


def score(values: Mapping[str, float | None], recipe: ScoreSpec, goal: Objective) -> Score:
    """Return the score of a candidate and its terms.

    Args:
        values: The value of each term, as `properties` gives them.
        recipe: How the score is made.
        goal: What is wanted of the gap.

    """
    terms = []
    for name in TERMS:
        section = getattr(recipe, name)
        if section.weight > 0:
            wish: float | None
            if isinstance(section, GapTermSpec):
                wish = gap_desirability(values["gap"], values["uncertainty"], section, goal)
            else:
                wish = desirability(values[name], section)
            kept = None if wish is None else round(max(wish, recipe.least), DIGITS)
            terms.append(Term(name, values[name], kept, section.weight))
    total = sum(term.weight for term in terms if term.desirability is not None)
    if not total:
        return Score(None, tuple(terms))
    shared = tuple(
        Term(t.name, t.value, t.desirability, t.weight, 0.0 if t.desirability is None else t.weight / total)
        for t in terms
    )
    return Score(round(math.prod(term.factor for term in shared), DIGITS), shared)


def desirability(value: float | None, section: TermSpec) -> float | None:
    """Return how welcome a property is, 0 at the section's `worst` to 1 at its `best`; None to leave it out."""
    if value is None:
        return 0.0 if section.missing == "worst" else None
    if isinstance(section, CostTermSpec):  # ten times as dear is one step worse
        if value <= 0:
            return 1.0
        return _place(math.log(value), math.log(section.worst), math.log(section.best))
    return _place(value, section.worst, section.best)


def _place(value: float, worst: float, best: float) -> float:
    return min(max((value - worst) / (best - worst), 0.0), 1.0)


def gap_desirability(gap_ev: float | None, std_ev: float | None, section: GapTermSpec, goal: Objective) -> float:
    """Return how welcome a gap is, from 0 to 1: the chance that it meets the goal, or its place between the limits."""
    if gap_ev is None:
        return 0.0
    if goal.kind == "window":
        low, high = goal.edges
        return _below(high, gap_ev, std_ev) - _below(low, gap_ev, std_ev, strictly=True)
    if section.goal is not None:
        beyond = 1.0 - _below(section.goal, gap_ev, std_ev, strictly=True)
        return beyond if goal.kind == "maximize" else _below(section.goal, gap_ev, std_ev)
    low, high = section.limits
    return _place(gap_ev, low, high) if goal.kind == "maximize" else _place(gap_ev, high, low)


def _below(edge_ev: float, gap_ev: float, std_ev: float | None, *, strictly: bool = False) -> float:
    """Return the chance that the true gap is below an edge; an answer without std is exact."""
    if not std_ev:
        return float(gap_ev < edge_ev if strictly else gap_ev <= edge_ev)
    return float(ndtr((edge_ev - gap_ev) / std_ev))
