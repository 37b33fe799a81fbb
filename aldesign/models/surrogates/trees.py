"""Extremely randomised trees that say how sure they are."""

from __future__ import annotations

import numpy as np

from aldesign.errors import InputError
from aldesign.models.surrogates.training_rows import kept, kept_std, query

_MOST = 2**31 - 1  # seeds that scikit-learn takes


class ExtraTrees:
    """Regression of a property over descriptors by extremely randomised trees.

    Geurts, Ernst and Wehenkel, Mach. Learn. 63, 3 (2006). The variance follows from the law of total variance: that
    of the trees' answers plus the mean variance of the labels within a leaf. Features need no scale and no blocks.

    Args:
        trees: How many.
        leaf: Rows in a leaf at least.
        features: Share of the features among which a split chooses.
        max_observations: Rows kept at most; see `training_rows.keep_rows` for which.
        seed: Of the splits.

    Attributes:
        notes: What was left out, in words, after `fit`.
        noise_std: Root of the mean variance within a leaf, in eV, after `fit`.

    """

    def __init__(
        self, trees: int = 100, leaf: int = 1, features: float = 0.3, max_observations: int = 4000, seed: int = 0
    ) -> None:
        if trees < 2 or leaf < 1 or not 0 < features <= 1 or max_observations < 2:
            raise InputError(
                f"trees={trees}, leaf={leaf}, features={features}, max_observations={max_observations}",
                "give two or more trees, one or more rows in a leaf, two or more rows, and a share in (0, 1]",
            )
        self.trees, self.leaf, self.features = trees, leaf, features
        self.max_observations = max_observations
        self.seed = seed
        self.notes: tuple[str, ...] = ()
        self.noise_std = float("nan")
        self._width = 0

    def fit(self, x: np.ndarray, y: np.ndarray, std: np.ndarray | None = None) -> ExtraTrees:
        """Learn from features (n, d) and labels (n,) in eV, rows in trial order; return self.

        Args:
            x: Features.
            y: Labels.
            std: Stated standard deviation of each label in eV, (n,). Trees have no noise of single labels: they
                take all labels alike, and say so in `notes`.

        Raises:
            InputError: No rows, shapes that do not match, or a value that is not finite.

        """
        from sklearn.ensemble import ExtraTreesRegressor

        std = kept_std(std, y, self.max_observations)
        x, y, self.notes = kept(x, y, self.max_observations)
        if std is not None:
            self.notes = (*self.notes, "trees take all labels alike, whatever uncertainty is stated for them")
        forest = ExtraTreesRegressor(
            self.trees,
            min_samples_leaf=self.leaf,
            max_features=self.features,
            random_state=self.seed % _MOST,
        ).fit(x.astype(np.float32), y)
        self._trees = [tree.tree_ for tree in forest.estimators_]
        self._width = x.shape[1]
        self.noise_std = float(np.sqrt(self._answers(x)[1].mean()))
        return self

    def posterior(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (n,) and standard deviation (n,) in eV at features (n, d).

        Raises:
            InputError: Not fitted, another number of features, or a value that is not finite.

        """
        answers, within = self._answers(x)
        return answers.mean(axis=0), np.sqrt(answers.var(axis=0) + within)

    def joint(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean (n,) in eV and covariance (n, n) in eV² at features (n, d). Raises InputError.

        Two formulas go together as far as the trees change their answers for both alike.
        """
        answers, within = self._answers(x)
        mean = answers.mean(axis=0)
        apart = answers - mean
        return mean, apart.T @ apart / len(apart) + np.diag(within)

    def hyperparameters(self) -> dict[str, list[float]]:
        """Return nothing: the next fit cannot gain from this one."""
        return {}

    def _answers(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the answers of the trees (trees, n) and the mean variance within their leaves (n,)."""
        rows = query(x, self._width).astype(np.float32)
        answers, within = np.empty((len(self._trees), len(rows))), np.zeros(len(rows))
        for answer, tree in zip(answers, self._trees, strict=True):
            leaves = tree.apply(rows)
            answer[:] = tree.value[leaves, 0, 0]
            within += np.maximum(tree.impurity[leaves], 0.0)  # of one row, it is zero but for rounding
        return answers, within / len(answers)
