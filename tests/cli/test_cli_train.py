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


def test_the_card_of_own_weights_is_complete(table: Path, tmp_path: Path) -> None:
    out = tmp_path / "weights"
    facts = ("--origin", "our lab, UV-vis", "--licence", "CC BY 4.0", "--level", "experiment", "--test-fraction", "0.2")
    assert run(forest("train", table, "--out", str(out), *facts, "-q")) == 0
    card = json.loads((out / "card.json").read_text())
    assert (card["origin"], card["licence"], card["level"]) == ("our lab, UV-vis", "CC BY 4.0", "experiment")
    assert card["data"]["rows"] == 36 - card["split"]["test"]
    assert card["data"]["refused"] == 1
    assert len(card["data"]["digest"]) == 16
    assert card["split"]["by"] == "formula"
    assert card["metrics"]["test"]["count"] == card["split"]["test"] == 7
    assert {"mae", "rmse", "r2", "coverage_68", "coverage_95", "miscalibration_area"} <= card["metrics"]["test"].keys()
    assert card["training_seconds"] > 0
    assert card["peak_memory_gib"] > 0
    assert card["software"]["aldesign"]
    from aldesign.registry import load_oracle

    told = load_oracle("random_forest", out).card.training
    assert {key: card[key] for key in told} == told
    assert {"data", "split", "metrics", "origin", "licence", "software", "peak_memory_gib"} <= told.keys()


def test_own_weights_know_what_they_learnt_from(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "weights"
    assert run(forest("train", table, "--out", str(out), "--test-fraction", "0.3", "-q")) == 0
    test = json.loads((out / "card.json").read_text())["split"]["test"]
    capsys.readouterr()
    arguments = ["evaluate", "--oracle", "random_forest", "--model", str(out), "--data", str(table), "--json"]
    assert run(arguments) == 0
    shown = capsys.readouterr()
    assert f"{36 - test} of 36 rows are of formulas that these weights learnt from" in shown.err
    found = {figure["group"]: figure for figure in json.loads(shown.out)["figures"]}
    assert found["not learnt from"]["rows"] == test
    assert found["not learnt from"]["mae"] > found["learnt from"]["mae"]
    assert found["not learnt from"]["mae"] == json.loads((out / "card.json").read_text())["metrics"]["test"]["mae"]


def test_a_device_that_is_not_there_is_bad_input(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch

    wrong = "cuda:99" if torch.cuda.is_available() else "cuda"
    assert run(forest("train", table, "--out", str(tmp_path / "x"), "--device", wrong)) == 2
    assert f"device '{wrong}' cannot be used" in capsys.readouterr().err
    assert run(forest("train", table, "--out", str(tmp_path / "x"), "--device", "cpu", "-q")) == 0


def test_polymorphs_and_levels_of_a_table(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = table.read_text().replace("formula,gap\n", "formula,gap,level\n").replace("MgO,-3\n", "")
    lines = [f"{line},PBE" if i else line for i, line in enumerate(text.splitlines())]
    mixed = tmp_path / "mixed.csv"
    mixed.write_text("\n".join([*lines, "NaF,8.0,HSE", "NaF,6.4,PBE"]))
    assert run(forest("train", mixed, "--out", str(tmp_path / "x"))) == 2
    said = capsys.readouterr().err
    assert "training rows must share one level of theory, got levels HSE, PBE" in said
    assert "NaF: 6 in line 6, 6.4 in line 39" in said


def test_weights_of_another_level_are_judged_with_a_warning(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["evaluate", "--oracle", "random_forest", "--data", str(table), "--level", "GW", "-q"]
    assert run(arguments) == 0
    assert "the oracle states PBE, the labels GW" in capsys.readouterr().err


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
