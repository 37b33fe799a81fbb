"""Train one screening model on one split of one sample, and judge it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aldesign.datasets.cleaning import split_by_formula
from aldesign.errors import InputError
from aldesign.fitting import new_oracle
from aldesign.judging import evaluate_on, figures
from aldesign.protocols import TrainableOracle
from aldesign.records import LabelledRow
from aldesign.reproduce.paper import SHARES
from aldesign.seeds import torch_seed

FORMATION_ENERGY = "stoichiometry_graph_eform"
STARTS = (FORMATION_ENERGY, "nothing")
"""What the graph may start from. Shipped gap weights are none of them: they have seen rows of the test."""

_FOREST = {"trees": 200, "min_decrease": 0.0}  # on a few hundred rows every leaf counts
MODELS: Mapping[str, Mapping[str, Any]] = {"random_forest": _FOREST, "stoichiometry_graph": {"members": 1}}
ORACLES: Mapping[str, Mapping[str, Any]] = {"random_forest": {"trees": 100}, "stoichiometry_graph": {"members": 1}}
LEAST_ROWS = 10


def settings(model: str, *, oracle: bool, start: str = FORMATION_ENERGY, epochs: int | None = None) -> dict[str, Any]:
    """Return the settings of a model: on the small samples, or as the oracle on the full table.

    Raises:
        InputError: The model or what it starts from is not one of these.

    """
    if model not in MODELS:
        raise InputError(f"{model!r} is no screening model of these experiments", f"allowed: {', '.join(MODELS)}")
    if start not in STARTS:
        raise InputError(f"the graph cannot start from {start!r} here", f"allowed: {', '.join(STARTS)}")
    chosen = dict((ORACLES if oracle else MODELS)[model])
    if model == "stoichiometry_graph":
        chosen["start"] = start
        if oracle and epochs is not None:
            chosen["epochs"] = epochs
    return chosen


def divide(
    rows: Sequence[LabelledRow], seed: int, repeat: int
) -> tuple[list[LabelledRow], list[LabelledRow], list[LabelledRow]]:
    """Return training, validation and hold-out rows, 60/20/20, disjoint by formula.

    Raises:
        InputError: There are fewer than `LEAST_ROWS` rows.

    """
    if len(rows) < LEAST_ROWS:
        raise InputError(f"{len(rows)} rows cannot be divided 60/20/20", f"give {LEAST_ROWS} or more")
    parts = split_by_formula([row.formula for row in rows], SHARES, torch_seed(seed, repeat, "reproduce split"))
    train, validation, hold = ([rows[i] for i in part] for part in parts)
    return train, validation, hold


def train_and_judge(
    model: str,
    options: Mapping[str, Any],
    rows: Sequence[LabelledRow],
    test: Sequence[LabelledRow],
    *,
    seed: int,
    repeat: int,
    checkpoint: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> tuple[TrainableOracle, dict[str, Any]]:
    """Return a model that learnt from one split, and its errors on the hold-out part and on `test`.

    Args:
        model: Entry-point name.
        options: Its settings.
        rows: The sample.
        test: Rows in no sample.
        seed: Of the split and the training.
        repeat: Which of the splits.
        checkpoint: Folder of the training, to go on after a kill.
        progress: Takes lines of text.

    """
    train, validation, hold = divide(rows, seed, repeat)
    oracle = new_oracle(model, options)
    # networks derive the seeds of torch from it, and numpy wants no more than 63 bits
    own = torch_seed(seed, repeat, "reproduce training") >> 1
    oracle.fit(train, validation, seed=own, checkpoint=checkpoint, progress=progress)
    found: dict[str, Any] = {"rows": len(rows), "train": len(train), "validation": len(validation), "hold": len(hold)}
    for prefix, part in (("", hold), ("test_", test)):
        judged = evaluate_on(oracle, part)
        told = figures(judged.truth, judged.mean, judged.std)
        found |= {prefix + key: told[key] for key in ("r2", "mae", "rmse")}
    return oracle, found
