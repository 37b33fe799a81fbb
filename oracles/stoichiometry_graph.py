"""Attention between the elements of a formula: band gap or formation energy from the formula alone."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from aldesign.chemistry.formula import Compositions
from aldesign.errors import InputError
from oracles.common import SHIPPED
from oracles.features.magpie import descriptor
from oracles.networks import NetworkOracle, location_scale_loss, member_outputs
from oracles.stoichiometry_network import GAP, LOCATION, METAL, StoichiometryNetwork

NOTHING = "nothing"
# Where training starts from good weights, a gentle rate and few steps keep more of them: on 600 formulas R2 0.53
# instead of 0.48 (3e-4 against 1e-3), and 0.50 with 3,000 steps.
TRANSFER_STEPS, TRANSFER_RATE = 800, 3e-4
SIZES = ("width", "layers", "heads", "hidden", "head")
BLENDS = np.linspace(0.0, 1.0, 21)
FAST_BATCH, GROUP = 512, 16  # rows of a batch in single precision, at most and as multiples
SURELY_METAL = 0.1  # chance of a non-metal, from which on a location below zero counts less and less


class StoichiometryGraphOracle(NetworkOracle):
    """An attention network on the elements and their fractions, and on the descriptor of the whole formula.

    For a gap the network answers twice: by a location, fitted by absolute errors, and by the chance of a non-metal
    times the gap that it would then have. The first is a median, which calls a doubtful formula a metal; the second
    is a mean, which gives it half a gap. Their blend is chosen on the validation rows, to keep the errors of all and
    of the non-metals small together.

    Settings beside those of `NetworkOracle`: ``width`` of a node, ``layers``, ``heads``, ``hidden`` width of a
    node's dense layers, ``head`` width of the output network, ``dropout``, and ``start``: whose weights the training
    starts from, the name of a shipped oracle of this kind, a folder, or ``nothing`` for random ones. By default, PBE
    gaps start from the shipped formation energies, gaps of other levels from the shipped PBE gaps, if of the same
    sizes. Where the property changes, the last layer starts afresh.
    """

    name = "stoichiometry_graph"
    description = "Attention network over the elements of a formula and their fractions"
    usual_epochs = 40
    defaults: ClassVar[Mapping[str, Any]] = {
        **NetworkOracle.defaults,
        "members": 1,
        "width": 128,
        "layers": 3,
        "heads": 4,
        "hidden": 256,
        "head": 256,
        "dropout": 0.05,
        "start": "auto",
    }

    _origin: StoichiometryGraphOracle | None = None  # the oracle that training starts from
    _single: tuple[list[nn.Module], list[nn.Module]] | None = None  # the members, and the same in single precision

    def _prepare(self, inputs: Compositions) -> dict[str, np.ndarray]:
        self._origin = None
        self.config["start"] = start = self._start()
        if start != NOTHING:
            self._origin = origin = start_from(start)
            self.least_steps, self.usual_learning_rate = TRANSFER_STEPS, TRANSFER_RATE
            kept = {"mean", "scale"} | ({"target"} if origin.property == self.property else set())
            return {**{key: origin.scaling[key] for key in kept}, "blend": np.array([0.5])}
        features = descriptor(inputs)
        scale = features.std(axis=0)
        return {
            "mean": features.mean(axis=0).astype(np.float32),
            "scale": np.where(scale > 1e-9, scale, 1.0).astype(np.float32),
            "blend": np.array([0.5]),
        }

    def _start(self) -> str:
        """Return what the training starts from, where that is left open: the nearest shipped weights that fit."""
        given = str(self.config["start"])
        if given != "auto":
            return given
        if self.property != "band_gap":
            return NOTHING
        nearest = FormationEnergyGraphOracle if self.level == "PBE" else StoichiometryGraphOracle
        if not (SHIPPED / nearest.name / "card.json").exists():
            return NOTHING
        theirs = nearest.load().config
        return nearest.name if all(theirs[key] == self.config[key] for key in SIZES) else NOTHING

    def _begin(self, network: nn.Module, number: int) -> None:
        origin = self._origin
        if origin is None:
            return
        weights = origin.members[number % len(origin.members)].state_dict()
        if origin.property != self.property:
            weights = {k: v for k, v in weights.items() if not k.startswith("last.")}
        try:
            network.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
        except RuntimeError as error:
            raise InputError(
                f"{self.name} cannot start from {self.config['start']!r}: the networks differ in size",
                "give width, layers, heads, hidden and head as in its card",
            ) from error

    def _settings(self) -> dict[str, Any]:
        # what the training starts from is told by the weights themselves
        return {key: value for key, value in super()._settings().items() if key != "start"}

    def _tensors(self, inputs: Compositions) -> tuple[Tensor, ...]:
        mean, scale = (self.scaling[k].astype(np.float64) for k in ("mean", "scale"))
        whole = np.clip((descriptor(inputs) - mean) / scale, -5.0, 5.0)
        numbers = torch.from_numpy(inputs.numbers.astype(np.int64))
        return numbers, torch.from_numpy(inputs.amounts), torch.from_numpy(whole)

    def _outputs(self, inputs: Compositions) -> np.ndarray:
        """Return the outputs of the networks, evaluated in single precision: within 1e-5 eV, in half the time.

        Batches fit the processor's cache. A matrix product takes the sums of full groups of rows in one order,
        whatever their number, but may take those of a lesser rest in another: hence no batch has such a rest.
        """
        if self._single is None or self._single[0] is not self.members:
            self._single = self.members, [deepcopy(member).float() for member in self.members]
        return member_outputs(self._single[1], self._tensors(inputs), inputs, FAST_BATCH, GROUP)

    def _module(self) -> nn.Module:
        sizes = {name: int(self.config[name]) for name in SIZES}
        return StoichiometryNetwork(len(self.scaling["mean"]), **sizes, dropout=float(self.config["dropout"]))

    def _batches(self, tensors: tuple[Tensor, ...], rng: np.random.Generator) -> list[np.ndarray]:
        """Return batches whose formulas have equally many elements, so that no node is padding."""
        counts = (tensors[1] > 0).sum(1).cpu().numpy()
        size = self._batch_size(len(counts))
        batches = []
        for count in np.unique(counts):
            rows = rng.permutation(np.flatnonzero(counts == count))
            batches += [rows[i : i + size] for i in range(0, len(rows), size)]
        return [batches[i] for i in rng.permutation(len(batches))]

    def _loss(self, output: Tensor, target: Tensor) -> Tensor:
        if self.property != "band_gap":
            return location_scale_loss(output, target)
        centre, spread = self.scaling["target"].tolist()
        zero = -centre / spread
        metal = target <= zero + 1e-6
        # a metal is met by any location at or below zero, as in censored regression
        location = torch.where(metal, output[:, LOCATION].clamp(min=zero), output[:, LOCATION])
        loss = location_scale_loss(torch.cat([location[:, None], output[:, 1:]], dim=1), target)
        given = ((output[:, GAP] - target).abs() * ~metal).mean()
        called: Tensor = binary_cross_entropy_with_logits(output[:, METAL], metal.to(output.dtype))
        total: Tensor = loss + given + 0.5 * called
        return total

    def _values(self, outputs: np.ndarray) -> np.ndarray:
        location = self._physical(super()._locations(outputs))
        if self.property != "band_gap":
            return location
        centre, spread = self.scaling["target"].astype(np.float64)
        share = float(self.scaling["blend"][0])
        chance = 1.0 / (1.0 + np.exp(outputs[..., METAL].clip(-30.0, 30.0)))
        expected = chance * np.maximum(outputs[..., GAP] * spread + centre, 0.0)
        return np.asarray(share * location + (1.0 - share) * expected)

    def _locations(self, outputs: np.ndarray) -> np.ndarray:
        values = self._values(outputs)
        if self.property != "band_gap":
            return values
        metal = 1.0 / (1.0 + np.exp(-outputs[..., METAL].clip(-30.0, 30.0)))
        below = np.minimum(super()._locations(outputs), 0.0)
        return np.asarray(values + below * np.maximum(1.0 - (1.0 - metal) / SURELY_METAL, 0.0))

    def _tune(self, outputs: np.ndarray, targets: np.ndarray) -> None:
        open_ = targets > 0
        if self.property != "band_gap" or not open_.any():
            return
        costs = []
        for share in BLENDS:
            self.scaling["blend"] = np.array([share])
            error = np.abs(self._values(outputs).mean(axis=0) - targets)
            costs.append(float(error.mean() + error[open_].mean()))
        self.scaling["blend"] = BLENDS[[int(np.argmin(costs))]]


class FormationEnergyGraphOracle(StoichiometryGraphOracle):
    """The same network for the formation energy per atom, from the formula alone."""

    name = "stoichiometry_graph_eform"
    description = "Attention network over the elements of a formula, for the formation energy of its ground state"

    def __init__(self, property: str = "formation_energy_per_atom", **config: Any) -> None:  # noqa: A002
        super().__init__(property, **config)


def start_from(start: str) -> StoichiometryGraphOracle:
    """Return the trained oracle called `start`: one shipped with the package, or the folder of one.

    Raises:
        InputError: It is neither.

    """
    kinds = {kind.name: kind for kind in (StoichiometryGraphOracle, FormationEnergyGraphOracle)}
    if start in kinds and (SHIPPED / start).is_dir():
        return kinds[start].load()
    if not Path(start).is_dir():
        raise InputError(f"there is nothing to start from called {start!r}", f"allowed: {', '.join(kinds)}, a folder")
    from aldesign.learning.checkpoint import load_weights

    _, card = load_weights(Path(start), expect_class=None)
    named = {kind.__name__: kind for kind in kinds.values()}
    if card.get("class") not in named:
        raise InputError(f"the weights in {start} are of {card.get('class')}", f"allowed: {', '.join(named)}")
    return named[card["class"]].load(Path(start))
