"""A generator of new formulas: a Wasserstein GAN on one-hot matrices."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from aldesign.chemistry.elements import ALPHABET, NUMBER
from aldesign.chemistry.formula import Compositions, compositions
from aldesign.chemistry.neutrality import Options, valid_mask
from aldesign.chemistry.onehot import MAX_COUNT, N_ROWS, decode_indices, indices
from aldesign.errors import CheckpointError, InputError
from aldesign.learning.checkpoint import digest, load_into, load_weights, save_weights
from aldesign.learning.training import TrainingPlan
from aldesign.models.wasserstein import Critic, Game, draw, fit_wasserstein

SHIPPED = Path(__file__).parent / "weights" / "gan"
PLAN = TrainingPlan(epochs=45, batch_size=256, learning_rate=5e-4, patience=None, schedule="one_cycle", warm_up=0.02)
FILTER = "two to six elements, charge-neutral and electronegativity-balanced without the rule for alloys (SMACT icsd24)"
CHUNK = 2048  # rows drawn at once
_MOST_ELEMENTS = 6
_RULES = Options(include_alloys=False)
_NUMBERS = np.array([NUMBER[symbol] for symbol in ALPHABET], dtype=np.int16)
_PATIENCE = 200  # chunks without one acceptable formula, after which a restriction is called hopeless


@dataclass(frozen=True)
class GanConfig:
    """Shape of the networks.

    Attributes:
        noise_size: Dimensions of the generator's normal noise.
        width: Width of its dense layers.
        critic_width: Width of the critic's.
        temperature: The generator's choices are drawn from its probabilities to the power of one over this.
        architecture: The same in words, for the card.

    """

    noise_size: int = 128
    width: int = 256
    critic_width: int = 256
    temperature: float = 0.98
    architecture: str = "noise 128 - dense - 2 residual dense - 103x21 classes; critic dense with group spread"


@dataclass(frozen=True)
class GanHistory:
    """What a training run did: formulas that passed the filter, epochs, and wall time in seconds."""

    formulas: int
    epochs: int
    seconds: float


class FormulaGAN:
    """A source of new, mostly charge-neutral formulas.

    It follows MATGAN (Dan et al., npj Comput. Mater. 6, 84, 2020), a Wasserstein GAN on matrices of elements by counts,
    with a class for the absent element, draws from probabilities, and a reward for neutral draws.

    Args:
        config: Shape of the networks.

    """

    def __init__(self, config: GanConfig | None = None) -> None:
        self.config = config or GanConfig()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = _Generator(self.config).double().eval()
        self.card: dict[str, Any] = {}
        self.digest = ""

    def sample(
        self,
        n: int,
        rng: np.random.Generator,
        *,
        min_elements: int = 2,
        max_elements: int | None = None,
        allowed: Collection[str] | None = None,
    ) -> list[str]:
        """Return n canonical formulas, repeats possible; equal states of `rng` give equal formulas.

        Draws that are no formula, or against a restriction, are drawn again.

        Args:
            n: How many.
            rng: Source of randomness.
            min_elements: Fewest elements in a formula; 2 leaves out the elements themselves.
            max_elements: Most elements in a formula; None for no limit.
            allowed: The only elements that may occur; None for all.

        Raises:
            InputError: An allowed element is unknown, or the restrictions leave next to nothing.

        """
        forbidden = _forbidden(allowed)
        found: list[str] = []
        barren = 0
        while len(found) < n:
            table = self.sample_table(min(CHUNK, max(64, int(1.2 * (n - len(found))))), rng)
            size = (table > 0).sum(axis=1)
            good = (size >= min_elements) & (size <= (max_elements or N_ROWS)) & ~(table[:, forbidden] > 0).any(axis=1)
            found += [formula for formula in decode_indices(table[good]) if formula is not None]
            barren = 0 if good.any() else barren + 1
            if barren == _PATIENCE:
                raise InputError(
                    f"the generator made no formula of {min_elements} to {max_elements or 'any number of'} elements "
                    f"among {sorted(allowed) if allowed is not None else 'all'} in {_PATIENCE} batches",
                    "allow more elements",
                )
        return found[:n]

    def sample_table(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return n raw draws, int8 (n, 103): counts in Pettifor order, not reduced, possibly all zero."""
        noise = torch.from_numpy(rng.standard_normal((n, self.config.noise_size)))
        with torch.no_grad():
            logits = self.network(noise) / self.config.temperature
            return draw(logits.float(), torch.from_numpy(rng.random((n, N_ROWS), dtype=np.float32)))

    def fit(
        self,
        formulas: Sequence[str],
        *,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Callable[[str], None] | None = None,
        plan: TrainingPlan = PLAN,
        game: Game | None = None,
    ) -> GanHistory:
        """Learn to make formulas like those of `formulas` that pass `trainable`.

        A run interrupted after a write to `checkpoint` goes on from there to the same weights.

        Raises:
            FormulaError: A formula has no one-hot matrix.
            InputError: Too few formulas pass the filter.

        """
        table = indices(compositions(formulas))
        table = table[trainable(table)]
        if len(table) < 16:
            raise InputError(
                f"{len(table)} of {len(formulas)} formulas are charge-neutral compounds", "give more of them"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network, critic = _Generator(self.config), Critic(self.config.critic_width)
        network.start_from(table)
        self.network = network
        epochs, seconds = fit_wasserstein(
            network,
            critic,
            table,
            self.config.noise_size,
            plan,
            game or Game(),
            trainable,
            seed=seed,
            checkpoint=checkpoint,
            fingerprint=f"{asdict(self.config)} {len(table)} {table.sum(axis=0).tolist()}",
            progress=progress,
        )
        network.double().eval()
        return GanHistory(len(table), epochs, seconds)

    def save(self, directory: Path, card: Mapping[str, Any] | None = None) -> None:
        """Write the generator's weights, in 16 bits, and the card."""
        full = {"class": type(self).__name__, "version": 1, "config": asdict(self.config), **(card or self.card)}
        save_weights(directory, self.network.state_dict(), full, half=True)

    @classmethod
    def load(cls, directory: Path | None = None) -> FormulaGAN:
        """Return the generator stored in `directory`, or the shipped one where it is None.

        Raises:
            CheckpointError: The files are missing, damaged, or of another class or shape.

        """
        directory = Path(directory) if directory else SHIPPED
        tensors, card = load_weights(directory, cls.__name__)
        try:
            model = cls(GanConfig(**card["config"]))
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"the card in {directory} is of another version: {error}", "train again") from error
        load_into(model.network, tensors, directory)
        model.card, model.digest = card, digest(directory)
        return model


def trainable(table: np.ndarray) -> np.ndarray:
    """Return which rows of counts, int8 (n, 103), the generator learns from, bool (n,): see `FILTER`."""
    size = (table > 0).sum(axis=1)
    mask = (size >= 2) & (size <= _MOST_ELEMENTS)
    chosen = table[mask]
    row, element = np.nonzero(chosen)
    place = np.arange(len(row)) - np.searchsorted(row, row)  # 0, 1, … within each row
    numbers = np.zeros((len(chosen), _MOST_ELEMENTS), dtype=np.int16)
    amounts = np.zeros((len(chosen), _MOST_ELEMENTS))
    numbers[row, place] = _NUMBERS[element]
    amounts[row, place] = chosen[row, element]
    mask[mask] = valid_mask(Compositions(numbers, amounts), _RULES)
    return np.asarray(mask)


def _forbidden(allowed: Collection[str] | None) -> np.ndarray:
    """Return the rows of the one-hot matrix that must be empty, bool (103,)."""
    if allowed is None:
        return np.zeros(N_ROWS, dtype=bool)
    if unknown := sorted(set(allowed) - set(ALPHABET)):
        raise InputError(f"{', '.join(map(repr, unknown))} cannot be generated", "allowed: the elements H to Lr")
    return np.array([symbol not in allowed for symbol in ALPHABET], dtype=bool)


class _Generator(nn.Module):
    """Dense layers from noise to the logits of 21 classes for each of 103 elements."""

    def __init__(self, config: GanConfig) -> None:
        super().__init__()
        self.first = nn.Linear(config.noise_size, config.width)
        self.second = nn.Linear(config.width, config.width)
        self.third = nn.Linear(config.width, config.width)
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(3))
        self.classes = nn.Linear(config.width, N_ROWS * (MAX_COUNT + 1))
        self.prior = nn.Parameter(torch.zeros(N_ROWS, MAX_COUNT + 1))

    def start_from(self, table: np.ndarray) -> None:
        """Begin with every element's frequencies of counts in `table`, int8 (n, 103)."""
        seen = np.stack([(table == count).mean(axis=0) for count in range(MAX_COUNT + 1)], axis=1)
        with torch.no_grad():
            self.prior.copy_(torch.from_numpy(np.log(seen + 2e-5)).float())

    def forward(self, noise: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 103, 21) of noise (n, noise_size)."""
        x = functional.silu(self.norms[0](self.first(noise)))
        x = x + functional.silu(self.norms[1](self.second(x)))
        x = x + functional.silu(self.norms[2](self.third(x)))
        logits: torch.Tensor = self.classes(x).view(-1, N_ROWS, MAX_COUNT + 1) + self.prior
        return logits
