"""Train a generator of one-hot matrices, alone and against a critic; resumable to the same result after a kill."""

from __future__ import annotations

import json
import math
import time
from abc import ABC, abstractmethod
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


class Maker(nn.Module, ABC):
    """What a generator must be to be trained here."""

    @abstractmethod
    def make(self, n: int, temperature: float) -> torch.Tensor:
        """Return one-hot matrices (n, 103, 21), drawn with torch's generator, that gradients flow through."""

    @abstractmethod
    def surprise(self, table: np.ndarray) -> torch.Tensor:
        """Return how ill the generator fits training formulas, int8 (n, 103), a scalar to descend."""


@dataclass(frozen=True)
class Game:
    """Weights of the game between generator and critic.

    Attributes:
        lead_in: Share of the training in which the generator learns from the formulas alone, before the game.
        critic_steps: Steps of the critic for one of the generator.
        critic_rate: Learning rate of the critic relative to that of the generator.
        slope: Gradient of the critic above which it is punished; the scale of its verdicts.
        penalty: Weight of the gradient penalty.
        lazy: The penalty is computed in every so many steps of the critic, with as much more weight.
        verdict: Weight of the critic's verdict in the generator's loss.
        reward: Weight of the objective, as the critic foresees it, in the generator's loss.
        likeness: Weight of the generator's surprise at the training formulas: their negative log-likelihood where it
            draws in sequence; where it draws a whole matrix, the difference in the shares of elements and counts.
        temperature: Of the Gumbel-softmax, whose gradient stands for that of the hard choice.
        momentum: Of the generator's optimiser; that of the critic has none, as usual for a game of two.
        averaging: Share of the newest weights in the running average that is kept.

    """

    lead_in: float = 0.8
    critic_steps: int = 4
    critic_rate: float = 2.0
    slope: float = 5.0
    penalty: float = 1.0
    lazy: int = 4
    verdict: float = 0.2
    reward: float = 0.5
    likeness: float = 1.0
    temperature: float = 0.7
    momentum: float = 0.9
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
    generator: Maker,
    critic: Critic,
    table: np.ndarray,
    plan: TrainingPlan,
    game: Game,
    objective: Callable[[np.ndarray], np.ndarray],
    *,
    seed: int,
    checkpoint: Path | None,
    fingerprint: str,
    progress: Callable[[str], None] | None,
) -> tuple[int, float]:
    """Train `generator` in place, and leave it with its averaged weights.

    First it learns from the formulas alone, as sequence generators do before they meet their critic (Yu et al., AAAI
    2017), then against the critic too. The game is a Wasserstein one with a one-sided gradient penalty (Gulrajani et
    al., NeurIPS 2017; Petzka et al., ICLR 2018) on hard one-hot matrices drawn with Gumbel noise, their gradient being
    that of the softmax (Jang et al., ICLR 2017).
    The critic also learns which of the formulas made meet the `objective`, and the generator is rewarded for these
    (as in ORGAN, Guimaraes et al., arXiv:1705.10843).

    Args:
        generator: Learns to make formulas.
        critic: Its opponent.
        table: Counts of the training formulas, int8 (n, 103).
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
    run = _Run(generator, critic, table, plan, game, objective, seed, checkpoint, fingerprint)
    with torch.random.fork_rng(devices=[]):
        run.resume()
        while not run.over:
            line = run.epoch()
            if progress:
                progress(line)
        run.finish()
    return run.epochs, run.seconds


class _Run:
    """The moving state of the game, and its way to and from the disk."""

    def __init__(
        self,
        generator: Maker,
        critic: Critic,
        table: np.ndarray,
        plan: TrainingPlan,
        game: Game,
        objective: Callable[[np.ndarray], np.ndarray],
        seed: int,
        checkpoint: Path | None,
        fingerprint: str,
    ) -> None:
        self.generator, self.critic, self.table = generator, critic, table
        self.plan, self.game, self.objective, self.seed = plan, game, objective, seed
        self.path = checkpoint / STATE if checkpoint else None
        fixed = {k: v for k, v in asdict(plan).items() if k != "checkpoint_seconds"}
        self.identity = json.dumps([fixed, asdict(game), seed, fingerprint], sort_keys=True)
        self.average = {k: v.detach().clone() for k, v in generator.state_dict().items()}
        decay = plan.weight_decay
        self.makes = torch.optim.AdamW(generator.parameters(), lr=1.0, betas=(game.momentum, 0.95), weight_decay=decay)
        self.judges = torch.optim.Adam(critic.parameters(), lr=1.0, betas=(0.0, 0.9))
        self.epochs, self.steps = 0, 0
        self.sums = {"rounds": 0.0, "distance": 0.0, "objective": 0.0, "surprise": 0.0, "lessons": 0.0}
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
            playing = self._set_rates((self.epochs + self.steps / total) / self.plan.epochs) >= self.game.lead_in
            rows = self.table[order[self.steps * size : (self.steps + 1) * size]]
            if playing:
                self._judge(rows)
            self.steps += 1
            against = playing and self.steps % self.game.critic_steps == 0
            if against or self.game.likeness:
                self._learn(rows, against)
            if self.path and time.monotonic() - self.written > self.plan.checkpoint_seconds:
                self.write()
            self.over = bool(self.plan.max_minutes) and self.seconds > 60 * (self.plan.max_minutes or 0)
        line = f"{self._means()}  {self.seconds - since:.1f} s"
        self.epochs, self.steps = self.epochs + 1, 0
        self.sums = dict.fromkeys(self.sums, 0.0)
        self.over = self.over or self.epochs >= self.plan.epochs
        return f"epoch {self.epochs}/{self.plan.epochs}  {line}"

    def _means(self) -> str:
        words = [f"surprise {self.sums['surprise'] / max(self.sums['lessons'], 1):.4f}"]
        if rounds := self.sums["rounds"]:
            words += [f"{name} {self.sums[name] / rounds:.4f}" for name in ("distance", "objective")]
        return "  ".join(words)

    def _set_rates(self, done: float) -> float:
        """Return the share of the training that is done, having set the learning rates to it."""
        if self.plan.max_minutes:
            done = max(done, self.seconds / (60 * self.plan.max_minutes))
        done = min(done, 1.0)
        rate = learning_rate(self.plan, done)
        for group in self.makes.param_groups:
            group["lr"] = rate
        for group in self.judges.param_groups:
            group["lr"] = rate * self.game.critic_rate
        return done

    def _judge(self, real: np.ndarray) -> None:
        with torch.no_grad():
            made = np.asarray(self._made(len(real)).argmax(dim=2).to(torch.int8).numpy())
        good = torch.from_numpy(self.objective(made)).float()
        embedding = self.critic.embedding()
        x_made, x_real = embed(made, embedding), embed(real, embedding)
        verdict, foreseen = self.critic(torch.cat([x_made, x_real]))
        on_made, on_real = verdict.chunk(2)
        loss = on_made.mean() - on_real.mean()
        distance = -float(loss.detach())
        if not math.isfinite(distance):
            raise AldesignError(f"the critic's loss became {distance} in epoch {self.epochs + 1}")
        self.sums["rounds"] += 1
        self.sums["distance"] += distance
        self.sums["objective"] += float(good.mean())
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

    def _made(self, n: int) -> torch.Tensor:
        self.generator.eval()
        made: torch.Tensor = self.generator.make(n, self.game.temperature)
        self.generator.train()
        return made

    def _learn(self, rows: np.ndarray, against: bool) -> None:
        """Take a step of the generator: towards the formulas in `rows`, and maybe against the critic."""
        loss = torch.zeros(())
        if self.game.likeness:
            surprise = self.generator.surprise(rows)
            self.sums["surprise"] += float(surprise.detach())
            loss = loss + self.game.likeness * surprise
        self.sums["lessons"] += 1
        if against:
            verdict, foreseen = self.critic(self._made(len(rows)).flatten(1) @ self.critic.embedding().detach())
            loss = loss - self.game.verdict * verdict.mean()
            loss = loss - self.game.reward * functional.logsigmoid(foreseen).mean()
        if not math.isfinite(float(loss.detach())):
            raise AldesignError(f"the generator's loss became {float(loss.detach())} in epoch {self.epochs + 1}")
        self.makes.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.plan.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self.generator.parameters(), self.plan.gradient_clip)
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
            "sums": self.sums,
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
            self.epochs, self.steps, self.sums = counters["epochs"], counters["steps"], counters["sums"]
            self.over, self.before = counters["over"], counters["seconds"]
            self.random = tensors["random"] if self.steps else None
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path} does not fit this network: {error}", "remove the folder to begin anew"
            ) from error
