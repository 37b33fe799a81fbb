"""Several surrogates that answer together: where they disagree, all of them are less sure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from aldesign.errors import InputError
from aldesign.protocols import JointSurrogate


class Committee:
    """A mixture of surrogates in equal parts, known by its mean and its covariance.

    The mean is that of the members' means; the covariance is the mean of theirs plus that of their means (law of
    total covariance). A Gaussian process and trees err differently: one follows distances between formulas, the other
    thresholds of single features.

    Args:
        members: Unfitted surrogates by name.

    Attributes:
        notes: What the members left out or could not learn, in words, after `fit`.

    """

    def __init__(self, members: Mapping[str, JointSurrogate]) -> None:
        if len(members) < 2:
            raise InputError(
                f"a committee of {', '.join(members) or 'nobody'} was to be made", "name two or more members"
            )
        self.members = dict(members)
        self.notes: tuple[str, ...] = ()

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise, in eV, after `fit`."""
        return float(np.sqrt(np.mean([member.noise_std**2 for member in self.members.values()])))

    def fit(self, x: np.ndarray, y: np.ndarray, std: np.ndarray | None = None) -> Committee:
        """Learn from features (n, d) and labels (n,) in eV, rows in trial order; return self. Raises InputError.

        Args:
            x: Features.
            y: Labels.
            std: Stated standard deviation of each label in eV, (n,), for members that know noise of single labels.

        """
        for member in self.members.values():
            member.fit(x, y, std)
        notes = [note for member in self.members.values() for note in member.notes]
        self.notes = tuple(dict.fromkeys(notes))  # rows are left out of all alike
        return self

    def posterior(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (n,) and standard deviation (n,) in eV at features (n, d). Raises InputError."""
        means, stds = (np.array(v) for v in zip(*(m.posterior(x) for m in self.members.values()), strict=True))
        return means.mean(axis=0), np.sqrt(np.square(stds).mean(axis=0) + means.var(axis=0))

    def joint(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (n,) in eV and covariance (n, n) in eV² at features (n, d). Raises InputError."""
        means, covariances = (np.array(v) for v in zip(*(m.joint(x) for m in self.members.values()), strict=True))
        mean = means.mean(axis=0)
        apart = means - mean
        return mean, covariances.mean(axis=0) + apart.T @ apart / len(apart)

    def hyperparameters(self) -> dict[str, list[float]]:
        """Return those of all members, each under ``MEMBER.NAME``. Raises InputError before `fit`."""
        return {
            f"{name}.{key}": value
            for name, member in self.members.items()
            for key, value in member.hyperparameters().items()
        }


def start_of(member: str, start: Mapping[str, Sequence[float]] | None) -> dict[str, Sequence[float]] | None:
    """Return what a committee's `start` holds for one member; None where that is nothing."""
    prefix = f"{member}."
    found = {key.removeprefix(prefix): value for key, value in (start or {}).items() if key.startswith(prefix)}
    return found or None
