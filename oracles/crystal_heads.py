"""From the outputs of the crystal network to values: the losses that it learns by, and how its heads are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from oracles.crystal_network import LOG_SCALE

LEANS = np.linspace(0.0, 1.0, 21)
_SCALE_SHARE = 0.3
_OPEN_SHARE = 0.5
_SURELY_METAL = 0.1  # probability of a gap, from which on the location below zero counts less and less


@dataclass(frozen=True)
class Scaling:
    """Centre and spread of the training labels, in the property's unit, and whether a label of zero is a floor."""

    centre: float
    spread: float
    floored: bool

    @classmethod
    def of(cls, labels: np.ndarray, *, floored: bool) -> Self:
        """Return the mean of `labels`, their mean distance from it, and `floored`."""
        centre = float(np.float32(labels.mean()))
        spread = float(np.float32(np.abs(labels - centre).mean()))
        return cls(centre, spread if spread > 1e-9 else 1.0, floored)

    @property
    def floor(self) -> float | None:
        """Return the standardised label of zero, where it is a floor."""
        return -self.centre / self.spread if self.floored else None


def network_loss(output: Tensor, label: Tensor, floor: float | None) -> Tensor:
    """Return the mean loss of a batch.

    The value is fitted by absolute errors, its scale b by the Laplace likelihood ``error / b + log b`` of errors
    that pass no gradient back, so that a confident scale never weakens the pull of a bad value. A gap at the floor
    (a metal's, of zero) is reached by any value at or below it, as in censored regression; besides, a gap is told
    by whether there is one (logistic loss) and by its size if there is (absolute errors of those that have one).

    Args:
        output: (m, 2), or (m, 4) where there is a floor; standardised.
        label: Standardised labels, (m,).
        floor: Label of a metal, standardised; None for a property without one.

    Returns:
        Scalar.

    """
    value, log_scale = output[:, 0], output[:, 1].clamp(*LOG_SCALE)
    if floor is None:
        miss = (value - label).abs()
        size = miss.detach()
    else:
        answered = value.clamp(min=floor)
        is_open = label > floor
        miss = torch.where(is_open, value - label, answered - label).abs()
        size = (answered.detach() - label).abs()
        # a logit that is 1 in the standardised unit weighs like an error of one spread
        doubt = functional.binary_cross_entropy_with_logits(output[:, 2], is_open.to(output.dtype), reduction="none")
        told = torch.where(is_open, (output[:, 3] - label).abs(), torch.zeros_like(label))
        miss = miss + _OPEN_SHARE * (doubt + told)
    return (miss + _SCALE_SHARE * (size * torch.exp(-log_scale) + log_scale)).mean()


def answers(outputs: Sequence[np.ndarray], scaling: Scaling, lean: float) -> tuple[np.ndarray, np.ndarray]:
    """Return locations and the standard deviations that the networks state, (m,) each, in the property's unit.

    The location is the mean of the networks'. That of a gap is the value fitted to all gaps, which takes non-metals in
    doubt for metals, as absolute errors ask for; where there probably is a gap, from a chance of one in four, and
    wholly from three in four, ``lean`` of it is the size that non-metals taught. It is below zero for what is surely a
    metal. The variance adds the mean of the networks' own (of a Laplace distribution about the value; of a gap, that
    there may be none) and that of their locations.

    Args:
        outputs: Of each network, (m, 2) or (m, 4).
        scaling: Of the labels.
        lean: Between 0 and 1; without meaning for (m, 2).

    """
    locations, variances = [], []
    for output in outputs:
        location = output[:, 0] * scaling.spread + scaling.centre
        # the variance of a Laplace distribution of scale b is 2 b^2
        variance = 2.0 * (np.exp(output[:, 1].clip(*LOG_SCALE)) * scaling.spread) ** 2
        if output.shape[1] > 2:
            chance = 1.0 / (1.0 + np.exp(-output[:, 2].clip(-50.0, 50.0)))
            size = np.maximum(output[:, 3] * scaling.spread + scaling.centre, 0.0)
            below = np.minimum(location, 0.0) * np.maximum(1.0 - chance / _SURELY_METAL, 0.0)
            told, location = lean * _smooth(chance), np.maximum(location, 0.0)
            location = (1.0 - told) * location + told * size + below
            variance = variance + chance * (1.0 - chance) * size**2
        locations.append(location)
        variances.append(variance)
    every = np.stack(locations)
    mean: np.ndarray = every.mean(axis=0)
    return mean, np.sqrt(np.mean(variances, axis=0) + every.var(axis=0))


def _smooth(chance: np.ndarray) -> np.ndarray:
    """Return 0 up to a chance of one in four, 1 from three in four, and what rises evenly between them."""
    part: np.ndarray = np.clip(2.0 * chance - 0.5, 0.0, 1.0)
    return part


def gap_errors(location: np.ndarray, label: np.ndarray, scaling: Scaling) -> float:
    """Return the mean absolute error, of gaps that of all and that of the non-metals added up."""
    miss = np.abs((np.maximum(location, 0.0) if scaling.floored else location) - label)
    is_open = label > 0
    return float(miss.mean() + (miss[is_open].mean() if scaling.floored and is_open.any() else 0.0))


def best_lean(outputs: Sequence[np.ndarray], scaling: Scaling, label: np.ndarray) -> float:
    """Return the ``lean`` of `answers` with the least `gap_errors` on examples that were not trained on."""
    errors = [gap_errors(answers(outputs, scaling, lean)[0], label, scaling) for lean in LEANS]
    return float(np.float32(LEANS[int(np.argmin(errors))]))
