from __future__ import annotations

import shutil
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
from aldesign.models.wasserstein import Critic, draw, embed

TINY = GanConfig(noise_size=8, width=16, critic_width=16)
SALTS = [f"{a}{x}" for a in ("Na", "K", "Li", "Rb", "Cs") for x in ("Cl", "Br", "F", "I")] * 4
QUICK = replace(PLAN, epochs=4, batch_size=16)
OFTEN = replace(QUICK, checkpoint_seconds=0.0)


@pytest.fixture(scope="module")
def shipped():
    return FormulaGAN.load()


def weights(model):
    return torch.cat([value.flatten() for value in model.network.state_dict().values()])


def test_filter_keeps_neutral_compounds_and_leaves_out_alloys_and_elements():
    formulas = ["NaCl", "SrTiO3", "Cu3Au", "O2", "NaCl2", "CaF2"]
    assert trainable(indices(compositions(formulas))).tolist() == [True, True, False, False, False, True]
    for formula in ("NaCl", "SrTiO3", "CaF2"):
        assert smact_validity(formula, include_alloys=False)
    for formula in ("Cu3Au", "NaCl2"):
        assert not smact_validity(formula, include_alloys=False)


def test_a_tiny_generator_learns_salts_beyond_the_shares_of_their_elements():
    found = []
    for epochs, rate in ((1, 1e-12), (50, 1e-2)):
        model = FormulaGAN(TINY)
        history = model.fit(
            SALTS, plan=replace(QUICK, epochs=epochs, learning_rate=rate), game=wasserstein.Game(reward=4.0), seed=0
        )
        assert (history.formulas, history.epochs) == (len(SALTS), epochs)
        found.append(trainable(model.sample_table(500, np.random.default_rng(0))).mean())
    untrained, trained = found
    assert trained > 1.25 * untrained


@pytest.mark.parametrize("stop_after", [3, 7, 8, 14])
def test_a_run_cut_off_and_resumed_ends_with_the_same_weights(tmp_path, monkeypatch, stop_after):
    whole = FormulaGAN(TINY)
    whole.fit(SALTS, plan=OFTEN, seed=3)
    judge, calls = wasserstein._Run._judge, []

    def fail(run, real):
        calls.append(1)
        if len(calls) > stop_after:
            raise KeyboardInterrupt
        judge(run, real)

    monkeypatch.setattr(wasserstein._Run, "_judge", fail)
    with pytest.raises(KeyboardInterrupt):
        FormulaGAN(TINY).fit(SALTS, plan=OFTEN, seed=3, checkpoint=tmp_path)
    monkeypatch.setattr(wasserstein._Run, "_judge", judge)
    resumed = FormulaGAN(TINY)
    resumed.fit(SALTS, plan=OFTEN, seed=3, checkpoint=tmp_path)
    assert torch.equal(weights(whole), weights(resumed))
    again = FormulaGAN(TINY)
    again.fit(SALTS, plan=OFTEN, seed=3, checkpoint=tmp_path)
    assert torch.equal(weights(whole), weights(again))
    with pytest.raises(CheckpointError, match="other data or settings"):
        FormulaGAN(TINY).fit(SALTS, plan=OFTEN, seed=4, checkpoint=tmp_path)


def test_too_few_neutral_formulas_are_refused():
    with pytest.raises(InputError, match="0 of 3 formulas"):
        FormulaGAN(TINY).fit(["Cu3Au", "NaCl2", "O2"])


def test_the_critic_sees_a_group_that_repeats_itself():
    torch.manual_seed(0)
    critic = Critic(16)
    vectors = embed(indices(compositions(SALTS[:8])), critic.embedding())
    alone, _ = critic(vectors[:1].repeat(8, 1))
    assert alone.shape == (8,)
    assert not torch.isclose(critic(vectors)[0][0], alone[0])


def test_sums_of_embeddings_are_products_with_the_one_hot_matrix():
    table = indices(compositions(["NaCl", "SrTiO3", "Fe2O3", "U"]))
    table[3] = 0  # nothing at all, as a generator may draw
    matrices = torch.nn.functional.one_hot(torch.from_numpy(table).long(), 21).float()
    embedding = Critic(16).embedding()
    torch.testing.assert_close(embed(table, embedding), matrices.flatten(1) @ embedding)


def test_the_slope_is_that_on_the_matrix():
    """The quadratic form of the penalty is the norm of torch's own gradient on the one-hot matrices."""
    torch.manual_seed(0)
    generator = torch.nn.Linear(4, 103 * 21)
    critic = Critic(16)
    table = indices(compositions(SALTS[:16]))
    run = wasserstein._Run(generator, critic, table, 4, QUICK, wasserstein.Game(slope=0.0), trainable, 0, None, "")
    embedding = critic.embedding()
    made, real = table[:8], table[8:]
    torch.manual_seed(1)
    excess = run._excess(embed(made, embedding), embed(real, embedding), embedding)
    torch.manual_seed(1)
    share = torch.rand(8, 1, 1)
    one_hot = [torch.nn.functional.one_hot(torch.from_numpy(t).long(), 21).float() for t in (made, real)]
    between = (share * one_hot[1] + (1 - share) * one_hot[0]).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between.flatten(1) @ embedding)[0].sum(), between)
    torch.testing.assert_close(excess, slope.flatten(1).square().sum(dim=1).mean())


def test_draws_follow_the_probabilities():
    logits = torch.log(torch.tensor([0.5, 0.3, 0.2] + [1e-12] * 18)).expand(20000, 103, 21)[:2000]
    made = draw(logits, torch.rand(2000, 103, generator=torch.Generator().manual_seed(0)))
    shares = np.bincount(made.ravel(), minlength=21) / made.size
    assert shares[:3] == pytest.approx([0.5, 0.3, 0.2], abs=0.005)
    assert shares[3:].sum() == 0


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


def test_shipped_three_quarters_and_more_are_valid_by_smact_itself(shipped):
    made = shipped.sample(500, np.random.default_rng(2))
    sizes = [len(Composition(f)) for f in made]
    assert 3.0 <= np.mean(sizes) <= 4.1  # 3.6 in the training formulas
    assert np.mean([k <= 7 and smact_validity(f) for f, k in zip(made, sizes, strict=True)]) >= 0.75
    assert len(set(made)) > 450
    assert len({symbol for f in made for symbol in Composition(f).get_el_amt_dict()}) > 60


def test_shipped_restrictions_hold(shipped):
    allowed = {"Li", "Na", "K", "Mg", "Ca", "Al", "Si", "P", "O", "S", "F", "Cl", "N", "C", "H", "B", "Ti", "Zn"}
    made = shipped.sample(30, np.random.default_rng(3), max_elements=3, allowed=allowed)
    assert len(made) == 30
    for formula in made:
        assert set(Composition(formula).get_el_amt_dict()) <= allowed
        assert 2 <= len(Composition(formula)) <= 3


def test_shipped_hopeless_or_unknown_restrictions_are_refused(shipped):
    with pytest.raises(InputError, match="'Xx' cannot be generated"):
        shipped.sample(1, np.random.default_rng(0), allowed={"Xx"})
    with pytest.raises(InputError, match="allow more elements"):
        shipped.sample(1, np.random.default_rng(0), allowed={"He", "Ne"})


def test_shipped_card_tells_its_training_set_beside_its_own_figures(shipped):
    card, metrics = shipped.card, shipped.card["metrics"]
    assert metrics["valid"] >= 0.75
    assert metrics["valid_train"] > 0.8
    assert metrics["valid_train_filtered"] == 1.0
    assert metrics["samples"] == 20_000
    assert metrics["unique"] > 0.9
    assert metrics["novel"] > 0.5
    assert metrics["element_shares_distance"] < 0.25
    assert sum(metrics["elements"].values()) == pytest.approx(1.0, abs=1e-3)
    assert "charge-neutral" in card["data"]["filter"]
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
