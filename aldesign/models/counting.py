"""What is counted of formulas that a generative model reads or makes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from aldesign.chemistry.formula import parse_many
from aldesign.chemistry.neutrality import valid_mask
from aldesign.chemistry.onehot import decode_indices

Parts = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Rows of counts (n, 103) to train on, for validation, and held out."""
Progress = Callable[[str], None] | None


def decoded(table: np.ndarray) -> list[str]:
    """Return the canonical formulas of rows of counts (n, 103), without the empty ones."""
    return [formula for formula in decode_indices(table) if formula is not None]


def validity(table: np.ndarray) -> np.ndarray:
    """Return whether each row of counts (n, 103) is a formula and passes SMACT's test, bool (n,)."""
    valid = np.zeros(len(table), dtype=bool)
    formed = np.flatnonzero(table.any(axis=1))
    valid[formed] = valid_mask(parse_many(decoded(table[formed]))[0])
    return valid


def share(mask: np.ndarray | np.bool) -> float:
    """Return the share of true values, to four digits; 0 for none at all."""
    return round(float(np.mean(mask)), 4) if np.size(mask) else 0.0


def element_shares(table: np.ndarray) -> np.ndarray:
    """Return each element's share of all the occurrences of elements in counts (n, 103), float64 (103,)."""
    occurrences = (table > 0).sum(axis=0)
    return np.asarray(occurrences / max(int(occurrences.sum()), 1))


def distribution(table: np.ndarray) -> dict[str, float]:
    """Return the share of formulas with 1, 2, … elements."""
    n = (table > 0).sum(axis=1)
    return {str(k): round(float((n == k).mean()), 4) for k in range(1, int(n.max(initial=0)) + 1)}
