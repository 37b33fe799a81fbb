"""Features of a whole table, described once for all runs of a replay."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from aldesign.errors import FormulaError, InputError
from aldesign.replay.journal import ReplayFolder

if TYPE_CHECKING:
    from aldesign.models.surrogates.features import FeatureSpace

_CHUNK = 2048
_LONG = 5.0  # seconds of work that are worth a file


def describe(
    space: FeatureSpace,
    formulas: Sequence[str],
    kept: ReplayFolder,
    progress: Callable[[str], None] | None,
    *,
    store: bool,
) -> np.ndarray | Path:
    """Return the features of the formulas, shape (n, d); from the folder where an interrupted replay left them.

    Args:
        space: What is described.
        formulas: Of every row.
        kept: Where they are stored if they took long.
        progress: Takes a line of text.
        store: Whether to store them anyway and return the file, which worker processes can share.

    Raises:
        InputError: A formula of the table has no features.
    """
    if (stored := kept.features(len(formulas))) is not None:
        return kept.features_file if store else stored
    began = time.perf_counter()
    if progress is not None:
        progress(f"describing {len(formulas)} formulas by {' and '.join(space.names)}")
    try:
        x = np.vstack([space.describe(formulas[i : i + _CHUNK]) for i in range(0, len(formulas), _CHUNK)])
    except FormulaError as error:
        raise InputError(
            f"the table cannot be described by {', '.join(space.names)}: {error.message}",
            "take that row out of the table",
        ) from error
    if store or time.perf_counter() - began > _LONG:
        kept.store_features(x)
    return kept.features_file if store else x
