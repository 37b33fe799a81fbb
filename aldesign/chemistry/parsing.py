"""Reading one formula exactly, and saying what is wrong with it."""

from __future__ import annotations

import re

import numpy as np

from aldesign.chemistry.elements import ELECTRONEGATIVITY, HYDROGEN_ISOTOPES, NUMBER, SYMBOLS
from aldesign.errors import FormulaError

TOLERANCE = 1e-8
"""Amounts closer than this are equal, and smaller ones are absent: pymatgen's ``amount_tolerance``."""
LARGEST_AMOUNT = 1e6
"""A formula unit of more atoms is taken for a slip of the pen."""

READABLE: dict[str, int] = NUMBER | HYDROGEN_ISOTOPES
_TOKEN = re.compile(r"([A-Z][a-z]*)|((?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)|([(\[{])|([)\]}])|(\s+)")
_SHOWN = 120  # characters of a formula that a message shows
_SIZE = f"at most {LARGEST_AMOUNT:,.0f}"
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")


def _order() -> np.ndarray:
    """Return the place of each atomic number in a canonical formula, int16 (119,)."""
    negativity = np.where(np.isnan(ELECTRONEGATIVITY), np.inf, ELECTRONEGATIVITY)
    by_place = sorted(range(1, len(SYMBOLS)), key=lambda z: (negativity[z], SYMBOLS[z]))
    order = np.zeros(len(SYMBOLS), dtype=np.int16)
    order[by_place] = np.arange(1, len(SYMBOLS))
    return order


ORDER = _order()


def _shown(text: str) -> str:
    """Return a formula for a message; what is taken for one may be a whole file."""
    return repr(text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…")


def _complaint(text: str, position: int, what: str, hint: str = "") -> FormulaError:
    return FormulaError(f"{what} at position {position + 1} of the formula {_shown(text)}", hint)


def _unexpected(text: str, position: int) -> FormulaError:
    char = text[position]
    hint = "a formula has element symbols, amounts and brackets, e.g. Li3Fe2(PO4)3"
    if char.islower():
        hint = "an element's symbol begins with a capital letter"
    elif char in "+-":
        hint = "a formula carries no charges and no variable amounts"
    elif char in "·*•":
        hint = "write a hydrate with brackets, e.g. CuSO4(H2O)5"
    return _complaint(text, position, f"unexpected {char!r}", hint)


def scan(text: object) -> dict[int, float]:
    """Return the amount of each atomic number in one formula.

    Brackets (), [] and {} nest; amounts may be decimal; white space is ignored; D and T count as hydrogen.

    Raises:
        FormulaError: The text is not a formula; the message names the offending part and its position.

    """
    if not isinstance(text, str):
        hint = "read tables so that the formula NaN, sodium nitride, stays text: keep_default_na=False"
        raise FormulaError(f"{text!r} is not a formula but a {type(text).__name__}", hint)
    plain = text.translate(_SUBSCRIPTS)
    groups: list[dict[int, float]] = [{}]
    opened: list[int] = []
    pending: dict[int, float] = {}  # what an amount at this place would multiply
    position, end = 0, len(plain)
    while position < end:
        match = _TOKEN.match(plain, position)
        if match is None:
            raise _unexpected(text, position)
        kind, token = match.lastindex, match[0]
        if kind == 1:
            if (number := READABLE.get(token)) is None:
                raise _complaint(text, position, f"{_shown(token)} is not an element")
            _merge(groups[-1], pending)
            pending = {number: 1.0}
        elif kind == 2:
            if not pending:
                raise _complaint(
                    text,
                    position,
                    f"the amount {token[:_SHOWN]} follows no element",
                    "amounts stand behind what they multiply: 2H2O is H4O2",
                )
            amount = float(token)
            if amount > LARGEST_AMOUNT:
                raise _complaint(text, position, f"the amount {token[:_SHOWN]} is too large", _SIZE)
            _merge(groups[-1], {z: a * amount for z, a in pending.items()})
            pending = {}
        elif kind == 3:
            _merge(groups[-1], pending)
            pending = {}
            groups.append({})
            opened.append(position)
        elif kind == 4:
            _merge(groups[-1], pending)
            if not opened or _CLOSING[plain[opened[-1]]] != token:
                raise _complaint(text, position, f"{token!r} closes no bracket")
            opened.pop()
            if not (pending := groups.pop()):
                raise _complaint(text, position, "empty brackets")
        position = match.end()
    if opened:
        raise _complaint(text, opened[-1], f"{plain[opened[-1]]!r} is never closed")
    _merge(groups[0], pending)
    amounts = {z: a for z, a in groups[0].items() if a >= TOLERANCE}
    if not amounts:
        raise FormulaError(f"the formula {_shown(text)} contains no atoms", "e.g. Li3Fe2(PO4)3")
    if max(amounts.values()) > LARGEST_AMOUNT:
        raise FormulaError(f"an amount in the formula {_shown(text)} is too large", _SIZE)
    return amounts


def _merge(into: dict[int, float], more: dict[int, float]) -> None:
    for z, amount in more.items():
        into[z] = into.get(z, 0.0) + amount
