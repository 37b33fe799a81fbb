"""Train, evaluate and predict with one's own weights, on a small forest."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from aldesign.cli.app import run


@pytest.fixture
def table(tmp_path: Path) -> Path:
    # Gaps that follow chemistry: fluorides wide, iodides narrow, a few metals.
    halogens = {"F": 6.0, "Cl": 4.5, "Br": 3.5, "I": 2.5}
    cations = ("Li", "Na", "K", "Rb", "Cs", "Ag", "Tl", "Cu")
    lines = [f"{cation}{anion},{gap}" for cation in cations for anion, gap in halogens.items()]
    lines += [f"{a}3{b},0" for a, b in (("Cu", "Au"), ("Ni", "Al"), ("Fe", "Co"), ("Ag", "Zn"))]
    path = tmp_path / "gaps.csv"
    path.write_text("\n".join(["formula,gap", *lines, "MgO,-3", ""]))
    return path


def forest(command: str, table: Path, *rest: str) -> list[str]:
    return [command, "--oracle", "random_forest", "--data", str(table), "--option", "trees=20", *rest]


def test_train_then_predict(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "weights"
    assert run(forest("train", table, "--out", str(out))) == 0
    shown = capsys.readouterr()
    assert "36 rows" in shown.err
    assert "negative band gap" in shown.err
    assert "mae" in shown.out
    assert json.loads((out / "card.json").read_text())["class"] == "RandomForestOracle"
    assert not (out / "checkpoint").exists()
    assert run(["predict", "--oracle", "random_forest", "--model", str(out), "NaF", "NaI"]) == 0
    wide, narrow = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert float(wide["value"]) > float(narrow["value"]) + 1
    assert run(forest("train", table, "--out", str(out))) == 2
    assert "already holds finished weights" in capsys.readouterr().err
    assert run(["predict", "--oracle", "dense", "--model", str(out), "NaF"]) == 2


def test_equal_seeds_give_equal_weights(table: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert run(forest("train", table, "--out", str(tmp_path / name), "-q", "--seed", "3")) == 0
    content = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("a", "b")]
    assert content[0] == content[1]


def test_cross_validation_reports_groups_and_baseline(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "judged"
    assert run(forest("evaluate", table, "--cv", "3", "--out", str(out), "--json")) == 0
    found = {figure["group"]: figure for figure in json.loads(capsys.readouterr().out)["figures"]}
    assert set(found) == {
        *("all", "non-metals", "metals", "fold 1", "fold 2", "fold 3"),
        "baseline: mean of the training labels",
    }
    assert found["all"]["rows"] == 36
    assert found["all"]["mae"] < found["baseline: mean of the training labels"]["mae"]
    assert sorted(path.name for path in out.iterdir()) == [
        *("calibration.png", "folds", "metrics.json", "parity.png", "predictions.csv", "residuals.png"),
    ]
    with (out / "predictions.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 36
    assert (out / "parity.png").read_bytes().startswith(b"\x89PNG")


def test_a_test_file_is_never_learnt_from(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from oracles.random_forest import RandomForestOracle

    learnt: set[str] = set()
    fit = RandomForestOracle.fit

    def watched(self, train, validation, **settings):  # type: ignore[no-untyped-def]
        learnt.update(row.formula for row in (*train, *validation))
        return fit(self, train, validation, **settings)

    monkeypatch.setattr(RandomForestOracle, "fit", watched)
    test = tmp_path / "test.csv"
    test.write_text("formula,gap\nFNa,6.1\nBaF2,6.7\n")
    assert run(forest("evaluate", table, "--test", str(test), "--json", "-q")) == 0
    shown = capsys.readouterr()
    assert "1 formulas stand in both files" in shown.err
    assert json.loads(shown.out)["figures"][0]["rows"] == 2
    assert len(learnt) == 35  # of 36
    assert not learnt & {"NaF", "BaF2"}


def test_files_that_are_read_are_not_in_the_way(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inside = table.parent / "out" / "checkpoint" / "gaps.csv"
    inside.parent.mkdir(parents=True)
    inside.write_bytes(table.read_bytes())
    assert run(forest("train", inside, "--out", str(table.parent / "out"))) == 2
    assert "which training removes" in capsys.readouterr().err
    predictions = table.rename(table.parent / "predictions.csv")
    assert run(forest("evaluate", predictions, "--cv", "2", "--out", str(table.parent))) == 2
    assert "would be overwritten" in capsys.readouterr().err


def test_stored_weights_are_judged_as_they_are(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["evaluate", "--oracle", "random_forest", "--data", str(table), "-q"]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0].startswith("group,failed,rows,mae,rmse,r2")
    assert "--cv" in shown.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--cv", "2", "--test", "x.csv"), "exclude each other"),
        (("--cv", "99"), "99 folds of 36 distinct formulas"),
        (("--cv", "2", "--option", "treees=3"), "no option 'treees'"),
        (("--cv", "2", "--option", "trees"), "not KEY=VALUE"),
        (("--property", "colour"), "no property is called 'colour'"),
    ],
)
def test_wrong_wishes_are_bad_input(
    table: Path, arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(forest("evaluate", table, *arguments)) == 2
    assert words in capsys.readouterr().err


def test_oracles_that_do_not_learn_say_so(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--oracle", "lookup", "--data", str(table), "--out", str(tmp_path / "x")]) == 2
    assert "does not learn" in capsys.readouterr().err


def test_a_crystal_oracle_asks_for_crystals(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--oracle", "crystal_graph", "--data", str(table), "--out", str(tmp_path / "x")]) == 2
    assert "learns from crystals" in capsys.readouterr().err
