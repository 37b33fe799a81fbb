"""Ranking: the best of a whole are the best of the best of its parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldesign.errors import InputError
from aldesign.survey.ranking import Goal, Scored

A, B, C, D = (
    Scored("A", 2.0, 0.1, True),
    Scored("B", 3.0, 0.5, True),
    Scored("C", 3.0, 0.2, False),
    Scored("D", 5.0, None, None),
)


@pytest.mark.parametrize(
    ("goal", "order"),
    [
        (Goal(), "DBCA"),
        (Goal("smallest"), "ABCD"),
        (Goal("window", (2.5, 3.5)), "CBAD"),
        (Goal("window", (4.0, 9.0)), "DCBA"),
        (Goal(inside=True), "DBA"),
        (Goal(surest=0.2), "CA"),
    ],
)
def test_orders(goal, order):
    assert "".join(one.formula for one in goal.best([A, B, C, D], 9)) == order
    assert goal.best([D, C, B, A], 2) == goal.best([A, B, C, D], 9)[:2]


@given(st.lists(st.tuples(st.text("AB", min_size=1, max_size=3), st.integers(0, 5)), max_size=40), st.integers(1, 39))
def test_parts_may_be_ranked_apart(rows, cut):
    scored = [Scored(name, float(value), 1.0, True) for name, value in rows]
    goal = Goal()
    parts = [*goal.best(scored[:cut], 5), *goal.best(scored[cut:], 5)]
    assert goal.best(parts, 5) == sorted(scored, key=lambda one: (-one.value, one.formula))[:5]


@pytest.mark.parametrize("wrong", [("window", None), ("largest", (1.0, 2.0)), ("window", (2.0, 1.0)), ("best", None)])
def test_what_cannot_be_ranked_by_is_refused(wrong):
    with pytest.raises(InputError):
        Goal(*wrong)
