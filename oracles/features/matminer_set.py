"""The composition features of Ward et al. as matminer computes them, equal to them and some hundred times faster."""

from __future__ import annotations

import numpy as np

from aldesign.chemistry.formula import Compositions
from oracles.features.blocks import Block, tabulate
from oracles.features.ions import compound_possible, ionic_character, pauling_character
from oracles.features.magpie import NORMS, PROPERTIES, SHELLS, STATISTICS, norms, shell_means, statistics

MATMINER_NAMES: tuple[str, ...] = (
    *(f"MagpieData {s} {p}" for p in PROPERTIES for s in STATISTICS),
    *(f"{p}-norm" for p in NORMS),
    *(f"{kind} {shell} valence electrons" for kind in ("avg", "frac") for shell in SHELLS),
    *("compound possible", "max ionic char", "avg ionic char"),
)


def matminer_features(compositions: Compositions) -> np.ndarray:
    """Return matminer's composition features, shape (n, 149), float64, columns as in `MATMINER_NAMES`.

    They are, with the names that matminer gives them, the columns of ``ElementProperty.from_preset("magpie")``,
    ``Stoichiometry()``, ``ValenceOrbital()`` and ``IonProperty()`` in this order, each with its default arguments;
    ``compound possible`` is 0 or 1. Source: Ward, Agrawal, Choudhary and Wolverton, npj Comput. Mater. 2, 16028
    (2016).

    Where matminer gives no answer, ours differs:

    - ``compound possible`` with amounts that are not whole, where matminer raises: see `ions.compound_possible`.
    - A row without atoms (matminer raises) is NaN throughout.
    """
    return tabulate(compositions, len(MATMINER_NAMES), _fill)


def _fill(block: Block, columns: np.ndarray) -> None:
    found = statistics(block)
    averages, shares = shell_means(found)
    rest = (*norms(block), *averages, *shares, compound_possible(block), *ionic_character(block, pauling_character()))
    columns[:, : -len(rest)] = found.reshape(len(found), -1)
    for column, values in enumerate(rest, start=-len(rest)):
        columns[:, column] = values
