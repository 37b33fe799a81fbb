"""Crystal graph networks for the band gap, at several levels of theory, and for the formation energy."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from aldesign.chemistry.elements import NUMBER
from aldesign.chemistry.formula import canonical, reduced
from aldesign.errors import CheckpointError, FormulaError, InputError, StructureError
from aldesign.learning.threads import device
from aldesign.learning.training import TrainingPlan
from aldesign.records import Candidate, Crystal, LabelledRow, Prediction
from aldesign.seeds import stream, torch_seed
from aldesign.structures.graph_store import GraphStore
from aldesign.structures.graphs import CrystalGraph, build_graph, merged
from oracles.calibration import Calibration
from oracles.common import SHIPPED, Progress, TrainedOracle, labels, rows_digest, training_level
from oracles.crystal_domain import CrystalDomain
from oracles.crystal_heads import Scaling, answers, best_lean
from oracles.crystal_learning import Crystals, Examples, harvest, learn, stored
from oracles.crystal_network import OUTPUTS, CrystalNetwork, NetworkSize

HELD_OUT = 0.1  # of the formulas, where no validation rows are given
CHUNK = 2000  # crystals that are predicted together
_PLAN = ("epochs", "batch_size", "learning_rate", "weight_decay", "patience", "max_minutes")
_SIZE = ("layers", "width", "message", "centres", "cutoff")


class CrystalGraphOracle(TrainedOracle):
    """Gated convolutions over the nearest neighbours of each atom, told the composition: several networks' mean.

    It needs a crystal: a candidate without one is answered by an error that says how to get it. Where a prediction
    is in the domain, `CrystalDomain` says. Networks are evaluated in double precision, so that an answer does not
    depend on what else is asked.

    Settings: ``members``, the number of networks; ``layers``, ``width``, ``message``, ``centres`` (see
    `NetworkSize`), ``cutoff`` in Å and ``max_neighbours`` (see `build_graph`), and those of `TrainingPlan`:
    ``epochs``, ``batch_size``, ``learning_rate``, ``weight_decay``, ``patience``, ``max_minutes`` (of each network).
    The card's ``levels`` are the levels of theory that the networks know.
    """

    name = "crystal_graph"
    description = "Crystal graph convolutional networks over distances, arrangement of neighbours and composition"
    needs = "structure"
    defaults: ClassVar[Mapping[str, Any]] = {
        "levels": (),
        "members": 1,
        "layers": 4,
        "width": 128,
        "message": 64,
        "centres": 40,
        "cutoff": 6.0,
        "max_neighbours": 12,
        "epochs": 24,
        "batch_size": 64,
        "learning_rate": 2e-3,
        "weight_decay": 1e-2,
        "patience": None,
        "max_minutes": None,
    }

    networks: list[CrystalNetwork]
    scaling: Scaling
    lean: float  # how much of a gap is read from the heads that tell metals from non-metals
    calibrations: dict[str, Calibration]  # by level of theory
    domain: CrystalDomain

    def __init__(self, property: str = "band_gap", **config: Any) -> None:  # noqa: A002 (the card's word)
        super().__init__(property, **config)
        levels = self.config["levels"]
        if not isinstance(levels, list | tuple) or not all(isinstance(level, str) for level in levels):
            raise InputError(f"{self.name} got levels={levels!r}", "they follow from the training rows: leave them out")

    @property
    def known_levels(self) -> tuple[str, ...]:
        """Return the levels of theory that the networks know, in the order of their states."""
        return tuple(self.config["levels"]) or (self.level,)

    @classmethod
    def levels(cls) -> list[str]:
        """Return the levels of theory that the shipped networks know, the default first; only the card is read."""
        from aldesign.learning.checkpoint import load_card

        if not (SHIPPED / cls.name / "card.json").is_file():
            return []
        card = load_card(SHIPPED / cls.name, cls.__name__)
        first = str(card["level"])
        return [first, *(level for level in card["config"]["levels"] if level != first)]

    @classmethod
    def load(cls, directory: Path | None = None, **options: Any) -> Self:
        """Return the oracle stored in `directory`, or the shipped one where it is None.

        Args:
            directory: Folder with weights and card.
            options: ``level``: the level of theory to answer at, the card's where not given. ``property`` must be the
                card's.

        Raises:
            InputError: An option is unknown, or the networks do not know the level.
            CheckpointError: The folder lacks weights, or holds another class's.

        """
        level = options.pop("level", None)
        oracle = super().load(directory, **options)
        if level is not None and level not in oracle.known_levels:
            raise InputError(
                f"these weights of {cls.name} know no level of theory {level!r}",
                f"allowed: {', '.join(oracle.known_levels)}",
            )
        oracle._answer_at(oracle.level if level is None else level)
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

        A new oracle starts from random weights, a loaded one goes on from its own (fine-tuning), from what it knows
        of the rows' level of theory if it knows that; it answers at that level alone afterwards. Rows without a
        crystal, or with one that makes no graph, are left out and counted through `progress`. Without
        `validation`, a tenth of the formulas of `train` is held back to calibrate the std.

        Raises:
            InputError: No row has a usable crystal, or the rows mix levels of theory.

        """
        level = training_level([*train, *validation])
        rows = [row for row in (*train, *validation) if row.crystal]
        store = stored(
            [row.crystal for row in rows if row.crystal],
            float(self.config["cutoff"]),
            int(self.config["max_neighbours"]),
            checkpoint,
        )
        usable = np.flatnonzero(store.nodes() > 0)
        lost = len(train) + len(validation) - len(usable)
        if lost and progress:
            progress(f"{lost} rows without a usable crystal are left out")
        many = sum(row.crystal is not None for row in train)
        inner, outer = usable[usable < many], usable[usable >= many]
        if not len(inner):
            raise InputError(
                f"none of the {len(train)} training rows has a usable crystal",
                f"{self.name} learns from structures: give them with the rows, or run `aldesign structures`",
            )
        formulas = [row.formula for row in rows]
        if not len(outer):
            inner, outer = _hold_out(formulas, inner, seed)
        crystals = Crystals(store, formulas)
        every = Examples(np.arange(len(rows)), np.zeros(len(rows), dtype=np.int64), labels(rows))
        started = time.monotonic()
        before = self._starting_points(level)
        self.level, self.config = level, {**self.config, "levels": [level]}
        scaling = self.scaling if before else Scaling.of(every.label[inner], floored=self.property == "band_gap")
        networks, seconds = [], 0.0
        for k in range(int(self.config["members"])):
            network = self._new_network(
                seed + k, crystals.described(inner), before[k % len(before)] if before else None
            )
            history = learn(
                network.to(device("auto")),
                crystals,
                every[inner],
                every[outer],
                scaling,
                TrainingPlan(**{key: self.config[key] for key in _PLAN}, gradient_clip=5.0),
                seed=seed + k,
                device=device("auto"),
                checkpoint=checkpoint / f"member-{k}" if checkpoint else None,
                progress=progress,
            )
            networks.append(network)
            seconds += history.seconds
        domain = CrystalDomain.fit(store, inner)
        self.assemble(networks, scaling, self.domain.joined(domain) if before else domain)
        kept = [rows[i] for i in (*inner, *outer)]
        self.training = {
            "data": {"rows": len(kept), "digest": rows_digest(kept)},
            "split": {"train": len(inner), "validation": len(outer), "seed": seed},
            "training_seconds": round(seconds or time.monotonic() - started, 3),
        }
        if len(outer):
            self.calibrate(self.read(crystals, every[outer]), every[outer])
            self.evaluate([rows[i] for i in outer], "validation")
        return self

    def assemble(self, networks: Sequence[CrystalNetwork], scaling: Scaling, domain: CrystalDomain) -> None:
        """Take over trained networks of the oracle's size, as they are stored: rounded to half precision.

        The std is as stated until `calibrate` is called.
        """
        self.networks = [rounded(network.cpu()) for network in networks]
        self.scaling, self.domain, self.lean = scaling, domain, 0.5
        negative = self.property != "band_gap"
        self.calibrations = {level: Calibration.identity(negative=negative) for level in self.known_levels}
        self.fitted, self._digest = True, ""
        self._answer_at(self.level)

    def read(self, crystals: Crystals, examples: Examples) -> list[np.ndarray]:
        """Return the outputs of each network for k examples, (k, outputs); their labels are not read."""
        cpu = torch.device("cpu")
        return [harvest(network, crystals, examples, cpu, knot=None) for network in self.networks]

    def calibrate(self, outputs: Sequence[np.ndarray], held: Examples) -> None:
        """Choose how a gap is read, and calibrate the std of each level of theory.

        Args:
            outputs: What `read` gave for `held`.
            held: Examples that were not trained on.

        """
        first = held.level == 0
        if self.scaling.floored and first.any():
            self.lean = best_lean([output[first] for output in outputs], self.scaling, held.label[first])
        location, stated = answers(outputs, self.scaling, self.lean)
        for k, level in enumerate(self.known_levels):
            rows = held.level == k
            self.calibrations[level] = Calibration.fit(
                held.label[rows], location[rows], stated[rows], negative=not self.scaling.floored
            )
        self._answer_at(self.level)

    def _answer_at(self, level: str) -> None:
        self.level, self.calibration = level, self.calibrations[level]

    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        """Return one prediction per candidate, in order; one without a usable crystal gives an error."""
        self._require_fitted()
        found: list[Prediction] = []
        for i in range(0, len(candidates), CHUNK):
            found += self._predict(candidates[i : i + CHUNK])
        return found

    def predict_crystals(self, crystals: Sequence[Crystal]) -> list[Prediction]:
        """Return one prediction per crystal, in order, for callers that hold crystals and no candidates."""
        counts = [_formula(crystal) for crystal in crystals]
        return self.predict([Candidate(f, crystal=c) for f, c in zip(counts, crystals, strict=True)])

    def _predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        started = time.monotonic()
        graphs: list[CrystalGraph] = []
        formulas: list[str] = []
        positions: list[int] = []
        errors: dict[int, str] = {}
        for i, candidate in enumerate(candidates):
            try:
                formula, graph = self._read(candidate)
            except (StructureError, FormulaError) as error:
                errors[i] = str(error)
                continue
            graphs.append(graph)
            formulas.append(formula)
            positions.append(i)
        value, std, inside = np.zeros(0), np.zeros(0), np.zeros(0, dtype=bool)
        if graphs:
            crystals = Crystals(GraphStore.of([str(i) for i in positions], graphs), formulas)
            level = np.full(len(graphs), self.known_levels.index(self.level))
            asked = Examples(np.arange(len(graphs)), level, np.zeros(len(graphs)))
            value, std = answers(self.read(crystals, asked), self.scaling, self.lean)
            inside = np.array([self.domain.contains(graph) for graph in graphs])
        where = np.array(positions, dtype=np.int64)
        return self._answers(len(candidates), errors, where, value, std, inside, time.monotonic() - started)

    def _read(self, candidate: Candidate) -> tuple[str, CrystalGraph]:
        """Return the canonical formula of a candidate's crystal and its graph."""
        crystal = candidate.crystal
        if crystal is None:
            raise StructureError(
                f"{self.name} needs a crystal structure and {candidate.formula} comes without one",
                "make one with `aldesign structures`, or give a CIF or JSON-lines file",
            )
        graph = merged(build_graph(crystal, float(self.config["cutoff"]), int(self.config["max_neighbours"])))
        found, wanted = _formula(crystal), canonical(candidate.formula)
        if found != wanted:
            raise StructureError(
                f"crystal {crystal.id!r} has the composition {found}, not {wanted}", "give the crystal of the formula"
            )
        return found, graph

    def _new_network(self, seed: int, described: np.ndarray, before: CrystalNetwork | None) -> CrystalNetwork:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(torch_seed(seed, 0, f"{self.name} weights"))
            network = CrystalNetwork(self._size())
        if before is None:
            network.standardise(described)
        else:
            network.take(before)
        return network

    def _starting_points(self, level: str) -> list[CrystalNetwork]:
        """Return the networks to go on from, which know one level of theory; none where nothing was learnt yet."""
        if not self.fitted:
            return []
        known = self.known_levels.index(level) if level in self.known_levels else 0
        found = []
        for old in self.networks:
            network = CrystalNetwork(NetworkSize(**{**vars(old.size), "levels": 1}))
            network.take(old)
            with torch.no_grad():
                network.level.weight.copy_(old.level.weight[known : known + 1])
            found.append(network)
        return found

    def _size(self) -> NetworkSize:
        shape = {key: self.config[key] for key in _SIZE}
        return NetworkSize(outputs=OUTPUTS[self.property], levels=len(self.known_levels), **shape)

    def _arrays(self) -> dict[str, np.ndarray]:
        found = {
            "scaling": np.array([self.scaling.centre, self.scaling.spread], dtype=np.float32),
            "lean": np.array([self.lean], dtype=np.float32),
            **self.domain.arrays(),
        }
        for k, level in enumerate(self.known_levels):
            found |= self.calibrations[level].arrays(f"level.{k}.")
        for k, network in enumerate(self.networks):
            for name, tensor in network.state_dict().items():
                kind = np.float32 if name in network.EXACT else np.float16
                found[f"network.{k}.{name}"] = tensor.numpy().astype(kind)
        return found

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        networks = []
        for k in range(int(self.config["members"])):
            prefix = f"network.{k}."
            weights = {key.removeprefix(prefix): v for key, v in arrays.items() if key.startswith(prefix)}
            network = CrystalNetwork(self._size()).double()
            network.load_state_dict({key: torch.from_numpy(v).double() for key, v in weights.items()})
            networks.append(network.eval())
        centre, spread = arrays["scaling"].tolist()
        if self.level not in self.known_levels:
            raise CheckpointError(f"the card's level {self.level!r} is none of {self.known_levels}", "restore the card")
        self.networks = networks
        self.scaling = Scaling(centre, spread, floored=self.property == "band_gap")
        self.lean = float(arrays["lean"][0])
        self.calibrations = {
            level: Calibration.from_arrays(arrays, f"level.{k}.") for k, level in enumerate(self.known_levels)
        }
        self.domain = CrystalDomain.from_arrays(arrays)


class CrystalFormationOracle(CrystalGraphOracle):
    """The same networks for the formation energy of a crystal, in eV/atom."""

    name = "crystal_graph_eform"

    def __init__(self, property: str = "formation_energy_per_atom", **config: Any) -> None:  # noqa: A002
        super().__init__(property, **config)


def rounded(network: CrystalNetwork) -> CrystalNetwork:
    """Return the network in double precision, its weights as they are stored: rounded to half precision."""
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name not in network.EXACT:
                tensor.copy_(tensor.half())
    return network.double().eval()


def _formula(crystal: Crystal) -> str:
    unknown = [symbol for symbol in crystal.species if symbol not in NUMBER]
    if unknown:
        return f"unknown element {unknown[0]}"
    numbers, counts = np.unique([NUMBER[symbol] for symbol in crystal.species], return_counts=True)
    return reduced(numbers, counts)


def _hold_out(formulas: Sequence[str], index: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    names = np.array(sorted({formulas[i] for i in index}))
    held = stream(seed, 0, "crystal_graph hold-out").permutation(names)[: int(HELD_OUT * len(names))]
    outside = np.isin(np.array(formulas)[index], held)
    return index[~outside], index[outside]
