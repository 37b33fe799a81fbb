"""Several oracles that answer together, each counted by how well it does on rows that none was trained on."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from aldesign.errors import CheckpointError, InputError, OracleError
from aldesign.records import Candidate, LabelledRow, OracleCard, Prediction
from aldesign.registry import oracle_class
from oracles.calibration import Calibration
from oracles.common import (
    TRAINING_KEYS,
    Progress,
    TrainedOracle,
    labels,
    rows_digest,
    training_level,
)
from oracles.levels import shipped_weights
from oracles.meaning import seal, unseal
from oracles.members import FOLDER, SHIPPED_MODEL, Member, agreement, parse
from oracles.metrics import error_metrics
from oracles.mixture import Mixture, learn_weights, mix
from oracles.panel import Panel
from oracles.settings import UNITS

LEAST_SHARE = 0.04  # of the weights; were less to answer, the std is as for this: five times as large
DEFAULT_MEMBERS = ("stoichiometry_graph", "dense", "random_forest")


class EnsembleOracle(TrainedOracle):
    """A weighted mixture of any oracles of one property and one level of theory.

    Mean and variance are those of the mixture of the members' normal distributions (law of total variance), and
    the standard deviation is then calibrated where the ensemble was fitted.

    A member that cannot answer for a candidate (it needs a crystal and there is none, it lacks the formula) leaves
    it to the others: their weights are scaled to sum one, the std is divided by the root of the share of the weights
    that answered (but not more than fivefold), and ``in_domain`` is False. An answer is in the domain when every
    member answered, none says that it was asked beyond its data, and at least one says that it was not. Only a
    candidate for which no member has an answer gets an error.

    Setting: ``members``, a list of oracles, each a name or a mapping with ``kind`` (the name), ``model`` (a folder
    of weights, or ``shipped``), ``weight`` (for all members, or for none: then weights are learned, or equal where
    nothing is fitted) and that oracle's own options. When the ensemble is trained, a member with a ``model`` is
    taken as it stands, as is one that cannot learn; the others are trained on the same rows.
    """

    name = "ensemble"
    description = "Weighted mixture of several oracles"
    defaults: ClassVar[Mapping[str, Any]] = {"members": DEFAULT_MEMBERS}

    def __init__(self, property: str = "band_gap", **config: Any) -> None:  # noqa: A002 (the card's word)
        super().__init__(property, **config)
        self.members: list[Member] = parse(self.config["members"])
        self.weights = _given_weights(self.members)

    @property
    def card(self) -> OracleCard:
        """Return what the ensemble predicts; it needs structures where any member does."""
        needs = {
            getattr(oracle_class(m.kind) if m.oracle is None else m.oracle.card, "needs", "") for m in self.members
        }
        names = ", ".join(member.kind for member in self.members)
        return replace(
            super().card,
            needs="structure" if "structure" in needs else "formula",
            description=f"{self.description}: {names}",
        )

    @classmethod
    def load(cls, directory: Path | None = None, **options: Any) -> Self:
        """Return the ensemble stored in `directory`, one made of ready `members`, or the shipped one.

        Args:
            directory: Folder written by `save`.
            options: ``members`` as in the class, instead of a folder: each is loaded from its ``model``, or as it
                is shipped. ``level``: the level of theory; of several shipped ensembles, or of each member.
                ``property``: what it must predict.

        Raises:
            InputError: An option is unknown, members disagree, or the ensemble is of another property or level.
            CheckpointError: The folder lacks weights, or a member is not the one that the ensemble was fitted with.

        """
        unknown = sorted(options.keys() - {"members", "level", "property"})
        if unknown:
            raise InputError(f"{cls.name} has no option {unknown[0]!r}", "allowed: members, level, property")
        members, level = options.get("members"), options.get("level")
        if members is None:
            oracle = cls._stored(shipped_weights(cls.name, level) if directory is None else Path(directory))
        elif directory is not None:
            raise InputError(f"{cls.name} got members and the folder {directory}", "give one of them")
        else:
            oracle = cls._assembled(members, level)
        for what, wanted, got in (
            ("level", level, oracle.level),
            ("property", options.get("property"), oracle.property),
        ):
            if wanted is not None and wanted != got:
                raise InputError(f"this {cls.name} has {what} {got}, not {wanted}", "choose other members or weights")
        return oracle

    @classmethod
    def _assembled(cls, given: object, level: str | None) -> Self:
        """Return an ensemble of ready members, which are calibrated each by itself."""
        oracle = cls(members=given)
        for member in oracle.members:
            member.load(level)
            if member.learns:
                member.model = SHIPPED_MODEL
        oracle.property, oracle.level = agreement(oracle.members)
        oracle.calibration = Calibration.identity(negative=oracle.property != "band_gap")
        oracle.fitted = True
        entries = [member.entry(weight) for member, weight in oracle._weighted()]
        oracle._digest = hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()[:16]
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
        """Train the members on `train`; learn weights and calibrate on `validation`; return self.

        Weights that the settings give stay as they are. The second and further members of a kind have a seed of
        their own. Each member keeps a checkpoint of its own.

        Raises:
            InputError: There are no rows, they mix levels of theory, or members predict something else.

        """
        started = time.monotonic()
        self.level = training_level([*train, *validation])
        if not train and any(member.learns for member in self.members):
            raise InputError(f"{self.name} was given no rows to train on", "give at least one")
        self._prepare()
        seconds = 0.0
        kinds: list[str] = []
        for number, member in enumerate(self.members):
            if member.learns:
                began, own = time.monotonic(), seed + kinds.count(member.kind)
                place = checkpoint / f"{number}_{member.kind}" if checkpoint else None
                member.train(self.property, train, validation, own, place, self._told(number, progress))
                spent = member.ready.card.training.get("training_seconds")
                seconds += float(spent) - (time.monotonic() - began) if spent is not None else 0.0
            kinds.append(member.kind)
        agreement(self.members)
        self.fitted, self._digest = True, ""
        self.recalibrate(validation)
        rows = [*train, *validation]
        self.training = {
            "data": {"rows": len(rows), "digest": rows_digest(rows)},
            "split": {"train": len(train), "validation": len(validation), "seed": seed},
            "training_seconds": round(max(seconds, 0.0) + time.monotonic() - started, 3),
        }
        if validation:
            self.evaluate(validation, "validation")
        return self

    def _prepare(self) -> None:
        """Load the members that are not trained, and see that none will predict something else than the rows hold."""
        for number, member in enumerate(self.members, start=1):
            if not member.learns:
                member.load(self.level)
                card = member.ready.card
            else:
                card = replace(member.untrained(self.property).card, level=self.level)
            if (card.property, card.level) != (self.property, self.level):
                raise InputError(
                    f"member {number} of the ensemble, {member.kind!r}, predicts {card.property} at level "
                    f"{card.level}, the rows hold {self.property} at level {self.level}",
                    "give it options or a model that agree, or leave it out",
                )

    def recalibrate(self, rows: Sequence[LabelledRow]) -> None:
        """Learn the weights, where none were given, and fit the std, on rows that no member was trained on.

        With too few rows the weights are equal, and the std is that of the mixture.
        """
        self.weights, self._digest = _given_weights(self.members), ""
        panel, truth = self._ask_rows(rows), labels(rows)
        if self.members[0].weight is None:
            importance = np.full(len(truth), 1.0 / max(len(truth), 1))
            open_ = truth > 0
            if self.property == "band_gap" and open_.any():
                # as many metals as there are would else decide alone how good an ensemble is
                importance += open_ / open_.sum()
            self.weights = learn_weights(panel.values, truth, importance)
        found = mix(panel.values, panel.stds, self.weights)
        kept = panel.complete & np.isfinite(found.std)
        negative = self.property != "band_gap"
        self.calibration = Calibration.fit(truth[kept], found.value[kept], found.std[kept], negative=negative)

    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        """Return one prediction per candidate, in order; an error only where no member has an answer."""
        self._require_fitted()
        started = time.monotonic()
        panel = Panel.ask(self.members, candidates)
        found = mix(panel.values, panel.stds, self.weights)
        numbers = zip(
            self.calibration.answer(found.value).tolist(), self._std(found).tolist(), panel.domain(), strict=True
        )
        card, share = self.card, (time.monotonic() - started) / max(len(candidates), 1)
        answers = []
        for i, (value, std, inside) in enumerate(numbers):
            if math.isfinite(value):
                stated = std if math.isfinite(std) else None
                answers.append(Prediction(value, stated, card.unit, card.identity, card.level, inside, share))
            else:
                answers.append(Prediction.failed(card, panel.reason(i), share))
        return answers

    def evaluate(self, rows: Sequence[LabelledRow], name: str = "test") -> dict[str, float]:
        """Return the metrics of `error_metrics` on `rows`, and keep them in the card, with those of each member.

        Raises:
            OracleError: No member could answer for a row.

        """
        panel, truth = self._ask_rows(rows), labels(rows)
        found = mix(panel.values, panel.stds, self.weights)
        for i in np.flatnonzero(~np.isfinite(found.value)).tolist():
            raise OracleError(f"{rows[i].formula} (line {rows[i].line}) could not be predicted: {panel.reason(i)}")
        std = self._std(found)
        metrics = error_metrics(truth, self.calibration.answer(found.value), std if np.isfinite(std).all() else None)
        each = {}
        for number, (kind, value, sigma) in enumerate(zip(panel.kinds, panel.values, panel.stds, strict=True), start=1):
            answered = np.isfinite(value)
            if answered.any():
                stated = sigma[answered] if np.isfinite(sigma[answered]).all() else None
                each[f"{number} {kind}"] = error_metrics(truth[answered], value[answered], stated)
        kept = {**self.training.get("metrics", {}), name: metrics, f"{name}_of_each_member": each}
        self.training = {**self.training, "metrics": kept}
        return metrics

    def save(self, directory: Path) -> None:
        """Write weights, card and a subfolder for each member; shipped members are only referred to.

        The weights file names every member by its digest and the digests of its files, and `load` refuses others.

        Raises:
            OracleError: The ensemble was never fitted.

        """
        from aldesign.learning.checkpoint import digest, save_weights  # loads torch

        self._require_fitted()
        entries = [member.store(directory, i, w) for i, (member, w) in enumerate(self._weighted())]
        unit = UNITS[self.property]
        card: dict[str, Any] = {
            "class": type(self).__name__,
            "version": self.version,
            "property": self.property,
            "unit": unit,
            "level": self.level,
            "needs": self.card.needs,
            "description": self.card.description,
            "config": {"members": entries},
            **self.training,
        }
        sealed = seal(self.property, unit, self.level, card["config"])
        save_weights(directory, {**self.calibration.arrays(), **sealed}, card)
        self._digest = digest(directory)
        kept = {f"{i}_{member.kind}" for i, member in enumerate(self.members) if "files" in entries[i]}
        for path in directory.glob(f"{FOLDER}/*"):
            if path.name not in kept and path.name.partition("_")[0].isdigit():
                shutil.rmtree(path)  # of an ensemble that was stored here before

    @classmethod
    def _stored(cls, folder: Path) -> Self:
        """Return the ensemble that `save` wrote to `folder`, with the members that it was fitted with."""
        from aldesign.learning.checkpoint import digest, load_weights  # loads torch

        tensors, card = load_weights(folder, expect_class=cls.__name__)
        arrays = unseal(str(folder), card, {name: tensor.numpy() for name, tensor in tensors.items()})
        try:
            entries = card["config"]["members"]
            oracle = cls(card["property"], members=[entry["kind"] for entry in entries])
            oracle.members = [Member.stored(folder, i, entry) for i, entry in enumerate(entries)]
            oracle.weights = np.array([entry["weight"] for entry in entries], dtype=np.float64)
            oracle.calibration = Calibration.from_arrays(arrays)
            oracle.training = {key: card[key] for key in TRAINING_KEYS if key in card}
        except InputError:
            raise
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"the weights in {folder} do not fit {cls.__name__}: {error!r}", "fit it again"
            ) from error
        oracle.level = card["level"]
        if agreement(oracle.members) != (oracle.property, oracle.level):
            raise CheckpointError(f"the members in {folder} predict something else than its card says", "fit it again")
        oracle.fitted, oracle._digest = True, digest(folder)
        return oracle

    def _ask_rows(self, rows: Sequence[LabelledRow]) -> Panel:
        return Panel.ask(self.members, [Candidate(row.formula, crystal=row.crystal) for row in rows])

    def _std(self, found: Mixture) -> np.ndarray:
        """Return calibrated standard deviations (n,), larger where members did not answer; NaN where none is known."""
        known = np.isfinite(found.std)
        std = np.full(len(known), np.nan)
        std[known] = self.calibration.std(found.value[known], found.std[known])
        std[known] /= np.sqrt(np.maximum(found.share[known], LEAST_SHARE))
        return std

    def _weighted(self) -> list[tuple[Member, float]]:
        return list(zip(self.members, self.weights.tolist(), strict=True))

    def _told(self, number: int, progress: Progress | None) -> Callable[[str], None] | None:
        if progress is None:
            return None
        kind = self.members[number].kind
        return lambda line: progress(f"member {number + 1}/{len(self.members)}, {kind}: {line}")

    def _arrays(self) -> dict[str, np.ndarray]:
        """Return no arrays: members are stored beside the ensemble, their weights in its card."""
        return {}

    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over nothing; `load` reads members and card."""


def _given_weights(members: Sequence[Member]) -> np.ndarray:
    """Return the weights (m,), of sum 1, that the settings give; equal ones where they give none."""
    given = np.array([1.0 if member.weight is None else member.weight for member in members])
    weights: np.ndarray = given / given.sum()
    return weights
