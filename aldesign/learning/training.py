"""One training loop for every network: early stopping, and resuming to the same result after a kill."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import numpy as np
import torch

from aldesign.errors import AldesignError, CheckpointError
from aldesign.learning.checkpoint import interrupted_run, write_tensors
from aldesign.learning.interrupts import uninterrupted
from aldesign.seeds import stream, torch_seed

STATE = "state.safetensors"
Batch = TypeVar("Batch")


@dataclass(frozen=True)
class TrainingPlan:
    """How to train.

    Attributes:
        epochs: At most so many passes.
        batch_size: Examples a step; for the maker of the batches.
        learning_rate: Peak of the schedule.
        weight_decay: Decoupled (AdamW), on weights of two and more dimensions, not on biases and norms.
        patience: Stop after so many epochs without a better validation; None for never.
        schedule: ``one_cycle`` (linear warm-up, then cosine), ``cosine`` or ``constant``.
        warm_up: Share of the training that ``one_cycle`` spends on rising.
        gradient_clip: Largest norm of the gradient; None for no clipping.
        checkpoint_seconds: Least time between two checkpoints.
        max_minutes: Stop after so much time, with the schedule finishing in it. Steps then depend on the
            speed of the machine, and equal seeds no longer give equal weights.

    """

    epochs: int = 100
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    patience: int | None = 20
    schedule: Literal["one_cycle", "cosine", "constant"] = "one_cycle"
    warm_up: float = 0.1
    gradient_clip: float | None = None
    checkpoint_seconds: float = 60.0
    max_minutes: float | None = None


@dataclass(frozen=True)
class TrainingHistory:
    """What a training run did.

    Attributes:
        train: Mean training loss of each epoch.
        validation: Validation figure of each epoch; empty without validation.
        best_epoch: Epoch, from 1, whose weights were kept.
        seconds: Wall time, over all resumed parts.
        stopped: ``epochs``, ``patience`` or ``time``.

    """

    train: tuple[float, ...]
    validation: tuple[float, ...]
    best_epoch: int
    seconds: float
    stopped: str


class Minibatches(Generic[Batch]):
    """The rows 0 to n - 1 in random order, cut into batches that are made when they are needed.

    Args:
        n: Number of rows.
        size: Rows in a batch; the last one of an epoch may have fewer, and is left out below half of it.
        rng: Source of the order, passed on to `make`.
        make: Takes row numbers, int64 (at most `size`,), and the source of randomness; returns the batch.

    """

    def __init__(
        self,
        n: int,
        size: int,
        rng: np.random.Generator,
        make: Callable[[np.ndarray, np.random.Generator], Batch],
    ) -> None:
        self.n, self.size, self.rng, self.make = n, size, rng, make

    def __len__(self) -> int:
        whole, rest = divmod(self.n, self.size)
        return whole + (2 * rest >= self.size or (whole == 0 and rest > 0))

    def __iter__(self) -> Iterator[Batch]:
        order = self.rng.permutation(self.n)
        for i in range(len(self)):
            yield self.make(order[i * self.size : (i + 1) * self.size], self.rng)


def learning_rate(plan: TrainingPlan, done: float) -> float:
    """Return the learning rate after the share `done`, within [0, 1], of the training."""
    if plan.schedule == "constant":
        return plan.learning_rate
    if plan.schedule == "one_cycle" and done < plan.warm_up:
        return plan.learning_rate * max(done / plan.warm_up, 0.02)
    start = plan.warm_up if plan.schedule == "one_cycle" else 0.0
    angle = math.pi * min(1.0, (done - start) / (1.0 - start))
    return plan.learning_rate * max(0.5 * (1.0 + math.cos(angle)), 1e-3)


def make_optimiser(module: torch.nn.Module, plan: TrainingPlan) -> torch.optim.AdamW:
    """Return AdamW over the trainable parameters, decaying only those of two and more dimensions."""
    trained = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": plan.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=plan.learning_rate)


def flatten_optimiser(optimiser: torch.optim.Optimizer, prefix: str) -> dict[str, torch.Tensor]:
    """Return the optimiser's running averages as named tensors."""
    state: dict[int, dict[str, torch.Tensor]] = optimiser.state_dict()["state"]
    return {f"{prefix}{i}.{key}": value for i, values in state.items() for key, value in values.items()}


def restore_optimiser(optimiser: torch.optim.Optimizer, tensors: dict[str, torch.Tensor], prefix: str) -> None:
    """Put back what `flatten_optimiser` returned."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(prefix):
            number, key = name.removeprefix(prefix).split(".", 1)
            state.setdefault(int(number), {})[key] = value
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def take(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """Return the tensors whose names begin with `prefix`, by the rest of their names."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def fit_network(
    module: torch.nn.Module,
    loss_fn: Callable[[Batch], torch.Tensor],
    make_batches: Callable[[int, np.random.Generator], Iterable[Batch]],
    validate: Callable[[], float] | None,
    plan: TrainingPlan,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    fingerprint: str = "",
    progress: Callable[[str], None] | None = None,
) -> TrainingHistory:
    """Train `module` in place and leave it, in evaluation mode, with the weights that validated best.

    A run killed at any moment and called again with the same arguments goes on from the last checkpoint
    and ends with the weights of an uninterrupted one; Ctrl-C writes a checkpoint before it goes its way.
    A finished run leaves its checkpoint: calling again returns at once. The caller removes the folder when
    it has saved the result.

    Args:
        module: On its device already; everything that learns is among its parameters and buffers.
        loss_fn: Takes a batch, returns the scalar loss to descend (it closes over `module`).
        make_batches: Takes the epoch, from 0, and its random generator; returns the batches in order.
            Their randomness must come from that generator; that of `loss_fn`, dropout for instance, comes
            from torch's global one, which is seeded here.
        validate: Returns a figure, lower is better, called in evaluation mode without gradients; None
            keeps the last weights.
        plan: Length, rates and patience.
        seed: Seed of the batches and of torch's randomness.
        checkpoint: Folder of the running state; None for none.
        fingerprint: Text that names data and configuration; another one refuses the checkpoint.
        progress: Takes one line an epoch.

    Raises:
        CheckpointError: The checkpoint belongs to another plan, seed, fingerprint or network, or is damaged.
        AldesignError: The loss is not finite.

    """
    run = _Run(module, plan, seed, checkpoint, fingerprint)
    with torch.random.fork_rng(devices=[]):
        run.resume()
        try:
            while not run.stopped:
                run.epoch(loss_fn, make_batches, validate, progress)
            run.finish()
        except KeyboardInterrupt:
            run.roll_back()
            run.write()
            raise
    return TrainingHistory(tuple(run.train), tuple(run.validation), run.best_epoch, run.seconds, run.stopped)


class _Run:
    """The moving state of one training run, and its way to and from the disk."""

    def __init__(
        self,
        module: torch.nn.Module,
        plan: TrainingPlan,
        seed: int,
        checkpoint: Path | None,
        fingerprint: str,
    ) -> None:
        self.module, self.plan, self.seed = module, plan, seed
        self.path = checkpoint / STATE if checkpoint else None
        # how often and how long to write may change between two parts of a run, the rest may not
        fixed = {k: v for k, v in asdict(plan).items() if k != "checkpoint_seconds"}
        self.identity = json.dumps({"plan": fixed, "seed": seed, "fingerprint": fingerprint}, sort_keys=True)
        self.optimiser = make_optimiser(module, plan)
        self.best = self._copy()
        self.train: list[float] = []
        self.validation: list[float] = []
        self.best_epoch = 0
        self.steps, self.loss_sum = 0, 0.0  # within the running epoch
        self.stopped = ""
        self.before, self.started, self.written = 0.0, time.monotonic(), time.monotonic()
        # torch's generator where the steps done end, as long as it has moved on or is not yet put back
        self.random: torch.Tensor | None = None
        self.buffers: list[torch.Tensor] | None = None  # as they were before the step under way

    @property
    def seconds(self) -> float:
        return self.before + time.monotonic() - self.started

    def epoch(
        self,
        loss_fn: Callable[[Batch], torch.Tensor],
        make_batches: Callable[[int, np.random.Generator], Iterable[Batch]],
        validate: Callable[[], float] | None,
        progress: Callable[[str], None] | None,
    ) -> None:
        """Go through one epoch, or through the rest of one."""
        number, since = len(self.train), self.seconds
        batches = make_batches(number, stream(self.seed, number, "batches"))
        total = len(batches) if isinstance(batches, Sized) else None
        if self.random is None:
            torch.manual_seed(torch_seed(self.seed, number, "network"))
        else:
            torch.set_rng_state(self.random)
            self.random = None
        self.module.train()
        late = False
        for batch in islice(batches, self.steps, None):
            done = self._done(number + (self.steps / total if total else 0.0))
            for group in self.optimiser.param_groups:
                group["lr"] = learning_rate(self.plan, done)
            self._step(loss_fn, batch)
            if self.path and time.monotonic() - self.written > self.plan.checkpoint_seconds:
                self.write()
            if self.plan.max_minutes and self.seconds > 60 * self.plan.max_minutes:
                late = True
                break
        if self.steps == 0:
            raise AldesignError("there is nothing to train on: no batch was made", "give more data")
        figure = self._judge(validate)
        with uninterrupted():
            self._close(figure, late)
        if progress:
            progress(self._line(since))

    def _step(self, loss_fn: Callable[[Batch], torch.Tensor], batch: Batch) -> None:
        self.buffers = [buffer.clone() for buffer in self.module.buffers()]
        self.random = torch.get_rng_state()
        loss = loss_fn(batch)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise AldesignError(
                f"the training loss became {value} in epoch {len(self.train) + 1}, step {self.steps + 1}",
                "lower the learning rate, or look for extreme labels",
            )
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if self.plan.gradient_clip is not None:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.plan.gradient_clip)
        with uninterrupted():
            self.optimiser.step()
            self.steps += 1
            self.loss_sum += value
            self.random = self.buffers = None

    def roll_back(self) -> None:
        """Undo what a step that was not finished did to the buffers; `write` sees to the random numbers."""
        if self.buffers is not None:
            with torch.no_grad():
                for buffer, old in zip(self.module.buffers(), self.buffers, strict=True):
                    buffer.copy_(old)

    def _judge(self, validate: Callable[[], float] | None) -> float | None:
        """Return the validation figure of the epoch that ends."""
        if validate is None:
            return None
        self.module.eval()
        with torch.no_grad():
            figure = float(validate())
        if not math.isfinite(figure):
            raise AldesignError(f"the validation figure became {figure} in epoch {len(self.train) + 1}")
        return figure

    def _close(self, figure: float | None, late: bool) -> None:
        """Enter the epoch in the books, and see whether it was the last."""
        self.train.append(self.loss_sum / self.steps)
        self.steps, self.loss_sum = 0, 0.0
        epochs = len(self.train)
        if late:
            self.stopped = "time"
        if figure is None:
            self.best_epoch = epochs
        else:
            if not self.validation or figure < min(self.validation):
                self.best, self.best_epoch = self._copy(), epochs
            self.validation.append(figure)
            if self.plan.patience is not None and epochs - self.best_epoch >= self.plan.patience:
                self.stopped = self.stopped or "patience"
        if epochs >= self.plan.epochs:
            self.stopped = self.stopped or "epochs"

    def _done(self, epochs: float) -> float:
        share = epochs / self.plan.epochs
        if self.plan.max_minutes:
            share = max(share, self.seconds / (60 * self.plan.max_minutes))
        return min(1.0, share)

    def _line(self, since: float) -> str:
        line = f"epoch {len(self.train)}/{self.plan.epochs}  train {self.train[-1]:.5g}"
        if self.validation:
            best = " (best)" if self.best_epoch == len(self.train) else ""
            line += f"  validation {self.validation[-1]:.5g}{best}"
        return f"{line}  {self.seconds - since:.1f} s"

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: value.detach().clone() for name, value in self.module.state_dict().items()}

    def finish(self) -> None:
        """Keep the best weights, and write down that the run is over."""
        if self.validation:
            self.module.load_state_dict(self.best)
        self.module.eval()
        if self.path:
            self.write()

    def write(self) -> None:
        """Write everything that the rest of the run depends on into one file."""
        if self.path is None:
            return
        counters = {
            "train": self.train,
            "validation": self.validation,
            "best_epoch": self.best_epoch,
            "steps": self.steps,
            "loss_sum": self.loss_sum,
            "seconds": self.seconds,
            "stopped": self.stopped,
        }
        tensors = {f"module.{k}": v for k, v in self.module.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        tensors |= flatten_optimiser(self.optimiser, "optimiser.")
        tensors["random"] = torch.get_rng_state() if self.random is None else self.random
        write_tensors(self.path, tensors, {"identity": self.identity, "counters": json.dumps(counters)})
        self.written = time.monotonic()

    def resume(self) -> None:
        """Take up the checkpoint, if there is one."""
        found = interrupted_run(self.path, self.identity)
        if found is None:
            return
        tensors, metadata = found
        try:
            counters: dict[str, Any] = json.loads(metadata["counters"])
            self.module.load_state_dict(take(tensors, "module."))
            restore_optimiser(self.optimiser, tensors, "optimiser.")
            self.best = {k: v.to(self.best[k].device) for k, v in take(tensors, "best.").items()}
            self.train, self.validation = counters["train"], counters["validation"]
            self.best_epoch, self.stopped = counters["best_epoch"], counters["stopped"]
            self.steps, self.loss_sum = counters["steps"], counters["loss_sum"]
            self.before = counters["seconds"]
            self.random = tensors["random"] if self.steps else None
        except (KeyError, RuntimeError, ValueError) as error:
            raise CheckpointError(
                f"{self.path} does not fit this network: {error}", "remove the folder to begin anew"
            ) from error
