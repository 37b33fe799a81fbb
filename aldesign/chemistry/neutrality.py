"""Charge neutrality and electronegativity balance of many formulas, with SMACT's semantics and with reasons.

A formula is plausible where its elements can take oxidation states that add up to zero, every cation being less
electronegative than every anion (Davies et al., Chem 1, 617, 2016).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from aldesign.chemistry import charges
from aldesign.chemistry.combinations import best_balanced, nearest_to_neutral
from aldesign.chemistry.elements import SYMBOLS
from aldesign.chemistry.formula import Compositions, parse_many
from aldesign.chemistry.oxidation import Options, StateTable, state_table
from aldesign.chemistry.parsing import TOLERANCE

__all__ = ["Assessment", "Options", "assess", "valid_mask"]

_DEFAULT = Options()
_CHUNK = 32768


@dataclass(frozen=True)
class Assessment:
    """Whether a formula is chemically plausible, and the evidence.

    Attributes:
        valid: The verdict: that of SMACT's ``smact_validity``.
        neutral: Some combination of oxidation states adds up to zero.
        electronegativity: Some such combination has every cation less electronegative than every anion.
        oxidation_states: A neutral combination, one that passes both tests where there is one, and among those the
            one that the ICSD reports most; None without any.
        rule: What decided: ``"neutral"``, ``"alloy"`` or ``"element"`` where it is valid; else ``"charge"``,
            ``"electronegativity"``, ``"states"``, ``"fractional"`` or ``"unreadable"``.
        reason: One sentence for people.
        nearest: Where no combination is neutral, the one with the smallest charge.
        charge: Charge of `nearest` per formula unit, in elementary charges.

    """

    valid: bool
    neutral: bool
    electronegativity: bool
    oxidation_states: dict[str, int] | None
    rule: str
    reason: str
    nearest: dict[str, int] | None = None
    charge: int = 0


def valid_mask(compositions: Compositions, options: Options = _DEFAULT) -> np.ndarray:
    """Return whether each composition is plausible, bool (n,): the fast path of `assess`."""
    table = _table(options)
    test = charges.balanced if options.use_pauling_test else charges.neutral
    valid = np.zeros(len(compositions), dtype=bool)
    for start in range(0, len(compositions), _CHUNK):
        part = compositions[start : start + _CHUNK]
        accepted, open_rows = _rules(part, table, options)
        accepted[open_rows] = test(part.numbers[open_rows], _units(part.amounts[open_rows]), table)
        valid[start : start + _CHUNK] = accepted
    return valid


def assess(formulas: Sequence[str] | Compositions, options: Options = _DEFAULT) -> list[Assessment]:
    """Return one assessment per formula, in order; a formula that cannot be read gets one that says so."""
    if isinstance(formulas, Compositions):
        parsed, errors = formulas, [None if row else "there are no atoms" for row in formulas.n_elements().tolist()]
    else:
        parsed, errors = parse_many(formulas)
    table = _table(options)
    units = _units(parsed.amounts)
    valid = valid_mask(parsed, options)
    cut = (np.abs(parsed.amounts - np.rint(parsed.amounts)) >= TOLERANCE).any(axis=1)
    found: list[Assessment] = []
    columns = (
        parsed.numbers.tolist(),
        units.tolist(),
        parsed.n_elements().tolist(),
        valid.tolist(),
        cut.tolist(),
        errors,
    )
    for z, count, size, ok, fractional, error in zip(*columns, strict=True):
        if error is not None:
            found.append(Assessment(False, False, False, None, "unreadable", error))
            continue
        assessment = _explain(z[:size], count[:size], ok, table, options)
        if fractional and size > 1:
            note = f"{assessment.reason}, the amounts being cut to whole numbers as SMACT does"
            assessment = replace(assessment, reason=note)
        found.append(assessment)
    return found


def _table(options: Options) -> StateTable:
    return state_table(options.oxidation_states, options.consensus, options.commonality)


def _units(amounts: np.ndarray) -> np.ndarray:
    """Return counts without their common divisor, int64 (n, k); amounts lose their decimals, as in SMACT."""
    whole = np.trunc(amounts).astype(np.int64)
    return np.asarray(whole // np.maximum(np.gcd.reduce(whole, axis=1), 1)[:, None])


def _rules(part: Compositions, table: StateTable, options: Options) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows are accepted before any charge is looked at, bool (n,), and the indices of the open ones."""
    absent = part.numbers == 0
    accepted = part.n_elements() == 1
    if options.include_alloys:
        accepted = accepted | ((table.metal[part.numbers] | absent).all(axis=1) & ~absent.all(axis=1))
    known = (table.known[part.numbers] | absent).all(axis=1)
    whole = (part.amounts >= 1).any(axis=1)
    return accepted, np.flatnonzero(~accepted & known & whole)


def _explain(numbers: list[int], units: list[int], valid: bool, table: StateTable, options: Options) -> Assessment:
    symbols = [SYMBOLS[z] for z in numbers]
    if len(symbols) == 1:
        return Assessment(True, True, True, {symbols[0]: 0}, "element", f"{symbols[0]} is an element")
    alloy = options.include_alloys and all(table.metal[z] for z in numbers)
    rule = "alloy" if alloy else ""
    accepted = "accepted as an alloy, all its elements being metals; " if alloy else ""
    if missing := [symbol for symbol, z in zip(symbols, numbers, strict=True) if not table.states[z]]:
        has = "has" if len(missing) == 1 else "have"
        reason = f"{accepted}{', '.join(missing)} {has} no known oxidation state"
        return Assessment(valid, False, False, None, rule or "states", reason)
    if not any(units):
        reason = f"{accepted}every amount is below one, and charges are balanced in whole counts"
        return Assessment(valid, False, False, None, rule or "fractional", reason)
    if best := best_balanced(numbers, units, table):
        states = dict(zip(symbols, best, strict=True))
        return Assessment(valid, True, True, states, rule or "neutral", f"{accepted}{_spelled(states)} balance")
    charge, chosen = nearest_to_neutral(numbers, units, table)
    states = dict(zip(symbols, chosen, strict=True))
    if charge:
        reason = f"{accepted}no oxidation states balance: the nearest, {_spelled(states)}, leave {charge:+d}"
        return Assessment(valid, False, False, None, rule or "charge", reason, states, charge)
    if not options.use_pauling_test:
        return Assessment(valid, True, False, states, rule or "neutral", f"{accepted}{_spelled(states)} balance")
    reason = f"{accepted}{_spelled(states)} balance, but {_fault(states, numbers, table)}"
    return Assessment(valid, True, False, states, rule or "electronegativity", reason)


def _fault(states: dict[str, int], numbers: list[int], table: StateTable) -> str:
    """Say why neutral `states` fail the electronegativity test."""
    value = {symbol: float(table.negativity[z]) for symbol, z in zip(states, numbers, strict=True)}
    if unknown := [symbol for symbol in states if np.isnan(value[symbol])]:
        return f"the electronegativity of {', '.join(unknown)} is not known"
    cation = max((s for s in states if states[s] > 0), key=value.__getitem__)
    anion = min((s for s in states if states[s] < 0), key=value.__getitem__)
    return (
        f"the cation {cation} ({value[cation]:.2f}) is not less electronegative than the anion {anion} "
        f"({value[anion]:.2f})"
    )


def _spelled(states: dict[str, int]) -> str:
    return " ".join(f"{symbol}{state:+d}" for symbol, state in states.items())
