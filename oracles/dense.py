"""A deep ensemble of residual dense networks on composition descriptors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from aldesign.chemistry.formula import Compositions
from oracles.features.magpie import descriptor
from oracles.networks import NetworkOracle


class DenseNetwork(nn.Module):
    """Five hidden layers with ReLU, the last four added to what they start from; two outputs.

    Args:
        features: Width of the input.
        hidden: Width of the hidden layers.
        dropout: Share of the hidden units left out while training.

    """

    def __init__(self, features: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.first = nn.Linear(features, hidden)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(4))
        self.hidden = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(4))
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Linear(hidden, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Return location and log standard deviation, (n, 2), for features (n, d)."""
        h = torch.relu(self.first(x))
        for norm, layer in zip(self.norms, self.hidden, strict=True):
            h = h + self.dropout(torch.relu(layer(norm(h))))
        out: Tensor = self.last(h)
        return out


class DenseOracle(NetworkOracle):
    """Dense networks on the standardised descriptor and the element fractions.

    Settings beside those of `NetworkOracle`: ``hidden``, width of the five layers; ``dropout``.
    """

    name = "dense"
    description = "Deep ensemble of residual dense networks on Magpie composition descriptors"
    usual_epochs = 24
    defaults: ClassVar[Mapping[str, Any]] = {
        **NetworkOracle.defaults,
        "members": 4,
        "hidden": 256,
        "dropout": 0.1,
    }

    def _prepare(self, inputs: Compositions) -> dict[str, np.ndarray]:
        features = descriptor(inputs)
        scale = features.std(axis=0)
        return {
            "mean": features.mean(axis=0).astype(np.float32),
            "scale": np.where(scale > 1e-9, scale, 1.0).astype(np.float32),
        }

    def _tensors(self, inputs: Compositions) -> tuple[Tensor, ...]:
        mean, scale = (self.scaling[k].astype(np.float64) for k in ("mean", "scale"))
        # ten standard deviations from the training mean say no more than five
        standardised = np.clip((descriptor(inputs) - mean) / scale, -5.0, 5.0)
        total = np.maximum(inputs.n_atoms(), 1e-12)[:, None]
        return (torch.from_numpy(np.concatenate([standardised, inputs.dense() / total], axis=1)),)

    def _module(self) -> nn.Module:
        features = len(self.scaling["mean"]) + 119
        return DenseNetwork(features, int(self.config["hidden"]), float(self.config["dropout"]))
