"""Which oxidation states an element may take: options, and SMACT's tables as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from math import log

import numpy as np

from aldesign.chemistry.elements import ELECTRONEGATIVITY, SYMBOLS
from aldesign.errors import InputError

OXIDATION_STATES: dict[str, str] = {
    "icsd24": "ICSD 2024, filtered by consensus and commonality (SMACT's default)",
    "icsd16": "ICSD 2016",
    "smact14": "SMACT's own list of 2014",
    "pymatgen_sp": "pymatgen's structure predictor",
    "wiki": "Wikipedia's list of 2022",
}
"""The tables of oxidation states that may be chosen, all as SMACT distributes them."""

COMMONALITIES = ("low", "medium", "high", "main")
_SMACT_ELEMENTS = 103
# A state that the ICSD does not report ranks behind every reported one.
_UNREPORTED = 1e-6
ABSENT = -1
"""Padding of the arrays of states."""


@dataclass(frozen=True)
class Options:
    """How plausibility is judged; the defaults are those of SMACT 4.0's ``smact_validity``.

    Attributes:
        oxidation_states: One of `OXIDATION_STATES`.
        consensus: Reports that a state of the icsd24 table needs at least.
        commonality: Share of an element's reports that a state of the icsd24 table needs: ``"low"`` (none),
            ``"medium"`` (10 %), ``"high"`` (50 %), ``"main"`` (the most reported state alone), or a percentage.
        include_alloys: Accept a formula of metals only, whatever its charges.
        use_pauling_test: Ask that every cation be less electronegative than every anion.
        mixed_valence: Where no single state per element balances, let the atoms of SMACT's mixed-valence elements
            (Fe, Mn, Cu, Ce, ...) differ, up to a million combinations.

    Raises:
        InputError: A value is not one of the allowed ones.

    """

    oxidation_states: str = "icsd24"
    consensus: int = 3
    commonality: str | float = "low"
    include_alloys: bool = True
    use_pauling_test: bool = True
    mixed_valence: bool = False

    def __post_init__(self) -> None:
        if self.oxidation_states not in OXIDATION_STATES:
            near = get_close_matches(str(self.oxidation_states), OXIDATION_STATES, n=1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise InputError(
                f"no table of oxidation states is called {self.oxidation_states!r}",
                f"{meant}allowed: {', '.join(OXIDATION_STATES)}",
            )
        share = self.commonality
        if share not in COMMONALITIES and (isinstance(share, str | bool) or not 0 <= share <= 100):
            raise InputError(f"commonality={share!r} is not known", f"{', '.join(COMMONALITIES)}, or a percentage")
        if isinstance(self.consensus, bool) or self.consensus != int(self.consensus) or self.consensus < 1:
            raise InputError(f"consensus={self.consensus!r} is not a number of reports", "a whole number, 1 or more")
        if self.oxidation_states != "icsd24" and (self.consensus, self.commonality) != (3, "low"):
            raise InputError(
                f"consensus and commonality belong to the icsd24 table, not to {self.oxidation_states!r}",
                "leave them out",
            )


@dataclass(frozen=True, eq=False)
class StateTable:
    """Allowed oxidation states of every element, as lists and as shifts for sets of charges held in bits.

    Attributes:
        states: By atomic number, the allowed states, rising; empty where none is known.
        weights: By atomic number, the logarithm of each state's share of the ICSD's reports.
        negativity: SMACT's Pauling electronegativity by atomic number, float64 (119,), NaN where unknown.
        metal: What SMACT calls a metal, bool (119,).
        up: Non-negative states, int64 (119, s), padded with `ABSENT`; row 0, which is no element, holds a zero.
        down: Magnitudes of the non-positive states, int64 (119, s), likewise.
        above: Distance of every state from the lowest, int64 (119, s), likewise.
        below: Distance of every state from the highest, int64 (119, s), likewise.

    """

    states: tuple[tuple[int, ...], ...]
    weights: tuple[tuple[float, ...], ...]
    negativity: np.ndarray
    metal: np.ndarray
    up: np.ndarray
    down: np.ndarray
    above: np.ndarray
    below: np.ndarray

    @property
    def known(self) -> np.ndarray:
        """Return which atomic numbers have an oxidation state, bool (119,)."""
        return np.array([bool(states) for states in self.states])


def _padded(rows: list[list[int]]) -> np.ndarray:
    table = np.full((len(rows), max(map(len, rows)) or 1), ABSENT, dtype=np.int64)
    for z, row in enumerate(rows):
        table[z, : len(row)] = row
    table[0, 0] = 0
    return table


def _icsd24_states(consensus: int, commonality: str | float) -> dict[str, list[int]]:
    from smact.utils.oxidation import ICSD24OxStatesFilter

    table = ICSD24OxStatesFilter().filter(consensus=consensus, include_zero=False, commonality=commonality)
    rows = zip(table["element"], table["oxidation_state"], strict=True)
    return {str(element): [int(state) for state in str(states).split()] for element, states in rows}


def _icsd24_reports() -> dict[tuple[str, int], int]:
    from smact.utils.oxidation import ICSD24OxStatesFilter

    table = ICSD24OxStatesFilter().ox_states_df
    rows = zip(table["element"], table["oxidation_state"], table["results_count"], strict=True)
    return {(str(element), int(state)): int(count) for element, state, count in rows if state}


@lru_cache(maxsize=16)
def state_table(oxidation_states: str, consensus: int, commonality: str | float) -> StateTable:
    """Return the states that SMACT's tables allow, read once through SMACT's own functions.

    Electronegativities and the list of metals are SMACT's too, since its verdicts rest on them.
    """
    import smact

    elements = {symbol: smact.Element(symbol) for symbol in SYMBOLS[1 : _SMACT_ELEMENTS + 1]}
    if oxidation_states == "icsd24":
        allowed = _icsd24_states(consensus, commonality)
    else:
        attribute = "oxidation_states_" + oxidation_states.removeprefix("pymatgen_")
        allowed = {symbol: list(getattr(element, attribute) or ()) for symbol, element in elements.items()}
    reports = _icsd24_reports()
    totals: dict[str, int] = {}
    for (symbol, _), count in reports.items():
        totals[symbol] = totals.get(symbol, 0) + count

    def weight(symbol: str, state: int) -> float:
        share = reports.get((symbol, state), 0) / max(totals.get(symbol, 0), 1)
        return log(max(share, _UNREPORTED / (1 + abs(state))))

    states = [sorted(set(allowed.get(symbol, ()))) for symbol in SYMBOLS]
    negativity = np.full_like(ELECTRONEGATIVITY, np.nan)
    metal = np.zeros(len(SYMBOLS), dtype=bool)
    for z, symbol in enumerate(SYMBOLS[: _SMACT_ELEMENTS + 1]):
        if z:
            value = elements[symbol].pauling_eneg
            negativity[z] = np.nan if value is None else float(value)
            metal[z] = symbol in smact.metals
    return StateTable(
        states=tuple(map(tuple, states)),
        weights=tuple(
            tuple(weight(symbol, state) for state in row) for symbol, row in zip(SYMBOLS, states, strict=True)
        ),
        negativity=negativity,
        metal=metal,
        up=_padded([[s for s in row if s >= 0] for row in states]),
        down=_padded([[-s for s in row if s <= 0] for row in states]),
        above=_padded([[s - row[0] for s in row] for row in states]),
        below=_padded([[row[-1] - s for s in row] for row in states]),
    )


@lru_cache(maxsize=1)
def mixed_valence_elements() -> np.ndarray:
    """Return which atomic numbers SMACT lets take several states at once, bool (119,)."""
    from smact.screening import MIXED_VALENCE_ELEMENTS

    return np.array([symbol in MIXED_VALENCE_ELEMENTS for symbol in SYMBOLS])
