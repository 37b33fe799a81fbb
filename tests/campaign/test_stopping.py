"""A campaign ends by the first rule that holds, and says which."""

from __future__ import annotations

import pytest
from campaign_examples import measured, pending

from aldesign.campaign.stopping import batch_left, iterations_without_improvement, stop_reason

SEED = [measured(0, "NaCl", 5.0, 0), measured(1, "KCl", 4.8, 0)]
FIRST = [measured(2, "LiF", 8.0, 1), measured(3, "LiCl", 6.0, 1)]
SECOND = [measured(4, "KF", 6.1, 2), measured(5, "NaF", 6.2, 2)]
THIRD = [measured(6, "RbF", 5.9, 3)]


@pytest.mark.parametrize(
    ("assignment", "reason"),
    [
        ("stop.iterations=2", "2 iterations done"),
        ("stop.budget=4", "4 oracle answers paid for"),
        ("stop.target=7.5", "a gap of 8.000 eV reached 7.5 eV"),
        ("stop.patience=1", "no better material for 1 iterations"),
        ("stop.hours=0.0008", "hours spent"),
    ],
)
def test_each_rule_stops(make_spec, make_state, assignment: str, reason: str) -> None:
    state = make_state([SEED, FIRST, SECOND])
    assert reason in stop_reason(state, make_spec(assignment))


@pytest.mark.parametrize(
    "assignment", ["stop.iterations=3", "stop.budget=5", "stop.target=8.5", "stop.patience=2", "stop.hours=1"]
)
def test_no_rule_stops_early(make_spec, make_state, assignment: str) -> None:
    assert stop_reason(make_state([SEED, FIRST, SECOND]), make_spec(assignment)) == ""


def test_patience_counts_from_the_last_improvement(make_spec, make_state) -> None:
    state = make_state([SEED, FIRST, SECOND, THIRD])
    assert iterations_without_improvement(state, make_spec()) == 2
    smallest_gap_spec = make_spec("target={minimize: true}")
    assert iterations_without_improvement(state, smallest_gap_spec) == 0


def test_seeds_do_not_exhaust_patience(make_spec, make_state) -> None:
    great_seed = [measured(0, "LiF", 9.0, 0)]
    assert iterations_without_improvement(make_state([great_seed, FIRST]), make_spec()) == 0


def test_every_hit_in_a_window_is_progress(make_spec, make_state) -> None:
    state = make_state([SEED, SECOND, [measured(6, "RbF", 6.15, 2)], [measured(7, "CsF", 9.0, 3)]])
    assert iterations_without_improvement(state, make_spec("target={window: [6, 6.5]}")) == 1


def test_an_iteration_that_awaits_answers_is_not_idle(make_spec, make_state) -> None:
    state = make_state([SEED, FIRST, [pending(4, "KF", 2)]])
    assert iterations_without_improvement(state, make_spec()) == 0


def test_an_iteration_without_candidates_ends_the_campaign(make_spec, make_state) -> None:
    assert stop_reason(make_state([SEED, FIRST, []]), make_spec()) == "no new candidate passed the screens"


def test_a_target_counts_only_proposed_materials_and_respects_the_direction(make_spec, make_state) -> None:
    state = make_state([[measured(0, "LiF", 9.0, 0)], SECOND])
    assert stop_reason(state, make_spec("stop.target=8.5")) == ""
    smallest = make_spec("target={minimize: true}", "stop.target=6.1")
    assert "6.100 eV reached 6.1" in stop_reason(state, smallest)


def test_the_last_batch_fits_the_budget(make_spec, make_state) -> None:
    state = make_state([SEED, FIRST, SECOND, [pending(6, "RbF", 3)]])
    assert batch_left(state, make_spec("stop.budget=7", "batch_size=20")) == 2
    assert batch_left(state, make_spec("stop.budget=70", "batch_size=20")) == 20
    assert batch_left(state, make_spec("batch_size=20")) == 20
