"""A score can be made again by hand from what is exported, and does what its recipe says."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import gmean

from aldesign.campaign.scoring import Score, desirability, gap_desirability, score
from aldesign.campaign.spec.scores import TERMS, CostTermSpec, GapTermSpec, ScoreSpec, TermSpec
from aldesign.models.acquisition import Objective

MAXIMIZE, MINIMIZE, WINDOW = Objective("maximize"), Objective("minimize"), Objective("window", 1.1, 1.7)
VALUES: dict[str, float | None] = {
    "gap": 7.2,
    "e_above_hull": 0.05,
    "formation_energy": -0.5,
    "disagreement": 0.14,
    "emd": 6.0,
    "bond_valence": 0.2,
    "uncertainty": 0.45,
    "cost": 100.0,
    "hazard": 0.0,
    "supply_risk": 3000.0,
}


def test_the_default_recipe_by_hand() -> None:
    found = score(VALUES, ScoreSpec(), MAXIMIZE)
    by_hand = {  # desirability, weight
        "gap": (0.72, 3.0),
        "e_above_hull": (0.75, 2.0),
        "formation_energy": (0.5, 1.0),
        "disagreement": (0.36 / 0.45, 0.5),
        "emd": (0.8, 1.0),
        "bond_valence": (0.8, 1.0),
        "uncertainty": (1.05 / 1.4, 0.5),
        "cost": (2 / 3, 0.25),
        "hazard": (1.0, 0.5),
    }
    assert {t.name: t.desirability for t in found.terms} == pytest.approx(
        {name: wish for name, (wish, _) in by_hand.items()}, abs=5e-5
    )
    wishes, weights = zip(*by_hand.values(), strict=True)
    assert found.value == pytest.approx(gmean(wishes, weights=weights), abs=1e-4)


@given(
    st.fixed_dictionaries({name: st.none() | st.floats(-5, 8000) for name in TERMS if name != "gap"}),
    st.floats(0, 12),
    st.sampled_from([MAXIMIZE, MINIMIZE, WINDOW]),
)
def test_factors_multiply_to_the_score_and_what_is_left_out_has_none(
    rest: dict[str, float | None], gap: float, goal: Objective
) -> None:
    values = {"gap": gap, **rest}
    if values["uncertainty"] is not None:
        values["uncertainty"] = abs(values["uncertainty"])
    recipe = ScoreSpec.model_validate({"supply_risk": {"weight": 1.0}})
    found = score(values, recipe, goal)
    assert found.value is not None
    assert found.value == pytest.approx(math.prod(t.factor for t in found.terms), abs=1e-4)
    assert recipe.least - 1e-4 <= found.value <= 1
    assert sum(t.share for t in found.terms) == pytest.approx(1.0)
    for term in found.terms:
        missing = values[term.name] is None
        assert bool(term.note) == missing
        if missing and getattr(recipe, term.name).missing == "neutral":
            assert (term.desirability, term.share, term.factor) == (None, 0.0, 1.0)
        elif missing:
            assert term.desirability == recipe.least


@given(st.floats(-3, 3), st.floats(-3, 3))
def test_desirability_is_monotonic_and_bounded(a: float, b: float) -> None:
    rising, falling = TermSpec(worst=-1.0, best=1.5), TermSpec(worst=1.5, best=-1.0)
    low, high = sorted((a, b))
    for term, (first, second) in ((rising, (low, high)), (falling, (high, low))):
        assert 0 <= (desirability(first, term) or 0) <= (desirability(second, term) or 0) <= 1
    assert (desirability(a, rising) or 0) + (desirability(a, falling) or 0) == pytest.approx(1.0)


def test_cost_is_logarithmic() -> None:
    term = CostTermSpec(worst=10000, best=10)
    assert [desirability(x, term) for x in (1, 10, 100, 1000, 10000, 1e6)] == pytest.approx([1, 1, 2 / 3, 1 / 3, 0, 0])
    assert desirability(0.0, term) == 1.0


@pytest.mark.parametrize(("gap", "std"), [(1.4, 0.2), (1.0, 0.3), (2.5, 0.4), (0.0, 0.1)])
def test_the_chance_of_a_window_equals_a_sample(gap: float, std: float) -> None:
    drawn = np.array(NormalDist(gap, std).samples(200_000, seed=3))
    share = ((drawn >= 1.1) & (drawn <= 1.7)).mean()
    assert gap_desirability(gap, std, GapTermSpec(), WINDOW) == pytest.approx(share, abs=5e-3)


def test_the_chance_of_a_goal() -> None:
    term = GapTermSpec(goal=6.0)
    assert gap_desirability(6.5, 0.5, term, MAXIMIZE) == pytest.approx(NormalDist().cdf(1.0))
    assert gap_desirability(6.5, 0.5, term, MINIMIZE) == pytest.approx(1 - NormalDist().cdf(1.0))
    for std in (None, 0.0):  # exact answers, the edge included
        assert [gap_desirability(x, std, term, MAXIMIZE) for x in (5.9, 6.0, 6.1)] == [0, 1, 1]
        assert [gap_desirability(x, std, term, MINIMIZE) for x in (5.9, 6.0, 6.1)] == [1, 1, 0]
        assert [gap_desirability(x, std, term, WINDOW) for x in (1.0, 1.1, 1.7, 1.8)] == [0, 1, 1, 0]
    assert [gap_desirability(x, 0.3, GapTermSpec(limits=(2, 6)), MINIMIZE) for x in (1, 2, 5, 6)] == [1, 1, 0.25, 0]


def test_one_bad_property_does_not_hide_the_others_unless_the_recipe_wants_it() -> None:
    lead = {**VALUES, "hazard": 1.0}
    worse = {**lead, "emd": 15.0}
    kind, strict = ScoreSpec(), ScoreSpec(least=0.0)
    assert (score(lead, kind, MAXIMIZE).value or 0) > (score(worse, kind, MAXIMIZE).value or 0) > 0
    assert score(lead, strict, MAXIMIZE).value == 0


def test_a_score_without_any_value_is_none() -> None:
    recipe = ScoreSpec.model_validate({**{name: {"weight": 0} for name in TERMS}, "cost": {"weight": 1}})
    found = score({**VALUES, "cost": None}, recipe, MAXIMIZE)
    assert isinstance(found, Score)
    assert (found.value, [t.name for t in found.terms]) == (None, ["cost"])
