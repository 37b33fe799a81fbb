from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from aldesign.chemistry.formula import compositions
from aldesign.chemistry.onehot import indices
from aldesign.learning.training import TrainingPlan
from aldesign.models.gan import trainable
from aldesign.models.wasserstein import Critic, Game, Maker, _Run, embed

SALTS = [f"{a}{x}" for a in ("Na", "K", "Li", "Rb", "Cs") for x in ("Cl", "Br", "F", "I")]
PLAN = TrainingPlan(epochs=4, batch_size=16, patience=None)


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


class Constant(Maker):
    """Makes one formula, more and more gladly."""

    def __init__(self) -> None:
        super().__init__()
        self.gladness = torch.nn.Parameter(torch.zeros(1))
        self.lessons: list[str] = []

    def make(self, n: int, temperature: float) -> torch.Tensor:
        table = np.repeat(indices(compositions(["NaCl"])), n, axis=0)
        one_hot = torch.nn.functional.one_hot(torch.from_numpy(table).long(), 21).float()
        self.lessons.append("make")
        return one_hot * (1 + self.gladness)

    def surprise(self, table: np.ndarray) -> torch.Tensor:
        self.lessons.append("surprise")
        return self.gladness.square().sum()


def test_the_game_begins_after_the_lead_in():
    maker, table = Constant(), indices(compositions(SALTS * 4))
    run = _Run(maker, Critic(16), table, PLAN, Game(lead_in=0.5, critic_steps=1), trainable, 0, None, "")
    lines = [run.epoch() for _ in range(4)]
    steps = len(table) // 16
    assert maker.lessons[: 2 * steps] == ["surprise"] * 2 * steps
    assert maker.lessons[2 * steps :] == ["make", "surprise", "make"] * 2 * steps  # judged, then learnt from
    assert ["distance" in line for line in lines] == [False, False, True, True]
    assert "objective 1.0000" in lines[-1]  # rock salt is neutral
    assert run.over


def test_the_slope_is_that_on_the_matrix():
    """The quadratic form of the penalty is the norm of torch's own gradient on the one-hot matrices."""
    torch.manual_seed(0)
    critic = Critic(16)
    table = indices(compositions(SALTS[:16]))
    run = _Run(Constant(), critic, table, replace(PLAN), Game(slope=0.0), trainable, 0, None, "")
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
