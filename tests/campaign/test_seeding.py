"""What a campaign begins with: measured where the levels agree, asked for where they do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aldesign.campaign.checking import check_campaign
from aldesign.campaign.seeding import seed_trials
from aldesign.campaign.spec import CampaignSpec
from aldesign.datasets.builtin import builtin_formulas, builtin_rows, builtin_set, lowest
from aldesign.errors import SpecError
from aldesign.records import Source, TrialState

Maker = Callable[..., CampaignSpec]


def test_built_in_compounds_are_measured_for_an_oracle_of_their_level(make_spec: Maker) -> None:
    trials, facts = seed_trials(make_spec("data.source=builtin"), "PBE")
    assert [trial.candidate.formula for trial in trials] == [row.formula for row in builtin_rows()]
    assert {trial.state for trial in trials} == {TrialState.MEASURED}
    for number, trial in enumerate(trials):
        answer = trial.prediction
        assert (trial.number, trial.iteration, trial.candidate.source) == (number, 0, Source.SEED)
        assert answer is not None
        assert (answer.level, answer.unit, answer.std) == ("PBE", "eV", None)
        assert answer.value == lowest()[trial.candidate.formula].gap_ev
        assert (answer.oracle.name, answer.oracle.digest) == ("builtin", builtin_set().digest)
        assert trial.candidate.structure_id == lowest()[trial.candidate.formula].crystal.id
    assert facts["rows"] == len(trials)
    assert builtin_set().digest in facts["origin"]


@pytest.mark.parametrize("level", ["experiment", "GLLB-SC", "HSE"])
def test_levels_are_not_mixed(make_spec: Maker, level: str) -> None:
    trials, facts = seed_trials(make_spec("data.source=builtin"), level)
    assert {trial.state for trial in trials} == {TrialState.PENDING}
    assert [trial.candidate.formula for trial in trials] == builtin_formulas()
    assert all(trial.prediction is None for trial in trials)
    (note,) = facts["notes"]
    assert f"the oracle gives {level}" in note


def test_a_level_that_the_built_in_data_does_not_have_is_refused(make_spec: Maker) -> None:
    with pytest.raises(SpecError, match=r"data\.level is HSE, the built-in gaps are PBE"):
        seed_trials(make_spec("data.source=builtin", "data.level=HSE"), "PBE")


def test_answers_from_outside_are_not_mixed_with_rows_of_another_level(make_spec: Maker, tmp_path: Path) -> None:
    (tmp_path / "gaps.csv").write_text("formula,band_gap\nRbI,4.1\nNaCl,5\nXx,1\n")
    table = ("data.source=table", f"data.path={tmp_path / 'gaps.csv'}", "oracle.kind=external")
    with pytest.raises(SpecError, match="the seed rows are PBE gaps, the oracle 'external' gives experiment"):
        check_campaign(make_spec(*table, "oracle.options={level: experiment}"))
    facts = check_campaign(make_spec(*table, "oracle.options={level: experiment}", "data.level=experiment"))
    assert "1 rows refused; the first, line 4: 'Xx' is not an element" in facts["seed_rows"]


@pytest.mark.parametrize("level", ["PBE", "experiment"])
def test_a_limit_draws_the_same_rows_for_one_seed(make_spec: Maker, level: str) -> None:
    def drawn(seed: int) -> list[str]:
        spec = make_spec("data.source=builtin", "data.limit=10", f"seed={seed}")
        return [trial.candidate.formula for trial in seed_trials(spec, level)[0]]

    assert len(drawn(1)) == 10
    assert drawn(1) == drawn(1) != drawn(2)
