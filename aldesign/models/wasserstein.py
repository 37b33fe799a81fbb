"""Train a generator of one-hot matrices against a critic; resumable to the same result after a kill."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from aldesign.chemistry.onehot import MAX_COUNT, N_ROWS
from aldesign.errors import AldesignError, CheckpointError
from aldesign.learning.checkpoint import interrupted_run, write_tensors
from aldesign.learning.training import (
    STATE,
    TrainingPlan,
    flatten_optimiser,
    learning_rate,
    restore_optimiser,
    take,
)
from aldesign.seeds import stream, torch_seed

_GROUP = 8  # samples whose spread the critic sees together
_BETAS = (0.0, 0.9)  # no momentum, as usual for a game of two


@dataclass(frozen=True)
class Game:
    """Weights of the game between generator and critic.

    Attributes:
        critic_steps: Steps of the critic for one of the generator.
        critic_rate: Learning rate of the critic relative to that of the generator.
        slope: Gradient of the critic above which it is punished; the scale of its verdicts.
        penalty: Weight of the gradient penalty.
        lazy: The penalty is computed in every so many steps of the critic, with as much more weight.
        reward: Weight of the objective, as the critic foresees it, in the generator's loss.
        likeness: Weight of the loss that keeps the shares of the elements and counts those of the training formulas;
            without it the reward is earned with the few elements of many oxidation states.
        temperature: Of the Gumbel-softmax, whose gradient stands for that of the hard choice.
        averaging: Share of the newest weights in the running average that is kept.

    """

    critic_steps: int = 2
    critic_rate: float = 2.0
    slope: float = 5.0
    penalty: float = 1.0
    lazy: int = 4
    reward: float = 3.0
    likeness: float = 3.0
    temperature: float = 0.7
    averaging: float = 0.01


class Critic(nn.Module):
    """Tells training formulas from made ones, and foresees whether a formula meets the objective.

    Formulas are judged with the spread of their group of eight (Karras et al., ICLR 2018), which lets the critic
    see, and punish, a generator that repeats itself.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        # a few ones among two thousand zeros: an embedding, whose scale does not shrink with the number of zeros
        self.counted = nn.Parameter(0.1 * torch.randn(N_ROWS, MAX_COUNT + 1, width))
        self.element = nn.Parameter(0.1 * torch.randn(N_ROWS, 1, width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.mixed = nn.Linear(width, width)
        self.last = nn.Linear(width + 1, width)
        self.heads = nn.Linear(width, 2)

    def embedding(self) -> torch.Tensor:
        """Return the vectors that one count of one element adds, (103 * 21, width); those of absence are zero."""
        counts = torch.arange(MAX_COUNT + 1).view(1, -1, 1)
        return ((self.counted + 0.25 * counts * self.element) * (counts > 0)).flatten(0, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return verdicts (n,) and the objective's logits (n,) for sums of embeddings (n, width), n a multiple of 8."""
        x = functional.leaky_relu(x + self.bias, 0.2)
        x = x + functional.leaky_relu(self.mixed(x), 0.2)
        spread = x.view(-1, _GROUP, x.shape[1]).std(dim=1).mean(dim=1).repeat_interleave(_GROUP)
        x = functional.leaky_relu(self.last(torch.cat([x, spread[:, None]], dim=1)), 0.2)
        verdict, objective = self.heads(x).unbind(dim=1)
        return verdict, objective


def embed(table: np.ndarray, embedding: torch.Tensor) -> torch.Tensor:
    """Return the sums of the vectors of the counts in `table`, int8 (n, 103): what a one-hot product would give."""
    row, element = np.nonzero(table)
    index = torch.from_numpy(element * (MAX_COUNT + 1) + table[row, element])
    starts = torch.from_numpy(np.searchsorted(row, np.arange(len(table))))
    sums: torch.Tensor = functional.embedding_bag(index, embedding, starts, mode="sum")
    return sums


def fit_wasserstein(
    generator: nn.Module,
    critic: Critic,
    table: np.ndarray,
    noise_size: int,
    plan: TrainingPlan,
    game: Game,
    objective: Callable[[np.ndarray], np.ndarray],
    *,
    seed: int,
    checkpoint: Path | None,
    fingerprint: str,
    progress: Callable[[str], None] | None,
) -> tuple[int, float]:
    """Train `generator` (noise to logits) in place, and leave it with its averaged weights.

    A Wasserstein game with a one-sided gradient penalty (Gulrajani et al., NeurIPS 2017; Petzka et al., ICLR 2018) on
    hard one-hot matrices drawn with Gumbel noise, their gradient being that of the softmax (Jang et al., ICLR 2017).
    The critic also learns which of the formulas made meet the `objective`, and the generator is rewarded for these
    (as in ORGAN, Guimaraes et al., arXiv:1705.10843).

    Args:
        generator: Maps noise (n, noise_size) to logits (n, 103, 21).
        critic: Its opponent.
        table: Counts of the training formulas, int8 (n, 103).
        noise_size: Dimensions of the normal noise.
        plan: An epoch shows the critic every formula once.
        game: Balance of the two.
        objective: Takes counts, int8 (n, 103); returns which rows are to be rewarded, bool (n,).
        seed: Seed of batches and noise.
        checkpoint: Folder of the running state; None for none.
        fingerprint: Text that names data and configuration; another one refuses the checkpoint.
        progress: Takes one line an epoch.

    Returns:
        The number of epochs done, and the wall time in seconds.

    Raises:
        CheckpointError: The checkpoint is damaged or belongs to another run.
        AldesignError: There are fewer formulas than a batch needs, or a loss is not finite.

    """
    plan = replace(plan, batch_size=min(plan.batch_size, len(table)) // _GROUP * _GROUP)
    if plan.batch_size == 0:
        raise AldesignError(f"{len(table)} formulas are too few to train a generator", f"give {_GROUP} or more")
    run = _Run(generator, critic, table, noise_size, plan, game, objective, seed, checkpoint, fingerprint)
    with torch.random.fork_rng(devices=[]):
        run.resume()
        while not run.over:
            line = run.epoch()
            if progress:
                progress(line)
        run.finish()
    return run.epochs, run.seconds


def draw(logits: torch.Tensor, uniform: torch.Tensor) -> np.ndarray:
    """Return counts, int8 (n, 103), drawn from the classes' `logits` (n, 103, 21) by uniform numbers (n, 103)."""
    shares = logits.softmax(dim=2).cumsum(dim=2)
    drawn = (uniform[:, :, None] >= shares).sum(dim=2).clamp_max(MAX_COUNT)
    return np.asarray(drawn.to(torch.int8).numpy())


class _Run:
    """The moving state of the game, and its way to and from the disk."""

    def __init__(
        self,
        generator: nn.Module,
        critic: Critic,
        table: np.ndarray,
        noise_size: int,
        plan: TrainingPlan,
        game: Game,
        objective: Callable[[np.ndarray], np.ndarray],
        seed: int,
        checkpoint: Path | None,
        fingerprint: str,
    ) -> None:
        self.generator, self.critic, self.table, self.noise_size = generator, critic, table, noise_size
        self.plan, self.game, self.objective, self.seed = plan, game, objective, seed
        self.path = checkpoint / STATE if checkpoint else None
        fixed = {k: v for k, v in asdict(plan).items() if k != "checkpoint_seconds"}
        self.identity = json.dumps([fixed, asdict(game), seed, fingerprint], sort_keys=True)
        seen = np.stack([(table == count).mean(axis=0) for count in range(MAX_COUNT + 1)], axis=1)
        self.frequencies = torch.from_numpy(seen).float()
        self.average = {k: v.detach().clone() for k, v in generator.state_dict().items()}
        self.makes = torch.optim.Adam(generator.parameters(), lr=plan.learning_rate, betas=_BETAS)
        self.judges = torch.optim.Adam(critic.parameters(), lr=plan.learning_rate, betas=_BETAS)
        self.epochs, self.steps, self.distance, self.met = 0, 0, 0.0, 0.0
        self.over = False
        self.before, self.started, self.written = 0.0, time.monotonic(), time.monotonic()
        self.random: torch.Tensor | None = None

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.started

    def epoch(self) -> str:
        """Go through one epoch, or through the rest of one; return a line about it."""
        since, size = self.seconds, self.plan.batch_size
        order = stream(self.seed, self.epochs, "batches").permutation(len(self.table))
        total = len(order) // size
        if self.random is None:
            torch.manual_seed(torch_seed(self.seed, self.epochs, "network"))
        else:
            torch.set_rng_state(self.random)
            self.random = None
        while self.steps < total and not self.over:
            self._set_rates((self.epochs + self.steps / total) / self.plan.epochs)
            rows = self.table[order[self.steps * size : (self.steps + 1) * size]]
            self._judge(rows)
            self.steps += 1
            if self.steps % self.game.critic_steps == 0:
                self._make()
            if self.path and time.monotonic() - self.written > self.plan.checkpoint_seconds:
                self.write()
            self.over = bool(self.plan.max_minutes) and self.seconds > 60 * (self.plan.max_minutes or 0)
        distance, met = self.distance / max(self.steps, 1), self.met / max(self.steps, 1)
        line = f"distance {distance:.4g}  objective {met:.4f}  {self.seconds - since:.1f} s"
        self.epochs, self.steps, self.distance, self.met = self.epochs + 1, 0, 0.0, 0.0
        self.over = self.over or self.epochs >= self.plan.epochs
        return f"epoch {self.epochs}/{self.plan.epochs}  {line}"

    def _set_rates(self, done: float) -> None:
        if self.plan.max_minutes:
            done = max(done, self.seconds / (60 * self.plan.max_minutes))
        rate = learning_rate(self.plan, min(done, 1.0))
        for group in self.makes.param_groups:
            group["lr"] = rate
        for group in self.judges.param_groups:
            group["lr"] = rate * self.game.critic_rate

    def _noise(self) -> torch.Tensor:
        return torch.randn(self.plan.batch_size, self.noise_size)

    def _judge(self, real: np.ndarray) -> None:
        with torch.no_grad():
            made = draw(self.generator(self._noise()), torch.rand(len(real), N_ROWS))
        good = torch.from_numpy(self.objective(made)).float()
        embedding = self.critic.embedding()
        x_made, x_real = embed(made, embedding), embed(real, embedding)
        verdict, foreseen = self.critic(torch.cat([x_made, x_real]))
        on_made, on_real = verdict.chunk(2)
        loss = on_made.mean() - on_real.mean()
        distance = -float(loss.detach())
        if not math.isfinite(distance):
            raise AldesignError(f"the critic's loss became {distance} in epoch {self.epochs + 1}")
        self.distance += distance
        self.met += float(good.mean())
        loss = loss + 1e-3 * on_real.square().mean()  # keeps verdicts from drifting away together
        labels = torch.cat([good, torch.ones(len(real))])
        loss = loss + 2 * functional.binary_cross_entropy_with_logits(foreseen, labels)
        if self.steps % self.game.lazy == 0:
            loss = loss + self.game.penalty * self.game.lazy * self._excess(x_made, x_real, embedding)
        self.judges.zero_grad(set_to_none=True)
        loss.backward()
        self.judges.step()

    def _excess(self, x_made: torch.Tensor, x_real: torch.Tensor, embedding: torch.Tensor) -> torch.Tensor:
        """Return by how much the critic is too steep between made and real matrices.

        The slope on the matrix is the embedding times that on the sum of vectors, its square a quadratic form.
        """
        share = torch.rand(len(x_real), 1)
        between = share * x_real + (1 - share) * x_made
        (slope,) = torch.autograd.grad(self.critic(between)[0].sum(), between, create_graph=True)
        squared = ((slope @ (embedding.T @ embedding)) * slope).sum(dim=1)
        return functional.relu((squared + 1e-12).sqrt() - self.game.slope).square().mean()

    def _make(self) -> None:
        logits: torch.Tensor = self.generator(self._noise())
        uniform = torch.rand_like(logits).clamp(1e-9, 1 - 1e-6)
        soft = ((logits - (-uniform.log()).log()) / self.game.temperature).softmax(dim=2)
        hard = functional.one_hot(soft.argmax(dim=2), MAX_COUNT + 1).to(soft.dtype)
        matrices = hard + soft - soft.detach()
        verdict, foreseen = self.critic(matrices.flatten(1) @ self.critic.embedding().detach())
        ratio = (self.frequencies + 1e-6) / (logits.softmax(dim=2).mean(dim=0) + 1e-6)
        loss = -verdict.mean() - self.game.reward * functional.logsigmoid(foreseen).mean()
        loss = loss + self.game.likeness * (self.frequencies * ratio.log()).sum()
        self.makes.zero_grad(set_to_none=True)
        loss.backward()
        self.makes.step()
        for name, value in self.generator.state_dict().items():
            self.average[name].lerp_(value, self.game.averaging)

    def finish(self) -> None:
        """Keep the averaged weights, and write down that the game is over."""
        if self.path:
            self.write()
        self.generator.load_state_dict(self.average)

    def write(self) -> None:
        """Write everything that the rest of the run depends on into one file."""
        if self.path is None:
            return
        tensors = {f"generator.{k}": v for k, v in self.generator.state_dict().items()}
        tensors |= {f"critic.{k}": v for k, v in self.critic.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.items()}
        tensors |= flatten_optimiser(self.makes, "makes.") | flatten_optimiser(self.judges, "judges.")
        tensors["random"] = torch.get_rng_state()
        counters = {
            "epochs": self.epochs,
            "steps": self.steps,
            "distance": self.distance,
            "met": self.met,
            "over": self.over,
            "seconds": self.seconds,
        }
        write_tensors(self.path, tensors, {"identity": self.identity, "counters": json.dumps(counters)})
        self.written = time.monotonic()

    def resume(self) -> None:
        """Take up the checkpoint, if there is one."""
        found = interrupted_run(self.path, self.identity)
        if found is None:
            return
        tensors, metadata = found
        try:
            counters = json.loads(metadata["counters"])
            self.generator.load_state_dict(take(tensors, "generator."))
            self.critic.load_state_dict(take(tensors, "critic."))
            self.average = take(tensors, "average.")
            restore_optimiser(self.makes, tensors, "makes.")
            restore_optimiser(self.judges, tensors, "judges.")
            self.epochs, self.steps, self.distance = counters["epochs"], counters["steps"], counters["distance"]
            self.met = counters["met"]
            self.over, self.before = counters["over"], counters["seconds"]
            self.random = tensors["random"] if self.steps else None
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path} does not fit this network: {error}", "remove the folder to begin anew"
            ) from error
