"""A crystal graph convolutional network for the gap and the formation energy of a crystal."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from aldesign.chemistry.elements import NUMBER
from aldesign.chemistry.formula import canonical, reduced
from aldesign.errors import CheckpointError, FormulaError, InputError, StructureError
from aldesign.learning.training import TrainingPlan, fit_network
from aldesign.records import Candidate, Crystal, LabelledRow, Prediction
from aldesign.seeds import stream, torch_seed
from aldesign.structures.graphs import CrystalGraph, GraphStore, build_graph, pack
from oracles.common import Progress, TrainedOracle, error_metrics, labels, training_level
from oracles.crystal_network import LOG_SCALE, CrystalNetwork, NetworkSize, joint_loss, tensors
from oracles.settings import UNITS
from oracles.spread import fit_spread, observed

KNOT = 0.01  # Å; distances are rounded to it while training
ATOMS_PER_BATCH = 2000  # when predicting
HELD_OUT = 0.1  # of the formulas, where no validation rows are given
_PLAN = ("epochs", "batch_size", "learning_rate", "weight_decay", "patience", "max_minutes")
_SIZE = ("layers", "width", "message", "centres", "cutoff")


class CrystalGraphOracle(TrainedOracle):
    """Gated convolutions over the nearest neighbours of each atom; one network for one or two properties.

    It needs a crystal: a candidate without one is answered by an error that says how to get it. A prediction is in
    the domain when each element occurs in a training crystal, the cell has no more atoms than the largest of them,
    and no two atoms are nearer than in all of them. Networks are evaluated in double precision, so that an answer
    does not depend on what else is asked.

    Settings: ``layers``, ``width``, ``message``, ``centres`` (see `NetworkSize`), ``cutoff`` in Å and
    ``max_neighbours`` (see `build_graph`), and those of `TrainingPlan`: ``epochs``, ``batch_size``,
    ``learning_rate``, ``weight_decay``, ``patience``, ``max_minutes``.
    """

    name = "crystal_graph"
    description = "Crystal graph convolutional network over interatomic distances"
    needs = "structure"
    defaults: ClassVar[Mapping[str, Any]] = {
        "targets": (),
        "layers": 4,
        "width": 128,
        "message": 64,
        "centres": 40,
        "cutoff": 6.0,
        "max_neighbours": 12,
        "epochs": 40,
        "batch_size": 64,
        "learning_rate": 2e-3,
        "weight_decay": 1e-2,
        "patience": None,
        "max_minutes": None,
    }

    network: CrystalNetwork
    scaling: np.ndarray  # (2, p): centre and spread of the labels of each property
    spreads: list[np.ndarray]  # of each property: stated and observed standard deviations, (2, k), ascending
    elements: np.ndarray  # (119,): number of training crystals that hold each element
    limits: np.ndarray  # (2,): most atoms in a training cell; shortest training distance in Å

    @property
    def targets(self) -> tuple[str, ...]:
        """Return the properties that the network predicts."""
        return tuple(self.config["targets"]) or (self.property,)

    @classmethod
    def load(cls, directory: Path | None = None, **options: Any) -> Self:
        """Return the oracle stored in `directory`, or the shipped one where it is None.

        Args:
            directory: Folder with weights and card.
            options: ``property``: ``"band_gap"`` or ``"formation_energy_per_atom"``; the card's where not given.

        Raises:
            InputError: An option is unknown, or the network was not trained on the property.
            CheckpointError: The folder lacks weights, or holds another class's.

        """
        wanted = options.pop("property", None)
        if options:
            raise InputError(f"{cls.name} has no option {next(iter(options))!r}", "allowed: property")
        oracle = super().load(directory)
        if wanted is not None:
            oracle._choose(wanted)
        return oracle

    def fit(
        self,
        train: Sequence[LabelledRow],
        validation: Sequence[LabelledRow] = (),
        *,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Learn the oracle's property from rows with crystals; return self.

        A new oracle starts from random weights, a loaded one goes on from its own (fine-tuning). Rows without a
        crystal, or with one that makes no graph, are left out and counted through `progress`. Without
        `validation`, a tenth of the formulas of `train` is held back to calibrate the std.

        Raises:
            InputError: No row has a usable crystal, or the rows mix levels of theory.

        """
        self.level = training_level([*train, *validation])
        train_rows, validation_rows = [r for r in train if r.crystal], [r for r in validation if r.crystal]
        rows = [*train_rows, *validation_rows]
        store = GraphStore.build(
            [row.crystal for row in rows if row.crystal],
            float(self.config["cutoff"]),
            int(self.config["max_neighbours"]),
        )
        usable = store.sizes() > 0
        lost = len(train) + len(validation) - int(usable.sum())
        if lost and progress:
            progress(f"{lost} rows without a usable crystal are left out")
        index = np.flatnonzero(usable)
        inner, outer = index[index < len(train_rows)], index[index >= len(train_rows)]
        if not len(inner):
            raise InputError(
                f"none of the {len(train)} training rows has a usable crystal",
                "crystal_graph learns from structures: give them with the rows, or run `aldesign structures`",
            )
        if not len(outer):
            inner, outer = _hold_out([rows[i].formula for i in inner], inner, seed)
        self.config = {**self.config, "targets": [self.property]}
        truth = labels(rows)[:, None]
        return self.fit_joint(store, truth, inner, outer, seed=seed, checkpoint=checkpoint, progress=progress)

    def fit_joint(
        self,
        store: GraphStore,
        truth: np.ndarray,
        train: np.ndarray,
        validation: np.ndarray,
        *,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Learn all of ``config["targets"]`` at once from ready graphs; return self.

        Args:
            store: Graphs of m crystals, of the oracle's cutoff and number of neighbours.
            truth: Labels, (m, p), in the order of the targets; NaN where a crystal has none.
            train: Indices of crystals to learn from.
            validation: Indices of crystals that choose the best weights and calibrate the std; may be empty.
            seed: Of weights and batches.
            checkpoint: Folder to go on from after an interruption.
            progress: Takes one line an epoch.

        Raises:
            InputError: The graphs are of other settings, or a property has no training label.

        """
        started = time.monotonic()
        settings = (store.cutoff, store.max_neighbours)
        if settings != (self.config["cutoff"], self.config["max_neighbours"]):
            raise InputError(f"the graphs are of (cutoff, max_neighbours) = {settings}", "build them with the oracle's")
        if not np.isfinite(truth[train]).any(axis=0).all():
            raise InputError("a property has no label among the training crystals", f"targets: {self.targets}")
        network = self._prepare(store, truth, train, seed)
        centre, spread = self.scaling
        goal = torch.from_numpy((truth - centre) / spread).float()
        floor = torch.from_numpy(self._floor()).float()
        size = min(int(self.config["batch_size"]), len(train))

        def make_batches(_: int, rng: np.random.Generator) -> list[np.ndarray]:
            order = rng.permutation(train)
            return [order[i : i + size] for i in range(0, len(order) - size + 1, size)]

        def loss(rows: np.ndarray) -> Tensor:
            return joint_loss(network(tensors(store.batch(rows), knot=KNOT)), goal[torch.from_numpy(rows)], floor)

        def validate() -> float:
            parts = [
                network(tensors(store.batch(validation[i : i + 256]), knot=KNOT))[..., 0]
                for i in range(0, len(validation), 256)
            ]
            miss = (torch.maximum(torch.cat(parts), floor) - goal[torch.from_numpy(validation)]).abs()
            return float(miss.nanmean(dim=0).nansum())

        plan = TrainingPlan(**{key: self.config[key] for key in _PLAN}, gradient_clip=5.0)
        blob = json.dumps([self.config, store.ids, train.tolist()], sort_keys=True).encode() + goal.numpy().tobytes()
        history = fit_network(
            network,
            loss,
            make_batches,
            validate if len(validation) else None,
            plan,
            seed=seed,
            checkpoint=checkpoint,
            fingerprint=hashlib.sha256(blob).hexdigest(),
            progress=progress,
        )
        self.network = network.double().eval()
        self.fitted, self._digest = True, ""
        ids = "\n".join(f"{store.ids[i]}\t{truth[i].tolist()}" for i in sorted([*train, *validation]))
        self.training = {
            "data": {
                "rows": len(train) + len(validation),
                "digest": hashlib.sha256(ids.encode()).hexdigest()[:16],
            },
            "split": {"train": len(train), "validation": len(validation), "seed": seed},
            "training_seconds": round(history.seconds or time.monotonic() - started, 1),
        }
        if len(validation):
            self._calibrate(store, truth, validation)
            self.measure("validation", store, truth, validation)
        return self

    def measure(self, name: str, store: GraphStore, truth: np.ndarray, index: np.ndarray) -> dict[str, Any]:
        """Return the metrics of each property on the crystals at `index`, and keep them in the card under `name`.

        Args:
            name: Of the set, e.g. ``"test"``.
            store: Graphs of m crystals.
            truth: Labels, (m, p), as in `fit_joint`.
            index: Indices of crystals.

        """
        value, std = self._infer([store[int(i)] for i in index])
        found: dict[str, Any] = {}
        for k, target in enumerate(self.targets):
            known = np.isfinite(truth[index, k])
            if known.any():
                label, answer, sigma = truth[index, k][known], value[known, k], std[known, k]
                found[target] = error_metrics(label, answer, sigma)
                if target == "band_gap":
                    # the many metals seen as such are covered by any std, and say nothing about it
                    open_ = answer > 0
                    inside = np.abs(answer - label)[open_] / sigma[open_]
                    for share, width in (("68", 1.0), ("95", 1.96)):
                        covered = float((inside <= width).mean()) if open_.any() else 1.0
                        found[target][f"coverage_{share}_predicted_nonmetals"] = round(covered, 4)
                else:
                    found[target].pop("mae_nonmetals", None)
        self.training = {**self.training, "metrics": {**self.training.get("metrics", {}), name: found}}
        return found

    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        """Return one prediction per candidate, in order; one without a usable crystal gives an error."""
        self._require_fitted()
        started = time.monotonic()
        graphs: list[CrystalGraph] = []
        positions: list[int] = []
        errors: dict[int, str] = {}
        for i, candidate in enumerate(candidates):
            try:
                graphs.append(self._graph(candidate))
                positions.append(i)
            except (StructureError, FormulaError) as error:
                errors[i] = str(error)
        value, std = self._infer(graphs)
        inside = np.array([self._inside(graph) for graph in graphs], dtype=bool)
        k = self.targets.index(self.property)
        seconds = time.monotonic() - started
        where = np.array(positions, dtype=np.int64)
        return self._answers(len(candidates), errors, where, value[:, k], std[:, k], inside, seconds)

    def predict_crystals(self, crystals: Sequence[Crystal]) -> list[Prediction]:
        """Return one prediction per crystal, in order, for callers that hold crystals and no candidates."""
        counts = [_formula(crystal) for crystal in crystals]
        return self.predict([Candidate(f, crystal=c) for f, c in zip(counts, crystals, strict=True)])

    def _graph(self, candidate: Candidate) -> CrystalGraph:
        crystal = candidate.crystal
        if crystal is None:
            raise StructureError(
                f"crystal_graph needs a crystal structure and {candidate.formula} comes without one",
                "make one with `aldesign structures`, or give a CIF or JSON-lines file",
            )
        graph = build_graph(crystal, float(self.config["cutoff"]), int(self.config["max_neighbours"]))
        found, wanted = _formula(crystal), canonical(candidate.formula)
        if found != wanted:
            raise StructureError(
                f"crystal {crystal.id!r} has the composition {found}, not {wanted}", "give the crystal of the formula"
            )
        return graph

    def _inside(self, graph: CrystalGraph) -> bool:
        known = bool(self.elements[graph.numbers].all())
        return known and len(graph) <= self.limits[0] and float(graph.distance.min()) >= self.limits[1]

    def _floor(self) -> np.ndarray:
        centre, spread = self.scaling
        gaps = np.array([target == "band_gap" for target in self.targets])
        return np.where(gaps, -centre / spread, -np.inf)

    def _infer(self, graphs: Sequence[CrystalGraph]) -> tuple[np.ndarray, np.ndarray]:
        """Return values and standard deviations of m graphs, (m, p) each, in the properties' units."""
        centre, spread = self.scaling
        output = np.zeros((len(graphs), len(self.targets), 2))
        order = sorted(range(len(graphs)), key=lambda i: len(graphs[i]))
        with torch.no_grad():
            while order:
                most = max(1, ATOMS_PER_BATCH // len(graphs[order[-1]]))  # graphs of like size share a batch
                order, rows = order[:-most], order[-most:]
                batch = tensors(pack([graphs[i] for i in rows]), torch.float64)
                output[rows] = self.network(batch).numpy()
        value = np.maximum(output[..., 0], self._floor()) * spread + centre
        # the standard deviation of a Laplace distribution of scale b is sqrt(2) b
        stated = np.sqrt(2.0) * np.exp(output[..., 1].clip(*LOG_SCALE)) * spread
        std = [observed(stated[:, k], knots) for k, knots in enumerate(self.spreads)]
        return value, np.stack(std, axis=1)

    def _prepare(self, store: GraphStore, truth: np.ndarray, train: np.ndarray, seed: int) -> CrystalNetwork:
        """Set what the training crystals define, and return the network to train."""
        old = self.network if self.fitted else None
        size = NetworkSize(**{key: self.config[key] for key in _SIZE}, targets=self.targets)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(seed, 0, "crystal_graph weights"))
            network = CrystalNetwork(size)
        seen, limits = _seen(store, train)
        if old is None:
            self.elements, self.limits = seen, limits
            centre = np.nanmean(truth[train], axis=0)
            spread = np.nanmean(np.abs(truth[train] - centre), axis=0)
            self.scaling = np.stack([centre, np.where(spread > 1e-9, spread, 1.0)]).astype(np.float32).astype(float)
        else:
            columns = [old.size.targets.index(target) for target in self.targets]
            network.take(old, columns)
            self.scaling = self.scaling[:, columns]
            self.elements = self.elements + seen
            self.limits = np.array([max(self.limits[0], limits[0]), min(self.limits[1], limits[1])])
        self.spreads = [np.full((2, 1), 1e-9) for _ in self.targets]  # as stated
        return network

    def _calibrate(self, store: GraphStore, truth: np.ndarray, index: np.ndarray) -> None:
        value, std = self._infer([store[int(i)] for i in index])
        for k in range(len(self.targets)):
            known = np.isfinite(truth[index, k])
            if known.any():
                self.spreads[k] = fit_spread(value[known, k] - truth[index, k][known], std[known, k])

    def _choose(self, name: str) -> None:
        if name not in self.targets:
            raise InputError(
                f"these weights of {self.name} know no property {name!r}", f"allowed: {', '.join(self.targets)}"
            )
        self.property = name

    def _arrays(self) -> dict[str, np.ndarray]:
        weights = {f"network.{k}": v.float().numpy() for k, v in self.network.state_dict().items()}
        return {
            **weights,
            "scaling": self.scaling,
            **{f"spread.{k}": knots for k, knots in enumerate(self.spreads)},
            "elements": self.elements,
            "limits": self.limits,
        }

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        size = NetworkSize(**{key: self.config[key] for key in _SIZE}, targets=self.targets)
        self.network = CrystalNetwork(size).double().eval()
        weights = {k.removeprefix("network."): v for k, v in arrays.items() if k.startswith("network.")}
        self.network.load_state_dict({k: torch.from_numpy(v).double() for k, v in weights.items()})
        self.scaling, self.spreads = arrays["scaling"], [arrays[f"spread.{k}"] for k in range(len(self.targets))]
        self.elements, self.limits = arrays["elements"], arrays["limits"]
        if not set(self.targets) <= UNITS.keys() or self.scaling.shape != (2, len(self.targets)):
            raise CheckpointError(f"the card's targets {self.targets} do not fit the weights", "train them again")


def _formula(crystal: Crystal) -> str:
    unknown = [symbol for symbol in crystal.species if symbol not in NUMBER]
    if unknown:
        return f"unknown element {unknown[0]}"
    numbers, counts = np.unique([NUMBER[symbol] for symbol in crystal.species], return_counts=True)
    return reduced(numbers, counts)


def _seen(store: GraphStore, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    seen, most, shortest = np.zeros(119, dtype=np.int64), 0, np.inf
    for i in train:
        graph = store[int(i)]
        seen[np.unique(graph.numbers)] += 1
        most, shortest = max(most, len(graph)), min(shortest, float(graph.distance.min()))
    return seen, np.array([most, shortest])


def _hold_out(formulas: Sequence[str], index: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    names = np.array(sorted(set(formulas)))
    held = stream(seed, 0, "crystal_graph hold-out").permutation(names)[: int(HELD_OUT * len(names))]
    outside = np.isin(np.array(formulas), held)
    return index[~outside], index[outside]
