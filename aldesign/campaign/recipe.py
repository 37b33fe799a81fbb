"""The recipe of score and Pareto fronts in words."""

from __future__ import annotations

from aldesign.campaign.assessment import STABILITY
from aldesign.campaign.ranking import objective
from aldesign.campaign.scoring import UNITS
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.spec.scores import TERMS, CostTermSpec, GapTermSpec, HazardTermSpec, TermSpec
from aldesign.models.acquisition import Objective

NAMES: dict[str, str] = {
    "gap": "gap",
    "e_above_hull": "energy above hull",
    "formation_energy": "formation energy (CHGNet)",
    "disagreement": "difference of the two formation energies",
    "emd": "distance to the template (EMD)",
    "bond_valence": "deviation of bond valences",
    "uncertainty": "std of the gap",
    "cost": "cost of the elements",
    "hazard": "hazardous elements",
    "supply_risk": "supply risk (HHI of production)",
    "stability": "stability",
}
"""Terms and Pareto goals in words."""

NEAREST_TEXT = (
    "smallest element mover's distance on the modified Pettifor scale to the seed rows, the files of the novelty "
    "screen and materials told from outside; what the campaign itself proposed is not counted as known"
)


def recipe_text(spec: CampaignSpec) -> list[str]:
    """Return how the score is made, a sentence each: the mean first, then its terms."""
    recipe, goal = spec.shortlist.score, objective(spec)
    counted = [name for name in TERMS if getattr(recipe, name).weight > 0]
    total = sum(getattr(recipe, name).weight for name in counted)
    mean = (
        "The score is the weighted geometric mean of desirabilities between 0 and 1 (Derringer and Suich, 1980): "
        "the product of each desirability to the power of its weight over the sum of the weights that count "
        f"({total:g} where all are known). No desirability counts as less than {recipe.least:g}."
    )
    lines = [mean]
    for name in counted:
        section = getattr(recipe, name)
        how = _gap_text(section, goal) if isinstance(section, GapTermSpec) else _term_text(name, section)
        lines.append(f"{NAMES[name]}, weight {section.weight:g}: {how}.")
    return lines


def _gap_text(section: GapTermSpec, goal: Objective) -> str:
    if goal.kind == "window":
        low, high = goal.edges
        return f"the chance that the gap is between {low:g} and {high:g} eV, given the oracle's std"
    if section.goal is not None:
        way = "above" if goal.kind == "maximize" else "below"
        return f"the chance that the gap is {way} {section.goal:g} eV, given the oracle's std"
    worst, best = section.limits if goal.kind == "maximize" else section.limits[::-1]
    return f"0 at {worst:g} eV, 1 at {best:g} eV, linear between"


def _term_text(name: str, section: TermSpec) -> str:
    unit = UNITS[name]
    what = f" of the classes {', '.join(section.classes)}" if isinstance(section, HazardTermSpec) else ""
    scale = "linear in the logarithm between" if isinstance(section, CostTermSpec) else "linear between"
    gone = "left out" if section.missing == "neutral" else "counted as the worst"
    return f"1 at {section.best:g} {unit}{what}, 0 at {section.worst:g} {unit}, {scale}; where not known, {gone}"


def pareto_text(spec: CampaignSpec, stability: str) -> str:
    """Return what the fronts weigh against each other."""
    goal = objective(spec).describe()
    names = []
    for name in spec.shortlist.pareto:
        if name == "gap":
            names.append(goal)
        elif name == "stability":
            names.append(f"the lowest {STABILITY[stability]}")
        else:
            names.append(f"the lowest {NAMES[name]} ({UNITS[name]})")
    return (
        f"Pareto front 1: candidates that no other accepted one beats in {' and '.join(names)}; front 2: those that "
        "only front 1 beats, and so on. A candidate without one of the values is on no front."
    )
