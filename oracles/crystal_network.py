"""The network of the crystal-graph oracle: gated messages along interatomic distances, in plain torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from aldesign.structures.graphs import GraphBatch

N_ELEMENTS = 119  # by atomic number; 0 is unused
LOG_SCALE = (-6.0, 3.0)  # bounds, so that one crystal cannot blow up the loss


class TensorBatch(NamedTuple):
    """A `GraphBatch` as tensors, with its edges in the three orders that sums are taken in.

    n atoms, e edges, k distances, m crystals; indices are int64.
    """

    numbers: Tensor  # (n,) atomic numbers
    crystal: Tensor  # (n,) crystal of each atom
    distance: Tensor  # (k,) Å; of every edge, or of every knot of a grid
    parts: Tensor  # (e, 3) rows of the joined table (distances, atoms, atoms) that make up an edge
    target: Tensor  # (e,) atom that each edge points to, ascending
    sums: tuple[tuple[Tensor, Tensor], ...]  # for each part: edges sorted by it, and where each row's edges begin
    n_crystals: int


@dataclass(frozen=True)
class NetworkSize:
    """Shape of the network.

    Attributes:
        layers: Rounds of messages.
        width: Features of an atom.
        message: Features of a message.
        centres: Gaussians that expand a distance, evenly from 0 Å to the cutoff.
        cutoff: Å; the neighbour lists' own.
        targets: Properties, in the order of the outputs.

    """

    layers: int = 4
    width: int = 128
    message: int = 64
    centres: int = 40
    cutoff: float = 6.0
    targets: tuple[str, ...] = ("band_gap",)


def _sorted_by(index: np.ndarray, rows: int) -> tuple[Tensor, Tensor]:
    counts = np.bincount(index, minlength=rows)
    order = np.argsort(index, kind="stable")
    return torch.from_numpy(order), torch.from_numpy(np.cumsum(counts) - counts)


def tensors(batch: GraphBatch, dtype: torch.dtype = torch.float32, knot: float | None = None) -> TensorBatch:
    """Return a batch as tensors on the CPU.

    Args:
        batch: The graphs.
        dtype: Of the distances.
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
    return TensorBatch(
        torch.from_numpy(batch.numbers),
        torch.from_numpy(batch.crystal),
        torch.from_numpy(distance).to(dtype),
        torch.from_numpy(np.stack([row, k + batch.target, k + n + batch.source], axis=1)),
        torch.from_numpy(batch.target),
        (_sorted_by(row, k), _sorted_by(batch.target, n), _sorted_by(batch.source, n)),
        batch.n_crystals,
    )


def _sum_rows(values: Tensor, order: tuple[Tensor, Tensor]) -> Tensor:
    return functional.embedding_bag(order[0], values, order[1], mode="sum")


class GatedMessages(torch.autograd.Function):
    """Sum of gated messages, ``sum over edges of sigmoid(g) * silu(c)`` with ``(g, c) = d + a + b``.

    d, a and b belong to the edge's distance, its target and its source. One function instead of eight saves the
    passes over edge-sized memory that a training step is made of: half its time on a processor.
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
        return _sum_rows(gate * silu, batch.sums[1])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Return the gradients of the three parts."""
        gate, cut, silu = ctx.saved_tensors
        batch: TensorBatch = ctx.batch
        pull = gradients[0].index_select(0, batch.target).mul_(gate)
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

    def forward(self, atoms: Tensor, shape: Tensor, batch: TensorBatch) -> Tensor:
        """Return the atoms' next features.

        Args:
            atoms: Features, (n, width).
            shape: Expanded distances, (k, centres).
            batch: The graphs.

        Returns:
            (n, width).

        """
        x = self.norm(atoms)
        parts = self.edge(shape), self.own(x), self.neighbour(x)
        summed: Tensor = GatedMessages.apply(*parts, batch)  # type: ignore[no-untyped-call]
        return atoms + functional.silu(self.update(self.sum_norm(summed)))


class CrystalNetwork(nn.Module):
    """Element embeddings, rounds of messages, pooling over the atoms, and two outputs a property.

    Every pooling is a mean or a maximum over atoms, so that a supercell gives what its cell gives.
    """

    centres: Tensor

    def __init__(self, size: NetworkSize) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("centres", torch.linspace(0, size.cutoff, size.centres), persistent=False)
        self.embedding = nn.Embedding(N_ELEMENTS, size.width)
        self.convolutions = nn.ModuleList(Convolution(size) for _ in range(size.layers))
        self.norm = nn.LayerNorm(size.width)
        self.atomwise = nn.Sequential(nn.Linear(size.width, size.width), nn.SiLU())
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * size.width, size.width), nn.SiLU(), nn.Linear(size.width, 2))
            for _ in size.targets
        )

    def forward(self, batch: TensorBatch) -> Tensor:
        """Return (value, log scale) of each property, both standardised, shape (m, properties, 2)."""
        spacing = self.size.cutoff / (self.size.centres - 1)
        shape = torch.exp(-(((batch.distance[:, None] - self.centres) / spacing) ** 2))
        atoms = self.embedding(batch.numbers)
        for convolution in self.convolutions:
            atoms = convolution(atoms, shape, batch)
        atoms = self.atomwise(self.norm(atoms))
        m, width = batch.n_crystals, atoms.shape[1]
        counts = torch.bincount(batch.crystal, minlength=m).to(atoms.dtype)
        mean = atoms.new_zeros(m, width).index_add(0, batch.crystal, atoms) / counts[:, None]
        index = batch.crystal[:, None].expand(-1, width)
        largest = atoms.new_full((m, width), -torch.inf).scatter_reduce(0, index, atoms, "amax")
        pooled = torch.cat([mean, largest], dim=1)
        return torch.stack([head(pooled) for head in self.heads], dim=1)

    def take(self, other: CrystalNetwork, columns: list[int]) -> None:
        """Copy the weights of `other`, and of its outputs those at `columns`.

        Raises:
            RuntimeError: The networks differ in size.

        """
        theirs = {k: v for k, v in other.state_dict().items() if not k.startswith("heads.")}
        for new, old in enumerate(columns):
            theirs |= {f"heads.{new}.{k}": v for k, v in other.heads[old].state_dict().items()}
        self.load_state_dict({k: v.to(self.state_dict()[k].dtype) for k, v in theirs.items()})


def joint_loss(output: Tensor, truth: Tensor, floor: Tensor) -> Tensor:
    """Return the mean loss of a batch: absolute errors, and the likelihood of their size.

    The value is fitted by absolute errors, its scale b by the Laplace likelihood ``error / b + log b`` of errors
    that pass no gradient back, so that a confident scale never weakens the pull of a bad value. A truth at the
    floor (a metal's gap of zero) is reached by any value at or below it, as in censored regression.

    Args:
        output: (m, p, 2), standardised.
        truth: Standardised labels, (m, p); NaN where a crystal has none, which leaves it out.
        floor: Least possible label of each property, standardised, (p,); -inf where there is none.

    Returns:
        Scalar; the sum over properties of the means over their labelled crystals.

    """
    known = torch.isfinite(truth)
    label = torch.where(known, truth, torch.zeros_like(truth))
    value, log_scale = output[..., 0], output[..., 1].clamp(*LOG_SCALE)
    answered = torch.maximum(value, floor)
    miss = torch.where(label <= floor, answered - label, value - label).abs()
    size = (answered.detach() - label).abs()
    each = miss + 0.3 * (size * torch.exp(-log_scale) + log_scale)
    counts = known.sum(dim=0).clamp(min=1)
    return (torch.where(known, each, torch.zeros_like(each)).sum(dim=0) / counts).sum()
