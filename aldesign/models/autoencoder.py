"""A convolutional autoencoder of formulas: one-hot matrix to a point of latent space and back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from aldesign.chemistry.formula import compositions
from aldesign.chemistry.onehot import MAX_COUNT, N_ROWS, decode_indices, indices
from aldesign.errors import CheckpointError, InputError
from aldesign.learning.checkpoint import digest, load_into, load_weights, save_weights
from aldesign.learning.training import Minibatches, TrainingHistory, TrainingPlan, fit_network

SHIPPED = Path(__file__).parent / "weights" / "autoencoder"
PLAN = TrainingPlan(epochs=24, batch_size=256, learning_rate=2e-3, weight_decay=1e-4, patience=None)
CHUNK = 4096  # rows at once, for memory
# Logits that the second, third and fourth surest elements of a random point should have above those of their absence,
# and the fifth and sixth at most; and the weight of each.
_SURE = torch.tensor([1.5, 1.0, 0.5, -0.5, -1.5])
_WEIGHT = torch.tensor([1.0, 0.6, 0.2, 0.5, 1.0])


@dataclass(frozen=True)
class AutoencoderConfig:
    """Shape and regularisation of the network.

    Attributes:
        latent_size: Dimensions of the latent space.
        first_channels: Channels after the convolution over three elements and all counts, stride 2.
        second_channels: Channels after the convolution over three of these, stride 3.
        hidden: Width of the dense layer between the convolutions and the latent space.
        noise: Standard deviation of the noise on latents of unit scale, while training.
        augmented: Share of the training formulas with a random substitution or count, while training.
        spread: Weight of the loss that spreads the formulas evenly over the latent sphere.
        tidiness: Weight of the loss that gives random latent points two to four elements, beyond doubt.
        likeness: Weight of the loss that gives random latent points, together, the formulas' shares of the elements.
        architecture: The same in words, for the card.

    """

    latent_size: int = 128
    first_channels: int = 32
    second_channels: int = 128
    hidden: int = 384
    noise: float = 0.25
    augmented: float = 0.3
    spread: float = 2.0
    tidiness: float = 0.5
    likeness: float = 1.0
    architecture: str = "one-hot 103x20 - convolution 3x20/2 - convolution 3/3 - dense - sphere, and the mirror back"


class FormulaAutoencoder:
    """A two-way map between formulas and points of a latent space of unit scale.

    The network follows the autoencoder of Xin et al. (J. Phys. Chem. C 125, 16118, 2021), two convolutions and a
    dense layer each way, with two changes: the first kernel spans all counts, and latents lie on the sphere of radius
    sqrt(d), to which `decode` projects, so that every direction is as near to training formulas as any other.
    The decoder gives each element one of 21 classes (absent, 1 to 20): a point decodes to at most one count an element.

    Args:
        config: Shape of the network.

    """

    def __init__(self, config: AutoencoderConfig | None = None) -> None:
        self.config = config or AutoencoderConfig()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.network = _Network(self.config).double().eval()
        self.card: dict[str, Any] = {}
        self.digest = ""

    @property
    def latent_size(self) -> int:
        """Dimensions of the latent space."""
        return self.config.latent_size

    def encode(self, formulas: Sequence[str]) -> np.ndarray:
        """Return latent points, shape (n, latent_size), float64, of norm sqrt(latent_size).

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
        """Return the canonical formula of each of n points, shape (n, latent_size); None where all are absent.

        Raises:
            InputError: The points have another number of dimensions, or are not finite.

        """
        return decode_indices(self.decode_table(points))

    def decode_table(self, points: np.ndarray) -> np.ndarray:
        """Return the most probable count of each element, int8 (n, 103), for points (n, latent_size).

        Raises:
            InputError: The points have another number of dimensions, or are not finite.

        """
        points = np.asarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != self.latent_size:
            raise InputError(f"latent points of shape {points.shape} were given", f"give (n, {self.latent_size})")
        if not np.isfinite(points).all():
            raise InputError("a latent point is not finite", "look for labels or bounds that are not finite")
        tables = [np.zeros((0, N_ROWS), dtype=np.int8)]
        for i in range(0, len(points), CHUNK):
            with torch.no_grad():
                logits = self.network.decode(torch.from_numpy(points[i : i + CHUNK]))
            tables.append(logits.argmax(dim=2).to(torch.int8).numpy())
        return np.concatenate(tables)

    def bounds(self, latents: np.ndarray) -> np.ndarray:
        """Return the least and the largest value of `latents` (n, d) in each dimension, shape (2, d)."""
        return np.stack([latents.min(axis=0), latents.max(axis=0)])

    def fit(
        self,
        formulas: Sequence[str],
        validation_formulas: Sequence[str] = (),
        *,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Callable[[str], None] | None = None,
        plan: TrainingPlan = PLAN,
        held_out: Sequence[str] = (),
    ) -> TrainingHistory:
        """Learn to reconstruct `formulas`; keep the weights that reconstruct `validation_formulas` best.

        Neither these nor the `held_out` formulas are ever seen in training, not even by augmentation. A run
        interrupted after a write to `checkpoint` goes on from there, see `fit_network`.

        Raises:
            FormulaError: A formula has no one-hot matrix.
            InputError: There are fewer than two formulas.

        """
        if len(formulas) < 2:
            raise InputError(f"{len(formulas)} formulas are too few to learn from", "give two or more")
        table, validation = indices(compositions(formulas)), indices(compositions(validation_formulas))
        unseen = {row.tobytes() for row in (*validation, *indices(compositions(held_out)))}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = _Network(self.config)
        network.start_from(table)
        self.network = network

        def make(rows: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
            return torch.from_numpy(augment(table[rows], self.config.augmented, unseen, rng))

        def validate() -> float:
            return 1.0 - float(exact(network, validation).mean())

        history = fit_network(
            network,
            lambda batch: network.loss(batch),
            lambda _, rng: Minibatches(len(table), plan.batch_size, rng, make),
            validate if len(validation) else None,
            plan,
            seed=seed,
            checkpoint=checkpoint,
            fingerprint=f"{asdict(self.config)} {len(table)} {table.sum(axis=0).tolist()}",
            progress=progress,
        )
        network.double().eval()
        return history

    def save(self, directory: Path, card: Mapping[str, Any] | None = None) -> None:
        """Write weights, in 16 bits, and card."""
        full = {"class": type(self).__name__, "version": 1, "config": asdict(self.config), **(card or self.card)}
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


def exact(network: _Network, table: np.ndarray) -> np.ndarray:
    """Return which rows of counts (n, 103) come back unchanged, bool (n,)."""
    same = []
    with torch.no_grad():
        for i in range(0, len(table), CHUNK):
            rows = torch.from_numpy(table[i : i + CHUNK])
            same.append((network.decode(network.encode(rows)).argmax(dim=2) == rows).all(dim=1).numpy())
    return np.concatenate(same) if same else np.zeros(0, dtype=bool)


def augment(table: np.ndarray, share: float, unseen: Collection[bytes], rng: np.random.Generator) -> np.ndarray:
    """Return `table`, int8 (n, 103), with one element of a `share` of its rows exchanged or counted anew.

    Counts stay reduced; a row that would come out as one of `unseen` stays as it was.
    """
    table = table.copy()
    rows = np.flatnonzero(rng.random(len(table)) < share)
    changed, every = table[rows], np.arange(len(rows))
    one = (rng.random(changed.shape) * (changed > 0)).argmax(axis=1)
    other = rng.integers(N_ROWS, size=len(rows))
    count = np.minimum(rng.geometric(0.3, size=len(rows)), MAX_COUNT).astype(np.int8)
    exchange = (rng.random(len(rows)) < 0.6) & (changed[every, other] == 0)
    changed[every[exchange], other[exchange]] = changed[every[exchange], one[exchange]]
    changed[every[exchange], one[exchange]] = 0
    changed[every[~exchange], one[~exchange]] = count[~exchange]
    changed //= np.maximum(np.gcd.reduce(changed, axis=1), 1)[:, None]
    allowed = np.array([row.tobytes() not in unseen for row in changed], dtype=bool)
    table[rows[allowed]] = changed[allowed]
    return table


class _Network(nn.Module):
    """Two convolutions and dense layers each way.

    The convolutions along the elements are computed as products of matrices, which a CPU does several times faster;
    with 103 elements, stride 2 and one of padding the first gives 52 positions, and stride 3 makes 18 of these.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        first, second, self.config = config.first_channels, config.second_channels, config
        self.convolution1 = nn.Linear(MAX_COUNT * 3, first)
        self.convolution2 = nn.Linear(3 * first, second)
        self.dense1 = nn.Linear(18 * second, config.hidden)
        self.dense2 = nn.Linear(config.hidden, config.latent_size)
        self.dense3 = nn.Linear(config.latent_size, config.hidden)
        self.dense4 = nn.Linear(config.hidden, 18 * second)
        self.deconvolution2 = nn.Linear(second, 3 * 2 * first)
        self.deconvolution1 = nn.Linear(2 * first, 3 * (MAX_COUNT + 1), bias=False)
        self.prior = nn.Parameter(torch.zeros(N_ROWS, MAX_COUNT + 1))
        self.frequencies: torch.Tensor
        self.register_buffer("frequencies", torch.zeros(N_ROWS, MAX_COUNT + 1), persistent=False)

    def start_from(self, table: np.ndarray) -> None:
        """Begin with the frequencies of the classes in `table`, int8 (n, 103)."""
        seen = np.stack([(table == count).mean(axis=0) for count in range(MAX_COUNT + 1)], axis=1)
        self.frequencies.copy_(torch.from_numpy(seen))
        with torch.no_grad():
            self.prior.copy_(torch.from_numpy(np.log(seen.mean(axis=0) + 1e-5)))

    def encode(self, table: torch.Tensor) -> torch.Tensor:
        """Return latents (n, d) on the sphere for counts, integers (n, 103)."""
        x = functional.one_hot(table.long(), MAX_COUNT + 1)[:, :, 1:].to(self.prior.dtype)
        x = functional.pad(x, (0, 0, 1, 1)).unfold(1, 3, 2).flatten(2)  # (n, 52, 20 * 3)
        x = functional.silu(self.convolution1(x))
        x = functional.pad(x, (0, 0, 1, 1)).reshape(len(x), 18, -1)
        x = functional.silu(self.convolution2(x)).flatten(1)
        return self._project(self.dense2(functional.silu(self.dense1(x))))

    def decode(self, points: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 103, 21) of points (n, d), wherever on its ray a point lies."""
        x = functional.silu(self.dense3(self._project(points)))
        x = functional.silu(self.dense4(x)).view(len(points), 18, -1)
        x = functional.silu(self.deconvolution2(x)).view(len(points), 54, -1)[:, 1:53]
        before, at, after = self.deconvolution1(x).chunk(3, dim=2)  # the three taps of a kernel of stride 2
        between = functional.pad(after[:, :-1] + before[:, 1:], (0, 0, 0, 1))
        return torch.stack([at, between], dim=2).flatten(1, 2)[:, :N_ROWS] + self.prior

    def loss(self, table: torch.Tensor) -> torch.Tensor:
        """Return the loss of a batch of counts (n, 103), n of 2 and more.

        It is the cross-entropy of the formulas, from noisy latents; how unevenly they lie on the sphere (Wang & Isola,
        ICML 2020, equation 4, t = 2); and how little random points of the sphere resemble formulas, each one by its
        number of elements, all together by their shares of the elements, without which they would collapse to a few.
        """
        config = self.config
        points = self.encode(table)
        logits = self.decode(points + config.noise * torch.randn_like(points))
        classes = table.long().flatten()
        loss = functional.cross_entropy(logits.flatten(0, 1), classes, reduction="sum") / len(table)
        cosines = (points @ points.T / points.shape[1])[~torch.eye(len(points), dtype=torch.bool)]
        loss = loss + config.spread * (4 * cosines - 4).exp().mean().log()
        guesses = self.decode(torch.randn(max(8, len(table) * 3 // 8), points.shape[1]))
        shares = guesses.softmax(dim=2)
        # by how much each element's best count beats its absence, the surest six elements first
        margins = (guesses[:, :, 1:].amax(dim=2) - guesses[:, :, 0]).topk(6, dim=1).values
        present = functional.relu(_SURE[:3] - margins[:, 1:4]) @ _WEIGHT[:3]
        absent = functional.relu(margins[:, 4:6] - _SURE[3:]) @ _WEIGHT[3:]
        ratio = (self.frequencies + 1e-6) / (shares.mean(dim=0) + 1e-6)
        unlike = (self.frequencies * ratio.log()).sum()
        total: torch.Tensor = loss + config.tidiness * (present + absent).mean() + config.likeness * unlike
        return total

    def _project(self, points: torch.Tensor) -> torch.Tensor:
        projected: torch.Tensor = functional.normalize(points, dim=1) * points.shape[1] ** 0.5
        return projected
