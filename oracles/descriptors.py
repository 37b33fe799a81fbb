"""Descriptors of formulas for surrogates, through the entry-point group ``aldesign.descriptors``."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from aldesign.chemistry.formula import Compositions, compositions
from aldesign.errors import CheckpointError
from aldesign.learning.checkpoint import digest, load_weights, save_weights
from oracles.common import CHUNK, SHIPPED
from oracles.features.magpie import MAGPIE_NAMES, PROPERTIES, element_properties, magpie, valence_parity
from oracles.features.matminer_set import MATMINER_NAMES, matminer_features
from oracles.stoichiometry_graph import FormationEnergyGraphOracle
from oracles.stoichiometry_network import StoichiometryNetwork

BATCH = 1024
FURTHEST = 8.0  # standard deviations
DIGITS = 6  # decimals kept of an embedding: sums over a batch differ in the last bits with the batch


class _Tabulated(ABC):
    """Columns computed from the table of element properties, each on the scale of the known formulas.

    A column's mean over the formulas of the Materials Project is subtracted and their standard deviation divided by,
    so that surrogates may weigh all columns alike whatever rows they have; what lies further out than `FURTHEST` is
    cut off.

    Args:
        mean: Mean of each column, (d,).
        scale: Its standard deviation, (d,), above zero.
        version: Short hash of both.

    """

    name: ClassVar[str]
    columns: ClassVar[tuple[str, ...]]
    folder: ClassVar[Path] = SHIPPED / "composition_scale"

    def __init__(self, mean: np.ndarray, scale: np.ndarray, version: str) -> None:
        self.mean, self.scale = mean, scale
        table = np.ascontiguousarray(element_properties()).tobytes()
        text = "\n".join((version, *self.columns, *PROPERTIES)).encode()
        self.digest = hashlib.sha256(text + table).hexdigest()[:16]

    @classmethod
    def load(cls) -> Self:
        """Return the shipped descriptor. Raises CheckpointError where its scale is missing or damaged."""
        tensors, _ = load_weights(cls.folder, expect_class=Composition.__name__)
        mean, scale = (tensors[key].double().numpy()[: len(cls.columns)] for key in ("mean", "scale"))
        return cls(mean, scale, digest(cls.folder))

    @classmethod
    def learn(cls, formulas: Sequence[str], folder: Path, **facts: str) -> Self:
        """Write the means and scales of the columns over `formulas` to `folder`; return the descriptor.

        Args:
            formulas: The formulas; they need no labels.
            folder: Where weights and card are written.
            facts: ``origin`` and ``licence`` of the formulas, for the card.

        """
        table = cls.compute(compositions(formulas))
        spread = table.std(axis=0)
        arrays = {"mean": table.mean(axis=0), "scale": np.where(spread > 1e-9, spread, 1.0)}
        save_weights(folder, arrays, {"class": cls.__name__, "version": "1", **_about(formulas), **facts})
        return cls(arrays["mean"], arrays["scale"], digest(folder))

    def describe(self, formulas: Sequence[str]) -> np.ndarray:
        """Return the columns named in `columns`, float64 (n, d). Raises FormulaError for a text that is none."""
        columns = (self.compute(compositions(formulas)) - self.mean) / self.scale
        return np.asarray(columns.clip(-FURTHEST, FURTHEST))

    @staticmethod
    @abstractmethod
    def compute(inputs: Compositions) -> np.ndarray:
        """Return the columns (n, d) of n compositions, each in its own unit."""


class Magpie(_Tabulated):
    """The 132 statistics of element properties of Ward et al., npj Comput. Mater. 2, 16028 (2016)."""

    name = "magpie"
    columns = MAGPIE_NAMES

    @staticmethod
    def compute(inputs: Compositions) -> np.ndarray:
        """Return the statistics as `magpie` does."""
        return magpie(inputs)


class Composition(_Tabulated):
    """All composition features of Ward et al., Magpie's, stoichiometry, valence orbitals and ionicity, and a parity.

    The last column says whether the valence electrons are odd in number, which no filled bands allow.
    """

    name = "composition"
    columns = (*MATMINER_NAMES, "odd valence electrons")

    @staticmethod
    def compute(inputs: Compositions) -> np.ndarray:
        """Return the features as `matminer_features` does, and the parity."""
        return np.column_stack([matminer_features(inputs), valence_parity(inputs)])


class FormationEnergy:
    """What the shipped formation-energy networks make of a formula, before they say its energy.

    The attention networks of `FormationEnergyGraphOracle` pool their nodes to one vector each (the formula's own
    node and the mean over its elements). Their vectors, side by side, are projected on the directions in which the
    formulas of the Materials Project differ most. Neither step has seen a band gap.

    Args:
        oracle: The networks.
        mean: Mean of the pooled vectors, (p,).
        axes: Directions, (p, d), each divided by the standard deviation along it.
        version: Short hash of `mean` and `axes`.

    """

    name = "formation_energy"
    folder: ClassVar[Path] = SHIPPED / "formation_energy_embedding"

    def __init__(self, oracle: FormationEnergyGraphOracle, mean: np.ndarray, axes: np.ndarray, version: str) -> None:
        self.oracle = oracle
        self.mean, self.axes = mean, axes
        joined = f"{oracle.card.identity.digest}/{version}"
        self.digest = hashlib.sha256(joined.encode()).hexdigest()[:16]

    @classmethod
    def load(cls) -> FormationEnergy:
        """Return the shipped descriptor. Raises CheckpointError where its weights do not fit the networks'."""
        tensors, card = load_weights(cls.folder, expect_class=cls.__name__)
        oracle = FormationEnergyGraphOracle.load()
        if card["networks"] != oracle.card.identity.digest:
            raise CheckpointError(
                f"{cls.folder} belongs to networks of digest {card['networks']}, not {oracle.card.identity.digest}",
                "install the package again",
            )
        mean, axes = (tensors[key].double().numpy() for key in ("mean", "axes"))
        return cls(oracle, mean, axes, digest(cls.folder))

    @classmethod
    def learn(cls, formulas: Sequence[str], width: int, folder: Path, **facts: str) -> FormationEnergy:
        """Write the projection that keeps most of the variance among `formulas` to `folder`; return the descriptor.

        Args:
            formulas: The formulas; they need no labels.
            width: Number of directions.
            folder: Where weights and card are written.
            facts: ``origin`` and ``licence`` of the formulas, for the card.

        """
        oracle = FormationEnergyGraphOracle.load()
        vectors = pooled(oracle, compositions(formulas))
        mean = vectors.mean(axis=0)
        spread, axes = np.linalg.eigh(np.cov((vectors - mean).T))
        order = np.argsort(spread)[::-1][:width]
        signs = np.sign(axes[np.abs(axes[:, order]).argmax(axis=0), order])  # which LAPACK leaves open
        scaled = axes[:, order] * signs / np.sqrt(spread[order])
        card = {
            "class": cls.__name__,
            "version": "1",
            "networks": oracle.card.identity.digest,
            "config": {"width": width},
            "metrics": {"share_of_variance": round(float(spread[order].sum() / spread.sum()), 4)},
            **_about(formulas),
            **facts,
        }
        arrays = {"mean": mean.astype(np.float32), "axes": scaled.astype(np.float32)}
        save_weights(folder, arrays, card)
        return cls(oracle, arrays["mean"].astype(float), arrays["axes"].astype(float), digest(folder))

    def describe(self, formulas: Sequence[str]) -> np.ndarray:
        """Return the embedding, float64 (n, d), columns of unit variance among known formulas. Raises FormulaError."""
        inputs = compositions(formulas)
        found = np.empty((len(inputs), self.axes.shape[1]))
        for i in range(0, len(inputs), CHUNK):
            found[i : i + CHUNK] = (pooled(self.oracle, inputs[i : i + CHUNK]) - self.mean) @ self.axes
        return found.round(DIGITS)


def pooled(oracle: FormationEnergyGraphOracle, inputs: Compositions) -> np.ndarray:
    """Return the pooled vectors of all networks of `oracle` side by side, float64 (n, members * 2 * width)."""
    tensors = oracle._tensors(inputs)
    sizes = inputs.n_elements()
    columns = []
    for network in oracle.members:
        norm = cast(StoichiometryNetwork, network).norm
        kept: list[Tensor] = []
        rows = []

        def keep(_: nn.Module, given: tuple[Tensor, ...], kept: list[Tensor] = kept) -> None:
            kept.append(given[0])

        hook = norm.register_forward_pre_hook(keep)
        with torch.no_grad():
            for size in np.unique(sizes):  # the formulas of a batch have equally many elements
                some = np.flatnonzero(sizes == size)
                for i in range(0, len(some), BATCH):
                    index = torch.from_numpy(some[i : i + BATCH])
                    network(*(t[index] for t in tensors))
                    rows.append(some[i : i + BATCH])
        hook.remove()
        column = np.empty((len(inputs), norm.normalized_shape[0]))
        for where, values in zip(rows, kept, strict=True):
            column[where] = values.numpy()
        columns.append(column)
    return np.hstack(columns)


def _about(formulas: Sequence[str]) -> dict[str, Any]:
    """Return what a card says of formulas without labels."""
    name = hashlib.sha256("\n".join(sorted(formulas)).encode()).hexdigest()[:16]
    data = {"rows": len(formulas), "digest": name, "selection": "distinct formulas, without any label"}
    return {"data": data, "split": "none: no labels were seen"}
