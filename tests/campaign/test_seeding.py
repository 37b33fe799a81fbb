"""What a campaign begins with: measured where the levels agree, asked for where they do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aldesign.campaign.seeding import seed_trials
from aldesign.campaign.spec import CampaignSpec
from aldesign.datasets.builtin import builtin_formulas, builtin_rows, builtin_set, lowest
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


@pytest.mark.parametrize("level", ["PBE", "experiment"])
def test_a_limit_draws_the_same_rows_for_one_seed(make_spec: Maker, level: str) -> None:
    def drawn(seed: int) -> list[str]:
        spec = make_spec("data.source=builtin", "data.limit=10", f"seed={seed}")
        return [trial.candidate.formula for trial in seed_trials(spec, level)[0]]

    assert len(drawn(1)) == 10
    assert drawn(1) == drawn(1) != drawn(2)
