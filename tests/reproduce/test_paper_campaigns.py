"""The shipped campaigns of the paper's experiments, and what is taken from them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aldesign.campaign.spec import read_spec
from aldesign.campaign.state import CampaignState
from aldesign.cli.app import run
from aldesign.records import Candidate, LabelledRow, OracleIdentity, Prediction, Source, Trial, TrialState
from aldesign.reproduce.labelling import campaign_file, campaign_of, first_above, joined, labels_of
from aldesign.reproduce.paper import CANDIDATE_EV, EXPERIMENTS, LABELS, START_ITERATIONS
from aldesign.reproduce.tables import FILES

WHO = OracleIdentity("random_forest", "1")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_each_is_a_valid_campaign(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ALDESIGN_DATA", str(tmp_path))
    spec = read_spec(campaign_file(name))
    assert spec.name == f"paper-{name}"
    assert spec.target.maximize
    if name in LABELS:
        assert spec.stop.budget == LABELS[name]
        assert spec.data.path == str(tmp_path / "agd" / FILES[f"{name}-bs"])
    if name == "exp4":
        assert (spec.stop.target, spec.stop.iterations) == (CANDIDATE_EV, START_ITERATIONS)


def test_they_are_listed_and_known_by_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "campaigns", "--json"]) == 0
    listed = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert {f"paper/{name}" for name in EXPERIMENTS} <= listed.keys()
    assert all(row["about"] for row in listed.values())
    assert [name for name in listed if name.startswith("paper/exp")] == [f"paper/{name}" for name in EXPERIMENTS]


@pytest.mark.data
def test_one_can_be_checked_by_its_name(
    reference_data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ALDESIGN_DATA", str(reference_data))
    assert run(["check", "paper/exp3", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["seed_rows"].startswith("300 from")
    assert told["oracle_answers_at_most"] == LABELS["exp3"]


def test_rows_oracle_and_other_values_are_replaced(tmp_path: Path) -> None:
    changes = {"stop.budget": 7, "batch_size": 3}
    spec = campaign_of("exp3", tmp_path / "rows.csv", "random_forest", tmp_path / "forest", 5, changes)
    assert (spec.data.path, spec.oracle.model) == (str(tmp_path / "rows.csv"), str(tmp_path / "forest"))
    assert (spec.oracle.kind, spec.seed, spec.stop.budget, spec.batch_size) == ("random_forest", 5, 7, 3)
    assert spec.execution.kind == "serial"


def trial(number: int, iteration: int, value: float | None) -> Trial:
    state = TrialState.MEASURED if value is not None else TrialState.FAILED
    return Trial(
        number,
        iteration,
        Candidate(f"Li{number + 2}F", Source.GAN if iteration else Source.SEED),
        state,
        prediction=Prediction(value, None, "eV", WHO, "PBE"),
    )


def state_of(*values: tuple[int, float | None]) -> CampaignState:
    return CampaignState(trials={i: trial(i, iteration, value) for i, (iteration, value) in enumerate(values)})


def test_the_first_wide_gap_is_found_among_paid_labels_only() -> None:
    state = state_of((0, 9.0), (1, 2.0), (1, None), (2, 5.9), (2, 6.1), (2, 8.0))
    found = first_above(state)
    assert (found["found"], found["iterations"], found["labels"]) == (True, 2, 3)
    assert found["paid"] == 5  # a failed answer and the rest of the batch cost as much
    assert (found["best_ev"], found["best_formula"]) == (8.0, "Li7F")
    assert [row.value for row in labels_of(state)] == [2.0, 5.9, 6.1, 8.0]
    nothing = first_above(state_of((0, 9.0), (1, 6.0)))  # above 6 eV, not 6 eV
    assert (nothing["found"], nothing["labels"]) == (False, 1)


def test_of_a_formula_paid_for_twice_the_first_label_stands() -> None:
    base = [LabelledRow("LiF", 8.0), LabelledRow("NaCl", 5.0)]
    both = joined(base, [LabelledRow("LiF", 7.0), LabelledRow("MgO", 4.5)])
    assert [(row.formula, row.value) for row in both] == [("LiF", 8.0), ("NaCl", 5.0), ("MgO", 4.5)]
    assert joined(base, [LabelledRow("MgO", 4.5)], test=[LabelledRow("MgO", 4.4)]) == base  # none of the test
