"""Where a composition model may be trusted: the applicability domain behind `Prediction.in_domain`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from aldesign.chemistry.formula import Compositions
from oracles.features.magpie import descriptor

COMPONENTS = 20
QUANTILE = 0.995
LEAST_ROWS = 100  # of a number of elements, to have a limit of their own


class CompositionDomain:
    """The region of composition space that the training formulas cover.

    A composition is inside when (1) each of its elements occurs in a training formula, (2) it has no more distinct
    elements and (3) no more atoms per formula unit than the largest training formula, and (4) its Mahalanobis
    distance over the 20 leading principal components of the standardised descriptor is at most that of 99.5 % of
    the training formulas of as many elements. (Elements and binaries lie further out than quaternaries do, whose
    statistics are means of more.) Where those are fewer than 100, the limit is that of all formulas, or the largest
    distance among them if that is larger.

    The rule says that a formula resembles the training formulas in its elements and their statistics. It does not
    say that the compound is plausible: NaCl7 is inside, and is left to the chemical screens.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._elements = np.asarray(arrays["elements"], dtype=bool)
        self._limits = np.asarray(arrays["limits"], dtype=np.float64)
        # by number of elements, from 0; weights of old have one limit for all
        self._reach = np.asarray(arrays.get("reach", np.full(2, self._limits[2])), dtype=np.float64)
        self._mean = np.asarray(arrays["mean"], dtype=np.float64)
        self._whiten = np.asarray(arrays["whiten"], dtype=np.float64)

    @classmethod
    def fit(cls, compositions: Compositions) -> CompositionDomain:
        """Return the domain that n training compositions span."""
        features = descriptor(compositions)
        mean, scale = features.mean(axis=0), features.std(axis=0)
        standardised = (features - mean) / np.where(scale > 0, scale, 1.0)
        variance, axes = np.linalg.eigh(standardised.T @ standardised / len(features))
        kept = np.flatnonzero(variance > 1e-9)[::-1][:COMPONENTS]
        whiten = axes[:, kept] / np.sqrt(variance[kept]) / np.where(scale > 0, scale, 1.0)[:, None]
        # The stored copy is float32: round once here so that the fitted and the reloaded domain agree.
        mean, whiten = (part.astype(np.float32).astype(np.float64) for part in (mean, whiten))
        distance = np.linalg.norm((features - mean) @ whiten, axis=1)
        seen = np.zeros(119, dtype=bool)
        seen[np.unique(compositions.numbers[compositions.amounts > 0])] = True
        count, overall = compositions.n_elements(), float(np.quantile(distance, QUANTILE))
        limits = np.array([count.max(), compositions.n_atoms().max(), overall])
        reach = np.full(int(count.max()) + 1, overall)
        for k in np.unique(count):
            like = distance[count == k]
            reach[k] = np.quantile(like, QUANTILE) if len(like) >= LEAST_ROWS else max(like.max(), overall)
        # the farthest of few formulas is inside, whichever way its distance is rounded
        reach *= 1.0 + 1e-6
        arrays = {"elements": seen, "limits": limits, "reach": reach, "mean": mean, "whiten": whiten}
        return cls(arrays).rounded()

    @classmethod
    def from_stored(cls, arrays: Mapping[str, np.ndarray]) -> CompositionDomain:
        """Return the domain among the arrays of a model, where its names begin with ``domain.``."""
        prefix = "domain."
        return cls({k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)})

    def stored(self) -> dict[str, np.ndarray]:
        """Return the arrays as `from_stored` finds them among those of a model."""
        return {f"domain.{name}": array for name, array in self.arrays().items()}

    def rounded(self) -> CompositionDomain:
        """Return the domain as it comes back from storage."""
        return type(self)(self.arrays())

    def arrays(self) -> dict[str, np.ndarray]:
        """Return what `__init__` takes, for storage."""
        return {
            "elements": self._elements.astype(np.uint8),
            "limits": self._limits.astype(np.float32),
            "reach": self._reach.astype(np.float32),
            "mean": self._mean.astype(np.float32),
            "whiten": self._whiten.astype(np.float32),
        }

    def contains(self, compositions: Compositions, features: np.ndarray | None = None) -> np.ndarray:
        """Return whether each of n compositions lies inside, bool (n,).

        Args:
            compositions: The compositions.
            features: Their descriptor (n, 145) where the caller has it already.

        """
        if not len(compositions):
            return np.zeros(0, dtype=bool)
        features = descriptor(compositions) if features is None else features
        present = compositions.amounts > 0
        known = (self._elements[compositions.numbers] | ~present).all(axis=1)
        distance = np.linalg.norm((features - self._mean) @ self._whiten, axis=1)
        count = compositions.n_elements()
        inside: np.ndarray = (
            known
            & (count <= self._limits[0])
            & (compositions.n_atoms() <= self._limits[1])
            & (distance <= self._reach[np.minimum(count, len(self._reach) - 1)])
        )
        return inside
