"""Message passing between the elements of a formula, weighted by their fractions.

A formula is a complete graph: its nodes are the elements, weighted by atomic fraction; each node attends to all
nodes, and attention is multiplied by a learned power of the sender's fraction. Source of the idea: Goodall and Lee,
"Predicting materials properties without crystal structure", Nat. Commun. 11, 6280 (2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from aldesign.chemistry.formula import Compositions
from oracles.features.magpie import element_properties, valence_parity
from oracles.networks import NetworkOracle

WHOLE = 2  # features of the formula as a whole


class WeightedAttention(nn.Module):
    """Multi-head attention over element nodes, each head with its own power of the fraction.

    Args:
        width: Width of a node.
        heads: Number of heads.
        hidden: Width of the hidden layer that pairs share, per head.

    """

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.shape = (heads, 2 * hidden)
        self.norm = nn.LayerNorm(width)
        self.receiver = nn.Linear(width, 2 * heads * hidden)
        self.sender = nn.Linear(width, 2 * heads * hidden, bias=False)
        self.gate = nn.Parameter(torch.randn(heads, hidden) / hidden**0.5)
        self.power = nn.Parameter(torch.ones(heads))
        self.out = nn.Linear(heads * hidden, width)

    def forward(self, nodes: Tensor, log_fractions: Tensor, absent: Tensor) -> Tensor:
        """Return updated nodes (n, k, width).

        Args:
            nodes: Node features, (n, k, width).
            log_fractions: Logarithm of the atomic fractions, (n, k).
            absent: True where a slot holds no element, (n, k).

        """
        h = self.norm(nodes)
        receiver = self.receiver(h).unflatten(-1, self.shape)
        sender = self.sender(h).unflatten(-1, self.shape)
        # One hidden layer on each (receiver, sender) pair; being linear after it, the message's output layer
        # is applied once per node, to the attention-weighted sum, instead of once per pair.
        pairs = silu(receiver[:, :, None] + sender[:, None])
        gate, message = pairs.chunk(2, dim=-1)
        logits = (gate * self.gate).sum(-1) + (log_fractions[:, :, None] * self.power)[:, None]
        logits = logits.masked_fill(absent[:, None, :, None], -torch.inf)
        attention = torch.softmax(logits, dim=2)
        received = torch.einsum("nijh,nijhm->nihm", attention, message).flatten(-2)
        updated: Tensor = nodes + self.out(received)
        return updated


class AttentionPooling(nn.Module):
    """The formula's features as an attention-weighted sum over its nodes, (n, heads * width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, heads))
        self.value = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.power = nn.Parameter(torch.ones(heads))

    def forward(self, nodes: Tensor, log_fractions: Tensor, absent: Tensor) -> Tensor:
        """Return pooled features; arguments as in `WeightedAttention.forward`."""
        h = self.norm(nodes)
        logits = self.gate(h) + log_fractions[:, :, None] * self.power
        attention = torch.softmax(logits.masked_fill(absent[:, :, None], -torch.inf), dim=1)
        return torch.einsum("nkh,nkw->nhw", attention, self.value(h)).flatten(1)


class StoichiometryNetwork(nn.Module):
    """Element embeddings, message layers, attention pooling and a residual head with two outputs."""

    elements: Tensor

    def __init__(self, width: int, layers: int, heads: int, hidden: int, head: int, dropout: float) -> None:
        super().__init__()
        table = element_properties()
        scaled = (table - table[1:].mean(axis=0)) / table[1:].std(axis=0)
        scaled[0] = 0.0
        self.register_buffer("elements", torch.tensor(scaled, dtype=torch.float32), persistent=False)
        self.from_table = nn.Linear(table.shape[1], width)
        self.learned = nn.Embedding(len(table), width)
        nn.init.normal_(self.learned.weight, std=0.1)
        self.from_fraction = nn.Linear(2, width)
        self.layers = nn.ModuleList(WeightedAttention(width, heads, hidden) for _ in range(layers))
        self.pooling = AttentionPooling(width, heads)
        self.first = nn.Linear(heads * width + WHOLE, head)
        self.norms = nn.ModuleList(nn.LayerNorm(head) for _ in range(3))
        self.residuals = nn.ModuleList(nn.Linear(head, head) for _ in range(3))
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(head, 2)

    def forward(self, numbers: Tensor, fractions: Tensor, whole: Tensor) -> Tensor:
        """Return location and log standard deviation, (n, 2).

        Args:
            numbers: Atomic numbers, zero-padded, int64, (n, k).
            fractions: Atomic fractions, zero-padded, (n, k).
            whole: Features of the formula as a whole, (n, 2).

        """
        used = int((fractions > 0).sum(1).max())
        numbers, fractions = numbers[:, :used], fractions[:, :used]
        absent = fractions <= 0
        log_fractions = fractions.clamp_min(1e-9).log()
        nodes = self.from_table(self.elements[numbers]) + self.learned(numbers)
        nodes = nodes + self.from_fraction(torch.stack([fractions, log_fractions], dim=-1))
        for layer in self.layers:
            nodes = layer(nodes, log_fractions, absent)
        pooled = self.pooling(nodes, log_fractions, absent)
        h = self.first(torch.cat([pooled, whole], dim=1))
        for norm, residual in zip(self.norms, self.residuals, strict=True):
            h = h + self.dropout(residual(silu(norm(h))))
        out: Tensor = self.last(silu(h))
        return out


class StoichiometryGraphOracle(NetworkOracle):
    """A graph network on the elements and their fractions, no hand-made statistics.

    The formula as a whole adds two numbers: the logarithm of its atoms per unit and the parity of its valence
    electrons, which fractions cannot tell.

    Settings beside those of `NetworkOracle`: ``width`` of a node, ``layers``, ``heads``, ``hidden`` width of a
    pair, ``head`` width of the output network, ``dropout``.
    """

    name = "stoichiometry_graph"
    description = "Weighted-attention message passing between the elements of a formula"
    defaults: ClassVar[Mapping[str, Any]] = {
        **NetworkOracle.defaults,
        "members": 1,
        "width": 96,
        "layers": 3,
        "heads": 3,
        "hidden": 32,
        "head": 256,
        "dropout": 0.1,
    }

    def _prepare(self, inputs: Compositions) -> dict[str, np.ndarray]:
        whole = _whole(inputs)
        scale = whole.std(axis=0)
        return {
            "mean": whole.mean(axis=0).astype(np.float32),
            "scale": np.where(scale > 1e-9, scale, 1.0).astype(np.float32),
        }

    def _tensors(self, inputs: Compositions) -> tuple[Tensor, ...]:
        mean, scale = (self.scaling[k].astype(np.float64) for k in ("mean", "scale"))
        whole = np.clip((_whole(inputs) - mean) / scale, -5.0, 5.0)
        numbers = torch.from_numpy(inputs.numbers.astype(np.int64))
        return numbers, torch.from_numpy(inputs.fractions()), torch.from_numpy(whole)

    def _module(self) -> nn.Module:
        names = ("width", "layers", "heads", "hidden", "head")
        sizes = {name: int(self.config[name]) for name in names}
        return StoichiometryNetwork(**sizes, dropout=float(self.config["dropout"]))

    def _batches(self, tensors: tuple[Tensor, ...], rng: np.random.Generator) -> list[np.ndarray]:
        """Return batches whose formulas have equally many elements, so that pairs are not padding."""
        counts = (tensors[1] > 0).sum(1).cpu().numpy()
        size = self._batch_size(len(counts))
        batches = []
        for count in np.unique(counts):
            rows = rng.permutation(np.flatnonzero(counts == count))
            batches += [rows[i : i + size] for i in range(0, len(rows), size)]
        return [batches[i] for i in rng.permutation(len(batches))]


def _whole(inputs: Compositions) -> np.ndarray:
    return np.stack([np.log(np.maximum(inputs.n_atoms(), 1e-12)), valence_parity(inputs)], axis=1)
