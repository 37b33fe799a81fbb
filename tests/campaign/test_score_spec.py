"""The recipe of a score in a campaign file: a weight alone suffices, and what cannot be meant is refused by line."""

from __future__ import annotations

import pytest
import yaml

from aldesign.campaign.recipe import pareto_text, recipe_text
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.spec.scores import TERMS
from aldesign.errors import SpecError


def test_a_weight_alone_leaves_the_rest_as_it_was(make_spec) -> None:
    recipe = make_spec("shortlist.score.emd={weight: 5}").shortlist.score
    assert (recipe.emd.weight, recipe.emd.worst, recipe.emd.best, recipe.emd.missing) == (5, 30, 0, "worst")
    assert recipe.cost == make_spec().shortlist.score.cost


def test_every_number_of_the_recipe_stands_in_the_runs_own_file(make_spec) -> None:
    spec = make_spec("shortlist.score.gap.goal=6")
    written = yaml.safe_load(spec.to_yaml())["shortlist"]["score"]
    assert set(written) == {"least", *TERMS}
    assert all("weight" in written[name] for name in TERMS)
    assert CampaignSpec.model_validate(yaml.safe_load(spec.to_yaml())) == spec


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("shortlist.score.emd={wight: 1}", "unknown key 'wight'"),
        ("shortlist.score.emd={worst: 0}", "worst and best must differ"),
        ("shortlist.score.hazard={classes: [toxc]}", "toxc is no class of elements"),
        ("shortlist.score.gap={limits: [3, 2]}", "low < high"),
        ("shortlist.score.cost={best: 0}", "greater than 0"),
        ("shortlist.score.least=1", "less than 1"),
        ("shortlist.pareto=[gap]", "at least 2"),
        ("shortlist.pareto=[gap, gap]", "each goal once"),
        ("shortlist.formation_energy_per_atom={min: 1, max: 0}", "nothing is at least 1 and at most 0"),
        ("shortlist.order=gpa", "'gap' or 'score'"),
        (f"shortlist.score={{{', '.join(f'{name}: {{weight: 0}}' for name in TERMS)}}}", "a weight above 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(make_spec, assignment: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make_spec(assignment)


def test_a_goal_makes_no_sense_beside_a_window(make_spec) -> None:
    with pytest.raises(SpecError, match="a window has none"):
        make_spec("target={window: [1, 2]}", "shortlist.score.gap.goal=1.5")


@pytest.mark.parametrize(
    ("assignments", "said"),
    [
        ((), "gap, weight 3: 0 at 0 eV, 1 at 10 eV, linear between."),
        (("target={minimize: true}",), "gap, weight 3: 0 at 10 eV, 1 at 0 eV, linear between."),
        (("target={window: [1, 2]}",), "the chance that the gap is between 1 and 2 eV, given the oracle's std."),
        (("shortlist.score.gap.goal=6",), "the chance that the gap is above 6 eV, given the oracle's std."),
    ],
)
def test_the_recipe_in_words(make_spec, assignments: tuple[str, ...], said: str) -> None:
    lines = recipe_text(make_spec(*assignments))
    assert any(line.endswith(said) for line in lines)
    assert len(lines) == len(TERMS)  # the mean, and each term but the supply risk of weight 0
    assert "lowest energy above hull (eV/atom)" in pareto_text(make_spec(), "e_above_hull")
