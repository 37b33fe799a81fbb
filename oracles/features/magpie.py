"""Composition descriptors: the 132 Magpie statistics, and the 145 columns that the shipped models read.

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
from oracles.features.blocks import Block, added, blocks, tabulate
from oracles.features.ions import character, ionic_character

STATISTICS = ("minimum", "maximum", "range", "mean", "avg_dev", "mode")
NORMS = (0, 2, 3, 5, 7, 10)
SHELLS = ("s", "p", "d", "f")


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
_MEAN = STATISTICS.index("mean")
_VALENCE = PROPERTIES.index("NValence")


def magpie(compositions: Compositions) -> np.ndarray:
    """Return the Magpie statistics, shape (n, 132), float64, columns as in `MAGPIE_NAMES`.

    For each of the 22 element properties: minimum, maximum, range, mean weighted by atomic fraction, mean absolute
    deviation from it, and mode (the property of the most abundant element, the smallest one on a tie). A row without
    atoms is NaN.
    """
    return tabulate(compositions, len(MAGPIE_NAMES), _fill_magpie)


def descriptor(compositions: Compositions) -> np.ndarray:
    """Return the descriptor of the shipped models, shape (n, 145), float64, columns as in `FEATURE_NAMES`.

    After the Magpie statistics come the p-norms of the atomic fractions (p = 0 counts elements), the share of s, p,
    d and f in the mean number of valence electrons, the maximum and the fraction-weighted mean over element pairs of
    Pauling's ionic character 1 - exp(-(Δχ)²/4), and the parity of the valence electrons of the reduced formula unit
    (0 even, 1 odd, linear between: an odd count cannot fill bands). A row without atoms is NaN.

    Models are trained on these columns: their values and order never change.
    """
    return tabulate(compositions, len(FEATURE_NAMES), _fill_descriptor)


def valence_parity(compositions: Compositions) -> np.ndarray:
    """Return the parity of the valence electrons of each formula unit, (n,): 0 even, 1 odd, linear between."""
    parity = np.zeros(len(compositions))
    for block in blocks(compositions):
        parity[block.rows] = _parity(block)
    return parity


def statistics(block: Block) -> np.ndarray:
    """Return the statistics of `magpie` for one block, shape (m, 22, 6), in the order of `STATISTICS`."""
    values = element_properties()[block.numbers]
    weights = block.fractions[:, :, None]
    found = np.empty((len(block.rows), values.shape[2], len(STATISTICS)))
    low, high, mean = values.min(axis=0), values.max(axis=0), added(weights * values)
    found[:, :, 0] = low
    found[:, :, 1] = high
    found[:, :, 2] = high - low
    found[:, :, _MEAN] = mean
    values -= mean
    np.abs(values, out=values)
    values *= weights
    found[:, :, 4] = added(values)
    found[:, :, 5] = _mode(block)
    return found


def shell_means(found: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the mean number of valence electrons in each of `SHELLS` and its share of all, (m,) each.

    Args:
        found: What `statistics` returned.

    """
    means = [found[:, PROPERTIES.index(f"N{shell}Valence"), _MEAN] for shell in SHELLS]
    return means, [mean / found[:, _VALENCE, _MEAN] for mean in means]


def norms(block: Block) -> list[np.ndarray]:
    """Return the p-norms of the atomic fractions for the p of `NORMS`, (m,) each; p = 0 counts the elements."""
    count = np.full(len(block.rows), float(len(block.numbers)))
    return [added(block.fractions**p) ** (1.0 / p) if p else count for p in NORMS]


def _fill_magpie(block: Block, columns: np.ndarray) -> None:
    columns[:] = statistics(block).reshape(len(columns), -1)


def _fill_descriptor(block: Block, columns: np.ndarray) -> None:
    found = statistics(block)
    _, shares = shell_means(found)
    columns[:, : len(MAGPIE_NAMES)] = found.reshape(len(found), -1)
    rest = (*norms(block), *shares, *ionic_character(block, _pauling_character()), _parity(block))
    for column, values in enumerate(rest, start=len(MAGPIE_NAMES)):
        columns[:, column] = values


def _mode(block: Block) -> np.ndarray:
    """Return the properties (m, 22) of the most abundant element, the smallest ones on a tie."""
    table, amounts = element_properties(), block.amounts
    largest = amounts.max(axis=0)
    # same tolerance as numpy.isclose, which decides matminer's ties
    frequent = np.abs(amounts - largest) <= 1e-8 + 1e-5 * largest
    leader = block.numbers[amounts.argmax(axis=0), np.arange(len(largest))]
    mode: np.ndarray = table[leader]
    tied = np.flatnonzero(frequent.sum(axis=0) > 1)
    if len(tied):
        leaders = np.where(frequent[:, tied], block.numbers[:, tied], leader[tied])
        mode[tied] = table[leaders].min(axis=0)
    return mode


def _parity(block: Block) -> np.ndarray:
    electrons = element_properties()[:, _VALENCE][block.numbers]
    parity: np.ndarray = 1.0 - np.abs(added(block.amounts * electrons) % 2.0 - 1.0)
    return parity


@cache
def _pauling_character() -> np.ndarray:
    return character(element_properties()[:, PROPERTIES.index("Electronegativity")])
