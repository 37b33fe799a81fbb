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
from aldesign.chemistry.oxidation import Options, StateTable, mixed_valence_elements, state_table
from aldesign.chemistry.parsing import TOLERANCE

__all__ = ["Assessment", "Options", "assess", "valid_mask"]

_DEFAULT = Options()
_CHUNK = 32768
_MOST_COMBINATIONS = 1_000_000  # of the states of single atoms, as in SMACT


@dataclass(frozen=True)
class Assessment:
    """Whether a formula is chemically plausible, and the evidence.

    Attributes:
        valid: The verdict: that of SMACT's ``smact_validity``.
        neutral: Some combination of oxidation states adds up to zero.
        electronegativity: Some such combination has every cation less electronegative than every anion.
        oxidation_states: A neutral combination, one that passes both tests where there is one, and among those the
            one that the ICSD reports most; None without any.
        rule: What decided: ``"neutral"``, ``"mixed valence"``, ``"alloy"`` or ``"element"`` where it is valid; else
            ``"charge"``, ``"electronegativity"``, ``"states"``, ``"fractional"`` or ``"unreadable"``.
        reason: One sentence for people.
        nearest: Where no combination is neutral, the one with the smallest charge.
        charge: Charge of `nearest` per formula unit, in elementary charges.
        mixed_states: Under ``"mixed valence"``, the states of the atoms of each element: one for each atom of a
            mixed-valence element, one for all atoms of another.

    """

    valid: bool
    neutral: bool
    electronegativity: bool
    oxidation_states: dict[str, int] | None
    rule: str
    reason: str
    nearest: dict[str, int] | None = None
    charge: int = 0
    mixed_states: dict[str, tuple[int, ...]] | None = None


def valid_mask(compositions: Compositions, options: Options = _DEFAULT) -> np.ndarray:
    """Return whether each composition is plausible, bool (n,): the fast path of `assess`."""
    table = _table(options)
    test = charges.balanced if options.use_pauling_test else charges.neutral
    valid = np.zeros(len(compositions), dtype=bool)
    for start in range(0, len(compositions), _CHUNK):
        part = compositions[start : start + _CHUNK]
        accepted, open_rows = _rules(part, table, options)
        units = _units(part.amounts)
        accepted[open_rows] = test(part.numbers[open_rows], units[open_rows], table)
        if options.mixed_valence:
            rest = open_rows[~accepted[open_rows]]
            rest = rest[_expandable(part.numbers[rest], units[rest], table)]
            accepted[rest] = test(*_one_by_one(part.numbers[rest], units[rest]), table)
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
    arrays = (parsed.numbers, units, parsed.n_elements(), valid, cut)
    for z, count, size, ok, fractional, error in zip(*(array.tolist() for array in arrays), errors, strict=True):
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


def _expandable(numbers: np.ndarray, units: np.ndarray, table: StateTable) -> np.ndarray:
    """Return which rows have mixed-valence elements and few enough combinations of their atoms, bool (n,)."""
    mixed = mixed_valence_elements()[numbers]
    choices = np.array([max(len(states), 1) for states in table.states])[numbers]
    combinations = np.where(mixed, units, 1) * np.log(choices)
    return np.asarray(mixed.any(axis=1) & (combinations.sum(axis=1) <= np.log(_MOST_COMBINATIONS) + 1e-9))


def _one_by_one(numbers: np.ndarray, units: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows in which every atom of a mixed-valence element has a column of its own."""
    mixed = mixed_valence_elements()[numbers]
    row, column = np.nonzero(numbers)
    times = np.where(mixed, units, 1)[row, column]
    row, column = np.repeat(row, times), np.repeat(column, times)
    place = np.arange(len(row)) - np.searchsorted(row, row)
    shape = (len(numbers), int(place.max(initial=0)) + 1)
    atoms, counts = np.zeros(shape, dtype=numbers.dtype), np.zeros(shape, dtype=units.dtype)
    atoms[row, place] = numbers[row, column]
    counts[row, place] = np.where(mixed, 1, units)[row, column]
    return atoms, counts


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
    if valid and not alloy and options.mixed_valence and (mixed := _atom_by_atom(numbers, units, table, options)):
        return mixed
    charge, chosen = nearest_to_neutral(numbers, units, table)
    states = dict(zip(symbols, chosen, strict=True))
    if charge:
        reason = f"{accepted}no oxidation states balance: the nearest, {_spelled(states)}, leave {charge:+d}"
        return Assessment(valid, False, False, None, rule or "charge", reason, states, charge)
    if not options.use_pauling_test:
        return Assessment(valid, True, False, states, rule or "neutral", f"{accepted}{_spelled(states)} balance")
    reason = f"{accepted}{_spelled(states)} balance, but {_fault(states, numbers, table)}"
    return Assessment(valid, True, False, states, rule or "electronegativity", reason)


def _atom_by_atom(numbers: list[int], units: list[int], table: StateTable, options: Options) -> Assessment | None:
    """Return the assessment with a state for each atom of the mixed-valence elements, where such states balance."""
    rows, counts = _one_by_one(np.array([numbers]), np.array([units]))
    atoms: list[int] = rows[0].tolist()
    best = best_balanced(atoms, counts[0].tolist(), table)
    passed = best is not None
    if best is None:
        charge, best = nearest_to_neutral(atoms, counts[0].tolist(), table)
        if charge or options.use_pauling_test:
            return None
    found: dict[str, tuple[int, ...]] = {}
    for z, state in zip(atoms, best, strict=True):
        found[SYMBOLS[z]] = tuple(sorted((*found.get(SYMBOLS[z], ()), state)))
    sites = " ".join(f"{symbol}{state:+d}" for symbol, states in found.items() for state in states)
    reason = f"{sites} balance, atom by atom"
    return Assessment(True, True, passed, None, "mixed valence", reason, mixed_states=found)


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
