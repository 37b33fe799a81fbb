"""Train an oracle by name and judge it on rows it has not seen; formulas are never torn between parts."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any, cast

import numpy as np

from aldesign.datasets.cleaning import folds_by_formula, split_by_formula
from aldesign.errors import InputError, InterruptedRunError
from aldesign.protocols import Oracle, TrainableOracle
from aldesign.records import Candidate, LabelledRow, OracleCard, Table
from aldesign.registry import oracle_class

Progress = Callable[[str], None]
CARD = "card.json"
CHECKPOINT = "checkpoint"


def new_oracle(name: str, options: Mapping[str, Any] | None = None) -> TrainableOracle:
    """Return an untrained oracle called `name`; `options` go to its constructor.

    Raises:
        InputError: There is no such oracle, it cannot be trained, or it refuses an option.

    """
    # An oracle's constructor is its own business, which no protocol describes.
    kind = cast(Callable[..., Any], oracle_class(name))
    if not hasattr(kind, "fit"):
        raise InputError(f"oracle {name!r} does not learn: it is looked up or told", "choose a trainable one")
    try:
        return cast(TrainableOracle, kind(**(options or {})))
    except TypeError as error:
        raise InputError(f"oracle {name!r} refused its options {dict(options or {})!r}: {error}") from error


def train_oracle(
    name: str,
    table: Table,
    out: Path,
    *,
    seed: int = 0,
    validation_fraction: float = 0.1,
    options: Mapping[str, Any] | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> OracleCard:
    """Train an oracle on a table and write weights and card to `out`; return its card.

    A share of the formulas is held for early stopping and for calibrating the uncertainty. Work that was
    interrupted goes on from ``out/checkpoint`` when the same call is made again.

    Raises:
        InputError: `out` holds finished weights and `force` is False, or there are too few rows.
        InterruptedRunError: Ctrl-C; what was done so far is kept.

    """
    refuse_finished(out, force)
    oracle = new_oracle(name, options)
    train, validation = divide(table.rows, validation_fraction, seed)
    checkpoint = out / CHECKPOINT
    try:
        oracle.fit(train, validation, seed=seed, checkpoint=checkpoint, progress=progress)
    except KeyboardInterrupt as error:
        kept = checkpoint.is_dir() and any(checkpoint.iterdir())
        state = f"what was learnt so far is in {checkpoint}" if kept else "nothing was kept yet"
        raise InterruptedRunError(
            f"training was interrupted; {state}", "give the same command again to go on"
        ) from error
    describe = getattr(oracle, "describe", None)
    if callable(describe):
        describe(origin=table.origin)
    oracle.save(out)
    shutil.rmtree(checkpoint, ignore_errors=True)
    return oracle.card


def refuse_finished(out: Path, force: bool) -> None:
    """Raise InputError where `out` already holds finished weights, or is a file."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file", "give a folder")
    if (out / CARD).exists() and not force:
        raise InputError(f"{out} already holds finished weights", "give another --out, or --force to replace them")


def divide(
    rows: Sequence[LabelledRow], validation_fraction: float, seed: int
) -> tuple[list[LabelledRow], list[LabelledRow]]:
    """Return training and validation rows, disjoint by formula.

    Raises:
        InputError: The share is not in [0, 1), or leaves no training rows.

    """
    if not 0.0 <= validation_fraction < 1.0:
        raise InputError(f"validation fraction {validation_fraction:g}", "allowed: from 0 to below 1")
    formulas = [row.formula for row in rows]
    train, validation = split_by_formula(formulas, (1.0 - validation_fraction, validation_fraction), seed)
    if not len(train):
        raise InputError(f"{len(rows)} rows are too few to hold {validation_fraction:g} of them back", "give more rows")
    return [rows[i] for i in train], [rows[i] for i in validation]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Predictions of rows that were not learnt from, n of each, in the unit of the labels.

    Attributes:
        rows: The rows.
        mean: Predicted values, shape (n,); NaN where the oracle gave an error.
        std: Stated standard deviations, shape (n,); NaN where none is stated.
        baseline: What the mean of the training labels would have said, shape (n,); NaN where nothing was trained.
        fold: Which fold tested the row, shape (n,); 0 without folds.
        errors: The oracle's reason where there is no value, empty elsewhere.
        unit: Unit of all of them.

    """

    rows: tuple[LabelledRow, ...]
    mean: np.ndarray
    std: np.ndarray
    baseline: np.ndarray
    fold: np.ndarray
    errors: tuple[str, ...]
    unit: str

    @property
    def truth(self) -> np.ndarray:
        """The labels, shape (n,)."""
        return np.array([row.value for row in self.rows], dtype=np.float64)

    def figures(self) -> list[dict[str, Any]]:
        """Return the figures of merit of all rows, of metals and non-metals apart, of each fold, of the baseline."""
        truth, answered = self.truth, np.isfinite(self.mean)
        groups = {"all": np.ones(len(truth), dtype=bool)}
        if self.unit == "eV" and (truth > 0).any() and (truth <= 0).any():
            groups |= {"non-metals": truth > 0, "metals": truth <= 0}
        if (folds := np.unique(self.fold)).size > 1:
            groups |= {f"fold {i + 1}": self.fold == i for i in folds.tolist()}
        found = []
        for name, mask in groups.items():
            use = mask & answered
            found.append(
                {
                    "group": name,
                    "failed": int((mask & ~answered).sum()),
                    **figures(truth[use], self.mean[use], self.std[use]),
                }
            )
        if np.isfinite(self.baseline).all():
            guess = figures(truth, self.baseline, np.full(len(truth), np.nan))
            found.append({"group": "baseline: mean of the training labels", "failed": 0, **guess})
        return found


def figures(truth: np.ndarray, mean: np.ndarray, std: np.ndarray) -> dict[str, Any]:
    """Return the figures of merit of n predictions; None where one cannot be told.

    ``coverage_68`` and ``coverage_95`` are the shares of truths within the central normal intervals that should hold
    68 and 95 %; ``miscalibration_area`` is the area between the curve of observed over nominal coverage and
    the diagonal: 0 is honest, 0.5 the worst.

    Args:
        truth: Labels, shape (n,).
        mean: Predictions, shape (n,).
        std: One standard deviation each, shape (n,); NaN where none is stated.

    """
    names = ("mae", "rmse", "r2", "coverage_68", "coverage_95", "miscalibration_area")
    found: dict[str, Any] = {"rows": len(truth), **dict.fromkeys(names)}
    if not len(truth):
        return found
    error = np.abs(mean - truth)
    found["mae"] = round(float(error.mean()), 4)
    found["rmse"] = round(float(np.sqrt((error**2).mean())), 4)
    spread = float(((truth - truth.mean()) ** 2).sum())
    if spread > 0:
        found["r2"] = round(1.0 - float((error**2).sum()) / spread, 4)
    stated = np.isfinite(std)
    if stated.any():
        levels = np.linspace(0.0, 1.0, 101)[1:-1]
        reach = np.array([NormalDist().inv_cdf((1.0 + level) / 2.0) for level in (0.68, 0.95, *levels)])
        held = (error[stated] <= reach[:, None] * std[stated]).mean(axis=1)
        found["coverage_68"], found["coverage_95"] = round(float(held[0]), 4), round(float(held[1]), 4)
        found["miscalibration_area"] = round(float(np.abs(held[2:] - levels).mean()), 4)
    return found


def evaluate_on(oracle: Oracle, rows: Sequence[LabelledRow]) -> Evaluation:
    """Return what a ready oracle predicts for labelled rows."""
    mean, std, errors = _answers(oracle, rows)
    nothing = np.full(len(rows), np.nan)
    return Evaluation(tuple(rows), mean, std, nothing, np.zeros(len(rows), dtype=int), errors, oracle.card.unit)


def evaluate_fitted(
    name: str,
    train: Sequence[LabelledRow],
    test: Sequence[LabelledRow],
    *,
    seed: int = 0,
    validation_fraction: float = 0.1,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Train a fresh oracle on `train` and return what it predicts for `test`."""
    oracle = new_oracle(name, options)
    learn, hold = divide(train, validation_fraction, seed)
    oracle.fit(learn, hold, seed=seed, progress=progress)
    mean, std, errors = _answers(oracle, test)
    guess = np.full(len(test), np.mean([row.value for row in train]))
    return Evaluation(tuple(test), mean, std, guess, np.zeros(len(test), dtype=int), errors, oracle.card.unit)


def cross_validate(
    name: str,
    rows: Sequence[LabelledRow],
    k: int,
    *,
    seed: int = 0,
    validation_fraction: float = 0.1,
    options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Train `k` fresh oracles, each on all folds but one, and return what each predicts for its own.

    Raises:
        InputError: There are fewer distinct formulas than folds, or the oracle cannot be trained.

    """
    mean, std, guess = (np.full(len(rows), np.nan) for _ in range(3))
    fold = np.zeros(len(rows), dtype=int)
    errors = [""] * len(rows)
    unit = ""
    for i, (train, test) in enumerate(folds_by_formula([row.formula for row in rows], k, seed)):
        if progress is not None:
            progress(f"fold {i + 1} of {k}: {len(train)} rows to learn from, {len(test)} to predict")
        part = evaluate_fitted(
            name,
            [rows[j] for j in train],
            [rows[j] for j in test],
            seed=seed,
            validation_fraction=validation_fraction,
            options=options,
            progress=progress,
        )
        mean[test], std[test], guess[test], fold[test], unit = part.mean, part.std, part.baseline, i, part.unit
        for j, error in zip(test.tolist(), part.errors, strict=True):
            errors[j] = error
    return Evaluation(tuple(rows), mean, std, guess, fold, tuple(errors), unit)


def _answers(oracle: Oracle, rows: Sequence[LabelledRow]) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    from aldesign.predict import ask

    answers = ask(oracle, [Candidate(row.formula, crystal=row.crystal) for row in rows])
    mean = np.array([np.nan if a.value is None else a.value for a in answers], dtype=np.float64)
    std = np.array([np.nan if a.std is None else a.std for a in answers], dtype=np.float64)
    return mean, std, tuple(a.error for a in answers)
