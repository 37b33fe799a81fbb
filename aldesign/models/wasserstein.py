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
from aldesign.learning.checkpoint import read_tensors, write_tensors
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
        penalty: Weight of the gradient penalty (10 in Gulrajani et al., NeurIPS 2017).
        lazy: The penalty is computed in every so many steps of the critic, with as much more weight.
        temperature: Of the Gumbel-softmax, whose gradient stands for that of the hard choice.
        averaging: Share of the newest weights in the running average that is kept.

    """

    critic_steps: int = 2
    critic_rate: float = 2.0
    penalty: float = 3.0
    lazy: int = 4
    temperature: float = 0.7
    averaging: float = 0.01


class Critic(nn.Module):
    """Tells training formulas from made ones; formulas are judged with the spread of their group of eight.

    The spread (Karras et al., ICLR 2018) lets it see, and punish, a generator that repeats itself.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.elements = nn.Linear(N_ROWS * MAX_COUNT + N_ROWS, width)
        self.mixed = nn.Linear(width, width)
        self.last = nn.Linear(width + 1, width)
        self.verdict = nn.Linear(width, 1)
        # a few ones among two thousand zeros: as for an embedding, weights are not scaled down by the zeros
        nn.init.normal_(self.elements.weight, std=0.2)
        self.register_buffer("counts", torch.arange(1, MAX_COUNT + 1).float() / 4, persistent=False)

    def forward(self, matrices: torch.Tensor) -> torch.Tensor:
        """Return the verdicts (n,) on matrices (n, 103, 21), n a multiple of eight."""
        present = matrices[:, :, 1:]
        counts = self.get_buffer("counts")
        x = functional.leaky_relu(self.elements(torch.cat([present.flatten(1), present @ counts], dim=1)), 0.2)
        x = x + functional.leaky_relu(self.mixed(x), 0.2)
        spread = x.view(-1, _GROUP, x.shape[1]).std(dim=1).mean(dim=1).repeat_interleave(_GROUP)
        verdict: torch.Tensor = self.verdict(functional.leaky_relu(self.last(torch.cat([x, spread[:, None]], 1)), 0.2))
        return verdict[:, 0]


def fit_wasserstein(
    generator: nn.Module,
    critic: Critic,
    table: np.ndarray,
    noise_size: int,
    plan: TrainingPlan,
    game: Game,
    *,
    seed: int,
    checkpoint: Path | None,
    fingerprint: str,
    progress: Callable[[str], None] | None,
) -> tuple[int, float]:
    """Train `generator` (noise to logits) in place, and leave it with its averaged weights.

    A Wasserstein game with gradient penalty (Gulrajani et al., NeurIPS 2017), on hard one-hot matrices drawn with
    Gumbel noise, their gradient being that of the softmax (Jang et al., ICLR 2017).

    Args:
        generator: Maps noise (n, noise_size) to logits (n, 103, 21).
        critic: Its opponent.
        table: Counts of the training formulas, int8 (n, 103).
        noise_size: Dimensions of the normal noise.
        plan: An epoch shows the critic every formula once.
        game: Balance of the two.
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
    run = _Run(generator, critic, table, noise_size, plan, game, seed, checkpoint, fingerprint)
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
        generator: nn.Module,
        critic: Critic,
        table: np.ndarray,
        noise_size: int,
        plan: TrainingPlan,
        game: Game,
        seed: int,
        checkpoint: Path | None,
        fingerprint: str,
    ) -> None:
        self.generator, self.critic, self.table, self.noise_size = generator, critic, table, noise_size
        self.plan, self.game, self.seed = plan, game, seed
        self.path = checkpoint / STATE if checkpoint else None
        fixed = {k: v for k, v in asdict(plan).items() if k != "checkpoint_seconds"}
        self.identity = json.dumps([fixed, asdict(game), seed, fingerprint], sort_keys=True)
        self.average = {k: v.detach().clone() for k, v in generator.state_dict().items()}
        self.makes = torch.optim.Adam(generator.parameters(), lr=plan.learning_rate, betas=_BETAS)
        self.judges = torch.optim.Adam(critic.parameters(), lr=plan.learning_rate, betas=_BETAS)
        self.epochs, self.steps, self.distance = 0, 0, 0.0
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
            self._judge(functional.one_hot(torch.from_numpy(rows).long(), MAX_COUNT + 1).float())
            self.steps += 1
            if self.steps % self.game.critic_steps == 0:
                self._make()
            if self.path and time.monotonic() - self.written > self.plan.checkpoint_seconds:
                self.write()
            self.over = bool(self.plan.max_minutes) and self.seconds > 60 * (self.plan.max_minutes or 0)
        line = f"distance {self.distance / max(self.steps, 1):.4g}  {self.seconds - since:.1f} s"
        self.epochs, self.steps, self.distance = self.epochs + 1, 0, 0.0
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

    def _draw(self) -> torch.Tensor:
        logits: torch.Tensor = self.generator(torch.randn(self.plan.batch_size, self.noise_size))
        uniform = torch.rand_like(logits).clamp(1e-9, 1 - 1e-6)
        soft = ((logits - (-uniform.log()).log()) / self.game.temperature).softmax(dim=2)
        hard = functional.one_hot(soft.argmax(dim=2), MAX_COUNT + 1).to(soft.dtype)
        return hard + soft - soft.detach()

    def _judge(self, real: torch.Tensor) -> None:
        with torch.no_grad():
            made = self._draw()
        on_made, on_real = self.critic(torch.cat([made, real])).chunk(2)
        loss = on_made.mean() - on_real.mean()
        distance = -float(loss.detach())
        if not math.isfinite(distance):
            raise AldesignError(f"the critic's loss became {distance} in epoch {self.epochs + 1}")
        self.distance += distance
        loss = loss + 1e-3 * on_real.square().mean()  # keeps verdicts from drifting away together
        if self.steps % self.game.lazy == 0:
            share = torch.rand(len(real), 1, 1)
            between = (share * real + (1 - share) * made).requires_grad_()
            (slope,) = torch.autograd.grad(self.critic(between).sum(), between, create_graph=True)
            excess = (slope.flatten(1).norm(dim=1) - 1).square().mean()
            loss = loss + self.game.penalty * self.game.lazy * excess
        self.judges.zero_grad(set_to_none=True)
        loss.backward()
        self.judges.step()

    def _make(self) -> None:
        loss = -self.critic(self._draw()).mean()
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
            "over": self.over,
            "seconds": self.seconds,
        }
        write_tensors(self.path, tensors, {"identity": self.identity, "counters": json.dumps(counters)})
        self.written = time.monotonic()

    def resume(self) -> None:
        """Take up the checkpoint, if there is one."""
        if self.path is None or not self.path.exists():
            return
        tensors, metadata = read_tensors(self.path)
        if metadata.get("identity") != self.identity:
            raise CheckpointError(
                f"{self.path} belongs to a training run with other data or settings",
                "remove the folder to begin anew, or give the settings of that run",
            )
        try:
            counters = json.loads(metadata["counters"])
            self.generator.load_state_dict(take(tensors, "generator."))
            self.critic.load_state_dict(take(tensors, "critic."))
            self.average = take(tensors, "average.")
            restore_optimiser(self.makes, tensors, "makes.")
            restore_optimiser(self.judges, tensors, "judges.")
            self.epochs, self.steps, self.distance = counters["epochs"], counters["steps"], counters["distance"]
            self.over, self.before = counters["over"], counters["seconds"]
            self.random = tensors["random"] if self.steps else None
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path} does not fit this network: {error}", "remove the folder to begin anew"
            ) from error
