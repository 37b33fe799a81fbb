from __future__ import annotations

import gzip
import json
from dataclasses import replace

import numpy as np
import pytest

from aldesign.errors import InputError
from aldesign.models import autoencoder, train_autoencoder
from aldesign.models.autoencoder import FormulaAutoencoder
from aldesign.models.train import train_model
from aldesign.models.train_autoencoder import latent_quality, read_labels

FORMULAS = [
    f"{a}{n}{x}"
    for a in ("Na", "K", "Li", "Rb", "Cs", "Mg", "Ca")
    for n in ("", "2", "3")
    for x in ("Cl", "O", "S", "N")
]
SMALL = {"latent_size": 16, "hidden": 16}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(autoencoder, "PLAN", replace(autoencoder.PLAN, epochs=2, batch_size=16))
    monkeypatch.setattr(autoencoder, "PAPER_PLAN", replace(autoencoder.PAPER_PLAN, epochs=1, batch_size=64))
    monkeypatch.setattr(train_autoencoder, "POINTS", 40)


def test_labels_are_the_lowest_of_the_rows_that_count(tmp_path):
    path = tmp_path / "labels.csv.gz"
    rows = "formula,e,basis\nNa2Cl2,-2.0,sure\nNaCl,-1.5,sure\nMgO,-3,guess\nKCl,,sure\nXx,-1,sure\nCaO,1e-1,sure\n"
    path.write_bytes(gzip.compress(rows.encode()))
    assert read_labels(path, "e") == {"NaCl": -2.0, "MgO": -3.0, "CaO": 0.1}
    assert read_labels(path, "e", "basis=sure") == {"NaCl": -2.0, "CaO": 0.1}
    with pytest.raises(InputError, match="no column 'energy'"):
        read_labels(path, "energy")
    with pytest.raises(InputError, match="no column 'kind'"):
        read_labels(path, "e", "kind=sure")
    with pytest.raises(InputError, match="COLUMN=VALUE"):
        read_labels(path, "e", "sure")
    with pytest.raises(InputError, match=r"line 2.*not a number"):
        read_labels(path, "basis")


def test_options_reach_the_network_and_the_card(tmp_path):
    table = tmp_path / "labels.csv"
    table.write_text("formula,e\n" + "".join(f"{f},{i / 10}\n" for i, f in enumerate(FORMULAS)))
    options = {**SMALL, "noise": 0.5, "labels": str(table), "column": "e"}
    metrics = train_model("autoencoder", FORMULAS, tmp_path / "out", seed=2, options=options)
    card = json.loads((tmp_path / "out" / "card.json").read_text())
    assert card["config"]["noise"] == 0.5
    assert card["config"]["hidden"] == 16
    assert card["labels"]["formulas"] == len(set(FORMULAS))
    assert card["labels"]["column"] == "e"
    assert metrics["label_mae_held_out"] > 0
    model = FormulaAutoencoder.load(tmp_path / "out")
    assert np.isfinite(model.labels(model.encode(FORMULAS[:3]))).all()


def test_the_papers_architecture_trains_by_its_name(tmp_path):
    options = {"latent_size": 16, "architecture": "agd"}
    metrics = train_model("autoencoder", FORMULAS, tmp_path, seed=2, options=options)
    model = FormulaAutoencoder.load(tmp_path)
    assert model.config.architecture == "agd"
    assert 0 <= metrics["exact_held_out"] <= 1
    assert "label_mae_held_out" not in metrics
    assert all(model.decode(model.encode(FORMULAS)))
    assert len(model.decode_plausible(model.encode(FORMULAS[:5]), 5.0)) == 5


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"depth": 3}, "no option 'depth'"),
        ({"hidden": "wide"}, "hidden is 'wide'"),
        ({"hidden": 16.5}, "hidden is 16.5"),
        ({"architecture": "vae"}, "no architecture is called 'vae'"),
    ],
)
def test_options_that_make_no_sense_are_refused(tmp_path, options, told):
    with pytest.raises(InputError, match=told):
        train_model("autoencoder", FORMULAS, tmp_path, options=options)


def test_the_generator_takes_no_options(tmp_path):
    with pytest.raises(InputError, match="generator has no options"):
        train_model("gan", FORMULAS, tmp_path, options={"hidden": 16})


def test_quality_is_told_of_every_region_in_shares():
    model = FormulaAutoencoder(autoencoder.AutoencoderConfig(latent_size=16, hidden=16))
    table = model.decode_table(np.random.default_rng(0).normal(size=(60, 16)))
    found = latent_quality(model, table, 0)
    for region in ("near", "between", "sphere", "box"):
        for name in ("valid", "plausible", "up_to_5_elements", "unique"):
            assert 0 <= found[region][name] <= 1
        assert found[region]["elements"] >= 1
        assert found[region]["plausible"] >= found[region]["valid"] - 0.05
