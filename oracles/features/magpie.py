"""Composition descriptors: the 132 Magpie statistics, stoichiometric norms, valence shells and ionic character.

Source: Ward, Agrawal, Choudhary and Wolverton, npj Comput. Mater. 2, 16028 (2016). The element table beside this
module holds the published values; a value that is not tabulated (e.g. the electronegativity of He) is replaced by
the mean over the tabulated elements, as matminer does with ``impute_nan=True``.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files

import numpy as np

from aldesign.chemistry.formula import Compositions

STATISTICS = ("minimum", "maximum", "range", "mean", "avg_dev", "mode")
NORMS = (0, 2, 3, 5, 7, 10)
SHELLS = ("s", "p", "d", "f")
CHUNK = 20_000


def _stored() -> tuple[tuple[str, ...], np.ndarray]:
    stored = json.loads(files(__package__).joinpath("magpie_elements.json").read_text(encoding="utf-8"))
    rows = [[np.nan if v is None else float(v) for v in row] for row in stored["elements"].values()]
    return tuple(stored["properties"]), np.array(rows, dtype=np.float64)


@cache
def element_properties() -> np.ndarray:
    """Return the element table, shape (119, 22), indexed by atomic number; row 0 is zero.

    Units are Magpie's: u, K, pm, Å³/atom, eV and µB where they apply.
    """
    _, raw = _stored()
    filled = np.where(np.isnan(raw), np.nanmean(raw, axis=0), raw)
    table = np.vstack([np.zeros(filled.shape[1]), filled])
    table.setflags(write=False)
    return table


PROPERTIES: tuple[str, ...] = _stored()[0]
MAGPIE_NAMES: tuple[str, ...] = tuple(f"{s} {p}" for p in PROPERTIES for s in STATISTICS)
FEATURE_NAMES: tuple[str, ...] = (
    *MAGPIE_NAMES,
    *(f"{p}-norm" for p in NORMS),
    *(f"{shell} valence fraction" for shell in SHELLS),
    "maximum ionic character",
    "mean ionic character",
    "odd valence electrons",
)


def magpie(compositions: Compositions) -> np.ndarray:
    """Return the Magpie statistics, shape (n, 132), float64, columns as in `MAGPIE_NAMES`.

    For each of the 22 element properties: minimum, maximum, range, mean weighted by atomic fraction, mean absolute
    deviation from it, and mode (the property of the most abundant element, the smallest one on a tie). A row without
    atoms is NaN.
    """
    parts = [_magpie(compositions[i : i + CHUNK]) for i in range(0, len(compositions), CHUNK)]
    return np.concatenate(parts) if parts else np.zeros((0, len(MAGPIE_NAMES)))


def descriptor(compositions: Compositions) -> np.ndarray:
    """Return the full descriptor, shape (n, 145), float64, columns as in `FEATURE_NAMES`.

    After the Magpie statistics come the p-norms of the atomic fractions (p = 0 counts elements), the share of s, p,
    d and f in the mean number of valence electrons, the maximum and the fraction-weighted mean over element pairs of
    Pauling's ionic character 1 - exp(-(Δχ)²/4), and the parity of the valence electrons of the reduced formula unit
    (0 even, 1 odd, linear between: an odd count cannot fill bands). A row without atoms is NaN.
    """
    parts = [_descriptor(compositions[i : i + CHUNK]) for i in range(0, len(compositions), CHUNK)]
    return np.concatenate(parts) if parts else np.zeros((0, len(FEATURE_NAMES)))


def valence_parity(compositions: Compositions) -> np.ndarray:
    """Return the parity of the valence electrons of each formula unit, (n,): 0 even, 1 odd, linear between."""
    electrons = element_properties()[:, PROPERTIES.index("NValence")][compositions.numbers]
    parity: np.ndarray = 1.0 - np.abs(_sum(compositions.amounts * electrons) % 2.0 - 1.0)
    return parity


# The sums below run over the element slots one by one, so that a row's digits do not depend on how many slots
# the other rows of its batch need.


def _magpie(compositions: Compositions) -> np.ndarray:
    numbers, amounts = compositions.numbers, compositions.amounts
    table = element_properties()
    n, slots = numbers.shape
    total = _sum(amounts)
    low = np.full((n, table.shape[1]), np.inf)
    high = np.full_like(low, -np.inf)
    mode = np.full_like(low, np.inf)
    mean, deviation = np.zeros_like(low), np.zeros_like(low)
    largest = amounts.max(axis=1, initial=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        for j in range(slots):
            values = table[numbers[:, j]]
            present = (amounts[:, j] > 0)[:, None]
            # same tolerance as numpy.isclose, which decides matminer's ties
            frequent = present & (np.abs(amounts[:, j] - largest) <= 1e-8 + 1e-5 * largest)[:, None]
            low = np.where(present, np.minimum(low, values), low)
            high = np.where(present, np.maximum(high, values), high)
            mode = np.where(frequent, np.minimum(mode, values), mode)
            mean += (amounts[:, j] / total)[:, None] * values
        for j in range(slots):
            deviation += (amounts[:, j] / total)[:, None] * np.abs(table[numbers[:, j]] - mean)
        columns = np.stack([low, high, high - low, mean, deviation, mode], axis=2)
    columns[total == 0] = np.nan
    return columns.reshape(n, -1)


def _descriptor(compositions: Compositions) -> np.ndarray:
    numbers, amounts = compositions.numbers, compositions.amounts
    slots = numbers.shape[1]
    table = element_properties()
    statistics = _magpie(compositions)
    with np.errstate(invalid="ignore", divide="ignore"):
        fractions = amounts / _sum(amounts)[:, None]
        norms = [_sum(fractions**p) ** (1.0 / p) if p else _sum(amounts > 0) for p in NORMS]
        valence = [table[:, PROPERTIES.index(f"N{shell}Valence")][numbers] for shell in SHELLS]
        electrons = table[:, PROPERTIES.index("NValence")][numbers]
        shells = [_sum(fractions * v) / _sum(fractions * electrons) for v in valence]
        chi = table[:, PROPERTIES.index("Electronegativity")][numbers]
        strongest, mean_ionic = np.zeros(len(numbers)), np.zeros(len(numbers))
        for i in range(slots):
            for j in range(i + 1, slots):
                both = amounts[:, j] > 0
                character = np.where(both, 1.0 - np.exp(-((chi[:, i] - chi[:, j]) ** 2) / 4.0), 0.0)
                strongest = np.maximum(strongest, character)
                mean_ionic += fractions[:, i] * fractions[:, j] * character
        extra = np.stack([*norms, *shells, strongest, mean_ionic, valence_parity(compositions)], axis=1)
    extra[amounts.sum(axis=1) == 0] = np.nan
    return np.concatenate([statistics, extra], axis=1)


def _sum(columns: np.ndarray) -> np.ndarray:
    total = np.zeros(len(columns))
    for j in range(columns.shape[1]):
        total += columns[:, j]
    return total
