"""Judge a kind of oracle by training it afresh; finished folds are kept, so that a killed judgement goes on."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.datasets.cleaning import folds_by_formula
from aldesign.errors import InputError, InterruptedRunError
from aldesign.files import write_json
from aldesign.fitting import Progress, divide, new_oracle
from aldesign.judging import Evaluation, answers
from aldesign.records import LabelledRow
from aldesign.registry import oracle_class

_CHECKPOINT = "checkpoint"


def evaluate_fitted(
    name: str,
    train: Sequence[LabelledRow],
    test: Sequence[LabelledRow],
    *,
    seed: int = 0,
    validation_fraction: float = 0.1,
    options: Mapping[str, Any] | None = None,
    keep: Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Train a fresh oracle on `train` and return what it predicts for `test`.

    Args:
        name: Entry-point name.
        train: Rows to learn from; a share of their formulas is held for early stopping and calibration.
        test: Rows to predict.
        seed: Of the split and the training.
        validation_fraction: That share.
        options: Settings of the oracle.
        keep: Folder where the work is kept, to go on after an interruption.
        progress: Takes lines of text.

    Raises:
        InputError: `keep` holds the work of another evaluation, or the oracle cannot be trained.
        InterruptedRunError: Ctrl-C; what was done so far is in `keep`.

    """
    settings = (name, seed, validation_fraction, options)
    kept = _Kept(keep, _fingerprint(settings, train, test)) if keep else None
    return _fitted(settings, train, test, kept, 0, progress)


def cross_validate(
    name: str,
    rows: Sequence[LabelledRow],
    k: int,
    *,
    seed: int = 0,
    validation_fraction: float = 0.1,
    options: Mapping[str, Any] | None = None,
    keep: Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Train `k` fresh oracles, each on all folds but one, and return what each predicts for its own.

    Arguments are those of `evaluate_fitted`.

    Raises:
        InputError: There are fewer distinct formulas than folds, `keep` holds the work of another evaluation, or
            the oracle cannot be trained.
        InterruptedRunError: Ctrl-C; finished folds are in `keep`.

    """
    mean, std, guess = (np.full(len(rows), np.nan) for _ in range(3))
    fold = np.zeros(len(rows), dtype=int)
    errors = [""] * len(rows)
    unit = ""
    settings = (name, seed, validation_fraction, options)
    folds = folds_by_formula([row.formula for row in rows], k, seed)
    kept = _Kept(keep, _fingerprint((*settings, k), rows, ())) if keep else None
    for i, (train, test) in enumerate(folds):
        if progress is not None:
            known = ", kept from before" if kept and kept.fold(i).is_file() else ""
            progress(f"fold {i + 1} of {k}: {len(train)} rows to learn from, {len(test)} to predict{known}")
        part = _fitted(settings, [rows[j] for j in train], [rows[j] for j in test], kept, i, progress)
        mean[test], std[test], guess[test], fold[test], unit = part.mean, part.std, part.baseline, i, part.unit
        for j, error in zip(test.tolist(), part.errors, strict=True):
            errors[j] = error
    return Evaluation(tuple(rows), mean, std, guess, fold, tuple(errors), unit)


def _fitted(
    settings: tuple[str, int, float, Mapping[str, Any] | None],
    train: Sequence[LabelledRow],
    test: Sequence[LabelledRow],
    kept: _Kept | None,
    number: int,
    progress: Progress | None,
) -> Evaluation:
    """Return a fold's evaluation: from what was kept, or by training."""
    if kept and (found := kept.read(number, test)) is not None:
        return found
    name, seed, share, options = settings
    oracle = new_oracle(name, options)
    learn, hold, _ = divide(train, share, seed)
    try:
        oracle.fit(learn, hold, seed=seed, checkpoint=kept.checkpoint(number) if kept else None, progress=progress)
    except KeyboardInterrupt as error:
        state = f"what was done so far is in {kept.folder}" if kept else "nothing was kept: give --out DIR for that"
        raise InterruptedRunError(
            f"the evaluation was interrupted; {state}", "give the same command again to go on"
        ) from error
    mean, std, errors = answers(oracle, test)
    guess = np.full(len(test), np.mean([row.value for row in train]))
    found = Evaluation(tuple(test), mean, std, guess, np.zeros(len(test), dtype=int), errors, oracle.card.unit)
    if kept:
        kept.write(number, found)
    return found


class _Kept:
    """The finished folds of one evaluation on disk, and the running one's checkpoint.

    Args:
        folder: Where.
        identity: What is evaluated; folds of anything else are refused.

    """

    def __init__(self, folder: Path, identity: str) -> None:
        self.folder, self.identity = folder, identity
        self._note = folder / "evaluation.json"
        if self._note.is_file():
            if self._load(self._note).get("identity") != identity:
                raise InputError(
                    f"{folder} holds the folds of an evaluation with other data, settings, seed or folds",
                    "give another --out, or --force to begin anew",
                )
        else:
            write_json(self._note, {"identity": identity})

    def fold(self, number: int) -> Path:
        """Return where a finished fold is kept."""
        return self.folder / f"fold_{number + 1:02d}.json"

    def checkpoint(self, number: int) -> Path:
        """Return the folder of a running fold's training."""
        return self.folder / f"{_CHECKPOINT}_{number + 1:02d}"

    def write(self, number: int, found: Evaluation) -> None:
        """Keep a finished fold, and drop its checkpoint."""
        numbers = {
            key: [None if value != value else value for value in getattr(found, key).tolist()]
            for key in ("mean", "std", "baseline")
        }
        write_json(self.fold(number), {**numbers, "errors": list(found.errors), "unit": found.unit})
        shutil.rmtree(self.checkpoint(number), ignore_errors=True)

    def read(self, number: int, test: Sequence[LabelledRow]) -> Evaluation | None:
        """Return a finished fold, or None where it is not there yet."""
        if not self.fold(number).is_file():
            return None
        found = self._load(self.fold(number))
        try:
            mean, std, baseline = (np.array(found[key], dtype=np.float64) for key in ("mean", "std", "baseline"))
            errors, unit = tuple(map(str, found["errors"])), str(found["unit"])
            if not len(mean) == len(std) == len(baseline) == len(errors) == len(test):
                raise ValueError(f"{len(mean)} rows instead of {len(test)}")
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{self.fold(number)} is damaged: {error}", "remove it; that fold is done again"
            ) from error
        return Evaluation(tuple(test), mean, std, baseline, np.zeros(len(test), dtype=int), errors, unit)

    @staticmethod
    def _load(path: Path) -> dict[str, Any]:
        try:
            found = json.loads(path.read_bytes())
        except ValueError as error:
            raise InputError(f"{path} is damaged: {error}", "remove it; its part is done again") from error
        return found if isinstance(found, dict) else {}


def _fingerprint(settings: tuple[Any, ...], *tables: Sequence[LabelledRow]) -> str:
    """Return the name of an evaluation: a digest of its settings and of every row, in order."""
    from aldesign import __version__

    written = (__version__, getattr(oracle_class(settings[0]), "version", ""))
    digest = hashlib.sha256(json.dumps([*written, *settings], sort_keys=True, default=str).encode())
    for rows in tables:
        for row in rows:
            crystal = row.crystal
            digest.update(f"{row.formula}\t{row.value!r}\t{row.level}\n".encode())
            if crystal is not None:
                digest.update(f"{crystal.id}{crystal.lattice}{crystal.species}".encode() + crystal.frac.tobytes())
        digest.update(b"\0")
    return digest.hexdigest()
