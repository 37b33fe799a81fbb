"""The shipped ensemble is small, better than each of its members, and as good as its card says."""

import numpy as np
import pytest

from aldesign.records import Candidate
from aldesign.registry import load_oracle
from oracles.levels import SHIPPED
from oracles.metrics import error_metrics


@pytest.fixture(scope="module")
def ensemble():
    return load_oracle("ensemble")


def test_it_names_its_members_and_copies_none(ensemble):
    folder = SHIPPED / "ensemble"
    assert sorted(path.name for path in folder.iterdir()) == ["card.json", "weights.safetensors"]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 20_000
    assert len({member.kind for member in ensemble.members}) > 1
    assert {member.model for member in ensemble.members} == {"shipped"}
    assert ensemble.weights.sum() == pytest.approx(1.0)
    for member in ensemble.members:
        assert member.ready.card == load_oracle(member.kind).card


def test_its_card_tells_that_no_member_is_clearly_better(ensemble):
    training = ensemble.card.training
    own, each = training["metrics"]["test"], training["metrics"]["test_of_each_member"]
    assert [name.split()[1] for name in each] == [member.kind for member in ensemble.members]
    for name, figures in each.items():
        # its best member is an ensemble itself, and the weights count all rows and non-metals alike
        assert own["mae"] < 1.01 * figures["mae"], name
        assert own["mae_nonmetals"] < figures["mae_nonmetals"], name
        assert figures == load_oracle(name.split()[1]).card.training["metrics"]["test"]
    for member in ensemble.members:
        told = member.ready.card.training
        assert told["data"]["digest"] == training["data"]["digest"]
        assert told["split"]["rule"] == training["split"]["rule"]
    assert abs(own["coverage_68"] - 0.6827) < 0.03
    assert abs(own["coverage_95"] - 0.95) < 0.03
    assert "CC BY 4.0" in training["licence"]


@pytest.mark.slow
@pytest.mark.data
def test_hold_out_error_is_what_its_card_says(ensemble, reference_data):
    from oracles.pretraining import split_rows

    _, _, test = split_rows(reference_data / "mp", "band_gap")
    answers = ensemble.predict([Candidate(row.formula) for row in test])
    mean, std, truth = np.array([(a.value, a.std, r.value) for a, r in zip(answers, test, strict=True)]).T
    found = error_metrics(truth, mean, std)
    assert found == pytest.approx(ensemble.card.training["metrics"]["test"], abs=2e-3)
