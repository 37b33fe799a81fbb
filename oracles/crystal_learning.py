"""How one crystal network learns: the examples, their batches, and the training run."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from aldesign.chemistry.formula import compositions
from aldesign.learning.training import TrainingHistory, TrainingPlan, fit_network
from aldesign.records import Crystal
from aldesign.structures.graph_store import GraphStore
from oracles.common import Progress
from oracles.crystal_heads import Scaling, answers, gap_errors, network_loss
from oracles.crystal_network import CrystalNetwork, TensorBatch, tensors, to_device
from oracles.features.magpie import descriptor

KNOT = 0.01  # Å; distances are rounded to it while training
NODES_PER_BATCH = 4000  # so that large cells come in smaller batches, and memory stays flat
NODES_PER_READ = 4000  # in a batch that is only read


class Crystals:
    """What networks read of many crystals: their graphs and the descriptors of their formulas.

    Args:
        store: Graphs of m crystals.
        formulas: Their canonical formulas, (m,).

    """

    def __init__(self, store: GraphStore, formulas: Sequence[str]) -> None:
        self.store = store
        self.formulas = np.array(formulas, dtype=str)
        names, self._row = np.unique(self.formulas, return_inverse=True)
        self._described = descriptor(compositions(names.tolist())).astype(np.float32)

    def described(self, index: np.ndarray) -> np.ndarray:
        """Return the descriptors of the crystals at `index`, (k, 145), float32."""
        rows: np.ndarray = self._described[self._row[index]]
        return rows

    def batch(self, examples: Examples, dtype: torch.dtype = torch.float32, knot: float | None = KNOT) -> TensorBatch:
        """Return examples as the network reads them, on the CPU."""
        graphs = self.store.batch(examples.crystal)
        return tensors(graphs, self.described(examples.crystal), examples.level, dtype, knot)


@dataclass(frozen=True)
class Examples:
    """Labels of crystals at levels of theory.

    Attributes:
        crystal: Index of the crystal, (k,), int64.
        level: Index of the level of theory, (k,), int64.
        label: In the unit of the property, (k,), float64.

    """

    crystal: np.ndarray
    level: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.crystal)

    def __getitem__(self, index: np.ndarray) -> Examples:
        return Examples(self.crystal[index], self.level[index], self.label[index])


def batches(nodes: np.ndarray, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return the numbers 0 to k - 1 in random order, cut into batches.

    Args:
        nodes: Nodes of each of the k examples, (k,).
        size: Examples in a batch, fewer where their nodes would be more than `NODES_PER_BATCH`; the last batch is
            left out where it has less than half of it.
        rng: Source of the order.

    """
    order = rng.permutation(len(nodes))
    found: list[np.ndarray] = []
    begin, total = 0, 0
    for end, many in enumerate(nodes[order].tolist()):
        if end > begin and (end - begin == size or total + many > NODES_PER_BATCH):
            found.append(order[begin:end])
            begin, total = end, 0
        total += many
    if len(order) - begin > size // 2 or not found:
        found.append(order[begin:])
    return found


def learn(
    network: CrystalNetwork,
    crystals: Crystals,
    train: Examples,
    validation: Examples,
    scaling: Scaling,
    plan: TrainingPlan,
    *,
    seed: int,
    device: torch.device,
    checkpoint: Path | None = None,
    progress: Progress | None = None,
) -> TrainingHistory:
    """Train `network` in place, with the weights that validated best, and return what happened.

    Args:
        network: On `device` already.
        crystals: Graphs and descriptors.
        train: Examples to learn from.
        validation: Examples that choose the best epoch; may be empty.
        scaling: Of the labels.
        plan: Length and rates.
        seed: Of the batches.
        device: Where to train.
        checkpoint: Folder to go on from after an interruption.
        progress: Takes one line an epoch.

    """
    goal = torch.from_numpy((train.label - scaling.centre) / scaling.spread).float()
    nodes = crystals.store.nodes()[train.crystal]
    size = min(plan.batch_size, len(train))

    def loss(rows: np.ndarray) -> Tensor:
        batch = to_device(crystals.batch(train[rows]), device)
        return network_loss(network(batch), goal[torch.from_numpy(rows)].to(device), scaling.floor)

    def validate() -> float:
        location, _ = answers([harvest(network, crystals, validation, device)], scaling, 0.5)
        return gap_errors(location, validation.label, scaling)

    facts = (
        scaling,
        network.size,
        [digest(x) for x in (train.crystal, train.level, train.label, validation.crystal, validation.label)],
        digest(np.array(crystals.store.ids)),
        [digest(p.detach().cpu().numpy()) for p in network.parameters()],
    )
    return fit_network(
        network,
        loss,
        lambda _, rng: batches(nodes, size, rng),
        validate if len(validation) else None,
        plan,
        seed=seed,
        checkpoint=checkpoint,
        fingerprint=hashlib.sha256(repr(facts).encode()).hexdigest(),
        progress=progress,
    )


def digest(array: np.ndarray) -> str:
    """Return the SHA-256 of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def harvest(
    network: CrystalNetwork,
    crystals: Crystals,
    examples: Examples,
    device: torch.device,
    knot: float | None = KNOT,
) -> np.ndarray:
    """Return the outputs of `network` for examples, (k, outputs), float64; like sizes share a batch."""
    nodes = crystals.store.nodes()[examples.crystal]
    order = np.argsort(nodes, kind="stable")
    batch_of = np.cumsum(nodes[order]) // NODES_PER_READ
    found = np.zeros((len(examples), network.size.outputs))
    kind = next(network.parameters()).dtype
    with torch.no_grad():
        for rows in np.split(order, np.flatnonzero(np.diff(batch_of)) + 1):
            if len(rows):
                batch = to_device(crystals.batch(examples[rows], kind, knot), device)
                found[rows] = network(batch).cpu().numpy()
    return found


def stored(
    crystals: Sequence[Crystal], cutoff: float, max_neighbours: int, folder: Path | None, processes: int = 1
) -> GraphStore:
    """Return the graphs of `crystals`, kept in `folder`, if there is one, from one call to the next.

    They are found again by what they were made from: crystals, cutoff and number of neighbours.
    """
    if folder is None:
        return GraphStore.build(crystals, cutoff, max_neighbours, processes)
    name = hashlib.sha256(f"{cutoff} {max_neighbours}".encode())
    for crystal in crystals:
        name.update(f"{crystal.id}\n{crystal.lattice}\n{crystal.species}\n".encode())
        name.update(np.ascontiguousarray(crystal.frac, dtype=np.float64).tobytes())
    path = folder / f"graphs-{name.hexdigest()[:16]}.safetensors"
    if path.exists():
        return GraphStore.load(path)
    store = GraphStore.build(crystals, cutoff, max_neighbours, processes)
    store.save(path)
    return store
