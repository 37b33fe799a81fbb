"""Cleaning and splitting of labelled compounds, as the field does it before it trains a gap model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aldesign.chemistry.formula import canonical_many
from aldesign.errors import FormulaError, InputError
from aldesign.records import Crystal
from aldesign.seeds import stream

ISOLATION_CUTOFF = 4.0
"""Å; a site without a neighbour within it is isolated (ML-Band-Gaps' rule)."""


def lowest_polymorph(formulas: Sequence[str], e_above_hull: Sequence[float]) -> np.ndarray:
    """Return the index of the polymorph lowest above the hull of each formula, shape (m,), in formula order.

    Rows are sorted stably by formula, then energy above the hull, and the first of each formula is
    kept; of equal energies the earlier row wins, and an unknown energy (NaN) loses.

    Args:
        formulas: Canonical formula of each of n rows.
        e_above_hull: eV/atom above the hull of each row; NaN where unknown.

    """
    energies = np.asarray(e_above_hull, dtype=np.float64)
    names = np.asarray(formulas, dtype=object).astype(str)
    order = np.lexsort((energies, names))
    _, first = np.unique(names[order], return_index=True)
    kept: np.ndarray = order[first]
    return kept


def nearest_neighbours(crystal: Crystal, cutoff: float = ISOLATION_CUTOFF) -> np.ndarray:
    """Return the distance of each site to its nearest neighbour, periodic images included.

    Args:
        crystal: The crystal, n sites.
        cutoff: How far to look, Å.

    Returns:
        Distances in Å, shape (n,); infinite where no neighbour is within `cutoff`.

    """
    from scipy.spatial import cKDTree

    from aldesign.structures.geometry import lattice_vectors

    vectors = lattice_vectors(crystal.lattice)
    heights = 1.0 / np.linalg.norm(np.linalg.inv(vectors), axis=0)
    inside = crystal.frac - np.floor(crystal.frac)
    reach = np.ceil(cutoff / heights).astype(int)
    axes = [np.arange(-n, n + 1) for n in reach]
    images = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    points = (inside[None] + images).reshape(-1, 3) @ vectors
    # The nearest point is the site itself, the second its neighbour.
    found, _ = cKDTree(points).query(inside @ vectors, k=2, distance_upper_bound=cutoff)
    return np.asarray(found[:, 1], dtype=np.float64)


def isolated_atoms(crystal: Crystal, cutoff: float = ISOLATION_CUTOFF) -> np.ndarray:
    """Return which sites have no neighbour within `cutoff` Å, shape (n,), bool."""
    isolated: np.ndarray = np.isinf(nearest_neighbours(crystal, cutoff))
    return isolated


def stratified_split(
    gaps_ev: Sequence[float], test_fraction: float = 0.2, seed: int = 42
) -> tuple[np.ndarray, np.ndarray]:
    """Return the row indices of a training and a test part in which metals have equal shares.

    Metals (gap of exactly zero) and non-metals are each divided by a permutation of their rows in
    ``numpy.random.RandomState(seed)``, the test part being its first ``ceil(n * test_fraction)``: the
    rule of scikit-learn's ``train_test_split``, by which ML-Band-Gaps divided its tables. Give one row a
    formula; otherwise formulas are torn apart.

    Args:
        gaps_ev: Band gap of each row in eV.
        test_fraction: Share of the test part.
        seed: Seed of the permutations.

    """
    _check_fractions([test_fraction, 1.0 - test_fraction])
    gaps = np.asarray(gaps_ev, dtype=np.float64)
    train: list[np.ndarray] = []
    test: list[np.ndarray] = []
    for group in (np.flatnonzero(gaps <= 0.0), np.flatnonzero(gaps > 0.0)):
        # The legacy generator on purpose: it is the one that the published splits were drawn with.
        shuffled = group[np.random.RandomState(seed).permutation(len(group))]
        cut = int(np.ceil(len(group) * test_fraction))
        test.append(shuffled[:cut])
        train.append(shuffled[cut:])
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))


def split_by_formula(formulas: Sequence[str], fractions: Sequence[float], seed: int) -> list[np.ndarray]:
    """Return row indices of disjoint parts; rows of one canonical formula stay together.

    Args:
        formulas: Formula of each row, in any spelling.
        fractions: Share of the distinct formulas for each part; they sum to 1.
        seed: Equal seeds give equal parts, whatever the order of the rows.

    Raises:
        FormulaError: One of the formulas is none.
        InputError: The fractions do not sum to 1.

    """
    _check_fractions(fractions)
    number, count = _number_formulas(formulas)
    place = stream(seed, 0, "split").permutation(count)
    edges = np.round(np.cumsum(fractions) * count).astype(int)
    part = np.searchsorted(edges[:-1], place, side="right")
    return [np.flatnonzero(part[number] == i) for i in range(len(fractions))]


def folds_by_formula(formulas: Sequence[str], k: int, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return k pairs of training and test row indices; each row is tested once, no formula is torn apart.

    Raises:
        FormulaError: One of the formulas is none.
        InputError: k is below 2, or there are fewer formulas than folds.

    """
    number, count = _number_formulas(formulas)
    if not 2 <= k <= count:
        raise InputError(f"{k} folds of {count} distinct formulas", f"allowed: 2 to {count}")
    fold = (stream(seed, 0, "folds").permutation(count) % k)[number]
    return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(k)]


def _number_formulas(formulas: Sequence[str]) -> tuple[np.ndarray, int]:
    """Return the index of each row's formula among the sorted distinct ones, and how many there are."""
    canonical = canonical_many(list(formulas))
    for error in canonical:
        if isinstance(error, FormulaError):
            raise error
    distinct, number = np.unique(np.array(canonical, dtype=object).astype(str), return_inverse=True)
    return number.reshape(-1), len(distinct)


def _check_fractions(fractions: Sequence[float]) -> None:
    if any(f < 0 for f in fractions) or abs(sum(fractions) - 1.0) > 1e-9:
        raise InputError(f"fractions {list(fractions)} do not sum to 1", "give positive shares, e.g. 0.8 and 0.2")
