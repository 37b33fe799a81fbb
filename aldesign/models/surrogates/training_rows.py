"""The rows that a surrogate learns from: which are kept, whether they can be used, and their scale."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aldesign.errors import InputError


def spread(n: int, k: int) -> np.ndarray:
    """Return k of the row numbers 0..n-1, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, k).round().astype(np.int64))


def keep_rows(n: int, limit: int) -> np.ndarray:
    """Return the row numbers kept of n rows in trial order when only `limit` fit.

    The newest half of the limit is kept whole, because it lies where the campaign is looking; the other
    half is spread evenly over all older rows, so that the model does not forget the rest of the space.
    """
    if n <= limit:
        return np.arange(n)
    newest = max(1, limit // 2)
    older = spread(n - newest, limit - newest) if limit > newest else np.arange(0)
    return np.concatenate([older, np.arange(n - newest, n)])


def kept(x: np.ndarray, y: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Return the features and labels that `keep_rows` keeps, and a note if some are left out.

    Raises:
        InputError: No rows, shapes that do not match, or a value that is not finite.

    """
    x, y = np.ascontiguousarray(x, dtype=np.float64), np.ascontiguousarray(y, dtype=np.float64)
    if x.ndim != 2 or y.ndim != 1 or len(x) != len(y) or x.shape[1] == 0:
        raise InputError(f"features of shape {x.shape} and labels of shape {y.shape}", "expected (n, d) and (n,)")
    if not len(y):
        raise InputError("the surrogate was given no rows", "measure or load one labelled formula or more")
    for name, values in (("features", x), ("labels", y[:, None])):
        if not np.isfinite(values).all():
            raise InputError(f"row {_bad_row(values)} of the surrogate's {name} is not finite")
    rows = keep_rows(len(y), limit)
    if len(rows) == len(y):
        return x, y, ()
    newest = max(1, limit // 2)
    note = f"the surrogate learned from {len(rows)} of {len(y)} rows: the newest {newest} and an even spread of the"
    return x[rows], y[rows], (f"{note} older ones",)


def kept_std(std: np.ndarray | None, y: np.ndarray, limit: int) -> np.ndarray | None:
    """Return the stated standard deviations of the labels that `kept` keeps; None where none is above zero.

    Raises:
        InputError: Another number of them than of labels (n,), or one that is negative or not finite.

    """
    if std is None:
        return None
    std = np.ascontiguousarray(std, dtype=np.float64)
    if std.shape != np.shape(y) or not np.isfinite(std).all() or (std < 0).any():
        raise InputError(
            f"standard deviations of shape {std.shape} for labels of shape {np.shape(y)}",
            "give one for each label, finite and 0 or more",
        )
    return std[keep_rows(len(std), limit)] if std.any() else None


def query(x: np.ndarray, width: int) -> np.ndarray:
    """Return features (n, width) that a surrogate is asked at, in float64.

    Raises:
        InputError: Nothing was learned yet (`width` is 0), another number of features, or one that is not finite.

    """
    if not width:
        raise InputError("the surrogate has learned nothing yet", "call fit first")
    x = np.ascontiguousarray(x, dtype=np.float64)
    if x.ndim != 2 or x.shape[1] != width:
        raise InputError(f"the surrogate was asked at an array of shape {x.shape}", f"it learned from (n, {width})")
    if not np.isfinite(x).all():
        raise InputError(f"the surrogate was asked at row {_bad_row(x)}, which is not finite")
    return x


def centre_and_scale(values: np.ndarray, blocks: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of each column of (n, d), and its block's root mean variance, both (d,).

    Args:
        values: Rows of columns.
        blocks: Widths of the blocks; one whose columns are all constant has scale 1.

    """
    mean, variance = values.mean(axis=0), values.var(axis=0)
    # rounding leaves a spread of a few ulps in a constant column
    variance = np.where(variance <= np.square(1e-9 * np.maximum(np.abs(mean), 1e-3)), 0.0, variance)
    first = np.concatenate([[0], np.cumsum(blocks)[:-1]])
    shared = np.sqrt(np.add.reduceat(variance, first) / np.asarray(blocks))
    return mean, np.repeat(np.where(shared > 0, shared, 1.0), blocks)


def _bad_row(values: np.ndarray) -> int:
    return int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
