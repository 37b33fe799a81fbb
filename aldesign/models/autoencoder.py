"""The autoencoder of formulas: one-hot matrix to a point of latent space and back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from aldesign.chemistry.formula import compositions
from aldesign.chemistry.neutrality import Options
from aldesign.chemistry.onehot import N_ROWS, decode_indices, indices
from aldesign.errors import CheckpointError, InputError
from aldesign.learning.checkpoint import digest, load_into, load_weights, save_weights
from aldesign.learning.training import Minibatches, TrainingHistory, TrainingPlan, fit_network
from aldesign.models.augmentation import augment
from aldesign.models.autoencoder_network import AutoencoderConfig, FormulaNetwork, make_network
from aldesign.models.autoencoder_targets import statistics
from aldesign.models.plausible import STRICT, confined, first_plausible, lead, likeliest, permitted, repaired

__all__ = ["AutoencoderConfig", "FormulaAutoencoder"]

SHIPPED = Path(__file__).parent / "weights" / "autoencoder"
PLAN = TrainingPlan(epochs=50, batch_size=256, learning_rate=2e-3, weight_decay=1e-4, patience=None, gradient_clip=5.0)
PAPER_PLAN = TrainingPlan(epochs=300, batch_size=128, learning_rate=1e-3, patience=None, schedule="constant")
"""That of Xin et al., for the architecture ``agd``."""
CHUNK = 4096  # rows at once, for memory
DOUBT = 4.0  # nats by which a formula must be more probable than any other to be taken at once
RIVALS = 8  # of the likeliest formulas are encoded otherwise
NEAR = 0.75  # of its norm: where a point lies farther from that of its formula, it is none of a formula anyway


class FormulaAutoencoder:
    """A two-way map between formulas and points of a latent space of unit scale.

    Latents lie on the sphere of radius sqrt(d), to which decoding projects, so that every direction is as near to
    training formulas as any other (not with ``architecture="agd"`` or `variational`). The decoder gives each element
    one of 21 classes (absent, 1 to 20): a point decodes to at most one count an element, and to one element at least.

    Args:
        config: Shape of the network.

    """

    def __init__(self, config: AutoencoderConfig | None = None) -> None:
        self.config = config or AutoencoderConfig()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = make_network(self.config).double().eval()
        self.card: dict[str, Any] = {}
        self.digest = ""

    @property
    def latent_size(self) -> int:
        """Dimensions of the latent space."""
        return self.config.latent_size

    def encode(self, formulas: Sequence[str]) -> np.ndarray:
        """Return latent points, shape (n, latent_size), float64; of norm sqrt(latent_size) on a sphere.

        Raises:
            FormulaError: For the first formula that cannot be read, is fractional, has a reduced count above 20 or
                an element beyond lawrencium.

        """
        return self.encode_table(indices(compositions(formulas)))

    def encode_table(self, table: np.ndarray) -> np.ndarray:
        """Return latent points (n, latent_size), float64, of counts in Pettifor order, int8 (n, 103)."""
        with torch.no_grad():
            points = [
                self.network.encode(torch.from_numpy(table[i : i + CHUNK])).numpy() for i in range(0, len(table), CHUNK)
            ]
        # a point must not depend, in its last bits, on what else was in the batch
        return np.round(np.concatenate(points), 9) if points else np.zeros((0, self.latent_size))

    def decode(self, points: np.ndarray) -> list[str | None]:
        """Return the canonical formula of each of n points, shape (n, latent_size); it is never None.

        It is the most probable formula that is not empty; where others are nearly as probable, that of them whose own
        point is the nearest.

        Raises:
            InputError: The points have another number of dimensions, or are not finite.

        """
        return decode_indices(self.decode_table(points))

    def decode_table(self, points: np.ndarray) -> np.ndarray:
        """Return what `decode` does as counts, int8 (n, 103).

        Raises:
            InputError: The points have another number of dimensions, or are not finite.

        """
        return _joined([decoded(self.network, part) for part in self._parts(points)])

    def decode_plausible(
        self,
        points: np.ndarray,
        slack: float,
        *,
        min_elements: int = 1,
        max_elements: int | None = None,
        allowed: Collection[str] | None = None,
        options: Options = STRICT,
    ) -> list[str]:
        """Return a plausible formula of each of n points, canonical.

        It is what `decode` returns where that is plausible and fits, else the most probable one that is and does;
        where none of the likeliest formulas is, the likeliest that fits.

        Args:
            points: Shape (n, latent_size).
            slack: Nats that the formula may lack to the likeliest one.
            min_elements: Fewest distinct elements of it; a single element counts as plausible.
            max_elements: Most distinct elements of it; None for any number.
            allowed: Elements that it may have; None for all. What is left out never occurs.
            options: What is plausible; by default as the screens of a campaign: balanced charges, every cation less
                electronegative than every anion, no alloys.

        Raises:
            InputError: As `decode`; or there is no such element, or `slack` or the number of elements makes no sense.

        """
        table = self.decode_plausible_table(
            points, slack, min_elements=min_elements, max_elements=max_elements, allowed=allowed, options=options
        )
        return [str(formula) for formula in decode_indices(table)]

    def decode_plausible_table(
        self,
        points: np.ndarray,
        slack: float,
        *,
        min_elements: int = 1,
        max_elements: int | None = None,
        allowed: Collection[str] | None = None,
        options: Options = STRICT,
    ) -> np.ndarray:
        """Return what `decode_plausible` does as counts, int8 (n, 103)."""
        if not slack >= 0:
            raise InputError(
                f"slack is {slack}", "give nats of 0 or more; 10 finds a plausible formula for most points"
            )
        elements = (min_elements, N_ROWS if max_elements is None else max_elements)
        if not 1 <= elements[0] <= elements[1]:
            raise InputError(f"formulas of {elements[0]} to {elements[1]} elements were asked for", "give 1 or more")
        rows = permitted(allowed)
        return _joined(
            [first_plausible(*read(self.network, part, rows), slack, elements, options) for part in self._parts(points)]
        )

    def log_likelihood(self, points: np.ndarray, formulas: Sequence[str]) -> np.ndarray:
        """Return the logarithm of the probability that the decoder gives each formula at its point, nats, (n,).

        Raises:
            FormulaError: As `encode`.
            InputError: As `decode`, or there are not as many formulas as points.

        """
        if len(points) != len(formulas):
            raise InputError(f"{len(points)} points and {len(formulas)} formulas were given", "give one of each a row")
        classes = torch.from_numpy(indices(compositions(formulas))).long()
        found = [np.zeros(0)]
        for i, part in enumerate(self._parts(points)):
            with torch.no_grad():
                shares = functional.log_softmax(self.network.decode(part), dim=2)
            found.append(shares.gather(2, classes[i * CHUNK : (i + 1) * CHUNK, :, None]).sum(dim=(1, 2)).numpy())
        return np.concatenate(found)

    def labels(self, points: np.ndarray) -> np.ndarray:
        """Return the label (n,) that the head tells at points (n, latent_size), NaN from a network without one."""
        with torch.no_grad():
            return np.asarray(self.network.label(torch.from_numpy(self._checked(points))).numpy())

    def bounds(self, latents: np.ndarray) -> np.ndarray:
        """Return the least and the largest value of `latents` (n, d) in each dimension, shape (2, d)."""
        return np.stack([latents.min(axis=0), latents.max(axis=0)])

    def fit(
        self,
        formulas: Sequence[str],
        validation_formulas: Sequence[str] = (),
        *,
        labels: np.ndarray | None = None,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Callable[[str], None] | None = None,
        plan: TrainingPlan | None = None,
        held_out: Sequence[str] = (),
    ) -> TrainingHistory:
        """Learn to reconstruct `formulas`; keep the weights that give `validation_formulas` most probability.

        Neither these nor the `held_out` formulas are ever seen in training, not even by augmentation. A run
        interrupted after a write to `checkpoint` goes on from there, see `fit_network`.

        Args:
            formulas: To learn from.
            validation_formulas: To choose the weights by; without any, the last ones are kept.
            labels: A figure for each of `formulas`, for the head, NaN where it is unknown, (n,).
            seed: Of the initial weights, the batches and the noise.
            checkpoint: Folder of the running state; None for none.
            progress: Takes one line an epoch.
            plan: How to train; None for the usual one of the architecture.
            held_out: Formulas to keep from the network.

        Raises:
            FormulaError: A formula has no one-hot matrix.
            InputError: There are fewer than two formulas, or not as many labels.

        """
        if len(formulas) < 2:
            raise InputError(f"{len(formulas)} formulas are too few to learn from", "give two or more")
        known = np.full(len(formulas), np.nan) if labels is None else np.asarray(labels, dtype=np.float64)
        if known.shape != (len(formulas),):
            raise InputError(f"{len(formulas)} formulas and labels of shape {known.shape}", "give one label a formula")
        plan = plan or usual_plan(self.config)
        table, validation = indices(compositions(formulas)), indices(compositions(validation_formulas))
        unseen = {row.tobytes() for row in (*validation, *indices(compositions(held_out)))}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = make_network(self.config)
        network.start_from(table, _targets(table, known))
        self.network = network

        def make(rows: np.ndarray, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
            batch = augment(table[rows], self.config.augmented, unseen, rng)
            label = np.where((batch == table[rows]).all(axis=1), known[rows], np.nan)
            return torch.from_numpy(batch), torch.from_numpy(_targets(batch, label))

        history = fit_network(
            network,
            lambda batch: network.loss(*batch),
            lambda _, rng: Minibatches(len(table), plan.batch_size, rng, make),
            (lambda: surprise(network, validation)) if len(validation) else None,
            plan,
            seed=seed,
            checkpoint=checkpoint,
            fingerprint=f"{asdict(self.config)} {len(table)} {table.sum(axis=0).tolist()} {np.nansum(known)}",
            progress=progress,
        )
        network.double().eval()
        return history

    def save(self, directory: Path, card: Mapping[str, Any] | None = None) -> None:
        """Write weights, in 16 bits, and card."""
        full = {"class": type(self).__name__, "version": 2, "config": asdict(self.config), **(card or self.card)}
        save_weights(directory, self.network.state_dict(), full, half=True)

    @classmethod
    def load(cls, directory: Path | None = None) -> FormulaAutoencoder:
        """Return the autoencoder stored in `directory`, or the shipped one where it is None.

        Raises:
            CheckpointError: The files are missing, damaged, or of another class or shape.

        """
        directory = Path(directory) if directory else SHIPPED
        tensors, card = load_weights(directory, cls.__name__)
        try:
            model = cls(AutoencoderConfig(**card["config"]))
        except (KeyError, TypeError) as error:
            raise CheckpointError(f"the card in {directory} is of another version: {error}", "train again") from error
        load_into(model.network, tensors, directory)
        model.card, model.digest = card, digest(directory)
        return model

    def _checked(self, points: np.ndarray) -> np.ndarray:
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.latent_size:
            raise InputError(f"latent points of shape {points.shape} were given", f"give (n, {self.latent_size})")
        if not np.isfinite(points).all():
            raise InputError("a latent point is not finite", "look for labels or bounds that are not finite")
        return points

    def _parts(self, points: np.ndarray) -> Iterator[torch.Tensor]:
        """Yield points (n, latent_size), some rows at a time."""
        points = self._checked(points)
        for i in range(0, len(points), CHUNK):
            yield torch.from_numpy(points[i : i + CHUNK])


def usual_plan(config: AutoencoderConfig) -> TrainingPlan:
    """Return how a network of this configuration is trained."""
    return PAPER_PLAN if config.architecture == "agd" else PLAN


def exact(network: FormulaNetwork, table: np.ndarray) -> np.ndarray:
    """Return which rows of counts (n, 103) come back unchanged, bool (n,)."""
    same = [np.zeros(0, dtype=bool)]
    with torch.no_grad():
        for i in range(0, len(table), CHUNK):
            rows = table[i : i + CHUNK]
            same.append((decoded(network, network.encode(torch.from_numpy(rows))) == rows).all(axis=1))
    return np.concatenate(same)


def decoded(network: FormulaNetwork, points: torch.Tensor) -> np.ndarray:
    """Return the formulas of points (n, d) as counts, int8 (n, 103)."""
    return read(network, points, permitted(None))[1]


def read(network: FormulaNetwork, points: torch.Tensor, rows: np.ndarray) -> tuple[torch.Tensor, np.ndarray]:
    """Return the logits (n, 103, 21) of points (n, d), and the formulas that they stand for, int8 (n, 103).

    Where a formula is less than `DOUBT` nats more probable than another, and not far, the likeliest are encoded, and
    the one whose point is nearest is taken: the true formula of an encoded point has no distance.

    Args:
        network: Encodes and decodes.
        points: To read.
        rows: Which elements may occur, bool (103,).

    """
    with torch.no_grad():
        logits = confined(network.decode(points), rows)
        table = repaired(logits)
        unsure = torch.nonzero(lead(logits) < DOUBT).flatten()
        aims = network.project(points[unsure])
        distance = (network.encode(torch.from_numpy(table[unsure])) - aims).norm(dim=1)
        near = distance < NEAR * aims.norm(dim=1)
        unsure, aims = unsure[near], aims[near]
        if len(unsure):
            counts, lacking = likeliest(logits[unsure], kept=RIVALS)
            own = network.encode(counts.flatten(0, 1)).view(*counts.shape[:2], -1)
            apart = own - aims[:, None]
            away = apart.square().sum(dim=2).masked_fill(lacking >= DOUBT, torch.inf)
            table[unsure] = counts[torch.arange(len(unsure)), away.argmin(dim=1)]
    return logits, table


def surprise(network: FormulaNetwork, table: np.ndarray) -> float:
    """Return how many nats of probability rows of counts (n, 103) lose on the way there and back, in the mean."""
    total = 0.0
    with torch.no_grad():
        for i in range(0, len(table), CHUNK):
            rows = torch.from_numpy(table[i : i + CHUNK])
            logits = network.decode(network.encode(rows)).flatten(0, 1)
            total += float(functional.cross_entropy(logits, rows.long().flatten(), reduction="sum"))
    return total / len(table)


def _targets(table: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return the statistics of counts (n, 103) and, last, the labels (n,), float32."""
    return np.concatenate([statistics(table), labels[:, None].astype(np.float32)], axis=1)


def _joined(tables: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate([np.zeros((0, N_ROWS), dtype=np.int8), *tables])
