"""From the standard deviations that a network states to those that its errors have."""

from __future__ import annotations

import numpy as np


def fit_spread(error: np.ndarray, stated: np.ndarray) -> np.ndarray:
    """Return stated and observed standard deviations, (2, k), of k groups of rows that were not trained on.

    A network knows which of its answers are the better ones, but not by how much they are: gaps miss by little
    or, where a metal is taken for an insulator, by much. So rows are grouped by what is stated, about fifty or more
    together, and the root mean square of their errors is what they get. Within one standard deviation then lie
    more than 68 % of the truths, within two about 95 %.

    Args:
        error: Answer less truth, (m,).
        stated: Standard deviations that the network states, (m,), positive.

    """
    order = np.argsort(stated, kind="stable")
    groups = np.array_split(order, int(np.clip(len(order) // 50, 1, 20)))
    level = np.array([stated[rows].mean() for rows in groups])
    square = np.array([np.mean(error[rows] ** 2) for rows in groups])
    # many rows may state the least that can be stated: those groups are one
    first = np.concatenate([[True], level[1:] > 1.001 * level[:-1]])
    number = np.cumsum(first) - 1
    square = np.bincount(number, square) / np.bincount(number)
    return np.stack([level[first], np.maximum.accumulate(np.maximum(np.sqrt(square), 1e-3))])


def observed(stated: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """Return the standard deviations for stated ones, (m,).

    Between knots on a log scale; above them in proportion, below them no less than the least that was observed.
    """
    inside = np.exp(np.interp(np.log(stated), np.log(knots[0]), np.log(knots[1])))
    beyond: np.ndarray = inside * np.maximum(stated / knots[0, -1], 1.0)
    return beyond
