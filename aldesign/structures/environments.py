"""What surrounds the atoms of a crystal: how neighbours are arranged, and which atoms have equal environments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Environments that differ by less are equal: about 0.005 Å in each of a dozen distances. Coordinates of one orbit
# agree to some 1e-4 Å in the files of the databases.
TOLERANCE = 0.02
SHELL = 0.005  # Å; distances to equal neighbours that follow each other more closely are one
ROUNDS = 6  # as far as environments are compared, in bonds
ORDERS = 8  # of the bond-order parameters, from 1
N_SHAPES = 2 * ORDERS
_NEAR, _FAR = 0.15, 0.6  # reach beyond the nearest neighbour, as a share of its distance
_PROBES = 4  # numbers that an environment is told by: other ones are not equal in all of them by chance
_WAVES = np.array([1.1, 1.9, 2.6, 3.4])  # 1/Å
_rng = np.random.default_rng(20240607)
_ELEMENT = _rng.normal(size=(128, _PROBES))
_CLASS = _rng.normal(size=(65536, _PROBES))
_SHAPE = _rng.normal(size=(N_SHAPES, _PROBES))


@dataclass(frozen=True, eq=False)
class Merged:
    """A graph whose nodes stand for several atoms, and whose edges for several neighbours.

    Attributes:
        first: An atom of each of the k nodes, (k,), int64.
        source: Node of the neighbours of each of the e edges, (e,), int64.
        target: Node that the edge points to, ascending, (e,), int64.
        distance: Mean length of the edges taken together, Å, (e,), float32.
        weight: Neighbours that an atom of the target has in the edge, (e,), float32.
        count: Atoms that each node stands for, (k,), int64.
        shape: Mean arrangement of their neighbours, (k, s), float32.

    """

    first: np.ndarray
    source: np.ndarray
    target: np.ndarray
    distance: np.ndarray
    weight: np.ndarray
    count: np.ndarray
    shape: np.ndarray


def bond_order(target: np.ndarray, distance: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Return how the neighbours of each atom are arranged, as numbers that no rotation changes.

    The bond-orientational order parameters Q_l of Steinhardt, Nelson and Ronchetti (Phys. Rev. B 28, 784, 1983,
    eq. 1.3), written with Legendre polynomials by the addition theorem:
    ``Q_l^2 = sum over pairs of neighbours w_j w_k P_l(cos angle_jk)`` with weights that sum to one. They bring the
    angles between bonds into a network that sees distances alone.

    Args:
        target: Atom of each of the e neighbours, ascending, (e,); none of the n atoms is without one.
        distance: Å, (e,), ascending within an atom.
        vector: To the neighbour, Å, (e, 3).

    Returns:
        (n, 16), float64, within [0, 1]: Q_1 to Q_8 of the nearest shell, then of a wider one. Weights fall with the
        square of the distance beyond the nearest neighbour's, in units of 0.15 and of 0.6 of the latter.

    """
    degree = np.bincount(target)
    first = np.cumsum(degree) - degree
    rank = np.arange(len(target)) - first[target]
    n, most = len(degree), int(degree.max(initial=0))
    unit = np.zeros((n, most, 3))
    unit[target, rank] = vector / distance[:, None]
    beyond = np.full((n, most), np.inf)
    beyond[target, rank] = distance / distance[first][target] - 1.0
    weights = [np.exp(-((beyond / reach) ** 2)) for reach in (_NEAR, _FAR)]
    weights = [w / w.sum(axis=1, keepdims=True) for w in weights]
    cosine = unit @ unit.transpose(0, 2, 1)
    before, legendre = np.ones_like(cosine), cosine
    found = np.empty((n, 2, ORDERS))
    for order in range(1, ORDERS + 1):
        for k, w in enumerate(weights):
            found[:, k, order - 1] = ((legendre @ w[:, :, None])[:, :, 0] * w).sum(axis=1)
        before, legendre = legendre, ((2 * order + 1) * cosine * legendre - order * before) / (order + 1)
    shape: np.ndarray = np.sqrt(np.maximum(found, 0.0)).reshape(n, N_SHAPES)
    return shape


def merge_equal(
    numbers: np.ndarray, source: np.ndarray, target: np.ndarray, distance: np.ndarray, shape: np.ndarray
) -> Merged:
    """Return a graph with the atoms of equal environments merged, for networks that read it.

    Weighted sums and means over neighbours and atoms are then those of the whole graph, and so is every answer of a
    network made of them: the features of two atoms differ only when their elements or shapes do, or the distances
    or features of their neighbours (the refinement of Weisfeiler and Leman, 1968). The atoms of a cell become about
    its inequivalent ones, and a supercell becomes the cell itself.

    Args:
        numbers: Atomic numbers of the n atoms, (n,).
        source: Neighbour of each edge, (e,).
        target: Atom that each edge points to, ascending, (e,); none is without an edge.
        distance: Å, (e,).
        shape: Arrangement of the neighbours, (n, 16).

    """
    first = np.searchsorted(target, np.arange(len(numbers)))
    waves = np.cos(distance[:, None].astype(np.float64) * _WAVES)
    group = np.unique(numbers, return_inverse=True)[1]
    # Q is the root of a sum of squares: near zero it feels noise most
    group = _split(group, shape.astype(np.float64) ** 2 @ _SHAPE)
    # groups are numbered by what the environments are alone, whatever the order of the atoms
    code, groups = _ELEMENT[numbers] + _CLASS[group], int(group.max()) + 1
    for _ in range(ROUNDS):
        group = _split(group, np.add.reduceat(waves * code[source], first, axis=0))
        if int(group.max()) + 1 == groups:
            break
        code, groups = _ELEMENT[numbers] + _CLASS[group], int(group.max()) + 1
    count = np.bincount(group, minlength=groups)
    to, of = group[target], group[source]
    order = np.lexsort((distance, of, to))
    to, of, length = to[order], of[order], distance[order].astype(np.float64)
    new = _changes(to, of) | (np.diff(length, prepend=0.0) > SHELL)
    begin = np.flatnonzero(new)
    many = np.diff(np.append(begin, len(order)))
    mean_shape = np.stack([np.bincount(group, column, groups) / count for column in shape.T], axis=1)
    return Merged(
        np.unique(group, return_index=True)[1],
        of[begin],
        to[begin],
        (np.add.reduceat(length, begin) / many).astype(np.float32),
        (many / count[to[begin]]).astype(np.float32),
        count,
        mean_shape.astype(np.float32),
    )


def _split(group: np.ndarray, probes: np.ndarray) -> np.ndarray:
    """Return finer groups, numbered in the order of the old ones and of the probes."""
    for probe in probes.T:
        order = np.lexsort((probe, group))
        new = _changes(group[order]) | (np.diff(probe[order], prepend=0.0) > TOLERANCE)
        group = np.empty_like(group)
        group[order] = np.cumsum(new) - new[0]
    return group


def _changes(*columns: np.ndarray) -> np.ndarray:
    """Return whether each row differs from the one before, (n,)."""
    new = np.zeros(len(columns[0]), dtype=bool)
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    new[:1] = True
    return new
