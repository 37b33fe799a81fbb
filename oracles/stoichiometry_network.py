"""The network of the stoichiometry graph: attention among the elements of a formula and the formula as a whole.

A formula is a complete graph of element nodes and one node more for the formula itself. Each node attends to all
nodes, and what an element says is weighted by a learned power of its atomic fraction. Sources of the ideas: Goodall
and Lee, Nat. Commun. 11, 6280 (2020), for the graph and the weights; Wang, Kauwe, Murdock and Sparks, npj Comput.
Mater. 7, 77 (2021), for transformer layers and the encoding of fractions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from oracles.features.magpie import element_properties

WAVES = 10  # octaves that encode an atomic fraction
LOCATION, LOG_STD, METAL, GAP = range(4)  # columns of the output


class Attention(nn.Module):
    """Multi-head attention whose weights carry a power of the sender's fraction, one a head.

    Args:
        width: Width of a node.
        heads: Number of heads; divides the width.

    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.power = nn.Parameter(torch.ones(heads))
        self.out = nn.Linear(width, width)

    def forward(self, nodes: Tensor, log_fractions: Tensor) -> Tensor:
        """Return what each node receives, (n, k, width), for nodes (n, k, width) of log fractions (n, k)."""
        n, k, width = nodes.shape
        query, key, value = self.project(self.norm(nodes)).view(n, k, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.power[:, None, None] * log_fractions[:, None, None, :]
        weights = torch.softmax(query @ key.transpose(2, 3) * (width // self.heads) ** -0.5 + bias, dim=-1)
        received: Tensor = self.out((weights @ value).transpose(1, 2).reshape(n, k, width))
        return received


class Layer(nn.Module):
    """Attention, then two dense layers on each node, both added to what they start from."""

    def __init__(self, width: int, heads: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.attention = Attention(width, heads)
        self.dense = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.SiLU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )

    def forward(self, nodes: Tensor, log_fractions: Tensor) -> Tensor:
        """Return updated nodes, (n, k, width)."""
        nodes = nodes + self.attention(nodes, log_fractions)
        updated: Tensor = nodes + self.dense(nodes)
        return updated


class StoichiometryNetwork(nn.Module):
    """Embeddings of the elements and of the formula, layers of attention, and a residual head.

    Args:
        features: Number of descriptors of the formula as a whole.
        width: Width of a node.
        layers: Number of attention layers.
        heads: Attention heads; divides the width.
        hidden: Width between the two dense layers of a node.
        head: Width of the output network.
        dropout: Share of hidden units left out while training.

    """

    elements: Tensor
    octaves: Tensor

    def __init__(
        self, features: int, width: int, layers: int, heads: int, hidden: int, head: int, dropout: float
    ) -> None:
        super().__init__()
        table = element_properties()
        scaled = (table - table[1:].mean(axis=0)) / table[1:].std(axis=0)
        self.register_buffer("elements", torch.tensor(scaled, dtype=torch.float32), persistent=False)
        self.register_buffer("octaves", torch.pi * 2.0 ** torch.arange(WAVES), persistent=False)
        self.from_table = nn.Linear(table.shape[1], width)
        self.learned = nn.Embedding(len(table), width)
        nn.init.normal_(self.learned.weight, std=0.1)
        self.from_amount = nn.Linear(2 * WAVES + 3, width)
        self.from_whole = nn.Linear(features, width)
        self.layers = nn.ModuleList(Layer(width, heads, hidden, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(2 * width)
        self.first = nn.Linear(2 * width, head)
        self.norms = nn.ModuleList(nn.LayerNorm(head) for _ in range(2))
        self.residuals = nn.ModuleList(nn.Linear(head, head) for _ in range(2))
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(head, 4)

    def forward(self, numbers: Tensor, amounts: Tensor, whole: Tensor) -> Tensor:
        """Return location, log standard deviation, metal logit and gap of a non-metal, (n, 4), standardised.

        Args:
            numbers: Atomic numbers of n formulas of equally many elements, int64, (n, k), zero-padded.
            amounts: Atoms per formula unit, (n, k), zero-padded; sines of their multiples are taken in the precision
                that they come in, which may be higher than that of the weights.
            whole: Standardised descriptors, (n, features).

        """
        used = int((amounts[:1] > 0).sum())
        numbers, amounts = numbers[:, :used], amounts[:, :used]
        fractions = amounts / amounts.sum(1, keepdim=True)
        logs = fractions.log()
        angles = fractions[:, :, None] * self.octaves
        parts = [angles.sin(), angles.cos(), fractions[:, :, None], logs[:, :, None], amounts.log()[:, :, None]]
        kind = self.last.weight.dtype
        encoded, fractions, logs, whole = (t.to(kind) for t in (torch.cat(parts, dim=-1), fractions, logs, whole))
        nodes = self.from_table(self.elements[numbers]) + self.learned(numbers) + self.from_amount(encoded)
        nodes = torch.cat([self.from_whole(whole)[:, None], nodes], dim=1)
        log_fractions = torch.cat([torch.zeros_like(logs[:, :1]), logs], dim=1)
        for layer in self.layers:
            nodes = layer(nodes, log_fractions)
        mean = (nodes[:, 1:] * fractions[:, :, None]).sum(1)
        h = self.first(self.norm(torch.cat([nodes[:, 0], mean], dim=1)))
        for norm, residual in zip(self.norms, self.residuals, strict=True):
            h = h + self.dropout(residual(silu(norm(h))))
        out: Tensor = self.last(silu(h))
        return out
