"""Fast draws from a trained generator: many formulas at once, in single precision, with all restrictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb, factorial
from typing import Protocol

import numpy as np
import torch

from aldesign.chemistry.elements import ALPHABET, NUMBER
from aldesign.chemistry.formula import Compositions
from aldesign.chemistry.neutrality import Options, valid_mask
from aldesign.chemistry.onehot import MAX_COUNT, N_ROWS, compositions_of
from aldesign.models.gan_networks import KINDS, LEAST, MOST, MatrixGenerator, SequentialGenerator, kind_sizes

_ROUNDS = 4  # draws of the counts for one set of elements, until they balance
_PART = 16384  # rows that go through the network together: what fits the cache and the memory
_MATRICES = 2048
_WEIGHTS = np.random.default_rng(0).integers(2**62, size=N_ROWS, dtype=np.int64)
_NUMBERS = np.array([*(NUMBER[symbol] for symbol in ALPHABET), 0], dtype=np.int16)


@dataclass(frozen=True)
class Wishes:
    """What a formula must be.

    Attributes:
        sizes: Fewest and most elements.
        forbidden: Elements that must not occur, bool (103,).
        required: Places of elements that must occur.
        plausible: Keep only formulas that pass SMACT's test.
        alloys: Let that test accept formulas of metals alone.

    """

    sizes: tuple[int, int]
    forbidden: np.ndarray
    required: Sequence[int] = ()
    plausible: bool = True
    alloys: bool = True


def names(table: np.ndarray) -> np.ndarray:
    """Return a 64-bit number for each row of counts (n, 103), which different rows share by ill luck alone."""
    row, element = np.nonzero(table)
    found = np.zeros(len(table), dtype=np.int64)
    np.add.at(found, row, _WEIGHTS[element] * table[row, element])
    return found


class Drawer(Protocol):
    """Draws formulas that meet wishes."""

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return reduced counts, int8 (m, 103), of those m of n draws that meet the wishes, in order."""
        ...


class MatrixSampler:
    """Draws whole matrices, and drops those against the wishes."""

    def __init__(self, network: MatrixGenerator, wishes: Wishes, temperature: float) -> None:
        self.network, self.wishes, self.temperature = network, wishes, temperature

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return reduced counts, int8 (m, 103), of those m of n draws that meet the wishes, in order."""
        parts = [self._part(min(_MATRICES, n - start), rng) for start in range(0, n, _MATRICES)]
        return np.concatenate([np.zeros((0, N_ROWS), dtype=np.int8), *parts])

    def _part(self, n: int, rng: np.random.Generator) -> np.ndarray:
        wishes, network = self.wishes, self.network
        with torch.inference_mode():
            noise = torch.from_numpy(rng.standard_normal((n, network.noise_size), dtype=np.float32))
            sums = (network(noise) / self.temperature).softmax(dim=2).cumsum(dim=2)
            drawn = (torch.from_numpy(rng.random((n, N_ROWS, 1), dtype=np.float32)) >= sums).sum(dim=2)
        table = drawn.clamp_max(MAX_COUNT).to(torch.int8).numpy()
        size = (table > 0).sum(axis=1)
        most = wishes.sizes[1] if wishes.sizes[1] < MOST else N_ROWS  # a matrix may hold more than a sequence
        good = (size >= max(1, wishes.sizes[0])) & (size <= most)
        good &= ~(table[:, wishes.forbidden] > 0).any(axis=1) & (table[:, list(wishes.required)] > 0).all(axis=1)
        table = table[good]
        table = table // np.maximum(np.gcd.reduce(table, axis=1), 1)[:, None]
        if wishes.plausible:
            table = table[valid_mask(compositions_of(table), Options(include_alloys=wishes.alloys))]
        return np.asarray(table)


class SequentialSampler:
    """Draws kinds, elements, and counts, one after another, given all that is drawn already.

    Args:
        network: In evaluation mode; its weights are used as they are.
        wishes: What to draw.
        temperature: Elements and counts are drawn from their probabilities to the power of one over this.
        emphasis: Factors of the shares of formulas of 2, 3, 4, 5 and 6 elements.

    """

    def __init__(
        self,
        network: SequentialGenerator,
        wishes: Wishes,
        temperature: float = 1.0,
        emphasis: Sequence[float] = (1.0,) * (MOST - LEAST + 1),
    ) -> None:
        self.network, self.wishes, self.temperature = network, wishes, temperature
        self.metal: np.ndarray = network.metal.numpy()
        self.size = kind_sizes()
        shares = network.shares.double().numpy() * np.repeat(np.array(emphasis), 2)
        self.shares = self._conditional(np.where(self._wanted(), shares, 0.0))
        # sets are told apart by the sums of their members' random numbers
        self.names = np.random.default_rng(0).integers(2**63, size=KINDS + N_ROWS, dtype=np.int64)

    def _wanted(self) -> np.ndarray:
        least, most = self.wishes.sizes
        alloys = self.wishes.alloys | (np.arange(KINDS) % 2 == 0)
        return np.asarray((self.size >= least) & (self.size <= most) & alloys)

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return reduced counts, int8 (m, 103), of those m of n draws that meet the wishes, in order."""
        if not self.shares.any():
            return np.zeros((0, N_ROWS), dtype=np.int8)
        parts = [self._part(min(_PART, n - start), rng) for start in range(0, n, _PART)]
        return np.concatenate([np.zeros((0, N_ROWS), dtype=np.int8), *parts])

    def _part(self, n: int, rng: np.random.Generator) -> np.ndarray:
        kind = np.searchsorted(np.cumsum(self.shares), rng.random(n), side="right").clip(max=KINDS - 1)
        with torch.inference_mode():
            places = self._elements(kind, rng)
            counts = self._counts(kind, places, rng)
            if self.wishes.plausible:
                open_rows = np.arange(n)
                good = np.zeros(n, dtype=bool)
                for attempt in range(_ROUNDS):
                    if attempt:
                        counts[open_rows] = self._counts(kind[open_rows], places[open_rows], rng)
                    good[open_rows] = self._plausible(places[open_rows], counts[open_rows])
                    open_rows = np.flatnonzero(~good)
                kind, places, counts = kind[good], places[good], counts[good]
        counts //= np.maximum(np.gcd.reduce(counts, axis=1), 1)[:, None]
        table = np.zeros((len(kind), N_ROWS), dtype=np.int8)
        row, column = np.nonzero(counts)
        table[row, places[row, column]] = counts[row, column]
        return table

    def _elements(self, kind: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the places of the elements, rising, int64 (n, 6), padded with 103."""
        n, size = len(kind), self.size[kind]
        places = np.full((n, MOST), N_ROWS, dtype=np.int64)
        names = self.names[kind]
        for step, place in enumerate(self.wishes.required):
            places[:, step] = place
            names = names + self.names[KINDS + place]
        for step in range(len(self.wishes.required), MOST):
            rows = np.flatnonzero(size > step)
            if not len(rows):
                break
            # the same set begun in many formulas goes through the network once
            _, first, which = np.unique(names[rows], return_index=True, return_inverse=True)
            begun = rows[first]
            chosen = self._pick(self._choices(kind[begun], places[begun, :step]), which, rng)
            places[rows, step] = chosen
            names[rows] += self.names[KINDS + chosen]
        places.sort(axis=1)
        return places

    def _choices(self, kind: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return the cumulative probabilities of the next element, float64 (n, 103)."""
        sums = self.network.kind[kind]
        for column in places.T:
            sums = sums + self.network.element[column]
        logits = self.network.choices(sums)
        closed = self.wishes.forbidden | (((kind % 2) == 1)[:, None] & ~self.metal)
        np.put_along_axis(closed, places, True, axis=1)
        logits = (logits / self.temperature).masked_fill(torch.from_numpy(closed), -torch.inf)
        return _cumulative(logits)

    def _counts(self, kind: np.ndarray, places: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a count for each of `places`, int64 (n, 6), zeros beyond the formula's size."""
        network, size = self.network, self.size[kind]
        counts = np.zeros(places.shape, dtype=np.int64)
        trunk = network.count_kind[kind]
        for step in range(MOST):
            rows = np.flatnonzero(size > step)
            if len(rows):
                trunk.index_add_(0, torch.from_numpy(rows), network.member[places[rows, step]])
        trunk = network.count_mixed(trunk)
        for step in range(MOST):
            rows = np.flatnonzero(size > step)
            if not len(rows):
                break
            place = torch.from_numpy(places[rows, step])
            index = torch.from_numpy(rows)
            drawn = self._pick(
                _cumulative(network.counts(trunk[index], place) / self.temperature), np.arange(len(rows)), rng
            )
            counts[rows, step] = drawn + 1
            seen = network.seen(place, torch.from_numpy(drawn + 1))
            trunk.index_add_(0, index, seen)
        return counts

    def _plausible(self, places: np.ndarray, counts: np.ndarray) -> np.ndarray:
        """Return which formulas pass SMACT's test, bool (n,)."""
        numbers = _NUMBERS[np.where(counts > 0, places, N_ROWS)]
        options = Options(include_alloys=self.wishes.alloys)
        passed: np.ndarray = valid_mask(Compositions(numbers, counts.astype(np.float64)), options)
        return passed

    @staticmethod
    def _pick(cumulative: np.ndarray, which: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return the class that a uniform number falls into, in the row `which` (n,) of `cumulative` (m, k)."""
        m, k = cumulative.shape
        cumulative += np.arange(m)[:, None]  # rows end where the next one begins: one sorted array
        uniform = rng.random(len(which), dtype=np.float32).astype(np.float64)
        found = np.searchsorted(cumulative.ravel(), which + uniform, side="right") - which * k
        return np.asarray(found)

    def _conditional(self, shares: np.ndarray) -> np.ndarray:
        """Return the probability of each kind, float64 (10,), of `shares` in general, given the elements required.

        The chance that a set holds them is that of drawing them first, times the number of places they may take.
        """
        wishes, required = self.wishes, list(self.wishes.required)
        shares = np.where(self.size >= len(required), shares, 0.0)
        open_places = ~wishes.forbidden
        room = np.where(np.arange(KINDS) % 2 == 1, (open_places & self.metal).sum(), open_places.sum())
        shares = np.where(room >= self.size, shares, 0.0)
        if required:
            with torch.inference_mode():
                kind = np.arange(KINDS)
                chance = np.ones(KINDS)
                for step, place in enumerate(required):
                    before = np.tile(np.array(required[:step], dtype=np.int64), (KINDS, 1))
                    cumulative = self._choices(kind, before)
                    chance *= np.diff(cumulative, axis=1, prepend=0.0)[:, place]
            ways = [comb(size, len(required)) * factorial(len(required)) for size in self.size.tolist()]
            shares = shares * chance * np.array(ways)
        total = shares.sum()
        return np.asarray(shares / total if total > 0 else np.zeros(KINDS))


def _cumulative(logits: torch.Tensor) -> np.ndarray:
    """Return the cumulative probabilities of classes, float64 (n, k), each row ending with one."""
    sums = np.cumsum(logits.softmax(dim=1).numpy(), axis=1, dtype=np.float64)
    sums /= sums[:, -1:]
    return sums
