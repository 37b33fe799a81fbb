"""Train an oracle by name, and write weights whose card says from what, how well and at what cost."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, cast

from aldesign.cards import CARD, LEARNT
from aldesign.chemistry.sketch import FormulaSketch
from aldesign.datasets.cleaning import split_by_formula
from aldesign.errors import InputError, InterruptedRunError
from aldesign.judging import card_metrics, evaluate_on
from aldesign.protocols import TrainableOracle
from aldesign.records import LabelledRow, OracleCard, Table
from aldesign.registry import oracle_class

Progress = Callable[[str], None]
CHECKPOINT = "checkpoint"
_SOFTWARE = ("aldesign", "torch", "scikit-learn", "numpy")


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
    test_fraction: float = 0.0,
    options: Mapping[str, Any] | None = None,
    origin: str = "",
    licence: str = "",
    force: bool = False,
    progress: Progress | None = None,
) -> OracleCard:
    """Train an oracle on a table and write weights and card to `out`; return its card.

    A share of the formulas is held for early stopping and for calibrating the uncertainty, and another one, where
    it is wanted, for the figures ``metrics: test`` of the card. The card tells how to divide the table again. Work
    that was interrupted goes on from ``out/checkpoint`` when the same call is made again.

    Args:
        name: Entry-point name.
        table: The labelled rows.
        out: Folder for weights, card, and a sketch of the formulas learnt from.
        seed: Of the split and the training.
        validation_fraction: Share of the formulas for early stopping and calibration.
        test_fraction: Share of the formulas that are only predicted, at the end.
        options: Settings of the oracle.
        origin: Where the data come from; the file where empty.
        licence: Under which terms they are used.
        force: Replace finished weights.
        progress: Takes lines of text.

    Raises:
        InputError: `out` holds finished weights and `force` is False, or there are too few rows.
        InterruptedRunError: Ctrl-C; what was done so far is kept.

    """
    refuse_finished(out, force)
    oracle = new_oracle(name, options)
    train, validation, test = divide(table.rows, validation_fraction, seed, test_fraction)
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
        told = dict(oracle.card.training)
        if test:
            metrics = {**told.get("metrics", {}), "test": card_metrics(evaluate_on(oracle, test))}
            told["metrics"] = metrics
        counts = {"train": len(train), "validation": len(validation), "test": len(test), "seed": seed}
        shares = _shares(validation_fraction, test_fraction)
        describe(
            **{key: told[key] for key in ("metrics",) if key in told},
            data={**told.get("data", {}), "refused": len(table.bad), "notes": list(table.notes)},
            split={**counts, **told.get("split", {}), "by": "formula", "fractions": shares, "rule": RULE},
            origin=origin or table.origin,
            licence=licence or "not stated",
            peak_memory_gib=peak_memory_gib(),
            software=_software(),
        )
    oracle.save(out)
    sketch = FormulaSketch.build([row.formula for row in (*train, *validation)], card={"about": LEARNT_ABOUT})
    sketch.save(out / LEARNT)
    shutil.rmtree(checkpoint, ignore_errors=True)
    return oracle.card


RULE = (
    "aldesign.datasets.cleaning.split_by_formula(formulas, fractions, seed): "
    "the distinct canonical formulas, sorted, in a random order of the seed; all rows of one lie in one part"
)
LEARNT_ABOUT = "formulas that these weights were trained, stopped and calibrated on"


def refuse_finished(out: Path, force: bool) -> None:
    """Raise InputError where `out` already holds finished weights, or is a file."""
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file", "give a folder")
    if (out / CARD).exists() and not force:
        raise InputError(f"{out} already holds finished weights", "give another --out, or --force to replace them")


def divide(
    rows: Sequence[LabelledRow], validation_fraction: float, seed: int, test_fraction: float = 0.0
) -> tuple[list[LabelledRow], list[LabelledRow], list[LabelledRow]]:
    """Return training, validation and test rows, disjoint by formula.

    Raises:
        InputError: A share is not in [0, 1), or they leave no training rows.

    """
    for what, share in (("validation", validation_fraction), ("test", test_fraction)):
        if not 0.0 <= share < 1.0:
            raise InputError(f"{what} fraction {share:g}", "allowed: from 0 to below 1")
    if validation_fraction + test_fraction >= 1.0:
        both = f"{validation_fraction:g} for validation and {test_fraction:g} for the test"
        raise InputError(f"fractions {both} leave nothing to train on", "give smaller shares")
    shares = _shares(validation_fraction, test_fraction)
    parts = split_by_formula([row.formula for row in rows], shares, seed)
    train, validation, test = ([rows[i] for i in part] for part in parts)
    held = validation_fraction + test_fraction
    if not train:
        raise InputError(f"{len(rows)} rows are too few to hold {held:g} of them back", "give more rows")
    if test_fraction and not test:
        raise InputError(f"{len(rows)} rows are too few for a test part of {test_fraction:g}", "give more rows")
    return train, validation, test


def _shares(validation_fraction: float, test_fraction: float) -> list[float]:
    return [round(1.0 - validation_fraction - test_fraction, 12), validation_fraction, test_fraction]


def peak_memory_gib() -> float | None:
    """Return the most memory that this process has held so far in GiB, or None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30, 2)


def _software() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in _SOFTWARE:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
