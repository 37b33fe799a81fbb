"""What the network oracles share: an ensemble that states mean and scale, its training and its storage."""

from __future__ import annotations

import hashlib
import json
import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from aldesign.chemistry.formula import Compositions, compositions
from aldesign.learning.threads import device
from aldesign.learning.training import TrainingPlan, fit_network
from aldesign.records import LabelledRow
from aldesign.seeds import torch_seed
from oracles.common import CHUNK, CompositionOracle, Progress, error_metrics, labels
from oracles.domain import CompositionDomain

LOG_SCALE = 4.0  # bound of |log scale|, so that one example cannot blow up the loss
SUREST = 7.0  # the same for the surest answers; networks go on below the bound of the loss
EVALUATION_BATCH = 2048


def location_scale_loss(output: Tensor, target: Tensor) -> Tensor:
    """Return the mean absolute error plus a Laplace negative log-likelihood that only the scale descends.

    The likelihood alone, as in Goodall and Lee (Nat. Commun. 11, 6280, 2020), weighs a row by its certainty: the
    many metals, whose gap is surely zero, then crowd out the rest (mean absolute error 0.54 instead of 0.46 eV for
    a dense network on 20,000 rows).

    Args:
        output: Location and log standard deviation, shape (n, 2).
        target: Labels, shape (n,).

    """
    error = (output[:, 0] - target).abs()
    log_std = output[:, 1].clamp(-LOG_SCALE, LOG_SCALE)
    return (error + math.sqrt(2.0) * error.detach() * torch.exp(-log_std) + log_std).mean()


class NetworkOracle(CompositionOracle):
    """An ensemble of networks, each stating a location and a log standard deviation per composition.

    The ensemble's mean is the mean of the members' values; its variance is the mean of their variances plus the
    variance of their values (law of total variance). Networks are evaluated in double precision, unless `_outputs`
    knows another way, so that an answer does not depend on what else is in the batch.

    Settings: ``members``; ``epochs``, by default `usual_epochs` or as many as make `least_steps` steps;
    ``batch_size``, which a small table lowers; ``learning_rate``; ``weight_decay``; ``patience``, by default a
    third of the epochs; and those of the subclass.
    """

    usual_epochs: ClassVar[int] = 30
    least_steps: int = 3000  # of the optimiser, on tables too small for the usual number of epochs
    usual_learning_rate: float = 1e-3
    defaults: ClassVar[Mapping[str, Any]] = {
        "members": 1,
        "epochs": None,
        "batch_size": 256,
        "learning_rate": None,
        "weight_decay": 1e-2,
        "patience": None,
    }

    members: list[nn.Module]
    scaling: dict[str, np.ndarray]  # what `_prepare` learned, and "target": mean and std of the labels

    @abstractmethod
    def _prepare(self, inputs: Compositions) -> dict[str, np.ndarray]:
        """Return the scalers that the training inputs define."""

    @abstractmethod
    def _tensors(self, inputs: Compositions) -> tuple[Tensor, ...]:
        """Return the network's inputs, each of first dimension n; floating ones in float64."""

    @abstractmethod
    def _module(self) -> nn.Module:
        """Return a new network; it maps the tensors to (n, 2 or more): location, log standard deviation, others."""

    def _begin(self, network: nn.Module, number: int) -> None:
        """Give member `number` the weights that its training starts from, where they are not random."""

    def _loss(self, output: Tensor, target: Tensor) -> Tensor:
        """Return the loss of a batch: outputs (n, 2 or more) against standardised labels (n,)."""
        return location_scale_loss(output, target)

    def _values(self, outputs: np.ndarray) -> np.ndarray:
        """Return the answers, in the unit of the labels, that outputs (..., 2 or more) amount to."""
        return self._physical(self._locations(outputs))

    def _locations(self, outputs: np.ndarray) -> np.ndarray:
        """Return the same, with gaps below zero for what is surely a metal: the calibration tells metals apart."""
        centre, spread = self.scaling["target"].astype(np.float64)
        return np.asarray(outputs[..., 0] * spread + centre)

    def _tune(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        """Choose what `_values` leaves open, from members' outputs (m, n, 2 or more) for held-out labels (n,)."""

    def _batches(self, tensors: tuple[Tensor, ...], rng: np.random.Generator) -> list[np.ndarray]:
        """Return the row numbers of each batch of an epoch."""
        order, size = rng.permutation(len(tensors[0])), self._batch_size(len(tensors[0]))
        return [order[i : i + size] for i in range(0, len(order), size)]

    def _settings(self) -> dict[str, Any]:
        """Return what the training of a member depends on, beside the rows."""
        # members are trained one by one: asking for more later goes on from those that are there
        return {key: value for key, value in self.config.items() if key != "members"}

    def _batch_size(self, rows: int) -> int:
        """Return the batch size for so many rows: twenty steps an epoch, unless that makes batches tiny."""
        return min(int(self.config["batch_size"]), max(16, rows // 20))

    def _plan(self, rows: int) -> TrainingPlan:
        size = self._batch_size(rows)
        epochs = self.config["epochs"] or max(self.usual_epochs, math.ceil(self.least_steps * size / rows))
        return TrainingPlan(
            epochs=int(epochs),
            batch_size=size,
            learning_rate=float(self.config["learning_rate"] or self.usual_learning_rate),
            weight_decay=float(self.config["weight_decay"]),
            patience=int(self.config["patience"] or max(10, epochs // 3)),
            gradient_clip=5.0,
        )

    def _learn(
        self,
        inputs: Compositions,
        targets: np.ndarray,
        held: Compositions,
        held_targets: np.ndarray,
        seed: int,
        checkpoint: Path | None,
        progress: Progress | None,
    ) -> float:
        scale = np.array([targets.mean(), targets.std() or 1.0], dtype=np.float32)
        self.scaling = {"target": scale, **self._prepare(inputs)}
        centre, spread = self.scaling["target"].astype(np.float64)
        where = device("auto")
        data = tuple(_single(t).to(where) for t in self._tensors(inputs))
        kept = tuple(_single(t).to(where) for t in self._tensors(held))
        labels = torch.tensor((targets - centre) / spread, dtype=torch.float32, device=where)
        blob = json.dumps(self._settings(), sort_keys=True).encode() + inputs.dense().tobytes() + targets.tobytes()
        self.members, seconds = [], 0.0
        for number in range(int(self.config["members"])):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(torch_seed(seed, number, f"{self.name} weights"))
                network = self._module()
                self._begin(network, number)
                start = b"".join(t.detach().numpy().tobytes() for t in network.state_dict().values())
                fingerprint = hashlib.sha256(blob + start).hexdigest()
                network.to(where)

            def loss(rows: np.ndarray, network: nn.Module = network) -> Tensor:
                index = torch.from_numpy(rows).to(where)
                return self._loss(network(*(t[index] for t in data)), labels[index])

            def validate(network: nn.Module = network) -> float:
                return float(np.abs(self._values(member_outputs([network], kept, held)[0]) - held_targets).mean())

            history = fit_network(
                network,
                loss,
                lambda _, rng: self._batches(data, rng),
                validate if len(held_targets) else None,
                self._plan(len(targets)),
                seed=torch_seed(seed, number, self.name),
                checkpoint=checkpoint / f"member_{number}" if checkpoint else None,
                fingerprint=fingerprint,
                progress=_prefixed(progress, f"network {number + 1}/{self.config['members']}: "),
            )
            seconds += history.seconds
            self.members.append(_stored_precision(network))
        if len(held_targets):
            self._tune(member_outputs(self.members, self._tensors(held), held), held_targets)
        return seconds

    def _infer(self, inputs: Compositions) -> tuple[np.ndarray, np.ndarray]:
        locations, values, stds = np.zeros((3, len(self.members), len(inputs)))
        for i in range(0, len(inputs), CHUNK):
            part = inputs[i : i + CHUNK]
            outputs = self._outputs(part)
            locations[:, i : i + CHUNK], values[:, i : i + CHUNK] = self._locations(outputs), self._values(outputs)
            stds[:, i : i + CHUNK] = np.exp(outputs[..., 1].clip(-SUREST, LOG_SCALE))
        spread = float(self.scaling["target"][1])
        # networks that disagree on how far below zero a metal lies still agree that it is one
        return locations.mean(axis=0), np.sqrt((stds**2).mean(axis=0) * spread**2 + values.var(axis=0))

    def _outputs(self, inputs: Compositions) -> np.ndarray:
        """Return the outputs of the m networks for n compositions, float64 (m, n, c)."""
        return member_outputs(self.members, self._tensors(inputs), inputs)

    def evaluate_members(self, rows: Sequence[LabelledRow], name: str = "test") -> list[dict[str, float]]:
        """Return the errors on `rows` of each network by itself, and keep them in the card."""
        inputs = compositions([row.formula for row in rows])
        tensors, truth = self._tensors(inputs), labels(rows)
        found = [error_metrics(truth, self._values(member_outputs([m], tensors, inputs)[0])) for m in self.members]
        self.describe(metrics={**self.training.get("metrics", {}), f"{name}_of_each_network": found})
        return found

    def _arrays(self) -> dict[str, np.ndarray]:
        weights = {
            f"member{i}.{name}": tensor.half().numpy()
            for i, network in enumerate(self.members)
            for name, tensor in network.state_dict().items()
        }
        return {**weights, **{f"scaling.{k}": v for k, v in self.scaling.items()}, **self.domain.stored()}

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.domain = CompositionDomain.from_stored(arrays)
        self.scaling = _under("scaling.", arrays)
        self.members = []
        for i in range(int(self.config["members"])):
            network = self._module()
            weights = _under(f"member{i}.", arrays)
            network.load_state_dict({k: torch.from_numpy(v) for k, v in weights.items()})
            self.members.append(_stored_precision(network))


def member_outputs(
    members: Sequence[nn.Module],
    tensors: tuple[Tensor, ...],
    inputs: Compositions,
    batch_size: int = EVALUATION_BATCH,
    multiple: int = 1,
) -> np.ndarray:
    """Return the outputs of m networks for n rows, float64 (m, n, c).

    Args:
        members: The networks.
        tensors: Their inputs.
        inputs: The compositions; those of a batch have equally many elements.
        batch_size: Most rows of a batch.
        multiple: The rows of a batch are made a multiple of this number by repeating the last one.

    """
    sizes = inputs.n_elements()
    found: np.ndarray | None = None
    with torch.no_grad():
        for size in np.unique(sizes):
            rows = np.flatnonzero(sizes == size)
            for i in range(0, len(rows), batch_size):
                part = rows[i : i + batch_size]
                index = torch.from_numpy(np.pad(part, (0, -len(part) % multiple), mode="edge")).to(tensors[0].device)
                batch = torch.stack([network(*(t[index] for t in tensors)) for network in members]).double().cpu()
                found = np.zeros((len(members), len(sizes), batch.shape[2])) if found is None else found
                found[:, part] = batch.numpy()[:, : len(part)]
    return np.zeros((len(members), 0, 2)) if found is None else found


def _single(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _stored_precision(network: nn.Module) -> nn.Module:
    """Round the weights as storage does, and make the network ready to infer."""
    return network.cpu().half().double().eval()


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def _prefixed(progress: Progress | None, prefix: str) -> Progress | None:
    if progress is None:
        return None
    return lambda line: progress(prefix + line)
