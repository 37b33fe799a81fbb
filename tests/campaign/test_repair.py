"""What failed for a reason outside the crystal is asked again, and then nothing shows but the number of attempts."""

from __future__ import annotations

from pathlib import Path

import pytest

from aldesign.campaign import measuring
from aldesign.campaign.campaign import Campaign
from aldesign.campaign.journal import Journal
from aldesign.campaign.reading import read_state
from aldesign.campaign.repair import repairable, unanswered
from aldesign.campaign.spec import read_spec
from aldesign.campaign.state import fold
from aldesign.errors import CalculationError
from aldesign.records import Candidate, OracleCard, OracleIdentity, Prediction, TrialState

FORMULAS = ("LiF", "NaF", "KF", "LiCl", "NaCl", "KCl", "MgO", "CaO")
CAMPAIGN = """
name: repaired
target: {maximize: true}
space: {pool: pool.txt}
data: {source: table, path: seeds.csv}
acquisition: {kind: random}
screens: [duplicate]
oracle: {kind: lookup, options: {path: gaps.csv}}
structures: {relax: none, max_sites: 1}
batch_size: 4
stop: {iterations: 2}
"""


class Flaky:
    """Knows gaps, and fails as a laboratory does: for what the crystal is, or for what the machine lacks."""

    card = OracleCard(OracleIdentity("flaky", "1"))
    broken = True

    def predict(self, candidates: list[Candidate]) -> list[Prediction]:
        (candidate,) = candidates
        formula = candidate.formula
        if formula in {"MgO", "CaO"}:
            raise CalculationError("element", f"no data set for {formula}")
        if self.broken and formula in {"LiF", "NaF", "KF"}:
            kind = {"LiF": "unavailable", "NaF": "disk", "KF": "time"}[formula]
            raise CalculationError(kind, "not today")
        return [Prediction(float(FORMULAS.index(formula)), 0.1, "eV", self.card.identity, "PBE")]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pool.txt").write_text("\n".join(FORMULAS))
    (tmp_path / "gaps.csv").write_text("formula,band_gap\nLiF,1\n")
    (tmp_path / "seeds.csv").write_text("formula,band_gap\nRbI,2.2\nCsI,1.8\n")
    (tmp_path / "repaired.yaml").write_text(CAMPAIGN)
    monkeypatch.setattr(measuring, "_loaded", _Everyone())
    monkeypatch.setattr(Flaky, "broken", True)
    return tmp_path


class _Everyone(dict):
    def get(self, key: object, default: object = None) -> Flaky:
        return Flaky()


def begun(folder: Path, name: str = "run") -> Path:
    with Campaign.create(read_spec(folder / "repaired.yaml"), folder / name) as campaign:
        campaign.run()
    return folder / name


def outcome(run: Path) -> list[tuple[object, ...]]:
    state, _ = read_state(run)
    return [
        (t.number, t.iteration, t.candidate.formula, t.state, t.prediction and (t.prediction.value, t.prediction.error))
        for _, t in sorted(state.trials.items())
    ]


def test_failed_trials_are_asked_again_and_equal_a_run_that_never_failed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = begun(folder)
    state, _ = read_state(run)
    assert len(unanswered(state)) == 5
    assert {t.candidate.formula for t in repairable(state)} == {"LiF", "NaF", "KF"}
    assert {t.prediction.facts["failure"] for t in unanswered(state)} == {"element", "unavailable", "disk", "time"}
    monkeypatch.setattr(Flaky, "broken", False)
    with Campaign.open(run) as campaign:
        campaign.retry()
        assert {t.candidate.formula for t in campaign.state.pending} == {"LiF", "NaF", "KF"}
    with Campaign.open(run) as campaign:  # killed in between: the journal knows who waits
        reason = campaign.run()
        assert reason.startswith("2 iterations done")
        assert campaign.retry() == []
        assert {t.attempts for t in campaign.state.measured if t.iteration} == {1, 2}
    # a random choice does not depend on answers, so that the whole courses can be compared
    assert outcome(run) == outcome(begun(folder, "sound"))


def test_the_state_is_still_the_fold_of_the_journal(folder: Path) -> None:
    run = begun(folder)
    with Campaign.open(run) as campaign:
        first = campaign.state
        campaign.retry()
        waiting = {t.number for t in campaign.state.pending}
        assert waiting == {t.number for t in repairable(first)}
        assert all(campaign.state.trials[n].prediction is None for n in waiting)
        assert campaign.state.paid == first.paid - len(waiting)
        with Journal(run) as journal:
            assert fold(journal.events()).trials == campaign.state.trials
        campaign.run()  # it fails as before
        assert [t.attempts for t in unanswered(campaign.state)].count(2) == 3
        assert {t.state for t in campaign.state.trials.values()} == {TrialState.MEASURED, TrialState.FAILED}


def test_the_command_line_says_how_many_are_asked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from aldesign.cli.app import run as command

    run = begun(folder)
    assert command(["resume", str(run), "--retry", "--quiet"]) == 0
    assert "3 of 5 candidates without a value are asked again" in capsys.readouterr().err
    assert (run / "report.html").is_file()
