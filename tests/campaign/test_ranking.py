"""The final table depends on the answers alone."""

from __future__ import annotations

import pytest
from campaign_examples import measured

from aldesign.campaign.ranking import best_first, shortlist
from aldesign.records import Source

SEED = [measured(0, "NaCl", 9.0, 0, Source.SEED)]
FOUND = [
    measured(n, f, g, 1)
    for n, f, g in [(1, "LiF", 8.0), (2, "KF", 6.0), (3, "NaF", 7.0), (4, "RbF", 7.0), (5, "CsF", 1.3)]
]


@pytest.mark.parametrize(
    ("target", "order"),
    [
        ("{maximize: true}", ["LiF", "NaF", "RbF", "KF", "CsF"]),
        ("{minimize: true}", ["CsF", "KF", "NaF", "RbF", "LiF"]),
        ("{window: [1.1, 1.7]}", ["CsF", "KF", "NaF", "RbF", "LiF"]),
        ("{window: [6.5, 7.5]}", ["NaF", "RbF", "LiF", "KF", "CsF"]),
    ],
)
def test_best_first_without_seeds(make_spec, make_state, target: str, order: list[str]) -> None:
    trials = best_first(make_state([SEED, FOUND]), make_spec(f"target={target}"))
    assert [t.candidate.formula for t in trials] == order


def test_seeds_on_request(make_spec, make_state) -> None:
    trials = best_first(make_state([SEED, FOUND]), make_spec(), seeds=True)
    assert trials[0].candidate.formula == "NaCl"


def formulas(items) -> list[str]:
    return [item.trial.candidate.formula for item in items]


def test_the_walk_takes_the_best_accepted_and_lists_those_set_aside(make_spec, make_state) -> None:
    state = make_state([SEED, FOUND], [(1, False), (3, True), (4, True), (2, True)])
    listed = shortlist(state, make_spec())
    assert formulas(listed.accepted) == ["NaF", "RbF"]
    assert formulas(listed.set_aside) == ["LiF"]
    assert [item.rank for item in listed.accepted] == [1, 2]


def test_crystals_made_in_another_order_change_nothing(make_spec, make_state) -> None:
    early = [(5, True), (2, True)]  # made by an earlier, interrupted call for what was best then
    state = make_state([SEED, FOUND], [*early, (1, False), (3, True), (4, True)])
    listed = shortlist(state, make_spec())
    assert (formulas(listed.accepted), formulas(listed.set_aside)) == (["NaF", "RbF"], ["LiF"])


def test_the_walk_ends_at_a_missing_crystal_and_at_the_bound(make_spec, make_state) -> None:
    state = make_state([SEED, FOUND], [(1, True), (4, True)])
    assert formulas(shortlist(state, make_spec()).accepted) == ["LiF"]


def test_no_more_than_consider_are_walked(make_spec, make_state) -> None:
    state = make_state([SEED, FOUND], [(n, n == 5) for n in (1, 2, 3, 4, 5)])
    listed = shortlist(state, make_spec("shortlist.consider=4"))
    assert (formulas(listed.accepted), len(listed.set_aside)) == ([], 4)
