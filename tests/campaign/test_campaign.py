"""Whole campaigns on the shipped models: the same table, however often they are interrupted."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aldesign.campaign.asking import write_questions
from aldesign.campaign.campaign import Campaign
from aldesign.campaign.export import export
from aldesign.campaign.journal import Journal
from aldesign.campaign.reading import read_state
from aldesign.campaign.spec import ExecutionSpec, read_spec
from aldesign.campaign.summary import story, summarise
from aldesign.campaign.telling import tell
from aldesign.errors import AldesignError, InputError, RunDirectoryError
from aldesign.records import Source, TrialState

TINY = Path(__file__).parent / "tiny.yaml"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the run directory of an uninterrupted campaign in this process."""
    directory = tmp_path_factory.mktemp("runs") / "whole"
    with Campaign.create(read_spec(TINY), directory) as campaign:
        campaign.run()
        export(campaign.state, campaign.spec, directory / "export")
    return directory


def table(directory: Path) -> str:
    return (directory / "export" / "candidates.csv").read_text() + (directory / "export" / "set_aside.csv").read_text()


def test_the_loop_measures_new_neutral_formulas_only(finished: Path) -> None:
    from smact.screening import smact_validity

    state, spec = read_state(finished)
    assert state.iterations == 3
    assert state.stopped.startswith("3 iterations done")
    proposed = [t for t in state.measured if t.iteration > 0]
    formulas = [t.candidate.formula for t in state.measured]
    assert len(proposed) == 12
    assert len(set(formulas)) == len(formulas)
    assert all(smact_validity(t.candidate.formula, include_alloys=False) for t in proposed)
    assert all(t.expected is not None and t.score is not None for t in proposed)
    assert {t.candidate.source for t in state.trials.values()} >= {Source.SEED, Source.LATENT, Source.GAN}
    assert summarise(state, spec)["oracle_answers"] == 12


def test_rejected_candidates_are_kept_with_their_reasons(finished: Path) -> None:
    state, _ = read_state(finished)
    rejected = state.in_state(TrialState.REJECTED)
    assert rejected
    for trial in rejected:
        assert trial.prediction is None
        assert [v for v in trial.verdicts if not v.passed and v.reason]


def test_proposals_are_written_before_they_are_paid_for(finished: Path) -> None:
    with Journal(finished) as journal:
        seen: set[int] = set()
        for event in journal.events():
            if event.kind == "proposed":
                seen |= {row["number"] for row in event.payload["trials"]}
            elif event.kind == "answered":
                assert event.payload["trial"] in seen


@pytest.mark.filterwarnings("ignore:Issues encountered while parsing CIF:UserWarning")  # a third, to eight digits
def test_the_export_matches_row_for_row(finished: Path) -> None:
    from pymatgen.core import Composition, Structure

    with (finished / "export" / "candidates.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    assert rows
    assert sorted(p.name for p in (finished / "export").glob("*.cif")) == sorted(row["cif"] for row in rows)
    for row in rows:
        structure = Structure.from_file(finished / "export" / row["cif"])
        assert structure.composition.reduced_formula == Composition(row["formula"]).reduced_formula
        assert float(row["formation_energy_ev_per_atom"]) <= 0.5


def run_command(*arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "aldesign", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)


def wait_for_events(directory: Path, number: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with Journal(directory) as journal:
                if sum(1 for _ in journal.events()) >= number:
                    return
        except RunDirectoryError:
            pass
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_three_kills_and_two_workers_change_nothing(finished: Path, tmp_path: Path) -> None:
    directory = tmp_path / "killed"
    total = 0
    with Journal(finished) as journal:
        total = sum(1 for _ in journal.events())
    moments = [3, total // 2, total - 1]
    arguments: list[object] = ["run", TINY, "--out", directory, "--workers", 2, "--quiet"]
    for moment in moments:
        with run_command(*arguments) as process:
            wait_for_events(directory, moment, process)
            assert process.poll() is None, "the campaign ended before it could be killed"
            os.kill(process.pid, signal.SIGKILL)
        arguments = ["resume", directory, "--quiet"]
    with run_command(*arguments) as process:
        assert process.wait(timeout=300) == 0
    assert table(directory) == table(finished)


def test_worker_processes_give_the_same_table(finished: Path, tmp_path: Path) -> None:
    with Campaign.create(read_spec(TINY), tmp_path / "two") as campaign:
        campaign.run(execution=ExecutionSpec(kind="processes", workers=2))
        export(campaign.state, campaign.spec, tmp_path / "two" / "export")
    assert table(tmp_path / "two") == table(finished)


def test_stopping_after_each_iteration_gives_the_same_table(finished: Path, tmp_path: Path) -> None:
    directory = tmp_path / "steps"
    with Campaign.create(read_spec(TINY), directory) as campaign:
        campaign.run(iterations=1)
    for _ in range(2):
        with Campaign.open(directory) as campaign:
            campaign.run(iterations=1)
            export(campaign.state, campaign.spec, directory / "export")
    with Campaign.open(directory) as campaign:
        assert campaign.run().startswith("3 iterations done")
        export(campaign.state, campaign.spec, directory / "export")
    assert table(directory) == table(finished)


def test_every_story_ends_with_a_conclusion(finished: Path) -> None:
    state, spec = read_state(finished)
    seed = story(state, spec, "ClNa")
    assert seed["formula"] == "NaCl"
    assert "seed row" in seed["conclusion"]
    rejected = state.in_state(TrialState.REJECTED)[0].candidate.formula
    assert "rejected before any oracle was asked" in story(state, spec, rejected)["conclusion"]
    assert "never proposed" in story(state, spec, "U3Np2")["conclusion"]
    assert "number 1 of the exported" in story(state, spec, exported_formula(finished))["conclusion"]


def exported_formula(directory: Path) -> str:
    with (directory / "export" / "candidates.csv").open() as handle:
        return next(csv.DictReader(handle))["formula"]


def test_a_used_directory_is_refused(finished: Path) -> None:
    with pytest.raises(RunDirectoryError, match="is not empty"):
        Campaign.create(read_spec(TINY), finished)


def test_other_weights_are_refused(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aldesign.campaign.parts import Parts

    monkeypatch.setattr(Parts, "digests", lambda self: {"oracle": "other", "encoder": "", "generator": ""})
    with pytest.raises(AldesignError, match="the oracle has digest other, but this run began with"):
        Campaign.open(finished)


def test_ask_and_tell_in_any_order_with_pending_respected(tmp_path: Path) -> None:
    spec = read_spec(TINY, ("oracle.kind=external", "stop={budget: 8}"))
    directory = tmp_path / "lab"
    with Campaign.create(spec, directory) as campaign:
        first = campaign.ask(3)
        assert len(first) == 3
    with Campaign.open(directory) as campaign:
        more = [*first, *campaign.ask(2)]
        assert len({t.candidate.formula for t in more}) == 5
        rows = write_questions(campaign.state, [t.number for t in more], tmp_path / "cifs")
    assert all(bool(row["cif"]) == (row["cif"] != "" and Path(row["cif"]).is_file()) for row in rows)
    results = tmp_path / "results.csv"
    formulas = [t.candidate.formula for t in more]
    results.write_text(
        "formula,value,std,error\n"
        f"{formulas[4]},4.5,0.1,\n"
        f"{formulas[1]},3.5,,\n"
        f"{formulas[2]},,,did not converge\n"
        "RbF,7.0,,\n"
        "Xx2O,1.0,,\n"
        "RbCl,-3,,\n"
        "NaCl,5.0,,\n"
    )
    with Campaign.open(directory) as campaign:
        told = tell(campaign, results)
        assert dict(told.outcomes) == {"answered": 2, "failed": 1, "added": 1}
        assert [row.line for row in told.refused] == [6, 7, 8]
        assert "'Xx'" in told.refused[0].reason
        assert [t.candidate.formula for t in campaign.state.pending] == [formulas[0], formulas[3]]
        rubidium = campaign.state.of_formula("RbF")[-1]  # it may have been proposed before, and refused as known
        assert (rubidium.candidate.source, rubidium.state) == (Source.USER, TrialState.MEASURED)
        assert tell(campaign, results).outcomes == {}
        assert "wait for answers" in campaign.run()


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "is empty"), ("formula,value\n", "holds no rows"), ("a,b\n1,2\n", "one formula, trial or cif is needed")],
)
def test_unusable_answers_are_refused(tmp_path: Path, content: str, message: str) -> None:
    spec = read_spec(TINY, ("oracle.kind=external",))
    results = tmp_path / "results.csv"
    results.write_text(content)
    with Campaign.create(spec, tmp_path / "lab") as campaign, pytest.raises(InputError, match=message):
        tell(campaign, results)


def test_a_run_killed_before_its_first_event_begins_anew_with_its_own_models(tmp_path: Path) -> None:
    table = tmp_path / "gaps.csv"
    table.write_text("formula,band_gap\nNaCl,5.0\nKCl,5.1\nLiF,8.7\n")
    assignments = ("oracle.kind=lookup", f"oracle.options.path={table}")
    directory = tmp_path / "begun"
    with Campaign.create(read_spec(TINY, assignments), directory):
        pass
    for leftover in directory.glob("campaign.sqlite*"):
        leftover.unlink()
    table.unlink()
    with Campaign.open(directory) as campaign:
        assert campaign.state.created["oracle"]["name"] == "lookup"
        assert len(campaign.state.measured) == 16


def test_seed_rows_that_cannot_be_learned_from_are_told_or_refused(tmp_path: Path) -> None:
    table = tmp_path / "gaps.csv"
    spec = read_spec(TINY, (f"data.path={table}",))
    table.write_text("formula,band_gap\nNa0.5Cl0.51,5.0\nK0.3Cl,5.1\nLiF,8.7\n")
    with pytest.raises(InputError, match="at least 2 seed rows, and has 1: 2 of 3"):
        Campaign.create(spec, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    table.write_text("formula,band_gap\nNa0.5Cl0.51,5.0\nKCl,5.1\nLiF,8.7\n")
    with Campaign.create(spec, tmp_path / "run") as campaign:
        assert "1 of 3 seed rows are not learned from" in campaign.state.created["seed"]["notes"][-1]


def test_crystals_of_an_interrupted_export_do_not_stay(finished: Path, tmp_path: Path) -> None:
    state, spec = read_state(finished)
    foreign = tmp_path / "001_Mine.cif"
    foreign.write_text("data_mine")
    export(state, spec, tmp_path)
    (tmp_path / "candidates.csv").unlink()
    export(state, spec, tmp_path, top=1)
    assert len(list(tmp_path.glob("*.cif"))) == 2
    assert foreign.exists()
    with pytest.raises(InputError, match="cannot be a folder"):
        export(state, spec, foreign)
