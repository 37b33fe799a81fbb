"""A random forest on composition descriptors, with its uncertainty by the law of total variance.

The trees are grown by scikit-learn (squared error) and kept as flat arrays, without pickle. A tree is stored in
depth-first order, where the left child of a node follows it, so that a node needs one feature, one threshold and
the size of its left subtree.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from aldesign.chemistry.formula import Compositions
from aldesign.errors import CheckpointError
from aldesign.seeds import torch_seed
from oracles.common import CompositionOracle, Progress
from oracles.domain import CompositionDomain
from oracles.features.magpie import descriptor

if TYPE_CHECKING:
    from sklearn.ensemble import RandomForestRegressor

LEAF = 255  # the `feature` of a leaf; the descriptor has fewer columns
BLOCK = 10  # trees grown between two checkpoints
PAIRS = 2_000_000  # rows times trees that are followed at once, to bound memory


class Forest:
    """Regression trees as flat arrays.

    Args:
        arrays: ``start`` (t + 1,) first node of each tree; ``feature`` (nodes,) uint8, `LEAF` for leaves;
            ``threshold`` and ``left_size`` of the inner nodes; ``level`` and ``spread`` of the leaves in node
            order: the mean label as a 16-bit step of ``range`` (low, high), and the label's std within the leaf.

    """

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        # loading widens 16-bit floats; kept narrow, a forest stored again is the same file
        self.arrays = {**arrays, "spread": arrays["spread"].astype(np.float16)}
        feature = arrays["feature"]
        inner, leaf = feature != LEAF, feature == LEAF
        low, high = arrays["range"].astype(np.float64)
        self._start = arrays["start"][:-1].astype(np.int32)
        self._feature = np.where(leaf, np.int16(-1), feature.astype(np.int16))
        self._threshold = np.zeros(len(feature), dtype=np.float32)
        self._threshold[inner] = arrays["threshold"]
        self._right = np.zeros(len(feature), dtype=np.int32)
        self._right[inner] = arrays["left_size"].astype(np.int32) + 1
        self._value = np.zeros(len(feature))
        self._value[leaf] = low + arrays["level"].astype(np.float64) * ((high - low) / 65535.0)
        self._variance = np.zeros(len(feature))
        self._variance[leaf] = arrays["spread"].astype(np.float64) ** 2

    def __len__(self) -> int:
        return len(self._start)

    @classmethod
    def from_sklearn(cls, model: RandomForestRegressor, low: float, high: float) -> Forest:
        """Return the trees of a fitted single-target forest whose labels lie between `low` and `high`.

        Decisions on float32 inputs stay the same; leaf means move by at most (high - low) / 131070.
        """
        trees = [estimator.tree_ for estimator in model.estimators_]
        feature = np.concatenate([t.feature for t in trees])
        inner = feature >= 0
        threshold = np.concatenate([t.threshold for t in trees])[inner]
        rounded = threshold.astype(np.float32)
        # Inputs are float32: rounding a threshold down never changes which of them are at most the threshold.
        rounded = np.where(rounded > threshold, np.nextafter(rounded, np.float32(-np.inf)), rounded)
        left, right = (np.concatenate([getattr(t, f"children_{s}") for t in trees]) for s in ("left", "right"))
        size = (right - left)[inner]
        value = np.concatenate([t.value[:, 0, 0] for t in trees])[~inner]
        impurity = np.concatenate([t.impurity for t in trees])[~inner]
        step = (high - low) / 65535.0 or 1.0
        return cls(
            {
                "start": np.cumsum([0, *(t.node_count for t in trees)]).astype(np.int32),
                "feature": np.where(inner, feature, LEAF).astype(np.uint8),
                "threshold": rounded.astype(np.float32),
                "left_size": size.astype(np.uint16 if size.max(initial=0) < 65536 else np.int32),
                "level": np.round((value - low) / step).astype(np.uint16),
                "spread": np.sqrt(np.maximum(impurity, 0.0)).astype(np.float16),
                "range": np.array([low, high]),
            }
        )

    def leaves(self, x: np.ndarray) -> np.ndarray:
        """Return the leaf that each of t trees puts each of n rows in, shape (t, n); x is (n, d) float32."""
        rows = np.tile(np.arange(len(x), dtype=np.int32), len(self))
        node = np.repeat(self._start, len(x))
        active = np.flatnonzero(self._feature[node] >= 0)
        while len(active):
            here = node[active]
            left = x[rows[active], self._feature[here]] <= self._threshold[here]
            node[active] = here = here + np.where(left, np.int32(1), self._right[here])
            active = active[self._feature[here] >= 0]
        return node.reshape(len(self), len(x))

    def predict(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return mean and standard deviation, (n,) each, for features (n, d).

        The variance is, by the law of total variance, the mean over the trees of (variance of the labels in the
        leaf reached + squared leaf mean), less the squared forest mean, not below zero.
        """
        x = np.ascontiguousarray(x, dtype=np.float32)
        means, stds = [np.zeros(0)], [np.zeros(0)]
        for i in range(0, len(x), max(1, PAIRS // len(self))):
            leaves = self.leaves(x[i : i + max(1, PAIRS // len(self))])
            value = self._value[leaves]
            mean = value.mean(axis=0)
            # centred on the forest mean, which loses fewer digits than the difference of squares
            variance = (self._variance[leaves] + (value - mean) ** 2).mean(axis=0)
            means.append(mean)
            stds.append(np.sqrt(np.maximum(variance, 0.0)))
        return np.concatenate(means), np.concatenate(stds)


def joined(forests: Sequence[Forest]) -> Forest:
    """Return one forest with the trees of all of `forests`, in order; they share their ``range``."""
    parts = [forest.arrays for forest in forests]
    counts = np.concatenate([np.diff(part["start"]) for part in parts])
    names = ("feature", "threshold", "left_size", "level", "spread")
    return Forest(
        {
            **{name: np.concatenate([part[name] for part in parts]) for name in names},
            "start": np.cumsum([0, *counts]).astype(np.int32),
            "range": parts[0]["range"],
        }
    )


class RandomForestOracle(CompositionOracle):
    """A random forest on Magpie descriptors; answers in milliseconds, and refits in minutes on a laptop.

    Settings: ``trees``; ``min_samples_leaf``; ``max_features``, the share of features tried at a split;
    ``min_decrease``, how much a split must lower the sum of squared errors, in variances of the labels: it spares
    leaves that hardly differ, and halves the size of the forest at no cost in accuracy.
    """

    name = "random_forest"
    description = "Random forest on Magpie composition descriptors, uncertainty by the law of total variance"
    defaults: ClassVar[Mapping[str, Any]] = {
        "trees": 100,
        "min_samples_leaf": 1,
        "max_features": 0.5,
        "min_decrease": 0.04,
    }

    forest: Forest

    def _learn(
        self,
        inputs: Compositions,
        targets: np.ndarray,
        held: Compositions,  # noqa: ARG002 (a forest needs no early stopping)
        held_targets: np.ndarray,  # noqa: ARG002
        seed: int,
        checkpoint: Path | None,
        progress: Progress | None,
    ) -> float:
        from sklearn.ensemble import RandomForestRegressor

        from aldesign.learning.checkpoint import write_tensors

        begun, earlier = time.monotonic(), 0.0
        x = descriptor(inputs).astype(np.float32)
        low, high = float(targets.min()), float(targets.max())
        total, blocks = int(self.config["trees"]), []
        identity = hashlib.sha256(json.dumps([self.config, seed]).encode() + x.tobytes() + targets.tobytes())
        for first in range(0, total, BLOCK):
            path = checkpoint / f"trees_{first:04d}.safetensors" if checkpoint else None
            block, seconds = _stored(path, identity.hexdigest())
            earlier += seconds
            if block is None:
                started = time.monotonic()
                model = RandomForestRegressor(
                    min(BLOCK, total - first),
                    min_samples_leaf=self.config["min_samples_leaf"],
                    max_features=self.config["max_features"],
                    min_impurity_decrease=self.config["min_decrease"] * float(targets.var()) / len(targets),
                    random_state=torch_seed(seed, first, "forest") % 2**32,
                )
                block = Forest.from_sklearn(model.fit(x, targets), low, high)
                if path:
                    spent = f"{time.monotonic() - started:.3f}"
                    write_tensors(path, block.arrays, {"identity": identity.hexdigest(), "seconds": spent})
            blocks.append(block)
            if progress:
                progress(f"{min(first + BLOCK, total)} of {total} trees")
        self.forest = joined(blocks)
        return earlier + time.monotonic() - begun

    def _infer(self, inputs: Compositions) -> tuple[np.ndarray, np.ndarray]:
        return self.forest.predict(descriptor(inputs))

    def _arrays(self) -> dict[str, np.ndarray]:
        return {**self.forest.arrays, **self.domain.stored()}

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        self.domain = CompositionDomain.from_stored(arrays)
        self.forest = Forest({k: v for k, v in arrays.items() if "." not in k})


def _stored(path: Path | None, identity: str) -> tuple[Forest | None, float]:
    """Return the trees that an interrupted training left at `path`, if any, and the seconds they took."""
    if path is None or not path.exists():
        return None, 0.0
    from aldesign.learning.checkpoint import read_tensors

    tensors, metadata = read_tensors(path)
    if metadata.get("identity") != identity:
        raise CheckpointError(
            f"{path} belongs to a training run with other data or settings",
            "remove the folder to begin anew, or give the settings of that run",
        )
    forest = Forest({name: tensor.numpy() for name, tensor in tensors.items()})
    return forest, float(metadata.get("seconds", 0.0))
