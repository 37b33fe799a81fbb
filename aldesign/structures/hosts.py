"""The known crystals that could make room for the elements of a formula, and every way to put them there."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby, permutations, product
from weakref import WeakKeyDictionary

import numpy as np

from aldesign.chemistry.distance import cumulative
from aldesign.chemistry.elements import ELECTRONEGATIVITY, PETTIFOR, SYMBOLS
from aldesign.chemistry.formula import canonical, compositions
from aldesign.structures.fingerprint import Fingerprint
from aldesign.structures.radii import COVALENT
from aldesign.structures.templates import TemplateLibrary

FORMULAS = 120  # ways to put a formula into known ones that are looked at
HOSTS = 160  # crystals among them that have a say
POLYMORPHS = 4  # of one formula
ARRANGEMENTS = 720  # orders of elements of equal amounts that are all tried
_LEAST_WEIGHT = 0.15  # of an element beside its atomic fraction, when formulas are compared
_WORSE = 1.5  # an arrangement costlier than a formula's best one by more is not looked at

Amounts = tuple[int, ...]


@dataclass(eq=False)
class Bucket:
    """The n formulas of a library that share k amounts; elements stand in the order of amount and atomic number.

    Attributes:
        start: Row of the library's index that the first formula has.
        formulas: Canonical formulas, (n,).
        numbers: Atomic numbers, (n, k).
        amounts: Ascending, (k,).
        arrangements: For each place of a formula the place of the template that it takes, (m, k).

    """

    start: int
    formulas: Sequence[str]
    numbers: np.ndarray
    amounts: Amounts
    arrangements: np.ndarray


@dataclass(frozen=True, eq=False)
class Hosts:
    """Crystals and the elements in them that give way, h of them.

    Attributes:
        guest: Atomic numbers of the formula, (k,).
        numbers: Atomic number of what gives way to each, (h, k).
        rows: Their formula's place in the bucket, (h,).
        positions: Their place in the library, (h,).
        emd: Distance of their formula on the modified Pettifor scale, (h,).
        own: How many at the beginning are crystals of the formula itself.

    """

    guest: np.ndarray
    numbers: np.ndarray
    rows: np.ndarray
    positions: np.ndarray
    emd: np.ndarray
    own: int

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: np.ndarray) -> Hosts:
        """Return the hosts at these places, ascending for those of the formula itself."""
        own = int((places < self.own).sum())
        return Hosts(self.guest, self.numbers[places], self.rows[places], self.positions[places], self.emd[places], own)


@dataclass(eq=False)
class Memory:
    """What was worked out of a library, so that it is worked out once."""

    buckets: dict[Amounts, Bucket] = field(default_factory=dict)
    fingerprints: dict[int, Fingerprint | None] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)  # sites of primitive cells


_MEMORY: WeakKeyDictionary[TemplateLibrary, Memory] = WeakKeyDictionary()


def memory_of(library: TemplateLibrary) -> Memory:
    """Return what was worked out of a library so far."""
    return _MEMORY.setdefault(library, Memory())


def _traits() -> np.ndarray:
    """Return Pettifor place, electronegativity and covalent radius of each element, scaled to like weight, (z, 3)."""
    numbers = range(len(SYMBOLS))
    places = np.array([PETTIFOR[z] if z < len(PETTIFOR) else -1 for z in numbers], dtype=float)
    pull = np.array([ELECTRONEGATIVITY[z] if z < len(ELECTRONEGATIVITY) else np.nan for z in numbers], dtype=float)
    radii = np.array([COVALENT.get(SYMBOLS[z], 1.5) for z in numbers])
    return np.stack([places / 12, np.where(np.isnan(pull), 1.5, pull) / 0.5, radii / 0.3], axis=1)


_TRAITS = _traits()


def sorted_numbers(formulas: Sequence[str], count: int) -> np.ndarray:
    """Return the atomic numbers of n formulas of `count` elements by amount, then number, int64 (n, count)."""
    parsed = compositions(list(formulas))
    key = np.where(parsed.numbers == 0, np.inf, parsed.amounts * 1000.0 + parsed.numbers)
    order = np.argsort(key, axis=1, kind="stable")[:, :count]
    return np.take_along_axis(parsed.numbers, order, axis=1).astype(np.int64)


def _arrangements(amounts: Amounts) -> np.ndarray:
    groups = [list(group) for _, group in groupby(range(len(amounts)), key=amounts.__getitem__)]
    if math.prod(math.factorial(len(group)) for group in groups) > ARRANGEMENTS:
        return np.arange(len(amounts))[None]
    ways = product(*(permutations(group) for group in groups))
    return np.array([list(chain.from_iterable(way)) for way in ways])


def bucket_of(library: TemplateLibrary, amounts: Amounts) -> Bucket | None:
    """Return the formulas of a library with these amounts, None where it has none."""
    buckets = memory_of(library).buckets
    if amounts not in buckets:
        index = library.index
        if amounts not in index.buckets:
            return None
        start, stop = index.buckets[amounts]
        formulas = index.formulas[start:stop]
        numbers = sorted_numbers(formulas, len(amounts))
        buckets[amounts] = Bucket(start, formulas, numbers, amounts, _arrangements(amounts))
    return buckets[amounts]


def find_hosts(
    formula: str, library: TemplateLibrary, bucket: Bucket, max_emd: float, exclude: Collection[str] = ()
) -> Hosts:
    """Return the hosts of a formula: its own crystals first, then those of the formulas nearest to it.

    Near is what is of a kind in place on the modified Pettifor scale, electronegativity and radius, place by place.

    Args:
        formula: A formula with the amounts of the bucket.
        library: Where crystals come from.
        bucket: From `bucket_of`.
        max_emd: Largest distance of the formulas on the modified Pettifor scale.
        exclude: Canonical formulas whose crystals are left out.

    """
    index = library.index
    guest = sorted_numbers([formula], len(bucket.amounts))[0]
    table = index.table[bucket.start : bucket.start + len(bucket.formulas)]
    emd = np.abs(table - cumulative(compositions([formula]))).sum(axis=1)
    left_out = set(exclude)
    refused = np.array([name in left_out for name in bucket.formulas]) if left_out else np.zeros(len(emd), dtype=bool)
    itself = (bucket.numbers == guest).all(axis=1) & (np.array(bucket.formulas) == canonical(formula))
    cost = _costs(bucket, guest)
    cost[refused | itself | (emd > max_emd + 1e-9)] = np.inf
    flat = cost.ravel()
    nearest = np.argsort(flat, kind="stable")[: min(FORMULAS, int(np.isfinite(flat).sum()))]
    rows, ways = np.divmod(nearest, len(bucket.arrangements))

    def crystals(row: int) -> tuple[int, ...]:
        return index.members[bucket.start + row][:POLYMORPHS]

    straight = np.flatnonzero((bucket.arrangements == np.arange(len(guest))).all(axis=1))[0]
    own = [(row, straight, i) for row in np.flatnonzero(itself & ~refused).tolist() for i in crystals(row)]
    others = [(row, way, i) for row, way in zip(rows.tolist(), ways.tolist(), strict=True) for i in crystals(row)]
    chosen = np.array(own + others[:HOSTS], dtype=np.int64).reshape(-1, 3)
    numbers = np.take_along_axis(bucket.numbers[chosen[:, 0]], bucket.arrangements[chosen[:, 1]], axis=1)
    return Hosts(guest, numbers, chosen[:, 0], chosen[:, 2], emd[chosen[:, 0]], len(own))


def unlikeness(guest: np.ndarray, hosts: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    """Return how unlike the elements are that change places, before anything is learnt, (n,).

    Args:
        guest: Atomic numbers of the formula, (k,).
        hosts: Atomic numbers of what gives way in n crystals, (n, k).
        fractions: Atomic fraction of each, (k,).

    """
    return np.asarray(np.abs(_TRAITS[hosts] - _TRAITS[guest]).sum(axis=-1) @ (_LEAST_WEIGHT + fractions))


def _costs(bucket: Bucket, guest: np.ndarray) -> np.ndarray:
    """Return `unlikeness` in each arrangement of each formula, (n, m); infinite far above the formula's best one."""
    apart = np.abs(_TRAITS[bucket.numbers][:, :, None] - _TRAITS[guest]).sum(axis=-1)  # (n, template's, formula's)
    weight = _LEAST_WEIGHT + np.array(bucket.amounts) / sum(bucket.amounts)
    places = np.arange(len(guest))
    cost = np.stack([apart[:, way, places] @ weight for way in bucket.arrangements], axis=1)
    return np.where(cost > cost.min(axis=1, keepdims=True) + _WORSE, np.inf, cost)
