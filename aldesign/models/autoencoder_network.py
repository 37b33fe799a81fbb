"""The networks of the autoencoder: ours, with residual layers and a sphere for a latent space, and the paper's own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from aldesign.chemistry.onehot import MAX_COUNT, N_ROWS
from aldesign.models.autoencoder_targets import N_STATISTICS

N_CLASSES = MAX_COUNT + 1  # of an element: absent, 1 to 20
# Logits that the second, third and fourth surest elements of a random point should have above those of their absence,
# and the fifth and sixth at most; and the weight of each.
_SURE = torch.tensor([1.5, 1.0, 0.5, -0.5, -1.5])
_WEIGHT = torch.tensor([1.0, 0.6, 0.2, 0.5, 1.0])
_EXTREME = 4.0  # standard deviations beyond which a target is cut
_LABEL_SHARE = 0.25  # of the label in the squared distance of two formulas, beside 1 of all statistics
_LEAST_SCALE = 0.15  # of a target, lest the share of a rare family count as much as that of oxygen


@dataclass(frozen=True)
class AutoencoderConfig:
    """Shape and regularisation of the network.

    Attributes:
        latent_size: Dimensions of the latent space.
        hidden: Width of the layers between the matrix and the latent space.
        blocks: Residual blocks of that width on either side.
        augmented: Share of the training formulas with a random substitution or count, while training.
        noise: Denoising: standard deviation of the noise on latents of unit scale, while training.
        variational: Weight of the Kullback-Leibler divergence from a standard normal (Kingma & Welling, ICLR 2014);
            above 0 the latent is no longer a sphere and its noise is learned instead of `noise`.
        statistics: Weight of the head that tells element statistics of the formula from its noisy latent.
        label: Weight of the head that tells the label of the formula, where one is given, from its noisy latent.
        kinship: Weight of the loss that makes the cosines of points follow the likeness of their formulas in statistics
            and label, a Gaussian kernel.
        spread: Weight of the loss that spreads the formulas evenly over the latent sphere.
        tidiness: Weight of the loss that gives random latent points two to four elements, beyond doubt.
        likeness: Weight of the loss that gives random latent points, together, the formulas' shares of the elements.
        architecture: ``residual``, ours; or ``agd``, that of Xin et al. (J. Phys. Chem. C 125, 16118, 2021), which
            knows none of the above but `latent_size`.

    """

    latent_size: int = 128
    hidden: int = 512
    blocks: int = 1
    augmented: float = 0.6
    noise: float = 0.25
    variational: float = 0.0
    statistics: float = 20.0
    label: float = 40.0
    kinship: float = 200.0
    spread: float = 0.5
    tidiness: float = 0.5
    likeness: float = 1.0
    architecture: Literal["residual", "agd"] = "residual"


class FormulaNetwork(nn.Module, ABC):
    """What both networks have in common: counts (n, 103) to points (n, d), points to logits (n, 103, 21)."""

    config: AutoencoderConfig

    def start_from(self, table: np.ndarray, targets: np.ndarray) -> None:
        """Begin with what is known of the training formulas.

        Args:
            table: Their counts, int8 (n, 103).
            targets: Their statistics and, last, their label or NaN, float32 (n, t).

        """

    @abstractmethod
    def encode(self, table: torch.Tensor) -> torch.Tensor:
        """Return the points (n, d) of counts, integers (n, 103)."""

    @abstractmethod
    def decode(self, points: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 103, 21) of each element's classes, absent and 1 to 20, at points (n, d)."""

    @abstractmethod
    def loss(self, table: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of a batch of counts (n, 103), n of 2 and more, with targets as in `start_from`."""

    def project(self, points: torch.Tensor) -> torch.Tensor:
        """Return the points (n, d) that decoding takes others for: themselves, unless they lie on a sphere."""
        return points

    def label(self, points: torch.Tensor) -> torch.Tensor:
        """Return the label (n,) that points (n, d) tell, NaN from a network that was not asked to tell it."""
        return torch.full((len(points),), torch.nan, dtype=points.dtype)


def make_network(config: AutoencoderConfig) -> FormulaNetwork:
    """Return the network of a configuration, its weights random."""
    return PaperNetwork(config) if config.architecture == "agd" else ResidualNetwork(config)


class _Block(nn.Module):
    """A residual block: normalise, widen the view, add; the identity to begin with."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        added: torch.Tensor = self.second(functional.silu(self.first(self.norm(x))))
        return x + added


class ResidualNetwork(FormulaNetwork):
    """Residual layers each way, between them a sphere of radius sqrt(d), to which `decode` projects.

    The first layer is a dense one on the flattened one-hot matrix (and one on the atomic fractions that follow from
    it); the matrix being sparse, it is computed as a sum over the elements present.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        width, size, self.config = config.hidden, config.latent_size, config
        self.counts, self.fractions = nn.Embedding(N_ROWS * N_CLASSES, width), nn.Embedding(N_ROWS, width)
        nn.init.normal_(self.counts.weight, std=0.5)
        self.encoder = nn.Sequential(*(_Block(width) for _ in range(config.blocks)))
        self.encoder_norm = nn.LayerNorm(width)
        self.to_latent = nn.Linear(width, 2 * size if config.variational else size)
        self.from_latent = nn.Linear(size, width)
        self.decoder = nn.Sequential(*(_Block(width) for _ in range(config.blocks)))
        self.decoder_norm = nn.LayerNorm(width)
        self.to_logits = nn.Linear(width, N_ROWS * N_CLASSES)
        self.head = nn.Linear(size, N_STATISTICS + 1)
        self.frequencies: torch.Tensor
        self.centre: torch.Tensor
        self.scale: torch.Tensor
        self.register_buffer("frequencies", torch.zeros(N_ROWS, N_CLASSES), persistent=False)
        self.register_buffer("centre", torch.zeros(N_STATISTICS + 1))
        self.register_buffer("scale", torch.ones(N_STATISTICS + 1))

    def start_from(self, table: np.ndarray, targets: np.ndarray) -> None:
        """Begin with the frequencies of the classes, and with the mean and the scale of the targets."""
        seen = np.stack([(table == count).mean(axis=0) for count in range(N_CLASSES)], axis=1)
        known = targets[np.isfinite(targets[:, -1]), -1].astype(np.float64)
        told = targets[:, :-1].astype(np.float64)
        scale = np.append(told.std(axis=0), known.std() if len(known) else 1.0)
        self.frequencies.copy_(torch.from_numpy(seen))
        self.centre.copy_(torch.from_numpy(np.append(told.mean(axis=0), known.mean() if len(known) else 0.0)))
        self.scale.copy_(torch.from_numpy(scale.clip(min=_LEAST_SCALE)))
        with torch.no_grad():
            self.to_logits.bias.copy_(torch.from_numpy(np.log((seen + seen.mean(axis=0)) / 2 + 1e-6)).flatten())

    def encode(self, table: torch.Tensor) -> torch.Tensor:
        """Return points (n, d) for counts, integers (n, 103); they lie on the sphere unless it is variational."""
        return self._encode(table)[0]

    def _encode(self, table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return points (n, d) and, where it is variational, the logarithms of their variances."""
        most = max(1, int((table > 0).sum(dim=1).max())) if len(table) else 1
        count, element = table.long().topk(most, dim=1)
        present = (count > 0)[:, :, None]
        share = (count / count.sum(dim=1, keepdim=True).clamp(min=1)).to(self.to_latent.weight.dtype)
        x = (self.counts(element * N_CLASSES + count) * present).sum(dim=1)
        x = x + (self.fractions(element) * share[:, :, None]).sum(dim=1)
        x = self.to_latent(self.encoder_norm(self.encoder(x)))
        size = self.config.latent_size
        return self.project(x[:, :size]), x[:, size:]

    def decode(self, points: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 103, 21) of points (n, d), on a sphere wherever on its ray a point lies."""
        x = self.decoder_norm(self.decoder(self.from_latent(self.project(points))))
        logits: torch.Tensor = self.to_logits(x).view(len(points), N_ROWS, N_CLASSES)
        return logits

    def label(self, points: torch.Tensor) -> torch.Tensor:
        """Return the label (n,) that points (n, d) tell, in its own unit."""
        told: torch.Tensor = self.head(self.project(points))[:, -1] * self.scale[-1] + self.centre[-1]
        return told if self.config.label else torch.full_like(told, torch.nan)

    def loss(self, table: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the loss of a batch of counts (n, 103), n of 2 and more.

        It is the cross-entropy of the formulas and the squared error of their targets, in standard deviations, both
        from noisy latents; and what regularises the latent space: the divergence from a normal distribution, or how
        unevenly the formulas lie on the sphere (Wang & Isola, ICML 2020, equation 4, t = 2); and how little random
        points resemble formulas, each one by its number of elements, all together by their shares of the elements,
        without which they would collapse to a few.
        """
        config = self.config
        with _fast():
            points, log_variance = (x.float() for x in self._encode(table))
        if config.variational:
            noisy = points + (log_variance / 2).exp() * torch.randn_like(points)
            divergence = (points.square() + log_variance.exp() - log_variance - 1).sum(dim=1).mean() / 2
            regular = config.variational * divergence
        else:
            noisy = points + config.noise * torch.randn_like(points)
            cosines = (points @ points.T / points.shape[1])[~torch.eye(len(points), dtype=torch.bool)]
            regular = config.spread * (4 * cosines - 4).exp().mean().log()
        with _fast():
            logits = self.decode(noisy).float().flatten(0, 1)
        classes = table.long().flatten()
        loss = functional.cross_entropy(logits, classes, reduction="sum") / len(table) + regular
        if config.statistics or config.label or config.kinship:
            wanted = ((targets - self.centre) / self.scale).clamp(-_EXTREME, _EXTREME)
            error = self.head(noisy) - wanted
            known = torch.isfinite(error)
            square = torch.where(known, error, 0.0).square()
            if config.kinship:
                # an unknown label is what the head tells
                guess = torch.where(known, wanted, self.head(points).detach())
                loss = loss + config.kinship * _unkinship(points, guess)
            loss = loss + config.statistics * square[:, :-1].mean()
            loss = loss + config.label * square[:, -1].sum() / known[:, -1].sum().clamp(min=1)
        if config.tidiness or config.likeness:
            loss = loss + self._unlikeness(max(8, len(table) // 4))
        return loss

    def _unlikeness(self, n: int) -> torch.Tensor:
        """Return how little n random points resemble formulas."""
        with _fast():
            guesses = self.decode(torch.randn(n, self.config.latent_size)).float()
        # by how much each element's best count beats its absence, the surest six elements first
        margins = (guesses[:, :, 1:].amax(dim=2) - guesses[:, :, 0]).topk(6, dim=1).values
        present = functional.relu(_SURE[:3] - margins[:, 1:4]) @ _WEIGHT[:3]
        absent = functional.relu(margins[:, 4:6] - _SURE[3:]) @ _WEIGHT[3:]
        ratio = (self.frequencies + 1e-6) / (guesses.softmax(dim=2).mean(dim=0) + 1e-6)
        unlike = (self.frequencies * ratio.log()).sum()
        total: torch.Tensor = self.config.tidiness * (present + absent).mean() + self.config.likeness * unlike
        return total

    def project(self, points: torch.Tensor) -> torch.Tensor:
        """Return points (n, d) on the sphere; unchanged where the latent space is none."""
        if self.config.variational:
            return points
        projected: torch.Tensor = functional.normalize(points, dim=1) * points.shape[1] ** 0.5
        return projected


def _fast() -> torch.autocast:
    """Return a context in which products of matrices are of 16 bits, several times faster where a CPU has them."""
    return torch.autocast("cpu", torch.bfloat16)


def _unkinship(points: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return how little the cosines of points (n, d) follow the likeness of their targets (n, t), label last.

    The likeness is a Gaussian kernel, centred as in kernel principal components (Schölkopf et al., Neural Comput. 10,
    1299, 1998), lest all points crowd in one cone, and scaled to be one of a formula with itself.
    """
    told, label = targets[:, :-1], targets[:, -1:]
    distance = torch.cdist(told, told).square() / told.shape[1] + _LABEL_SHARE * (label - label.T).square()
    likeness = (-distance / 2).exp()
    likeness = likeness - likeness.mean(dim=0) - likeness.mean(dim=1, keepdim=True) + likeness.mean()
    length = likeness.diagonal().clamp(min=0.05).sqrt()
    unit = functional.normalize(points, dim=1)
    others = ~torch.eye(len(points), dtype=torch.bool)
    return functional.mse_loss((unit @ unit.T)[others], (likeness / length / length[:, None])[others])


class PaperNetwork(FormulaNetwork):
    """The autoencoder of Xin et al.: two convolutions over the one-hot matrix and a dense layer, and the mirror back.

    32 kernels of 3 x 3 with stride (2, 1), 128 of 3 x 3 with stride (3, 1), binary cross-entropy of every cell. The
    paper's matrix has 87 elements, ours has all 103; a cell of probability above one half wins over absence.
    """

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        cells = 18 * MAX_COUNT * 128  # 103 elements with one of padding: 52 positions, 18 of these
        self.convolution1 = nn.Conv2d(1, 32, 3, stride=(2, 1), padding=1)
        self.convolution2 = nn.Conv2d(32, 128, 3, stride=(3, 1), padding=1)
        self.to_latent = nn.Linear(cells, config.latent_size)
        self.from_latent = nn.Linear(config.latent_size, cells)
        self.deconvolution2 = nn.ConvTranspose2d(128, 32, 3, stride=(3, 1), padding=1)
        self.deconvolution1 = nn.ConvTranspose2d(32, 1, 3, stride=(2, 1), padding=1)

    def encode(self, table: torch.Tensor) -> torch.Tensor:
        """Return points (n, d) for counts, integers (n, 103)."""
        x = functional.relu(self.convolution1(self._cells(table)[:, None]))
        points: torch.Tensor = self.to_latent(functional.relu(self.convolution2(x)).flatten(1))
        return points

    def decode(self, points: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 103, 21) of points (n, d); that of absence is the cells' threshold, zero."""
        x = functional.relu(self.from_latent(points)).view(len(points), 128, 18, MAX_COUNT)
        x = functional.relu(self.deconvolution2(x))  # 52 positions
        cells = self.deconvolution1(x)[:, 0]
        return functional.pad(cells, (1, 0))

    def loss(self, table: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the binary cross-entropy of the cells, summed over each matrix."""
        del targets  # the paper's network is told nothing but the formulas
        logits = self.decode(self.encode(table))[:, :, 1:]
        loss = functional.binary_cross_entropy_with_logits(logits, self._cells(table), reduction="sum")
        return loss / len(table)

    def _cells(self, table: torch.Tensor) -> torch.Tensor:
        one_hot = functional.one_hot(table.long(), N_CLASSES)[:, :, 1:]
        return one_hot.to(self.to_latent.weight.dtype)
