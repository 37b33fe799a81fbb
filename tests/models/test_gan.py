from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from pymatgen.core import Composition
from smact.screening import smact_validity

from aldesign.chemistry.formula import compositions
from aldesign.chemistry.onehot import indices
from aldesign.errors import CheckpointError, InputError
from aldesign.models import wasserstein
from aldesign.models.gan import PLAN, SHIPPED, FormulaGAN, GanConfig, trainable

TINY = GanConfig(noise_size=8, width=16, critic_width=16)
PLAIN = replace(TINY, architecture="matgan")
SALTS = [f"{a}{x}" for a in ("Na", "K", "Li", "Rb", "Cs") for x in ("Cl", "Br", "F", "I")] * 4
MIXED = [*SALTS, *(f"{a}2O" for a in ("Na", "K", "Li")), "SrTiO3", "CaTiO3", "Cu3Au", "MgAl2O4"]
QUICK = replace(PLAN, epochs=4, batch_size=16)
OFTEN = replace(QUICK, checkpoint_seconds=0.0)


@pytest.fixture(scope="module")
def shipped():
    return FormulaGAN.load()


@pytest.fixture(scope="module")
def salty():
    model = FormulaGAN(TINY)
    model.fit(SALTS, plan=replace(QUICK, epochs=60, learning_rate=1e-2), seed=0)
    return model


def weights(model):
    return torch.cat([value.flatten() for value in model.network.state_dict().values()])


def test_filter_keeps_what_smact_accepts_and_leaves_out_the_elements():
    formulas = ["NaCl", "SrTiO3", "Cu3Au", "O2", "NaCl2", "CaF2"]
    assert trainable(indices(compositions(formulas))).tolist() == [True, True, True, False, False, True]
    for formula in ("NaCl", "SrTiO3", "Cu3Au", "CaF2"):
        assert smact_validity(formula)
    assert not smact_validity("NaCl2")


def test_a_tiny_generator_learns_salts(salty):
    made = salty.sample_table(500, np.random.default_rng(0), plausible=False)
    wanted = {row.tobytes() for row in indices(compositions(SALTS))}
    assert np.mean([row.tobytes() in wanted for row in made]) > 0.9
    assert len({row.tobytes() for row in made} & wanted) == len(set(SALTS))


def test_the_plain_game_of_matgan_learns_that_salts_have_two_elements():
    found = []
    for epochs, rate in ((1, 1e-12), (100, 3e-3)):
        model = FormulaGAN(PLAIN)
        history = model.fit(MIXED, plan=replace(QUICK, epochs=epochs, learning_rate=rate), seed=0)
        assert (history.formulas, history.epochs) == (len(MIXED), epochs)
        made = model.sample_table(300, np.random.default_rng(0), plausible=False)
        found.append(((made > 0).sum(axis=1) == 2).mean())
    untrained, trained = found
    assert trained > untrained + 0.05


@pytest.mark.parametrize("config", [TINY, PLAIN])
@pytest.mark.parametrize("stop_after", [3, 13])
def test_a_run_cut_off_and_resumed_ends_with_the_same_weights(tmp_path, monkeypatch, config, stop_after):
    whole = FormulaGAN(config)
    game = wasserstein.Game(lead_in=0.5)
    whole.fit(MIXED, plan=OFTEN, seed=3, game=game)
    learn, calls = wasserstein._Run._learn, []

    def fail(*arguments):
        calls.append(1)
        if len(calls) > stop_after:
            raise KeyboardInterrupt
        learn(*arguments)

    monkeypatch.setattr(wasserstein._Run, "_learn", fail)
    with pytest.raises(KeyboardInterrupt):
        FormulaGAN(config).fit(MIXED, plan=OFTEN, seed=3, game=game, checkpoint=tmp_path)
    monkeypatch.setattr(wasserstein._Run, "_learn", learn)
    resumed = FormulaGAN(config)
    resumed.fit(MIXED, plan=OFTEN, seed=3, game=game, checkpoint=tmp_path)
    assert torch.equal(weights(whole), weights(resumed))
    again = FormulaGAN(config)
    again.fit(MIXED, plan=OFTEN, seed=3, game=game, checkpoint=tmp_path)
    assert torch.equal(weights(whole), weights(again))
    with pytest.raises(CheckpointError, match="other data or settings"):
        FormulaGAN(config).fit(MIXED, plan=OFTEN, seed=4, game=game, checkpoint=tmp_path)


def test_too_few_formulas_that_pass_the_filter_are_refused():
    with pytest.raises(InputError, match="1 of 3 formulas"):
        FormulaGAN(TINY).fit(["Cu3Au", "NaCl2", "O2"])


def test_an_unknown_architecture_is_refused():
    with pytest.raises(InputError, match="allowed: sequential, matgan"):
        FormulaGAN(replace(TINY, architecture="vae"))


def test_saved_weights_draw_the_same(salty, tmp_path):
    salty.save(tmp_path, {"data": {}})
    first, second = FormulaGAN.load(tmp_path), FormulaGAN.load(tmp_path)
    assert first.digest == second.digest
    assert first.sample(40, np.random.default_rng(3)) == second.sample(40, np.random.default_rng(3))


def test_matgan_draws_meet_the_restrictions_too(tmp_path):
    model = FormulaGAN(PLAIN)
    model.fit(MIXED, plan=QUICK, seed=0)
    made = model.sample(20, np.random.default_rng(0), max_elements=3, required={"Cl"}, alloys=False)
    assert all("Cl" in Composition(f) and len(Composition(f)) <= 3 and smact_validity(f) for f in made)


def test_shipped_equal_states_of_the_generator_give_equal_formulas(shipped):
    first, second = (shipped.sample(50, np.random.default_rng(7)) for _ in range(2))
    assert first == second
    assert len(first) == 50
    assert first != shipped.sample(50, np.random.default_rng(8))
    assert shipped.sample(0, np.random.default_rng(7)) == []


def test_shipped_formulas_are_canonical_compounds(shipped):
    made = shipped.sample(300, np.random.default_rng(1))
    assert [Composition(f).reduced_formula for f in made] == made
    assert min(len(Composition(f)) for f in made) >= 2


def test_shipped_formulas_are_valid_by_smact_itself(shipped):
    made = shipped.sample(500, np.random.default_rng(2))
    assert np.mean([smact_validity(f) for f in made]) >= 0.99
    raw = shipped.sample(500, np.random.default_rng(2), plausible=False)
    assert np.mean([smact_validity(f) for f in raw]) >= 0.85
    for formulas in (made, raw):
        sizes = [len(Composition(f)) for f in formulas]
        assert 3.3 <= np.mean(sizes) <= 3.9  # 3.4 in the training formulas, binaries drawn less
        assert max(sizes) <= 6
        assert len(set(formulas)) > 480
        assert len({symbol for f in formulas for symbol in Composition(f).get_el_amt_dict()}) > 60


def test_shipped_restrictions_hold(shipped):
    allowed = {"Li", "Na", "K", "Mg", "Ca", "Al", "Si", "P", "O", "S", "F", "Cl", "N", "C", "H", "B", "Ti", "Zn"}
    made = shipped.sample(200, np.random.default_rng(3), min_elements=3, max_elements=3, allowed=allowed)
    assert len(made) == 200
    for formula in made:
        assert set(Composition(formula).get_el_amt_dict()) <= allowed
        assert len(Composition(formula)) == 3


def test_shipped_required_elements_occur_as_often_beside_others_as_in_free_draws(shipped):
    """Conditioning is exact: drawing with a required element is drawing freely and keeping what holds it."""
    free = [Composition(f) for f in shipped.sample(60_000, np.random.default_rng(4), plausible=False)]
    kept = [c for c in free if "F" in c]
    asked = [Composition(f) for f in shipped.sample(5000, np.random.default_rng(5), required={"F"}, plausible=False)]
    assert all("F" in c for c in asked)
    for shares in (lambda c: [len(c)], lambda c: [e.symbol for e in c]):
        ours = Counter(x for c in asked for x in shares(c))
        theirs = Counter(x for c in kept for x in shares(c))
        for name, count in theirs.most_common(5):
            expected = count / len(kept)
            spread = 4.5 * np.sqrt(expected * (1 - expected) * (1 / len(kept) + 1 / len(asked)))
            assert ours[name] / len(asked) == pytest.approx(expected, abs=spread + 1e-3)


def test_shipped_draws_without_alloys_hold_a_non_metal_and_balance(shipped):
    made = shipped.sample(200, np.random.default_rng(6), alloys=False)
    assert all(smact_validity(f, include_alloys=False) for f in made)


def test_shipped_distinct_draws_are_the_others_without_repeats(shipped):
    wishes = {"allowed": {"Na", "K", "Cl", "O", "S"}, "max_elements": 3}
    once = shipped.sample(80, np.random.default_rng(9), distinct=True, **wishes)
    assert len(set(once)) == 80
    often = shipped.sample(2000, np.random.default_rng(9), **wishes)
    assert len(set(often)) < 2000
    with pytest.raises(InputError, match="no new formula"):
        shipped.sample(100, np.random.default_rng(9), distinct=True, allowed={"Na", "Cl"})


def test_shipped_hopeless_or_unknown_restrictions_are_refused(shipped):
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="'Xx' cannot be generated"):
        shipped.sample(1, rng, allowed={"Xx"})
    with pytest.raises(InputError, match="'Xx' cannot be generated"):
        shipped.sample(1, rng, required={"Xx"})
    with pytest.raises(InputError, match="made no formula"):
        shipped.sample(1, rng, allowed={"He", "Ne"})
    with pytest.raises(InputError, match="with Na"):
        shipped.sample(1, rng, allowed={"K", "Cl"}, required={"Na"})
    with pytest.raises(InputError, match="made no formula"):
        shipped.sample(1, rng, min_elements=7)


def test_shipped_card_tells_its_training_set_beside_its_own_figures(shipped):
    card, metrics = shipped.card, shipped.card["metrics"]
    assert metrics["valid"] >= 0.97
    assert metrics["raw"]["valid"] >= 0.85
    assert metrics["valid_train"] > 0.8
    assert metrics["valid_train_filtered"] == 1.0
    assert metrics["samples"] == 2_000_000
    assert metrics["unique"] > 0.86
    assert metrics["novel"] > 0.6
    assert metrics["recovered"] > 0.5
    assert set(metrics["recovered_by_elements"]) == {"2", "3", "4"}
    assert metrics["element_shares_distance"] < 0.1
    assert sum(metrics["elements"].values()) == pytest.approx(1.0, abs=1e-3)
    assert "SMACT-valid" in card["data"]["filter"]
    assert card["split"]["by"] == "formula"
    assert "CC BY 4.0" in card["licence"]
    assert (SHIPPED / "weights.safetensors").stat().st_size < 8e6


def test_truncated_or_foreign_weights_are_refused(tmp_path):
    shutil.copytree(SHIPPED, tmp_path / "w")
    path = tmp_path / "w" / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="damaged"):
        FormulaGAN.load(tmp_path / "w")
    with pytest.raises(CheckpointError, match="FormulaAutoencoder"):
        FormulaGAN.load(SHIPPED.parent / "autoencoder")
