"""What becomes of answers: recorded once, averaged or corrected when that is asked for, and no good row lost."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from campaign_examples import pending

from aldesign.campaign.answers import Answer
from aldesign.campaign.codec import trial_to_json
from aldesign.campaign.journal import Event
from aldesign.campaign.state import Asked, CampaignState, fold
from aldesign.campaign.telling import Told, pending_of, tell
from aldesign.errors import InputError
from aldesign.records import (
    Candidate,
    OracleCard,
    OracleIdentity,
    Prediction,
    Source,
    Trial,
    TrialState,
    Verdict,
)

CARD = OracleCard(OracleIdentity("external", "1"), level="HSE", answers="tell")
NO = Verdict("novelty", False, "known to builtin")


class Desk:
    """A campaign reduced to what telling needs of it."""

    def __init__(self) -> None:
        self.parts = SimpleNamespace(card=CARD)
        self.state: CampaignState = fold([])
        seed = Prediction(8.7, 0.2, "eV", OracleIdentity("table:gaps.csv", ""), "HSE")
        model = Prediction(5.1, 0.2, "eV", OracleIdentity("random_forest", "1"), "HSE")
        trials = [
            Trial(0, 0, Candidate("LiF", Source.SEED), TrialState.MEASURED, prediction=seed),
            Trial(1, 1, Candidate("KCl", Source.GAN), TrialState.MEASURED, prediction=model),
            *(pending(n, formula, 1) for n, formula in enumerate(("NaCl", "CO", "Co", "Al2O3"), start=2)),
            Trial(6, 1, Candidate("ZnO", Source.GAN), TrialState.REJECTED, (NO,)),
        ]
        self.record("created", {"spec": {"name": "desk"}})
        for iteration, rows in ((0, trials[:1]), (1, trials[1:])):
            rows_ = [trial_to_json(trial) for trial in rows]
            self.record("proposed", {"iteration": iteration, "trials": rows_, "stats": {}, "seconds": {}})
            self.record("closed", {"iteration": iteration, "seconds": {}})
        asked = [Asked(2, cif="00002_NaCl.cif"), Asked(3, cif="00003_CO.cif"), Asked(4, cif="00004_Co.cif")]
        self.record("asked", {"questions": [vars(question) for question in asked]})

    def record(self, kind: str, payload: dict[str, Any]) -> None:
        self.state = self.state.advance(Event(self.state.last_event + 1, 1.0, kind, payload))

    def tell(self, *answers: Answer, **options: Any) -> Told:
        return tell(self, answers, **options)  # type: ignore[arg-type]

    def of(self, formula: str) -> Trial:
        return self.state.of_formula(formula)[-1]

    def gap(self, formula: str) -> tuple[float | None, float | None]:
        found = self.of(formula).prediction
        return (None, None) if found is None else (found.value, found.std)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize(
    "answer",
    [
        Answer("ClNa", value=5.0),
        Answer("Na Cl", value=5.0),
        Answer("Na₂Cl₂", value=5.0),
        Answer(trial=2, value=5.0),
        Answer(cif="to_measure/00002_NaCl.cif", value=5.0),
        Answer(cif="C:\\work\\00002_nacl.CIF", value=5.0),
        Answer("NaCl", 2, "00002_NaCl", value=5.0),
    ],
)
def test_an_answer_finds_its_question_by_formula_trial_or_cif(desk: Desk, answer: Answer) -> None:
    assert desk.tell(answer).outcomes == {"answered": 1}
    assert (desk.of("NaCl").state, desk.gap("NaCl")) == (TrialState.MEASURED, (5.0, None))
    assert [t.candidate.formula for t in desk.state.waiting] == ["CO", "Co"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer("NaCl", trial=3, value=1.0), "trial 3 is CO, not NaCl"),
        (Answer("Co", cif="00003_CO.cif", value=1.0), "trial 3 is CO, not Co"),
        (Answer(trial=2, cif="00003_CO.cif", value=1.0), "asked as trial 3, not 2"),
        (Answer(trial=99, value=1.0), "there is no trial 99"),
        (Answer(cif="00099_X.cif", value=1.0), "no CIF called 00099_x.cif was asked"),
        (Answer("Xx2O", value=1.0), "'X' is not an element|Xx"),
        (Answer("NaCl", value=1.0, level="experiment"), "it is a experiment gap, the campaign's are HSE"),
        (Answer("NaCl", value=-1.0), "lies between 0 and 25 eV"),
        (Answer("NaCl", value=float("nan")), "lies between 0 and 25 eV"),
        (Answer("NaCl", value=1.0, std=-0.1), "its std is -0.1 eV"),
        (Answer("NaCl", value=1.0, error="lost"), "give one of them"),
        (Answer("NaCl"), "give one of them"),
        (Answer("RbF", error="lost"), "was never asked for and has no value"),
    ],
)
def test_a_bad_answer_is_refused_and_the_good_ones_stay(desk: Desk, answer: Answer, reason: str) -> None:
    import re

    told = desk.tell(Answer("Al2O3", value=6.0), answer, Answer(trial=3, value=2.0, level="hse"))
    assert told.outcomes == {"answered": 2}
    (bad,) = told.refused
    assert re.search(reason, bad.reason)


def test_what_was_told_before_changes_nothing(desk: Desk) -> None:
    rows = [Answer("NaCl", value=5.0, std=0.1), Answer("RbF", value=7.0), Answer("CO", error="no crystals")]
    assert desk.tell(*rows).outcomes == {"answered": 1, "added": 1, "failed": 1}
    events = desk.state.last_event
    again = desk.tell(*rows, Answer("Co", value=1.0, file="grown.csv"))
    assert (again.outcomes, again.known, again.refused) == ({"answered": 1}, 3, ())
    assert desk.state.last_event == events + 1
    for repeated in ("add", "replace"):
        once_more = desk.tell(*rows, repeated=repeated)
        assert (once_more.outcomes, once_more.known) == ({}, 3)


def test_another_value_is_refused_with_what_can_be_done(desk: Desk) -> None:
    desk.tell(Answer("NaCl", value=5.0))
    for answer in (Answer("NaCl", value=5.2), Answer("LiF", value=8.7)):
        (bad,) = desk.tell(answer).refused
        assert "was measured before" in bad.reason
        assert "--add averages a second measurement, --replace corrects it" in bad.reason


def test_measurements_are_averaged_with_those_before_and_seed_rows(desk: Desk) -> None:
    desk.tell(Answer("NaCl", value=5.0, std=0.1))
    told = desk.tell(Answer("NaCl", value=5.3, std=0.2), Answer("LiF", value=8.9, std=0.2), repeated="add")
    assert told.outcomes == {"averaged": 2}
    weights = 1 / 0.1**2, 1 / 0.2**2
    mean = (5.0 * weights[0] + 5.3 * weights[1]) / sum(weights)
    birge = (((5.0 - mean) / 0.1) ** 2 + ((5.3 - mean) / 0.2) ** 2) ** 0.5
    assert desk.gap("NaCl") == pytest.approx((mean, birge * sum(weights) ** -0.5))
    assert desk.gap("LiF") == pytest.approx((8.8, 0.2 / 2**0.5))
    assert len(desk.state.told[2]) == 2
    assert "2 measurements" in told.notes[0]


def test_equal_replicates_of_one_file_count_and_the_same_file_told_again_does_not(desk: Desk) -> None:
    rows = [Answer("NaCl", value=v) for v in (5.0, 5.3, 5.0)]
    assert desk.tell(*rows, repeated="add").outcomes == {"answered": 1, "averaged": 2}
    assert desk.gap("NaCl")[0] == pytest.approx(15.3 / 3)
    assert desk.tell(*rows, repeated="add").known == 3
    grown = desk.tell(*rows, Answer("NaCl", value=5.0), repeated="add")
    assert (grown.outcomes, grown.known) == ({"averaged": 1}, 3)


def test_an_answer_of_a_model_is_corrected_and_never_averaged(desk: Desk) -> None:
    (bad,) = desk.tell(Answer("KCl", value=8.0), repeated="add").refused
    assert "is an answer of random_forest" in bad.reason
    assert desk.tell(Answer("KCl", value=8.0), repeated="replace").outcomes == {"replaced": 1}
    assert desk.gap("KCl") == (8.0, None)


def test_a_correction_stands_alone_and_several_rows_of_it_together(desk: Desk) -> None:
    desk.tell(Answer("NaCl", value=5.0), Answer("CO", value=1.0))
    rows = [Answer("NaCl", value=8.4), Answer("NaCl", value=8.6), Answer("CO", error="the sample was another")]
    assert desk.tell(*rows, repeated="replace").outcomes == {"replaced": 2, "averaged": 1}
    assert desk.gap("NaCl")[0] == pytest.approx(8.5)
    assert desk.of("CO").state is TrialState.FAILED
    assert desk.tell(*rows, repeated="replace").known == 3
    assert desk.tell(Answer("NaCl", value=8.7), repeated="add").outcomes == {"averaged": 1}
    assert desk.gap("NaCl")[0] == pytest.approx((8.4 + 8.6 + 8.7) / 3)
    assert desk.tell(Answer("CO", value=1.2)).outcomes == {"answered": 1}


def test_what_failed_may_succeed_later_but_fails_once(desk: Desk) -> None:
    desk.tell(Answer("NaCl", error="walltime"))
    (bad,) = desk.tell(Answer("NaCl", error="memory")).refused
    assert "has failed before, as trial 2: walltime" in bad.reason
    assert desk.tell(Answer("NaCl", value=5.0)).outcomes == {"answered": 1}
    (bad,) = desk.tell(Answer("NaCl", error="memory")).refused
    assert "an error takes --replace" in bad.reason


def test_rejected_unlearnable_and_surprising_answers_are_told_of(desk: Desk) -> None:
    told = desk.tell(Answer("ZnO", value=3.3), Answer("Na24Cl23", value=5.0), Answer("NaCl", value=9.9))
    assert told.outcomes == {"added": 2, "answered": 1}
    assert "ZnO had been rejected (novelty: known to builtin)" in told.notes[0]
    assert "cannot be learned from: the count 24 of Na exceeds 20" in told.notes[1]
    assert "9.9 eV was told where 1.00 ± 0.50 eV was expected" in told.notes[2]
    assert (desk.of("ZnO").candidate.source, desk.of("ZnO").iteration) == (Source.USER, 1)


def test_comments_sources_and_other_units_stay_with_the_record(desk: Desk, tmp_path: Path) -> None:
    path = tmp_path / "lab.csv"
    path.write_text("formula,gap_meV,std,comment,furnace\nNaCl,5100,100,second try,B\nCO,,,,\n")
    told = tell(desk, path)  # type: ignore[arg-type]
    assert (told.outcomes, told.unanswered, str(told)) == (
        {"answered": 1},
        1,
        "1 answered, 1 not filled in yet, 0 refused",
    )
    (kept,) = desk.state.told[2]
    assert kept["notes"] == {"comment": "second try", "furnace": "B"}
    assert (kept["value"], kept["std"], kept["written"]) == (5.1, 0.1, "5100 ± 100 meV")
    assert (kept["file"], kept["line"]) == ("lab.csv", 2)
    assert desk.of("NaCl").prediction.oracle.name == "told:lab.csv"


def test_a_rehearsal_records_nothing(desk: Desk) -> None:
    before = desk.state
    rows = [Answer("NaCl", value=5.0), Answer("NaCl", value=5.1), Answer("RbF", value=7.0)]
    told = desk.tell(*rows, dry=True)
    assert (told.outcomes, len(told.refused)) == ({"answered": 1, "added": 1}, 1)
    assert desk.state == before


def test_only_what_waits_can_be_withdrawn_or_released(desk: Desk) -> None:
    assert pending_of(desk.state, ["Cl2Na2", "3", "00004_Co.cif"]) == [2, 3, 4]
    for wrong, message in (("LiF", "waits for no answer"), ("99", "there is no trial 99"), ("what", "unexpected .w.")):
        with pytest.raises(InputError, match=message):
            pending_of(desk.state, ["NaCl", wrong])


def test_other_remarks_make_a_measurement_another_only_where_repetitions_count(desk: Desk) -> None:
    desk.tell(Answer("NaCl", value=5.0, notes={"seconds": "31"}))
    again = Answer("NaCl", value=5.0, notes={"seconds": "29"})
    assert desk.tell(again).known == 1
    assert desk.tell(again, repeated="replace").known == 1
    assert desk.tell(again, repeated="add").outcomes == {"averaged": 1}


def test_a_row_that_stands_twice_in_a_file_counts_once(desk: Desk) -> None:
    rows = [
        Answer("NaCl", value=5.0),
        Answer("ClNa", value=5.0),
        Answer("CO", error="lost"),
        Answer(trial=3, error="lost"),
    ]
    told = desk.tell(*rows)
    assert (told.outcomes, told.known, told.refused) == ({"answered": 1, "failed": 1}, 2, ())


def test_what_waits_again_is_answered_again(desk: Desk) -> None:
    lost = Answer("CO", error="walltime")
    desk.tell(lost)
    desk.record("retried", {"trials": [3]})
    assert desk.tell(lost).outcomes == {"failed": 1}


def test_a_formula_s_story_tells_every_question_and_measurement(desk: Desk) -> None:
    from aldesign.report.narrative_outside import outside_sentences

    desk.record("asked", {"questions": [vars(Asked(2, "Oslo", 0.0, "00002_NaCl.cif"))]})
    trial = desk.of("NaCl")
    (asked,) = outside_sentences(desk.state, trial)
    assert asked == "Asked of Oslo on 1970-01-01 00:00 UTC, with the crystal of 00002_NaCl.cif; no answer has come yet."
    desk.tell(Answer("NaCl", value=5.0, std=0.1, written="5000 ± 100 meV", file="a.csv", line=2))
    desk.tell(Answer("NaCl", value=5.2, notes={"comment": "film"}), repeated="add")
    _, first, second = outside_sentences(desk.state, desk.of("NaCl"))
    assert first == "Told 5.00 ± 0.10 eV, written as 5000 ± 100 meV (a.csv, line 2)."
    assert second == "Told 5.20 eV, averaged with those before. comment: film."
