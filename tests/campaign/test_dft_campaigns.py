"""The shipped campaigns of first-principles calculations, with a toy in the place of the code that computes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from dft_toys import ToyCode

from aldesign.campaign.campaign import Campaign
from aldesign.campaign.export import export
from aldesign.campaign.parts import Parts
from aldesign.campaign.reading import read_state
from aldesign.campaign.spec import CampaignSpec, read_spec
from aldesign.campaign.summary import summarise
from aldesign.campaign.validation import validation
from aldesign.errors import AldesignError, InputError
from aldesign.records import Source, TrialState

ROOT = Path(__file__).parents[2]
RUN = ROOT / "tests" / "data" / "run"


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyCode:
    return ToyCode(tmp_path, monkeypatch)


def shipped(name: str, folder: Path, *changes: str) -> CampaignSpec:
    here = (f"oracle.options.store={folder / 'kept.sqlite'}", "execution={kind: serial}")
    return read_spec(ROOT / "campaigns" / f"{name}.yaml", (*here, *changes))


def test_a_check_that_had_no_code_is_repaired_when_there_is_one(toy: ToyCode, tmp_path: Path) -> None:
    toy.go("GPAW is not installed; do this")
    with Campaign.create(shipped("dft_check", tmp_path, f"data.path={RUN}"), tmp_path / "run") as begun:
        begun.run()
        found = validation(begun.state)
        assert found is not None
        assert [check.reason for check in found.checks] == ["GPAW is not installed; do this"] * 3
        export(begun.state, begun.spec, tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.cif"))) == 3  # the crystals wait for a code
    toy.go("here")
    with Campaign.open(tmp_path / "run") as opened:
        assert len(opened.retry()) == 3
        opened.run()
        export(opened.state, opened.spec, tmp_path / "out")
    with (tmp_path / "out" / "validation.csv").open() as handle:
        rows = list(csv.DictReader(handle))
    with (RUN / "candidates.csv").open() as handle:
        claimed = {row["formula"]: row["gap_ev"] for row in csv.DictReader(handle)}
    assert {row["formula"]: row["predicted_gap_ev"] for row in rows} == claimed
    for row in rows:
        assert row["crystal"] == "the run's, relaxed"
        assert float(row["error_ev"]) == pytest.approx(float(row["predicted_gap_ev"]) - float(row["computed_gap_ev"]))
    assert len(toy.paid()) == 3


def test_no_run_to_check_is_told_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALDESIGN_RUN", raising=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="is not there") as error:
        Campaign.create(shipped("dft_check", tmp_path), tmp_path / "run")
    assert "--set data.path=" in str(error.value)
    assert not (tmp_path / "run").exists()


def test_a_code_installed_since_is_no_other_oracle(make_spec) -> None:
    parts = Parts(make_spec("oracle.kind=dft"))
    now = parts.digests()["oracle"]
    recipe = now.partition("-")[0]
    parts.digests = lambda: {"oracle": f"{recipe}-gpaw-99"}  # type: ignore[method-assign]
    parts.refuse_other_weights({"oracle": recipe})
    for other in (f"{recipe}-gpaw-98", "0123456789abcdef"):
        with pytest.raises(AldesignError, match="the oracle has digest"):
            parts.refuse_other_weights({"oracle": other})


def test_a_loop_pays_only_for_formulas_that_a_template_fits_and_exports_what_was_computed(
    toy: ToyCode, tmp_path: Path
) -> None:
    small = (
        "data.limit=12",
        "acquisition={kind: ucb, proposals: 12, samples: 60}",
        "generator=null",
        "mutations={samples: 300, fraction: 0.5}",
        "oracle.options.relax=none",
        "structures.relax=none",
        "shortlist={size: 1, formation_energy_per_atom: null}",
        "batch_size=2",
        "stop={iterations: 2}",
    )
    with Campaign.create(shipped("dft_loop", tmp_path, *small), tmp_path / "run") as begun:
        begun.run()
    state, spec = read_state(tmp_path / "run")
    asked = [t for t in state.trials.values() if t.iteration > 0 and t.state is not TrialState.REJECTED]
    assert len(asked) == 4
    for trial in asked:
        assert trial.state is TrialState.MEASURED
        assert trial.candidate.source is not Source.SEED
        assert any(v.screen == "structure" and v.passed for v in trial.verdicts)
        assert trial.prediction is not None
        assert len(trial.prediction.facts["crystal"]["species"]) <= 8
    for trial in (t for t in state.trials.values() if t.state is TrialState.REJECTED):
        assert any(not v.passed for v in trial.verdicts)
    ((number, record),) = state.structures.items()
    computed = state.trials[number].prediction.facts["crystal"]
    assert record.facts["crystal"]["species"] == computed["species"]
    assert record.facts["crystal"]["lattice"] == pytest.approx(computed["lattice"], abs=1e-5)
    assert json.loads(json.dumps(summarise(state, spec)))["validation"] is None
