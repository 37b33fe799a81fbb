"""The generator's networks: one that draws elements and then counts, and MATGAN's, which gives a whole matrix."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from aldesign.chemistry.elements import ALPHABET, NUMBER
from aldesign.chemistry.onehot import MAX_COUNT, N_ROWS
from aldesign.chemistry.oxidation import Options, state_table
from aldesign.models.wasserstein import Maker

LEAST, MOST = 2, 6  # elements in a formula
KINDS = 2 * (MOST - LEAST + 1)
"""Kinds of formulas: 2 to 6 elements, each with and without non-metals."""
_CLASSES = MAX_COUNT + 1
_TINY = 1e-9


def metals() -> np.ndarray:
    """Return which rows of the one-hot matrix are metals to SMACT, bool (103,)."""
    options = Options()
    table = state_table(options.oxidation_states, options.consensus, options.commonality)
    return np.asarray(table.metal[[NUMBER[symbol] for symbol in ALPHABET]])


def kinds(table: np.ndarray) -> np.ndarray:
    """Return the kind of each row of counts (n, 103), int64 (n,): twice the elements above two, plus one for metals."""
    present = table > 0
    return np.asarray(2 * (present.sum(axis=1) - LEAST) + ~present[:, ~metals()].any(axis=1))


def kind_sizes() -> np.ndarray:
    """Return the number of elements of each kind, int64 (10,)."""
    return np.arange(KINDS) // 2 + LEAST


def entries(table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return places and counts of the elements of each row of counts (n, 103), int64 (n, 6), padded with zeros.

    Places rise from left to right.
    """
    row, element = np.nonzero(table)
    column = np.arange(len(row)) - np.searchsorted(row, row)
    places, counts = np.zeros((len(table), MOST), dtype=np.int64), np.zeros((len(table), MOST), dtype=np.int64)
    places[row, column], counts[row, column] = element, table[row, element]
    return places, counts


class SequentialGenerator(Maker):
    """Draws a formula's kind, then its elements one after another in any order, then their counts.

    Elements and counts are drawn from the probabilities that the network gives them after what is drawn already.
    Noise enters as these draws, the Gumbel noise of every choice.

    Args:
        width: Of the dense layers.
        dropout: Share of the hidden units left out in training.

    """

    shares: torch.Tensor
    metal: torch.Tensor

    def __init__(self, width: int, dropout: float = 0.2) -> None:
        super().__init__()
        self.kind = nn.Parameter(0.5 * torch.randn(KINDS, width))
        self.element = nn.Parameter(0.5 * torch.randn(N_ROWS, width))
        self.mixed = _Residual(width, dropout)
        self.choice = _Head(width, width, N_ROWS, dropout)
        self.count_kind = nn.Parameter(0.5 * torch.randn(KINDS, width))
        self.member = nn.Parameter(0.5 * torch.randn(N_ROWS, width))
        self.count_mixed = _Residual(width, dropout)
        self.asked = nn.Parameter(0.5 * torch.randn(N_ROWS, width))
        self.counted = nn.Parameter(0.3 * torch.randn(N_ROWS * _CLASSES, width))
        self.amount = nn.Parameter(0.3 * torch.randn(_CLASSES, width))  # of any element: patterns recur
        self.count = nn.Sequential(_Residual(width, dropout), _Head(width, width, MAX_COUNT, dropout))
        self.prior = nn.Parameter(torch.zeros(N_ROWS, MAX_COUNT))
        self.register_buffer("shares", torch.full((KINDS,), 1 / KINDS))
        self.register_buffer("metal", torch.from_numpy(metals()), persistent=False)

    def start_from(self, table: np.ndarray) -> None:
        """Take the shares of the kinds, and each element's frequencies of counts, from `table`, int8 (n, 103)."""
        seen = np.stack([(table == count).sum(axis=0) for count in range(1, _CLASSES)], axis=1) + 0.05
        with torch.no_grad():
            self.shares.copy_(torch.from_numpy(np.bincount(kinds(table), minlength=KINDS) / len(table)))
            self.prior.copy_(torch.from_numpy(np.log(seen / seen.sum(axis=1, keepdims=True))))

    def choices(self, sums: torch.Tensor) -> torch.Tensor:
        """Return the logits of the next element, (n, 103), of sums of vectors (n, width)."""
        logits: torch.Tensor = self.choice(self.mixed(sums))
        return logits

    def counts(self, sums: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """Return the logits of the counts 1 to 20, (n, 20), of the elements at `place`, int64 (n,)."""
        logits: torch.Tensor = self.count(sums + self.asked[place]) + self.prior[place]
        return logits

    def surprise(self, table: np.ndarray) -> torch.Tensor:
        """Return the mean negative log-likelihood of `table`, int8 (n, 103), in nats, a scalar.

        The elements' is that of one random order of drawing, averaged over what could come next in it.
        """
        kind = torch.from_numpy(kinds(table))
        present = torch.from_numpy(table > 0)
        order = torch.rand(present.shape).masked_fill(~present, 2.0).argsort(dim=1)[:, :MOST]
        one_hot = functional.one_hot(order, N_ROWS).float() * present.gather(1, order)[:, :, None]
        before = one_hot.cumsum(dim=1) - one_hot
        row, step = torch.nonzero(present.gather(1, order), as_tuple=True)
        drawn = before[row, step]
        left = present[row].float() - drawn
        shares = self.choices(self.kind[kind[row]] + drawn @ self.element).masked_fill(drawn > 0, -1e9).log_softmax(1)
        elements = -(shares * left).sum(dim=1) / left.sum(dim=1)
        return (elements.sum() + self._count_surprise(table, kind, present.float())) / len(table)

    def seen(self, place: torch.Tensor, count: torch.Tensor) -> torch.Tensor:
        """Return the vectors, (..., width), by which other counts see `count`, int64, of the element at `place`."""
        index = place * _CLASSES + count
        vectors: torch.Tensor = functional.embedding(index, self.counted) + functional.embedding(count, self.amount)
        return vectors

    def _count_surprise(self, table: np.ndarray, kind: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        trunk = self.count_mixed(self.count_kind[kind] + present @ self.member)
        places, counts = map(torch.from_numpy, entries(table))
        row, step = torch.nonzero(counts, as_tuple=True)
        vectors = self.seen(places, counts) * (counts > 0)[:, :, None]
        before = (vectors.cumsum(dim=1) - vectors)[row, step]
        # a product with one-hot rows: the gradient of indexing is slow on the CPU
        asked = functional.one_hot(places[row, step], N_ROWS).float()
        logits = self.count(trunk[row] + asked @ self.asked + before) + asked @ self.prior
        return functional.cross_entropy(logits, counts[row, step] - 1, reduction="sum")

    def make(self, n: int, temperature: float) -> torch.Tensor:
        """Return one-hot matrices (n, 103, 21) drawn with torch's generator, gradients being those of the softmax."""
        kind = torch.multinomial(self.shares, n, replacement=True)
        size = kind // 2 + LEAST
        foreign = (kind % 2 == 1)[:, None] & ~self.metal
        chosen = torch.zeros(n, N_ROWS)
        for step in range(MOST):
            logits = self.choices(self.kind[kind] + chosen @ self.element)
            logits = logits.masked_fill(foreign | (chosen.detach() > 0.5), -1e9)
            chosen = chosen + gumbel_choice(logits, temperature) * (step < size)[:, None]
        trunk = self.count_mixed(self.count_kind[kind] + chosen @ self.member)
        places = torch.from_numpy(entries((chosen.detach() > 0.5).numpy().astype(np.int8))[0])
        matrices = torch.zeros(n, N_ROWS, _CLASSES)
        counted = self.counted.view(N_ROWS, _CLASSES, -1)[:, 1:]
        for step in range(MOST):
            real, place = step < size, places[:, step]
            counts = gumbel_choice(self.counts(trunk, place), temperature) * real[:, None]
            own = (counts[:, None] @ counted[place])[:, 0]
            trunk = trunk + own + counts @ self.amount[1:]
            row = torch.nonzero(real)[:, 0]
            matrices = matrices.index_put((row, place[row]), functional.pad(counts[row], (1, 0)))
        return matrices * chosen[:, :, None]


class MatrixGenerator(Maker):
    """Dense layers from noise to the logits of 21 classes for each of 103 elements, as in MATGAN.

    Args:
        noise_size: Dimensions of the normal noise.
        width: Of the dense layers.

    """

    def __init__(self, noise_size: int, width: int) -> None:
        super().__init__()
        self.noise_size = noise_size
        self.first = nn.Linear(noise_size, width)
        self.second = nn.Linear(width, width)
        self.third = nn.Linear(width, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.classes = nn.Linear(width, N_ROWS * _CLASSES)
        self.prior = nn.Parameter(torch.zeros(N_ROWS, _CLASSES))

    def start_from(self, table: np.ndarray) -> None:
        """Begin with every element's frequencies of counts in `table`, int8 (n, 103)."""
        with torch.no_grad():
            self.prior.copy_((_frequencies(table) + 2e-5).log())

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 103, 21) of noise (n, noise_size)."""
        x = functional.silu(self.norms[0](self.first(noise)))
        x = x + functional.silu(self.norms[1](self.second(x)))
        x = x + functional.silu(self.norms[2](self.third(x)))
        logits: torch.Tensor = self.classes(x).view(-1, N_ROWS, _CLASSES) + self.prior
        return logits

    def make(self, n: int, temperature: float) -> torch.Tensor:
        """Return one-hot matrices (n, 103, 21) drawn with torch's generator, gradients being those of the softmax."""
        return gumbel_choice(self(torch.randn(n, self.noise_size)), temperature)

    def surprise(self, table: np.ndarray) -> torch.Tensor:
        """Return how far the shares of the elements' counts are from those in `table`, a scalar in nats."""
        shares = self(torch.randn(len(table), self.noise_size)).softmax(dim=2).mean(dim=0)
        seen = _frequencies(table)
        distance: torch.Tensor = (seen * ((seen + 1e-6) / (shares + 1e-6)).log()).sum()
        return distance


def gumbel_choice(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return one-hot choices from `logits` (..., k); their gradient is that of the softmax (Jang et al., ICLR 2017)."""
    uniform = torch.rand_like(logits).clamp(_TINY, 1 - 1e-6)
    soft = ((logits - (-uniform.log()).log()) / temperature).softmax(dim=-1)
    hard = functional.one_hot(soft.argmax(dim=-1), logits.shape[-1]).to(soft.dtype)
    return hard + soft - soft.detach()


def _frequencies(table: np.ndarray) -> torch.Tensor:
    """Return the share of each class of each element in counts (n, 103), float32 (103, 21)."""
    return torch.from_numpy(np.stack([(table == count).mean(axis=0) for count in range(_CLASSES)], axis=1)).float()


class _Residual(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Dropout(dropout), nn.Linear(width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = x + self.layers(x)
        return result


class _Head(nn.Sequential):
    def __init__(self, width: int, hidden: int, classes: int, dropout: float) -> None:
        super().__init__(
            nn.LayerNorm(width), nn.Linear(width, hidden), nn.SiLU(), nn.Dropout(dropout), nn.Linear(hidden, classes)
        )
