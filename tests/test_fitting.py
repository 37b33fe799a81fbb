"""Training and judging by name, against scikit-learn's figures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aldesign import fitting
from aldesign.errors import InputError, InterruptedRunError
from aldesign.records import Candidate, LabelledRow, OracleCard, OracleIdentity, Prediction, Table

ROWS = [LabelledRow(f"Na{i}Cl{j}", float(i)) for i in range(1, 8) for j in range(8, 12)]


class MeanOracle:
    """Learns the mean of its labels."""

    interrupt = False

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset
        self.card = OracleCard(OracleIdentity("mean", "1"))

    def fit(self, train: Sequence[LabelledRow], validation: Sequence[LabelledRow] = (), **settings: Any) -> MeanOracle:
        if self.interrupt:
            settings["checkpoint"].mkdir(parents=True)
            (settings["checkpoint"] / "state").write_text("")
            raise KeyboardInterrupt
        self.known = {row.formula for row in [*train, *validation]}
        self.mean = float(np.mean([row.value for row in [*train, *validation]])) + self.offset
        return self

    def save(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "card.json").write_text("{}")

    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        assert not self.known & {candidate.formula for candidate in candidates}
        card = self.card
        return [Prediction(self.mean, 1.0, card.unit, card.identity, card.level) for _ in candidates]


@pytest.fixture(autouse=True)
def mean_oracle(monkeypatch: pytest.MonkeyPatch) -> type[MeanOracle]:
    monkeypatch.setattr(MeanOracle, "interrupt", False)
    monkeypatch.setattr(fitting, "oracle_class", {"mean": MeanOracle, "told": object}.__getitem__)
    return MeanOracle


def test_figures_are_scikit_learns() -> None:
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    rng = np.random.default_rng(3)
    truth, mean = rng.normal(size=(2, 500))
    found = fitting.figures(truth, mean, np.full(500, np.nan))
    assert found["mae"] == pytest.approx(mean_absolute_error(truth, mean), abs=1e-4)
    assert found["rmse"] == pytest.approx(mean_squared_error(truth, mean) ** 0.5, abs=1e-4)
    assert found["r2"] == pytest.approx(r2_score(truth, mean), abs=1e-4)
    assert found["coverage_68"] is None


def test_an_honest_normal_error_is_covered_as_it_says() -> None:
    rng = np.random.default_rng(4)
    std = rng.uniform(0.1, 3.0, size=40_000)
    found = fitting.figures(rng.normal(0.0, std), np.zeros(40_000), std)
    assert found["coverage_68"] == pytest.approx(0.68, abs=0.01)
    assert found["coverage_95"] == pytest.approx(0.95, abs=0.01)
    assert found["miscalibration_area"] < 0.01
    assert fitting.figures(rng.normal(0.0, std), np.zeros(40_000), std * 1e-6)["miscalibration_area"] > 0.48


def test_cross_validation_tests_every_row_without_having_seen_its_formula() -> None:
    found = fitting.cross_validate("mean", ROWS, 4, seed=1)
    assert np.isfinite(found.mean).all()
    groups = [figure["group"] for figure in found.figures()]
    assert groups == ["all", *(f"fold {i}" for i in range(1, 5)), "baseline: mean of the training labels"]
    # The oracle is the baseline here.
    assert found.mean == pytest.approx(found.baseline)


def test_metals_are_judged_apart() -> None:
    rows = [*ROWS, *(LabelledRow(f"Cu{i}Au7", 0.0) for i in range(1, 7))]
    figures = {figure["group"]: figure for figure in fitting.cross_validate("mean", rows, 2).figures()}
    assert figures["metals"]["rows"] == 6
    assert figures["non-metals"]["rows"] == len(ROWS)
    assert figures["metals"]["r2"] is None


def test_finished_weights_are_not_replaced_by_accident(tmp_path: Path) -> None:
    fitting.train_oracle("mean", Table(tuple(ROWS)), tmp_path)
    with pytest.raises(InputError, match="already holds finished weights"):
        fitting.train_oracle("mean", Table(tuple(ROWS)), tmp_path)
    fitting.train_oracle("mean", Table(tuple(ROWS)), tmp_path, force=True)


def test_an_interruption_says_where_the_work_is(tmp_path: Path, mean_oracle: type[MeanOracle]) -> None:
    mean_oracle.interrupt = True
    with pytest.raises(InterruptedRunError, match="checkpoint") as caught:
        fitting.train_oracle("mean", Table(tuple(ROWS)), tmp_path)
    assert caught.value.exit_code == 130
    mean_oracle.interrupt = False
    fitting.train_oracle("mean", Table(tuple(ROWS)), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card.json"]


def test_what_cannot_be_trained_is_refused() -> None:
    with pytest.raises(InputError, match="does not learn"):
        fitting.new_oracle("told")
    with pytest.raises(InputError, match="refused its options"):
        fitting.new_oracle("mean", {"ofset": 1})
    with pytest.raises(InputError, match="too few to hold"):
        fitting.divide(ROWS[:1], 0.6, 0)
    with pytest.raises(InputError, match="validation fraction"):
        fitting.divide(ROWS, 1.0, 0)
