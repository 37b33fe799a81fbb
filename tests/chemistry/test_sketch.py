import json

import numpy as np
import pytest
from formula_strategies import formulas, random_formulas
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from aldesign.chemistry.formula import canonical_many
from aldesign.chemistry.sketch import FormulaSketch, known
from aldesign.errors import CheckpointError, FormulaError, InputError


@settings(max_examples=50)
@given(st.lists(formulas, min_size=1, max_size=60), st.sampled_from([0.2, 0.01, 1e-6]))
def test_no_known_formula_is_forgotten(texts, rate):
    sketch = FormulaSketch.build(texts, rate)
    assert sketch.contains(texts).all()
    assert sketch.count == len(set(canonical_many(texts)))


@pytest.mark.parametrize("rate", [0.1, 0.01, 0.001])
def test_false_positives_stay_within_the_stated_rate(rate):
    texts = sorted(set(canonical_many(random_formulas(20_000, 7))))
    inside, outside = texts[::2], texts[1::2]
    sketch = FormulaSketch.build(inside, rate)
    hits = int(sketch.contains(outside).sum())
    low, high = binom.interval(0.9999, len(outside), rate)
    assert 0.5 * low <= hits <= high
    # Optimal filters need 1.44 log2(1 / rate) bits a formula.
    assert sketch.size / sketch.count == pytest.approx(1.44 * np.log2(1 / rate), rel=0.1)


def test_any_spelling_is_found():
    sketch = FormulaSketch.build(["Fe4O6", "LiO"])
    assert sketch.contains(["O3Fe2", "Li2O2", "(Fe2O3)7", "FeO"]).tolist() == [True, True, True, False]
    assert sketch.count == 2


def test_what_cannot_be_sketched_is_refused():
    with pytest.raises(FormulaError, match="Xx"):
        FormulaSketch.build(["NaCl", "Xx2O"])
    with pytest.raises(InputError, match="no formulas"):
        FormulaSketch.build([])
    with pytest.raises(InputError, match="between 0 and 1"):
        FormulaSketch.build(["NaCl"], 1.0)
    with pytest.raises(FormulaError, match="Xx"):
        FormulaSketch.build(["NaCl"]).contains(["Xx2O"])


def test_saved_sketches_are_loaded_as_they_were(tmp_path):
    texts = random_formulas(500, 3)
    FormulaSketch.build(texts, 0.01, {"origin": "random"}).save(tmp_path / "set")
    sketch = FormulaSketch.load(tmp_path / "set")
    assert sketch.contains(texts).all()
    assert (sketch.count, sketch.false_positive_rate, sketch.card["origin"]) == (
        len(set(canonical_many(texts))),
        0.01,
        "random",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set.json", "set.safetensors"]


def test_damaged_sketches_are_refused(tmp_path):
    where = tmp_path / "set"
    with pytest.raises(CheckpointError, match=r"set\.json is missing"):
        FormulaSketch.load(where)
    FormulaSketch.build(["NaCl"]).save(where)
    card = where.with_suffix(".json")
    good = json.loads(card.read_text())
    for change in ({"format": 99}, {"class": "Other"}, {"sha256": "0"}, {"size": None}):
        card.write_text(json.dumps({k: v for k, v in (good | change).items() if v is not None}))
        with pytest.raises(CheckpointError):
            FormulaSketch.load(where)
    card.write_text("no JSON")
    with pytest.raises(CheckpointError, match="cannot be read"):
        FormulaSketch.load(where)
    card.write_text(json.dumps(good))
    where.with_suffix(".safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="cannot be read"):
        FormulaSketch.load(where)


def test_the_shipped_sketch_knows_common_minerals():
    sketch = known()
    assert sketch.contains(["NaCl", "SiO2", "CaTiO3", "Fe2O3", "GaAs", "LiFePO4", "CaCO3"]).all()
    assert sketch.count > 80_000
    assert sketch.false_positive_rate == 0.001
    assert "CC BY 4.0" in sketch.card["licence"]
    strangers = [text for text in random_formulas(20_000, 11) if len(text) > 14]
    assert sketch.contains(strangers).mean() < 0.002


@pytest.mark.data
def test_the_shipped_sketch_holds_all_reference_formulas(reference_data):
    texts = (reference_data / "mp" / "formulas.txt").read_text().split()
    assert known().count == len(texts)
    assert known().contains(texts).all()
