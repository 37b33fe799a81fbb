"""The seams of the engine: what an oracle, an encoder, a surrogate, a generator and a screen must do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from aldesign.records import Candidate, LabelledRow, OracleCard, Prediction, Verdict


@runtime_checkable
class Oracle(Protocol):
    """Anything that answers for a property of a candidate.

    An entry point of the group ``aldesign.oracles`` names a class with ``load``; loading is the only
    place where files are read, and an oracle keeps no state between calls.
    """

    @property
    def card(self) -> OracleCard:
        """Return what the oracle predicts and what it needs."""

    @classmethod
    def load(cls, directory: Path | None = None, **options: Any) -> Oracle:
        """Return the oracle stored in `directory`, or the shipped one where it is None."""

    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        """Return one prediction per candidate, in order; a bad candidate gives an error, it never raises."""


@runtime_checkable
class TrainableOracle(Oracle, Protocol):
    """An oracle that learns from labelled rows."""

    def fit(
        self,
        train: Sequence[LabelledRow],
        validation: Sequence[LabelledRow] = (),
        *,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> TrainableOracle:
        """Learn from `train`; stop early and calibrate on `validation`; return self.

        Work interrupted after a write to `checkpoint` (a directory) goes on from there. `progress` takes lines of
        text: what reads ``epoch 3/40`` or ``10 of 100 trees`` at their beginning moves the bar of the command line.
        """

    def save(self, directory: Path) -> None:
        """Write weights and card."""


class Encoder(Protocol):
    """A two-way map between formulas and points of a latent space."""

    def encode(self, formulas: Sequence[str]) -> np.ndarray:
        """Return latent points, shape (n, d), float64. Raises FormulaError for one it cannot represent."""

    def decode(self, points: np.ndarray) -> list[str | None]:
        """Return the canonical formula of each of n points; None where a point is no formula."""

    def decode_plausible(
        self,
        points: np.ndarray,
        slack: float,
        *,
        min_elements: int = 1,
        max_elements: int | None = None,
        allowed: Collection[str] | None = None,
    ) -> list[str]:
        """Return the likeliest plausible formula of each of n points, if it lacks at most `slack` nats; else another.

        Only `allowed` elements occur, `min_elements` to `max_elements` of them if some such formula is near enough.
        """


class Generator(Protocol):
    """A source of new formulas."""

    def sample(
        self,
        n: int,
        rng: np.random.Generator,
        *,
        min_elements: int = 2,
        max_elements: int | None = None,
        allowed: Collection[str] | None = None,
    ) -> list[str]:
        """Return n canonical formulas of `allowed` elements, repeats possible."""


@runtime_checkable
class Descriptor(Protocol):
    """Numbers that say what a formula is like, for surrogates to learn from.

    An entry point of the group ``aldesign.descriptors`` names a class with ``load``. What a descriptor has learnt
    from, if anything, must not be labels of the property that a campaign looks for.
    """

    @property
    def name(self) -> str:
        """Return the name by which campaign files call it."""

    @property
    def digest(self) -> str:
        """Return a short hash of everything that its numbers depend on."""

    def describe(self, formulas: Sequence[str]) -> np.ndarray:
        """Return finite numbers, float64 (n, d); a formula's never depend on the others.

        Raises FormulaError for a formula that cannot be read.
        """


class DescriptorFactory(Protocol):
    """How a class named by an entry point is turned into a descriptor."""

    def load(self) -> Descriptor:
        """Return the descriptor."""


@runtime_checkable
class Surrogate(Protocol):
    """A probabilistic model of the property over features."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what was left out or could not be learned, in words, after `fit`."""

    def fit(self, x: np.ndarray, y: np.ndarray, std: np.ndarray | None = None) -> Surrogate:
        """Learn from features (n, d) and labels (n,) in eV, rows in trial order; return self.

        `std` is the stated standard deviation of each label, 0 where none is stated; None for none at all.
        """

    def posterior(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (n,) and standard deviation (n,) of the property in eV."""

    def hyperparameters(self) -> dict[str, list[float]]:
        """Return what `fit` chose, for JSON; another fit may start from it."""


@runtime_checkable
class JointSurrogate(Surrogate, Protocol):
    """A surrogate that knows which of its answers hang together."""

    @property
    def noise_std(self) -> float:
        """Return the standard deviation of a label's noise, in eV."""

    def joint(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (n,) in eV and covariance (n, n) in eV² of the property, noise apart."""


class Screen(Protocol):
    """A cheap test that a candidate must pass before an oracle is paid."""

    @property
    def name(self) -> str:
        """Return the name by which campaign files and verdicts call it."""

    def check(self, formulas: Sequence[str]) -> list[Verdict]:
        """Return one verdict per formula, in order."""


class OracleFactory(Protocol):
    """How a class named by an entry point is turned into an oracle."""

    def load(self, directory: Path | None = None, **options: Any) -> Oracle:
        """Return the oracle."""


Evidence = Mapping[str, Any]
