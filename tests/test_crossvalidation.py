"""Cross-validation: no formula is tested that was learnt from, and a killed one goes on where it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from mean_oracle import ROWS, MeanOracle

from aldesign import crossvalidation, fitting
from aldesign.crossvalidation import cross_validate, evaluate_fitted
from aldesign.errors import InputError, InterruptedRunError
from aldesign.records import LabelledRow


@pytest.fixture(autouse=True)
def mean_oracle(monkeypatch: pytest.MonkeyPatch) -> type[MeanOracle]:
    monkeypatch.setattr(MeanOracle, "interrupt_at", 0)
    monkeypatch.setattr(MeanOracle, "fits", 0)
    for module in (fitting, crossvalidation):
        monkeypatch.setattr(module, "oracle_class", {"mean": MeanOracle}.__getitem__)
    return MeanOracle


def test_every_row_is_tested_without_its_formula_having_been_seen() -> None:
    found = cross_validate("mean", ROWS, 4, seed=1)
    assert np.isfinite(found.mean).all()
    groups = [figure["group"] for figure in found.figures()]
    assert groups == ["all", *(f"fold {i}" for i in range(1, 5)), "baseline: mean of the training labels"]
    # The oracle is the baseline here.
    assert found.mean == pytest.approx(found.baseline)


def test_metals_are_judged_apart() -> None:
    rows = [*ROWS, *(LabelledRow(f"Cu{i}Au7", 0.0) for i in range(1, 7))]
    figures = {figure["group"]: figure for figure in cross_validate("mean", rows, 2).figures()}
    assert figures["metals"]["rows"] == 6
    assert figures["non-metals"]["rows"] == len(ROWS)


def test_an_interrupted_one_goes_on_and_ends_the_same(tmp_path: Path, mean_oracle: type[MeanOracle]) -> None:
    whole = cross_validate("mean", ROWS, 4, seed=1)
    mean_oracle.fits, mean_oracle.interrupt_at = 0, 3
    with pytest.raises(InterruptedRunError, match="what was done so far is in"):
        cross_validate("mean", ROWS, 4, seed=1, keep=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("checkpoint_03", "evaluation.json", "fold_01.json", "fold_02.json"),
    ]
    lines: list[str] = []
    again = cross_validate("mean", ROWS, 4, seed=1, keep=tmp_path, progress=lines.append)
    assert mean_oracle.fits == 3 + 2  # the third fold again, and the fourth
    assert [line.endswith("kept from before") for line in lines] == [True, True, False, False]
    for name in ("mean", "std", "baseline", "fold"):
        assert np.array_equal(getattr(again, name), getattr(whole, name))
    assert again.figures() == whole.figures()
    assert not list(tmp_path.glob("checkpoint*"))


@pytest.mark.parametrize(
    "other",
    [
        lambda keep: cross_validate("mean", ROWS, 5, keep=keep),
        lambda keep: cross_validate("mean", ROWS, 4, seed=1, keep=keep),
        lambda keep: cross_validate("mean", ROWS[1:], 4, keep=keep),
        lambda keep: cross_validate("mean", ROWS, 4, options={"offset": 1.0}, keep=keep),
        lambda keep: cross_validate("mean", ROWS, 4, validation_fraction=0.2, keep=keep),
        lambda keep: evaluate_fitted("mean", ROWS[:20], ROWS[20:], keep=keep),
    ],
    ids=["folds", "seed", "data", "settings", "share", "method"],
)
def test_the_work_of_another_evaluation_is_refused(tmp_path: Path, other: Callable[[Path], object]) -> None:
    cross_validate("mean", ROWS, 4, keep=tmp_path)
    cross_validate("mean", ROWS, 4, keep=tmp_path)
    with pytest.raises(InputError, match="holds the folds of an evaluation with other"):
        other(tmp_path)


def test_a_damaged_fold_is_named(tmp_path: Path) -> None:
    cross_validate("mean", ROWS, 4, keep=tmp_path)
    (tmp_path / "fold_02.json").write_text('{"mean": [1.0')
    with pytest.raises(InputError, match=r"fold_02.json is damaged"):
        cross_validate("mean", ROWS, 4, keep=tmp_path)
    (tmp_path / "fold_02.json").write_text(
        '{"mean": [1.0], "std": [1.0], "baseline": [1.0], "errors": [""], "unit": "eV"}'
    )
    with pytest.raises(InputError, match=r"fold_02.json is damaged: 1 rows instead of 7"):
        cross_validate("mean", ROWS, 4, keep=tmp_path)


def test_a_test_file_is_judged_the_same_when_it_was_interrupted(tmp_path: Path, mean_oracle: type[MeanOracle]) -> None:
    mean_oracle.interrupt_at = 1
    with pytest.raises(InterruptedRunError):
        evaluate_fitted("mean", ROWS[:20], ROWS[20:], keep=tmp_path)
    found = evaluate_fitted("mean", ROWS[:20], ROWS[20:], keep=tmp_path)
    assert found.mean == pytest.approx(np.mean([row.value for row in ROWS[:20]]))
    assert mean_oracle.fits == 2
    evaluate_fitted("mean", ROWS[:20], ROWS[20:], keep=tmp_path)
    assert mean_oracle.fits == 2
