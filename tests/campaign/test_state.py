"""Nothing is known about a campaign that its journal does not say."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldesign.campaign.codec import prediction_to_json, trial_from_json, trial_to_json
from aldesign.campaign.journal import Event
from aldesign.campaign.state import CampaignState, fold
from aldesign.errors import RunDirectoryError
from aldesign.records import Candidate, OracleIdentity, Prediction, Source, Trial, TrialState, Verdict

numbers = st.floats(-10, 10, allow_nan=False)
predictions = st.builds(
    Prediction,
    value=numbers,
    std=st.none() | st.floats(0, 5),
    unit=st.just("eV"),
    oracle=st.builds(OracleIdentity, st.text(max_size=5), st.just("1"), st.just("ab12")),
    level=st.sampled_from(["PBE", "experiment"]),
    in_domain=st.none() | st.booleans(),
    seconds=st.floats(0, 5),
    error=st.just(""),
)
trials = st.builds(
    Trial,
    number=st.integers(0, 100),
    iteration=st.integers(0, 9),
    candidate=st.builds(
        Candidate,
        formula=st.sampled_from(["NaCl", "NaN"]),
        source=st.sampled_from(Source),
        latent=st.none() | st.tuples(numbers, numbers),
        structure_id=st.none() | st.just("mp-1"),
    ),
    state=st.sampled_from(TrialState),
    verdicts=st.lists(
        st.builds(
            Verdict, st.just("neutrality"), st.booleans(), st.text(max_size=9), st.just({"oxidation_states": {"Na": 1}})
        ),
        max_size=2,
    ).map(tuple),
    prediction=st.none() | predictions,
    attempts=st.integers(0, 3),
    expected=st.none() | st.tuples(numbers, st.floats(0, 5)),
    score=st.none() | numbers,
)


@given(trials)
def test_a_trial_survives_the_journal(trial: Trial) -> None:
    assert trial_from_json(json.loads(json.dumps(trial_to_json(trial)))) == trial


def event(number: int, kind: str, **payload: object) -> Event:
    return Event(number, 100.0 + number, kind, payload)


PENDING = Trial(0, 0, Candidate("NaCl", Source.SEED), TrialState.PENDING)
ANSWER = Prediction(5.0, 0.2, "eV", OracleIdentity("made", "1"), "PBE")
HISTORY = [
    event(1, "created", spec={}),
    event(2, "proposed", iteration=0, trials=[trial_to_json(PENDING)], stats={}, seconds={"learn": 1.0}),
    event(3, "answered", trial=0, prediction=prediction_to_json(ANSWER)),
    event(4, "closed", iteration=0, seconds={"measure": 2.0}),
    event(5, "stopped", reason="enough"),
]


def test_the_life_of_a_trial() -> None:
    proposed = fold(HISTORY[:2])
    assert [t.state for t in proposed.pending] == [TrialState.PENDING]
    assert proposed.open_iteration == 0
    answered = fold(HISTORY[2:3], proposed)
    assert answered.measured == [replace(PENDING, state=TrialState.MEASURED, prediction=ANSWER, attempts=1)]
    closed = fold(HISTORY[3:4], answered)
    assert closed.open_iteration is None
    assert dict(closed.proposals[0].seconds) == {"learn": 1.0, "measure": 2.0}
    assert fold(HISTORY[4:], closed).stopped == "enough"


@pytest.mark.parametrize("cut", range(len(HISTORY) + 1))
def test_folding_in_pieces_is_folding_at_once(cut: int) -> None:
    assert fold(HISTORY[cut:], fold(HISTORY[:cut])) == fold(HISTORY)


def test_an_error_is_an_answer_and_a_lost_worker_is_not() -> None:
    failed = replace(ANSWER, value=None, std=None, error="no such element")
    state = fold([*HISTORY[:2], event(3, "answered", trial=0, prediction=prediction_to_json(failed))])
    assert state.trials[0].state is TrialState.FAILED
    state = fold([*HISTORY[:2], event(3, "abandoned", trial=0, prediction=prediction_to_json(failed))])
    assert (state.trials[0].state, state.trials[0].attempts) == (TrialState.ABANDONED, 3)


def test_seed_rows_are_not_paid_for() -> None:
    assert fold(HISTORY).paid == 0
    later = replace(PENDING, number=1, iteration=1, candidate=Candidate("KCl", Source.GAN))
    more = [
        event(6, "proposed", iteration=1, trials=[trial_to_json(later)], stats={}, seconds={}),
        event(7, "answered", trial=1, prediction=prediction_to_json(ANSWER)),
    ]
    assert fold([*HISTORY, *more]).paid == 1


def test_an_unknown_event_is_not_skipped() -> None:
    with pytest.raises(RunDirectoryError, match="kind 'future'"):
        CampaignState().advance(event(1, "future"))
