"""A generator of new formulas: a Wasserstein GAN that draws elements and then their counts."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

import numpy as np
import torch

from aldesign.chemistry.elements import ALPHABET
from aldesign.chemistry.formula import compositions
from aldesign.chemistry.neutrality import valid_mask
from aldesign.chemistry.onehot import N_ROWS, compositions_of, decode_indices, indices
from aldesign.errors import CheckpointError, InputError
from aldesign.learning.checkpoint import digest, load_into, load_weights, save_weights
from aldesign.learning.training import TrainingPlan
from aldesign.models.gan_networks import LEAST, MOST, MatrixGenerator, SequentialGenerator
from aldesign.models.gan_sampling import Drawer, MatrixSampler, SequentialSampler, Wishes, names
from aldesign.models.wasserstein import Critic, Game, fit_wasserstein

SHIPPED = Path(__file__).parent / "weights" / "gan"
PLAN = TrainingPlan(
    epochs=12, batch_size=512, learning_rate=2e-3, weight_decay=0.01, patience=None, warm_up=0.05, gradient_clip=5.0
)
PLAIN = Game(lead_in=0.0, critic_steps=2, verdict=1.0, reward=0.0, likeness=0.0, momentum=0.0)
"""The game without help: MATGAN's, a critic alone, with a gradient penalty in place of clipped weights."""
FILTER = "two to six elements, SMACT-valid (icsd24, alloys of metals included)"
CHUNK = 65536  # rows drawn at once
_DRAWN: dict[str, Any] = {"temperature": 1.0, "emphasis": ()}  # what training does not depend on
_PATIENCE = 20  # chunks without one acceptable formula, after which a restriction is called hopeless


@dataclass(frozen=True)
class GanConfig:
    """Shape of the networks, and how they are drawn from.

    Attributes:
        noise_size: Dimensions of the normal noise of ``matgan``; ``sequential`` has the noise of its draws alone.
        width: Width of the generator's dense layers.
        critic_width: Width of the critic's.
        temperature: Elements and counts are drawn from their probabilities to the power of one over this; above one,
            repeats and known formulas are fewer.
        emphasis: Factors of the shares of formulas of 2, 3, 4, 5 and 6 elements among the training formulas, for
            drawing. There are few binaries, so that draws of these in full proportion repeat each other.
        dropout: Share of the hidden units left out in training.
        architecture: ``sequential`` draws elements one after another and then their counts; ``matgan`` maps noise to
            the whole matrix (Dan et al., npj Comput. Mater. 6, 84, 2020).

    """

    noise_size: int = 128
    width: int = 256
    critic_width: int = 256
    temperature: float = 1.35
    emphasis: tuple[float, ...] = (0.3, 0.8, 1.6, 2.0, 2.0)
    dropout: float = 0.2
    architecture: Literal["sequential", "matgan"] = "sequential"


@dataclass(frozen=True)
class GanHistory:
    """What a training run did: formulas that passed the filter, epochs, and wall time in seconds."""

    formulas: int
    epochs: int
    seconds: float


class Wanted(TypedDict, total=False):
    """What formulas must be; each word as in `FormulaGAN.sample`, with its default."""

    min_elements: int
    max_elements: int | None
    allowed: Collection[str] | None
    required: Collection[str]
    alloys: bool
    plausible: bool
    distinct: bool


class FormulaGAN:
    """A source of new formulas, charge-neutral compounds and alloys.

    Args:
        config: Shape of the networks.

    """

    def __init__(self, config: GanConfig | None = None) -> None:
        self.config = config or GanConfig()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = _network(self.config).eval()
        self.card: dict[str, Any] = {}
        self.digest = ""

    def sample(
        self,
        n: int,
        rng: np.random.Generator,
        *,
        min_elements: int = LEAST,
        max_elements: int | None = None,
        allowed: Collection[str] | None = None,
        required: Collection[str] = (),
        alloys: bool = True,
        plausible: bool = True,
        distinct: bool = False,
    ) -> list[str]:
        """Return n canonical formulas; equal states of `rng` give equal formulas.

        Args:
            n: How many.
            rng: Source of randomness.
            min_elements: Fewest elements in a formula.
            max_elements: Most elements in a formula; None for no limit.
            allowed: The only elements that may occur; None for all.
            required: Elements that every formula must hold.
            alloys: Whether formulas of metals alone are drawn.
            plausible: Keep only what passes SMACT's test: the counts of a set of elements are drawn again a few
                times, then the set is given up. False gives the raw draws.
            distinct: Leave out what was drawn before in this call; else repeats are possible.

        Raises:
            InputError: An element is unknown, or the restrictions leave next to nothing.

        """
        table = self.sample_table(
            n,
            rng,
            min_elements=min_elements,
            max_elements=max_elements,
            allowed=allowed,
            required=required,
            alloys=alloys,
            plausible=plausible,
            distinct=distinct,
        )
        return [formula for formula in decode_indices(table) if formula is not None]

    def sample_table(self, n: int, rng: np.random.Generator, **wanted: Unpack[Wanted]) -> np.ndarray:
        """Return what `sample` returns as reduced counts in Pettifor order, int8 (n, 103)."""
        parts = [np.zeros((0, N_ROWS), dtype=np.int8)]
        missing = n
        for part in self.stream_tables(rng, min(CHUNK, max(64, int(1.1 * n))), **wanted) if n else ():
            parts.append(part[:missing])
            missing -= len(parts[-1])
            if not missing:
                break
        return np.concatenate(parts)

    def stream_tables(
        self, rng: np.random.Generator, chunk: int = CHUNK, **wanted: Unpack[Wanted]
    ) -> Iterator[np.ndarray]:
        """Yield tables as those of `sample_table` without end: what is acceptable of `chunk` draws each.

        Memory is flat, but for eight bytes a formula where they are to be `distinct`.

        Raises:
            InputError: As `sample`.

        """
        allowed, required = wanted.get("allowed"), wanted.get("required", ())
        sizes = wanted.get("min_elements", LEAST), wanted.get("max_elements") or MOST
        plausible, alloys = wanted.get("plausible", True), wanted.get("alloys", True)
        drawer = self._drawer(Wishes(sizes, _forbidden(allowed), _places(required), plausible, alloys))
        before = np.zeros(0, dtype=np.int64)
        barren = 0
        while barren < _PATIENCE:
            table = drawer.draw(chunk, rng)
            if wanted.get("distinct", False):
                drawn = names(table)
                _, first = np.unique(drawn, return_index=True)
                fresh = np.sort(first[~np.isin(drawn[first], before)])
                table, before = table[fresh], np.concatenate([before, drawn[fresh]])
            barren = 0 if len(table) else barren + 1
            yield table
        limits = f"{sizes[0]} to {sizes[1]} elements"
        among = f"among {', '.join(sorted(allowed))}" if allowed is not None else "among all"
        holding = f" with {', '.join(sorted(required))}" if required else ""
        new = " new" if len(before) else ""
        raise InputError(
            f"the generator made no{new} formula of {limits} {among}{holding} in {_PATIENCE} batches",
            "allow more elements, require fewer, or ask for fewer formulas",
        )

    def _drawer(self, wishes: Wishes) -> Drawer:
        if isinstance(self.network, MatrixGenerator):
            return MatrixSampler(self.network, wishes, self.config.temperature)
        return SequentialSampler(self.network, wishes, self.config.temperature, self.config.emphasis)

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
        """Learn to make formulas like those of `formulas` that pass `trainable` (``matgan``: like all of them).

        A run interrupted after a write to `checkpoint` goes on from there to the same weights.

        Raises:
            FormulaError: A formula has no one-hot matrix.
            InputError: Too few formulas pass the filter.

        """
        table = indices(compositions(formulas))
        matgan = self.config.architecture == "matgan"
        if not matgan:
            table = table[trainable(table)]
        if len(table) < 16:
            raise InputError(
                f"{len(table)} of {len(formulas)} formulas are charge-neutral compounds or alloys", "give more of them"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network, critic = _network(self.config), Critic(self.config.critic_width)
        network.start_from(table)
        self.network = network
        epochs, seconds = fit_wasserstein(
            network,
            critic,
            table,
            plan,
            game or (PLAIN if matgan else Game()),
            trainable,
            seed=seed,
            checkpoint=checkpoint,
            fingerprint=f"{asdict(replace(self.config, **_DRAWN))} {len(table)} {table.sum(axis=0).tolist()}",
            progress=progress,
        )
        network.eval()
        return GanHistory(len(table), epochs, seconds)

    def save(self, directory: Path, card: Mapping[str, Any] | None = None) -> None:
        """Write the generator's weights, in 16 bits, and the card."""
        full = {"class": type(self).__name__, "version": 1, **(card or self.card), "config": asdict(self.config)}
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
    mask = np.asarray((size >= LEAST) & (size <= MOST))
    mask[mask] = valid_mask(compositions_of(table[mask]))
    return mask


def _network(config: GanConfig) -> SequentialGenerator | MatrixGenerator:
    if config.architecture == "matgan":
        return MatrixGenerator(config.noise_size, config.width)
    if config.architecture == "sequential":
        return SequentialGenerator(config.width, config.dropout)
    raise InputError(f"no architecture is called {config.architecture!r}", "allowed: sequential, matgan")


def _places(symbols: Collection[str]) -> list[int]:
    """Return the rows of the one-hot matrix of these elements, rising."""
    if unknown := sorted(set(symbols) - set(ALPHABET)):
        raise InputError(f"{', '.join(map(repr, unknown))} cannot be generated", "allowed: the elements H to Lr")
    return sorted(ALPHABET.index(symbol) for symbol in set(symbols))


def _forbidden(allowed: Collection[str] | None) -> np.ndarray:
    """Return the rows of the one-hot matrix that must be empty, bool (103,)."""
    closed = np.zeros(N_ROWS, dtype=bool)
    if allowed is not None:
        closed[:] = True
        closed[_places(allowed)] = False
    return closed
