"""Words and terminal tables: true to the state, within 80 columns, and plain about what labels are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console, RenderableType

from aldesign.campaign.ranking import objective, shortlist
from aldesign.campaign.reading import read_state
from aldesign.records import OracleIdentity, TrialState
from aldesign.report import facts, tables
from aldesign.report.calibration import Calibration


def printed(renderable: RenderableType, width: int = 80) -> str:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(renderable)
    return captured.get()


@pytest.mark.parametrize("target", [{"maximize": True}, {"minimize": True}, {"window": [2.0, 3.0]}])
def test_best_so_far_never_gets_worse(build: Any, target: dict[str, Any]) -> None:
    state, spec = read_state(build(target=target))
    done = facts.progress(state, spec)
    utility = objective(spec).utility(done.best)
    assert (np.diff(utility) >= 0).all()
    answered = [t for t in state.trials.values() if t.iteration > 0 and t.prediction is not None]
    assert len(done.gaps) == len(answered) == state.paid
    everything = [t.prediction.value for t in state.measured if t.prediction]
    assert utility[-1] == objective(spec).utility(np.array(everything)).max()
    assert np.isnan(done.gaps).sum() == len(state.in_state(TrialState.FAILED))


def test_rejections_count_every_failed_verdict(build: Any) -> None:
    state, _ = read_state(build())
    found = facts.rejections(state)
    assert sum(map(len, found.values())) == len(state.in_state(TrialState.REJECTED))
    assert all(not verdict.passed for rows in found.values() for _, verdict in rows)
    assert list(map(len, found.values())) == sorted(map(len, found.values()), reverse=True)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("random_forest", "predictions of the oracle"),
        ("lookup", "looked up in a table"),
        ("external", "told from outside"),
    ],
)
def test_labels_say_what_they_are(build: Any, kind: str, said: str) -> None:
    state, spec = read_state(build(oracle=kind, iterations=1))
    text = facts.labels_text(state.measured, spec)
    assert said in text
    assert "PBE" in text
    assert ("stands in for DFT" in text) == (kind != "external")


def test_told_values_are_not_called_predictions(build: Any) -> None:
    state, spec = read_state(build(iterations=1))
    last = state.measured[-1]
    assert last.prediction is not None
    told = replace(last.prediction, oracle=OracleIdentity("told:lab.csv", ""), level="experiment")
    text = facts.labels_text([*state.measured[:-1], replace(last, prediction=told)], spec)
    assert "1 of the gaps were told from outside (level experiment)" in text
    assert "random_forest (level PBE)" in text


def test_labels_of_a_seed_table_are_named(build: Any) -> None:
    state, spec = read_state(build(iterations=1))
    first = state.measured[0]
    assert first.prediction is not None
    labelled = replace(first.prediction, oracle=OracleIdentity("table:gaps.csv", ""), level="HSE")
    text = facts.labels_text([replace(first, prediction=labelled), *state.measured[1:]], spec)
    assert text.endswith("Seed labels: gaps.csv (level HSE).")


@pytest.mark.parametrize("options", [{}, {"open_iteration": True, "structures": False}, {"seeds": 0, "iterations": 0}])
@pytest.mark.parametrize("width", [80, 40])
def test_tables_fit_the_terminal(build: Any, options: dict[str, Any], width: int) -> None:
    state, spec = read_state(build(**options))
    listed = shortlist(state, spec)
    for table in (
        tables.ranked_table(listed, spec),
        tables.set_aside_table(listed, spec),
        tables.status_table(state, spec),
    ):
        assert all(len(line) <= width for line in printed(table, width).splitlines())


def test_ranked_table_is_one_line_a_candidate_and_names_the_stand_in(build: Any) -> None:
    state, spec = read_state(build())
    listed = shortlist(state, spec)
    text = printed(tables.ranked_table(listed, spec))
    lines = text.splitlines()
    for item in listed.accepted:
        prediction = item.trial.prediction
        assert prediction is not None
        (line,) = [row for row in lines if row.split()[1:2] == [item.trial.candidate.formula]]
        assert f"{prediction.value:.2f} ± {prediction.std:.2f}" in line
        assert ("*" in line) == (prediction.in_domain is False)
    assert "level PBE" in text
    assert "stands in" in text
    assert "* beyond the oracle's training data" in text


def test_set_aside_names_reasons_as_they_are(build: Any) -> None:
    state, spec = read_state(build(reason="[red]odd[/red] <b>", iterations=1))
    assert "[red]odd[/red] <b>" in printed(tables.set_aside_table(shortlist(state, spec), spec))


def test_status_agrees_with_the_state(build: Any) -> None:
    state, spec = read_state(build())
    text = printed(tables.status_table(state, spec), 120)
    calibration = Calibration.of(state.measured)
    assert f"{100 * calibration.coverage(0.95):.0f} % within 95 %" in text
    assert f"{state.paid} paid for in 4 iterations, 4 failed" in text
    assert "stopped: 4 iterations done" in text


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.21, "4.2 s"), (59.97, "1 min 00 s"), (185, "3 min 05 s"), (3720, "1 h 02 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert facts.duration_text(seconds) == text


def test_oxidation_states_of_a_trial(build: Any) -> None:
    state, _ = read_state(build())
    trial = next(t for t in state.measured if t.iteration == 1)
    found = facts.oxidation_states(trial)
    assert set(found) == set(facts.elements(trial.candidate.formula))
    text = facts.oxidation_text(trial)
    assert all(f"{s} {'−' if v < 0 else '+'}{abs(v)}" in text for s, v in found.items())
