from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from aldesign.chemistry.formula import canonical
from aldesign.errors import InputError
from aldesign.models import autoencoder, gan
from aldesign.models.autoencoder import AutoencoderConfig, FormulaAutoencoder
from aldesign.models.counting import distribution
from aldesign.models.gan import FormulaGAN, GanConfig
from aldesign.models.train import split, train_model, usable

FORMULAS = [
    f"{a}{n}{x}"
    for a in ("Na", "K", "Li", "Rb", "Cs", "Mg", "Ca")
    for n in ("", "2", "3")
    for x in ("Cl", "O", "S", "N")
]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(autoencoder.FormulaAutoencoder.__init__, "__defaults__", (AutoencoderConfig(16, 16),))
    monkeypatch.setattr(gan.FormulaGAN.__init__, "__defaults__", (GanConfig(8, 16, 16),))
    monkeypatch.setattr(autoencoder, "PLAN", replace(autoencoder.PLAN, epochs=2, batch_size=16))
    monkeypatch.setattr(gan, "PLAN", replace(gan.PLAN, epochs=2, batch_size=16))
    monkeypatch.setattr("aldesign.models.train_gan.SAMPLES", 50)


@pytest.mark.parametrize(("name", "kind"), [("autoencoder", FormulaAutoencoder), ("gan", FormulaGAN)])
def test_training_leaves_weights_card_and_no_checkpoint(tmp_path, name, kind):
    lines = []
    metrics = train_model(name, FORMULAS, tmp_path, seed=2, progress=lines.append, licence="CC0")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["card.json", "weights.safetensors"]
    model = kind.load(tmp_path)
    card = json.loads((tmp_path / "card.json").read_text())
    assert model.card == card
    assert card["metrics"] == metrics
    assert card["licence"] == "CC0"
    assert card["split"]["train"] + card["split"]["validation"] + card["split"]["held_out"] == len(set(FORMULAS))
    assert card["epochs"] == 2
    assert card["training_seconds"] >= 0
    assert len(lines) == 2


def test_equal_seeds_give_equal_files_whatever_the_order_and_spelling(tmp_path):
    train_model("autoencoder", FORMULAS, tmp_path / "a", seed=2)
    again = [canonical(f) for f in FORMULAS[::-1]] + FORMULAS[:9]
    train_model("autoencoder", again, tmp_path / "b", seed=2)
    a, b = ((tmp_path / x / "weights.safetensors").read_bytes() for x in "ab")
    assert a == b


def test_unknown_models_and_too_few_formulas_are_refused(tmp_path):
    with pytest.raises(InputError, match="autoencoder, gan"):
        train_model("vae", FORMULAS, tmp_path)
    with pytest.raises(InputError, match="2 of 4 formulas"):
        train_model("gan", ["NaCl", "KCl", "Xx", "Ga0.5In0.5As"], tmp_path)


def test_split_is_by_formula_and_complete():
    parts = split(1000, 3)
    assert [len(p) for p in parts] == [100, 20, 880]
    assert sorted(np.concatenate(parts)) == list(range(1000))
    assert not np.array_equal(parts[0], split(1000, 4)[0])


def test_usable_merges_spellings_and_counts_what_is_left_out():
    table, left_out = usable(["SrTiO3", "TiSrO3", "NaCl", "Xx", "C21H44O"])
    assert table.shape == (2, 103)
    assert left_out == 2
    assert distribution(table) == {"1": 0.0, "2": 0.5, "3": 0.5}
