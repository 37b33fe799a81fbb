"""What the oracles share: reading candidates, answering, calibration, metrics, and weights with their card."""

from __future__ import annotations

import hashlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np

from aldesign.chemistry.formula import Compositions, canonical_many, compositions
from aldesign.errors import CheckpointError, InputError, OracleError
from aldesign.records import Candidate, LabelledRow, OracleCard, OracleIdentity, Prediction
from oracles.calibration import Calibration
from oracles.domain import CompositionDomain
from oracles.levels import SHIPPED as SHIPPED
from oracles.levels import shipped_levels, shipped_weights
from oracles.meaning import seal, unseal
from oracles.metrics import error_metrics as error_metrics
from oracles.rows import disjoint
from oracles.settings import UNITS, checked

CHUNK = 20_000
TRAINING_KEYS = (
    *("data", "split", "metrics", "training_seconds", "peak_memory_gib"),
    *("origin", "licence", "software"),
)
Progress = Callable[[str], None]


def canonical_formulas(candidates: Sequence[Candidate]) -> tuple[list[str], np.ndarray, dict[int, str]]:
    """Return the canonical formulas that could be read, their positions, and the errors by position."""
    good, positions, errors = [], [], {}
    for i, formula in enumerate(canonical_many([c.formula for c in candidates])):
        if isinstance(formula, str):
            good.append(formula)
            positions.append(i)
        else:
            errors[i] = str(formula)
    return good, np.array(positions, dtype=np.int64), errors


def training_level(rows: Sequence[LabelledRow]) -> str:
    """Return the one level of theory of `rows`.

    Raises:
        InputError: There are no rows, or they mix levels.

    """
    levels = sorted({row.level for row in rows})
    if len(levels) != 1:
        got = f"levels {', '.join(levels)}" if levels else "no rows"
        raise InputError(f"training rows must share one level of theory, got {got}", "train one oracle per level")
    return levels[0]


def labels(rows: Sequence[LabelledRow]) -> np.ndarray:
    """Return the labels of n rows, (n,) float64, in the table's unit."""
    return np.array([row.value for row in rows], dtype=np.float64)


def rows_digest(rows: Sequence[LabelledRow]) -> str:
    """Return 16 hexadecimal digits that name the rows' formulas, values and levels, whatever their order."""
    lines = sorted(f"{row.formula}\t{row.value!r}\t{row.level}" for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


class TrainedOracle(ABC):
    """An oracle with stored weights; its subclasses hold the model.

    Args:
        property: ``"band_gap"`` (never negative) or ``"formation_energy_per_atom"``.
        config: Settings of the model, as they go into the card; checked against `defaults`.

    Raises:
        InputError: The property or a setting is unknown, or a setting's type or range is wrong.

    """

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    description: ClassVar[str] = ""
    needs: ClassVar[Literal["formula", "structure"]] = "formula"
    defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, property: str = "band_gap", **config: Any) -> None:  # noqa: A002 (the card's word)
        if property not in UNITS:
            raise InputError(f"{self.name} knows no property {property!r}", f"allowed: {', '.join(UNITS)}")
        self.property = property
        self.config: dict[str, Any] = checked(self.name, self.defaults, config)
        self.level = "PBE"
        self.training: dict[str, Any] = {}
        self.calibration = Calibration.identity(negative=property != "band_gap")
        self.fitted = False
        self._digest = ""

    @property
    def card(self) -> OracleCard:
        """Return what the oracle predicts, and how it was trained."""
        return OracleCard(
            OracleIdentity(self.name, self.version, self._digest),
            self.property,
            UNITS[self.property],
            self.level,
            self.needs,
            "predict",
            self.description,
            self.training,
        )

    @classmethod
    def levels(cls) -> list[str]:
        """Return the levels of theory that the oracle is shipped for, the default first; only cards are read."""
        return list(shipped_levels(cls.name))

    @classmethod
    def load(cls, directory: Path | None = None, **options: Any) -> Self:
        """Return the oracle stored in `directory`, or the shipped one where it is None.

        Args:
            directory: Folder with weights and card.
            options: ``level`` chooses among the shipped weights; with a directory it must be the card's. ``property``
                must be the card's. Other settings are those of the card.

        Raises:
            InputError: Another option was given, there are no such weights, or they predict something else.
            CheckpointError: The folder lacks weights, holds another class's, or its card was edited.

        """
        from aldesign.learning.checkpoint import digest, load_weights  # loads torch

        unknown = sorted(options.keys() - {"level", "property"})
        if unknown:
            raise InputError(f"{cls.name} has no option {unknown[0]!r} when it is loaded", "allowed: level, property")
        folder = shipped_weights(cls.name, options.get("level")) if directory is None else Path(directory)
        tensors, card = load_weights(folder, expect_class=cls.__name__)
        arrays = unseal(str(folder), card, {name: tensor.numpy() for name, tensor in tensors.items()})
        for name, wanted in options.items():
            if wanted is not None and wanted != card.get(name):
                raise InputError(f"the weights in {folder} have {name} {card.get(name)}, not {wanted}", "load others")
        try:
            oracle = cls(card["property"], **card["config"])
            oracle.level = card["level"]
            kept = {name: arrays.pop(name) for name in oracle.calibration.arrays()}
            oracle.calibration = Calibration.from_arrays(kept)
            oracle.training = {key: card[key] for key in TRAINING_KEYS if key in card}
            oracle._restore(arrays)
        except CheckpointError:
            raise
        except (InputError, KeyError, IndexError, TypeError, ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"the weights in {folder} do not fit {cls.__name__}: {error!r}", "train them again"
            ) from error
        oracle.fitted = True
        oracle._digest = digest(folder)
        return oracle

    def save(self, directory: Path) -> None:
        """Write weights and card to `directory`.

        Raises:
            OracleError: The oracle was never trained.

        """
        from aldesign.learning.checkpoint import digest, save_weights  # loads torch

        self._require_fitted()
        unit = UNITS[self.property]
        card = {
            "class": type(self).__name__,
            "version": self.version,
            "property": self.property,
            "unit": unit,
            "level": self.level,
            "needs": self.needs,
            "description": self.description,
            "config": self.config,
            **self.training,
        }
        sealed = seal(self.property, unit, self.level, self.config)
        save_weights(directory, {**self.calibration.arrays(), **self._arrays(), **sealed}, card)
        self._digest = digest(directory)

    def describe(self, **facts: Any) -> None:
        """Add facts for the card: ``origin`` of the data, ``licence``, ``split``."""
        self.training = {**self.training, **facts}

    def evaluate(self, rows: Sequence[LabelledRow], name: str = "test") -> dict[str, float]:
        """Return the metrics of `error_metrics` on `rows`, and keep them in the card under `name`.

        Raises:
            OracleError: A row could not be predicted.

        """
        answers = self.predict([Candidate(row.formula, crystal=row.crystal) for row in rows])
        for row, answer in zip(rows, answers, strict=True):
            if not answer.ok:
                raise OracleError(f"{row.formula} (line {row.line}) could not be predicted: {answer.error}")
        mean = np.array([answer.value for answer in answers], dtype=np.float64)
        std = np.array([answer.std for answer in answers], dtype=np.float64)
        metrics = error_metrics(labels(rows), mean, std)
        self.training = {**self.training, "metrics": {**self.training.get("metrics", {}), name: metrics}}
        return metrics

    @abstractmethod
    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        """Return one prediction per candidate, in order."""

    @abstractmethod
    def _arrays(self) -> dict[str, np.ndarray]:
        """Return everything that the trained model consists of."""

    @abstractmethod
    def _restore(self, arrays: dict[str, np.ndarray]) -> None:
        """Take over what `_arrays` returned."""

    def _require_fitted(self) -> None:
        if not self.fitted:
            raise OracleError(f"{self.name} has not been trained", "load() it, or fit() it first")

    def _physical(self, mean: np.ndarray) -> np.ndarray:
        """Return `mean` with gaps kept from going below zero."""
        return np.maximum(mean, 0.0) if self.property == "band_gap" else mean

    def _answers(
        self,
        count: int,
        errors: Mapping[int, str],
        positions: np.ndarray,
        mean: np.ndarray,
        std: np.ndarray,
        in_domain: np.ndarray,
        seconds: float,
    ) -> list[Prediction]:
        """Return `count` predictions: values at `positions`, `errors` elsewhere.

        `mean`, `std` and `in_domain` have one entry per position; both numbers are calibrated here, and `seconds`,
        spent on the whole batch, is shared out evenly.
        """
        card, share = self.card, seconds / max(count, 1)
        answers = [Prediction.failed(card, errors.get(i, "no answer"), share) for i in range(count)]
        values, stds = self.calibration.answer(mean), self.calibration.std(mean, std)
        for i, value, sigma, inside in zip(
            positions.tolist(), values.tolist(), stds.tolist(), in_domain.tolist(), strict=True
        ):
            if math.isfinite(value) and math.isfinite(sigma):
                answers[i] = Prediction(value, sigma, card.unit, card.identity, card.level, bool(inside), share)
            else:
                answers[i] = Prediction.failed(card, "the model gave no finite number", share)
        return answers


class CompositionOracle(TrainedOracle):
    """A trained oracle that needs the formula alone; subclasses say how to learn and how to infer."""

    domain: CompositionDomain

    def fit(
        self,
        train: Sequence[LabelledRow],
        validation: Sequence[LabelledRow] = (),
        *,
        seed: int = 0,
        checkpoint: Path | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Learn from `train`; stop early and calibrate the std on `validation`; return self.

        A formula with several labels counts once, with their mean, and never in both parts; what was merged is told
        through `progress` and in the card.

        Raises:
            InputError: There are no rows, they mix levels of theory, or a formula is unreadable.

        """
        started = time.monotonic()
        self.level = training_level([*train, *validation])
        if not train:
            raise InputError(f"{self.name} was given no rows to train on", "give at least one")
        given = [*train, *validation]
        train, validation, merged = disjoint(train, validation)
        if merged and progress:
            progress(merged)
        inputs = compositions([row.formula for row in train])
        held = compositions([row.formula for row in validation]) if validation else inputs[:0]
        self.domain = CompositionDomain.fit(inputs)
        seconds = self._learn(inputs, labels(train), held, labels(validation), seed, checkpoint, progress)
        self.fitted = True
        self._digest = ""
        self.recalibrate(validation)
        self.training = {
            "data": {"rows": len(given), "digest": rows_digest(given), **({"merged": merged} if merged else {})},
            "split": {"train": len(train), "validation": len(validation), "seed": seed},
            "training_seconds": round(seconds or time.monotonic() - started, 3),
        }
        if validation:
            self.evaluate(validation, "validation")
        return self

    def recalibrate(self, rows: Sequence[LabelledRow]) -> None:
        """Fit the std, and how gaps near zero are answered, on rows that were not trained on.

        Fewer than ten rows leave the std as the model states it.
        """
        self._require_fitted()
        location, stated = self._infer(compositions([row.formula for row in rows])) if rows else np.zeros((2, 0))
        self.calibration = Calibration.fit(labels(rows), location, stated, negative=self.property != "band_gap")
        self._digest = ""

    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        """Return one prediction per candidate, in order; an unreadable formula gives an error."""
        self._require_fitted()
        started = time.monotonic()
        formulas, positions, errors = canonical_formulas(candidates)
        means, stds, inside = [np.zeros(0)], [np.zeros(0)], [np.zeros(0, dtype=bool)]
        for i in range(0, len(formulas), CHUNK):
            inputs = compositions(formulas[i : i + CHUNK])
            mean, std = self._infer(inputs)
            means.append(mean)
            stds.append(std)
            inside.append(self.domain.contains(inputs))
        seconds = time.monotonic() - started
        return self._answers(
            len(candidates),
            errors,
            positions,
            np.concatenate(means),
            np.concatenate(stds),
            np.concatenate(inside),
            seconds,
        )

    @abstractmethod
    def _learn(
        self,
        inputs: Compositions,
        targets: np.ndarray,
        held: Compositions,
        held_targets: np.ndarray,
        seed: int,
        checkpoint: Path | None,
        progress: Progress | None,
    ) -> float:
        """Learn; return the seconds spent, over interruptions, or 0 for the wall time."""

    @abstractmethod
    def _infer(self, inputs: Compositions) -> tuple[np.ndarray, np.ndarray]:
        """Return location (n,) and stated standard deviation (n,) of n compositions, float64.

        A gap's location may be negative; it should be where the model can tell metals apart, see `Calibration`.
        """
