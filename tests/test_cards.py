"""Cards and sketches beside weights: which formulas were learnt from is known, or said to be unknown."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aldesign.cards import learnt_formulas, read_card, shipped_cards, shipped_folder
from aldesign.chemistry.sketch import FormulaSketch


def weights(folder: Path, rule: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(json.dumps({"level": "PBE", "split": {"rule": rule}}))
    return folder


def test_weights_of_one_split_share_a_sketch(tmp_path: Path) -> None:
    FormulaSketch.build(["NaCl", "MgO"], card={"rule": "the usual split"}).save(tmp_path / "learnt")
    for place in ("forest", "forest/experiment"):
        found = learnt_formulas("x", weights(tmp_path / place, "the usual split, 80/10/10"), "PBE")
        assert found is not None
        assert found.contains(["ClNa", "KCl"]).tolist() == [True, False]
    assert learnt_formulas("x", weights(tmp_path / "other", "another split"), "PBE") is None
    assert learnt_formulas("x", weights(tmp_path / "a" / "b" / "c" / "far", "the usual split"), "PBE") is None


def test_a_sketch_of_their_own_comes_first(tmp_path: Path) -> None:
    FormulaSketch.build(["NaCl"], card={"rule": "r"}).save(tmp_path / "learnt")
    folder = weights(tmp_path / "forest", "r")
    FormulaSketch.build(["KCl"]).save(folder / "learnt")
    found = learnt_formulas("x", folder, "PBE")
    assert found is not None
    assert found.contains(["NaCl", "KCl"]).tolist() == [False, True]


def test_shipped_weights_are_found_without_loading_them() -> None:
    folder = shipped_folder("random_forest")
    assert folder is not None
    assert shipped_cards("random_forest")[0] == (folder, read_card(folder))
    assert shipped_folder("lookup") is None
    assert shipped_cards("no such oracle") == []


@pytest.mark.data
def test_the_shipped_weights_know_their_test_rows(reference_data: Path) -> None:
    """The formulas that the sketch does not hold are the card's test rows, save for its false positives."""
    from aldesign.datasets.table import read_table

    found = learnt_formulas("random_forest", None, "PBE")
    assert found is not None
    formulas = [row.formula for row in read_table(reference_data / "mp" / "labels.csv.gz").rows]
    unknown = int((~found.contains(formulas)).sum())
    split = read_card(shipped_folder("random_forest") or Path())["split"]
    assert len(formulas) == sum(split[part] for part in ("train", "validation", "test"))
    assert split["test"] * 0.997 < unknown <= split["test"]
