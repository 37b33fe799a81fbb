"""The network of the crystal-graph oracles: gated messages along interatomic distances, in plain torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from aldesign.structures.environments import N_SHAPES
from aldesign.structures.graphs import GraphBatch

N_ELEMENTS = 119  # by atomic number; 0 is unused
N_DESCRIPTORS = 145
LOG_SCALE = (-6.0, 3.0)  # bounds, so that one crystal cannot blow up the loss
# what each property is told by: the value and the logarithm of its error; of a gap, besides, the logit of there being
# one, and its size if there is
OUTPUTS = {"formation_energy_per_atom": 2, "band_gap": 4}


class TensorBatch(NamedTuple):
    """Graphs, compositions and levels of theory as tensors, with the edges in the three orders that sums are taken in.

    n nodes, e edges, k distances, m crystals; indices are int64.
    """

    numbers: Tensor  # (n,) atomic numbers
    crystal: Tensor  # (n,) crystal of each node
    share: Tensor  # (n,) of the crystal's atoms, that the node stands for
    shape: Tensor  # (n, 16) arrangement of the neighbours
    distance: Tensor  # (k,) Å; of every edge, or of every knot of a grid
    parts: Tensor  # (e, 3) rows of the joined table (distances, nodes, nodes) that make up an edge
    target: Tensor  # (e,) node that each edge points to, ascending
    weight: Tensor  # (e,) neighbours that each edge stands for
    sums: tuple[tuple[Tensor, Tensor], ...]  # for each part: edges sorted by it, and where each row's edges begin
    composition: Tensor  # (m, 145) descriptors
    level: Tensor  # (m,) level of theory


@dataclass(frozen=True)
class NetworkSize:
    """Shape of the network.

    Attributes:
        outputs: Numbers that a crystal is told by.
        levels: Levels of theory.
        layers: Rounds of messages.
        width: Features of an atom.
        message: Features of a message.
        centres: Gaussians that expand a distance, evenly from 0 Å to the cutoff.
        cutoff: Å; the neighbour lists' own.

    """

    outputs: int = 2
    levels: int = 1
    layers: int = 4
    width: int = 128
    message: int = 64
    centres: int = 40
    cutoff: float = 6.0


def _sorted_by(index: np.ndarray, rows: int) -> tuple[Tensor, Tensor]:
    counts = np.bincount(index, minlength=rows)
    order = np.argsort(index, kind="stable")
    return torch.from_numpy(order), torch.from_numpy(np.cumsum(counts) - counts)


def tensors(
    batch: GraphBatch,
    composition: np.ndarray,
    level: np.ndarray,
    dtype: torch.dtype = torch.float32,
    knot: float | None = None,
) -> TensorBatch:
    """Return a batch as tensors on the CPU.

    Args:
        batch: The graphs of m crystals.
        composition: Their descriptors, (m, 145).
        level: Their levels of theory, (m,).
        dtype: Of the real numbers.
        knot: Round distances to multiples of it, in Å, so that what depends on the distance alone is worked out
            once a knot and not once an edge: quick, for training. None keeps them as they are.

    """
    n = len(batch.numbers)
    if knot is None:
        distance, row = np.asarray(batch.distance), np.arange(len(batch.distance))
    else:
        row = np.rint(batch.distance / knot).astype(np.int64)
        distance = np.arange(int(row.max(initial=0)) + 1) * knot
    k = len(distance)
    atoms = np.bincount(batch.crystal, batch.count, batch.n_crystals)
    return TensorBatch(
        torch.from_numpy(batch.numbers),
        torch.from_numpy(batch.crystal),
        torch.from_numpy(batch.count / atoms[batch.crystal]).to(dtype),
        torch.from_numpy(batch.shape).to(dtype),
        torch.from_numpy(distance).to(dtype),
        torch.from_numpy(np.stack([row, k + batch.target, k + n + batch.source], axis=1)),
        torch.from_numpy(batch.target),
        torch.from_numpy(batch.weight).to(dtype),
        (_sorted_by(row, k), _sorted_by(batch.target, n), _sorted_by(batch.source, n)),
        torch.from_numpy(composition).to(dtype),
        torch.from_numpy(level),
    )


def to_device(batch: TensorBatch, device: torch.device) -> TensorBatch:
    """Return the batch on `device`."""
    sums = tuple((order.to(device), begin.to(device)) for order, begin in batch.sums)
    moved = {k: v.to(device) for k, v in batch._asdict().items() if k != "sums"}
    return TensorBatch(**moved, sums=sums)


def _sum_rows(values: Tensor, order: tuple[Tensor, Tensor]) -> Tensor:
    return functional.embedding_bag(order[0], values, order[1], mode="sum")


class GatedMessages(torch.autograd.Function):
    """Sum of gated messages, ``sum over edges of w * sigmoid(g) * silu(c)`` with ``(g, c) = d + a + b``.

    d, a and b belong to the edge's distance, its target and its source, and w is its weight. One function instead of
    eight saves the passes over edge-sized memory that a training step is made of: half its time on a processor.
    """

    @staticmethod
    def forward(ctx: Any, distances: Tensor, targets: Tensor, sources: Tensor, batch: TensorBatch) -> Tensor:
        """Return the sums, (n, f), from the parts (k, 2 f), (n, 2 f) and (n, 2 f)."""
        # gates and cores apart: whole rows of memory are passed over several times faster than halves of them
        gate, core = (
            functional.embedding_bag(batch.parts, table.contiguous(), mode="sum")
            for table in torch.cat([distances, targets, sources]).chunk(2, dim=1)
        )
        gate.sigmoid_()
        cut = torch.sigmoid(core)
        silu = core.mul_(cut)
        ctx.save_for_backward(gate, cut, silu)
        ctx.batch = batch
        return _sum_rows((gate * silu).mul_(batch.weight[:, None]), batch.sums[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return the gradients of the three parts."""
        gate, cut, silu = ctx.saved_tensors
        batch: TensorBatch = ctx.batch
        pull = gradients[0].index_select(0, batch.target).mul_(gate).mul_(batch.weight[:, None])
        # with s = sigmoid(c): d silu(c) / dc = s + c s (1 - s)
        by_core = torch.addcmul(silu, silu, cut, value=-1.0).add_(cut).mul_(pull)
        by_gate = pull.mul_(silu)
        by_gate.addcmul_(by_gate, gate, value=-1.0)
        by_distance, by_target, by_source = (
            torch.cat([_sum_rows(by_gate, order), _sum_rows(by_core, order)], dim=1) for order in batch.sums
        )
        return by_distance, by_target, by_source, None


class Convolution(nn.Module):
    """One round of gated messages, as in CGCNN (Xie and Grossman, Phys. Rev. Lett. 120, 145301, 2018, eq. 5).

    The linear map of the joined vector (atom, neighbour, distance) is split into its three parts, so that the two
    wide ones are taken once an atom and not once an edge; the sums are normalised by layer, not by batch, so that a
    crystal's answer does not depend on its company.
    """

    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(size.width)
        self.own = nn.Linear(size.width, 2 * size.message)
        self.neighbour = nn.Linear(size.width, 2 * size.message, bias=False)
        self.edge = nn.Linear(size.centres, 2 * size.message, bias=False)
        self.sum_norm = nn.LayerNorm(size.message)
        self.update = nn.Linear(size.message, size.width)

    def forward(self, atoms: Tensor, distances: Tensor, batch: TensorBatch) -> Tensor:
        """Return the atoms' next features.

        Args:
            atoms: Features, (n, width).
            distances: Expanded distances, (k, centres).
            batch: The graphs.

        Returns:
            (n, width).

        """
        x = self.norm(atoms)
        parts = self.edge(distances), self.own(x), self.neighbour(x)
        summed: Tensor = GatedMessages.apply(*parts, batch)  # type: ignore[no-untyped-call]
        return atoms + functional.silu(self.update(self.sum_norm(summed)))


class CrystalNetwork(nn.Module):
    """Atoms that know their element, their surroundings and the whole, rounds of messages, pooling, outputs.

    The whole is the crystal's composition and the level of theory, a global state as in MEGNet (Chen et al., Chem.
    Mater. 31, 3564, 2019), which the messages read and do not change. Every pooling is a mean or a maximum over
    atoms, so that a supercell gives what its cell gives.
    """

    EXACT: ClassVar[frozenset[str]] = frozenset({"middle", "spread"})  # not to be stored in half precision
    centres: Tensor
    middle: Tensor
    spread: Tensor

    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        self.size = size
        width = size.width
        self.register_buffer("centres", torch.linspace(0, size.cutoff, size.centres), persistent=False)
        self.register_buffer("middle", torch.zeros(N_DESCRIPTORS))
        self.register_buffer("spread", torch.ones(N_DESCRIPTORS))
        self.embedding = nn.Embedding(N_ELEMENTS, width)
        self.level = nn.Embedding(size.levels, width)
        nn.init.normal_(self.level.weight, std=0.1)
        self.composition = nn.Sequential(nn.Linear(N_DESCRIPTORS, width), nn.SiLU(), nn.Linear(width, width))
        self.surroundings = nn.Linear(N_SHAPES, width)
        self.convolutions = nn.ModuleList(Convolution(size) for _ in range(size.layers))
        self.norm = nn.LayerNorm(width)
        self.atomwise = nn.Sequential(nn.Linear(width, width), nn.SiLU())
        self.head = nn.Sequential(
            nn.Linear(3 * width, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, size.outputs)
        )

    def standardise(self, descriptors: np.ndarray) -> None:
        """Set the scales on which compositions are read from the descriptors of the training set, (m, 145)."""
        self.middle.copy_(torch.from_numpy(descriptors.mean(axis=0)))
        self.spread.copy_(torch.from_numpy(np.maximum(descriptors.std(axis=0), 1e-6)))

    def forward(self, batch: TensorBatch) -> Tensor:
        """Return the outputs of each crystal, (m, outputs)."""
        spacing = self.size.cutoff / (self.size.centres - 1)
        distances = torch.exp(-(((batch.distance[:, None] - self.centres) / spacing) ** 2))
        described = ((batch.composition - self.middle) / self.spread).clamp(-6.0, 6.0)
        whole = self.composition(described) + self.level(batch.level)
        atoms = self.embedding(batch.numbers) + self.surroundings(batch.shape) + whole[batch.crystal]
        for convolution in self.convolutions:
            atoms = convolution(atoms, distances, batch)
        atoms = self.atomwise(self.norm(atoms))
        mean = torch.zeros_like(whole).index_add(0, batch.crystal, atoms * batch.share[:, None])
        index = batch.crystal[:, None].expand_as(atoms)
        largest = torch.full_like(whole, -torch.inf).scatter_reduce(0, index, atoms, "amax")
        outputs: Tensor = self.head(torch.cat([mean, largest, whole], dim=1))
        return outputs

    def take(self, other: CrystalNetwork) -> None:
        """Copy the weights of `other` wherever names and shapes agree: all but outputs and levels of another number."""
        mine = self.state_dict()
        theirs = {k: v for k, v in other.state_dict().items() if k in mine and v.shape == mine[k].shape}
        self.load_state_dict({k: theirs.get(k, v).to(v.dtype) for k, v in mine.items()})
