"""Reading many formulas at once: all characters in one array, well-formed formulas without a Python loop.

What the array reader does not know (white space, square brackets, exponents, subscripts) or finds wrong goes to
`parsing.scan`, formula by formula, which either reads it or says what is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aldesign.chemistry.parsing import LARGEST_AMOUNT, ORDER, READABLE, TOLERANCE, scan
from aldesign.errors import FormulaError

_CHUNK = 65536
_DIGITS = 15  # whole numbers of so many digits are exact in double precision
_OTHER, _UPPER, _LOWER, _DIGIT, _POINT, _OPEN, _CLOSE, _END = range(8)


def _kinds() -> np.ndarray:
    kinds = np.full(256, _OTHER, dtype=np.uint8)
    kinds[ord("A") : ord("Z") + 1] = _UPPER
    kinds[ord("a") : ord("z") + 1] = _LOWER
    kinds[ord("0") : ord("9") + 1] = _DIGIT
    for character, kind in ((".", _POINT), ("(", _OPEN), (")", _CLOSE), ("\n", _END)):
        kinds[ord(character)] = kind
    return kinds


def _symbols() -> np.ndarray:
    """Return the atomic number by capital letter and following small letter or none, int16 (26, 27)."""
    table = np.zeros((26, 27), dtype=np.int16)
    for symbol, number in READABLE.items():
        table[ord(symbol[0]) - ord("A"), ord(symbol[1]) - ord("a") + 1 if len(symbol) == 2 else 0] = number
    return table


_KIND = _kinds()
_SYMBOL = _symbols()
_PLACE = np.zeros(256, dtype=np.int64)  # of a small letter in `_SYMBOL`
_PLACE[ord("a") : ord("z") + 1] = np.arange(1, 27)


@dataclass(frozen=True, eq=False)
class _Entries:
    """Elements in the order of their rows: row, atomic number, amount; and which rows could not be read."""

    rows: np.ndarray
    numbers: np.ndarray
    amounts: np.ndarray
    unread: np.ndarray


def read_many(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[str | None]]:
    """Return atomic numbers, amounts and errors of n formulas.

    Returns:
        Numbers (n, k) int16 and amounts (n, k) float64, zero-padded, each row in canonical order and each element
        once; and for each formula None or what is wrong with it, its row being zero.

    """
    texts = list(texts)
    errors: list[str | None] = [None] * len(texts)
    rows: list[np.ndarray] = [np.zeros(0, dtype=np.int64)]
    numbers: list[np.ndarray] = [np.zeros(0, dtype=np.int16)]
    amounts: list[np.ndarray] = [np.zeros(0)]
    for start in range(0, len(texts), _CHUNK):
        chunk = texts[start : start + _CHUNK]
        entries = _read(chunk)
        rows.append(entries.rows + start)
        numbers.append(entries.numbers)
        amounts.append(entries.amounts)
        for row in np.flatnonzero(entries.unread).tolist():
            try:
                found = scan(chunk[row])
            except FormulaError as error:
                errors[start + row] = str(error)
            else:
                rows.append(np.full(len(found), start + row))
                numbers.append(np.array(list(found), dtype=np.int16))
                amounts.append(np.array(list(found.values())))
    table = tabulate(np.concatenate(rows), np.concatenate(numbers), np.concatenate(amounts), len(texts))
    return (*table, errors)


def tabulate(rows: np.ndarray, numbers: np.ndarray, amounts: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the entries of n rows as a table, in canonical order, equal elements of a row added up.

    Args:
        rows: Row of each of m entries, int64 (m,).
        numbers: Atomic number of each, int16 (m,).
        amounts: Amount of each, float64 (m,); what is below the tolerance is left out.
        n: Number of rows.

    Returns:
        Numbers (n, k) int16 and amounts (n, k) float64, zero-padded, k being at least 1.

    """
    key = rows * len(ORDER) + ORDER[numbers]
    order = np.argsort(key, kind="stable")
    key, rows, numbers, amounts = key[order], rows[order], numbers[order], amounts[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    rows, numbers, amounts = rows[first], numbers[first], np.add.reduceat(amounts, first) if len(first) else amounts
    kept = amounts >= TOLERANCE
    rows, numbers, amounts = rows[kept], numbers[kept], amounts[kept]
    column = np.arange(len(rows)) - np.searchsorted(rows, rows)
    shape = (n, int(column.max(initial=0)) + 1)
    table, sizes = np.zeros(shape, dtype=np.int16), np.zeros(shape)
    table[rows, column], sizes[rows, column] = numbers, amounts
    return table, sizes


def _read(texts: Sequence[str]) -> _Entries:
    """Return the elements of up to 65,536 texts; no entry belongs to an unread row."""
    n = len(texts)
    strange = np.array([not isinstance(text, str) or not text.isascii() or "\n" in text for text in texts], dtype=bool)
    lines = (
        [("" if odd else text) for text, odd in zip(texts, strange.tolist(), strict=True)] if strange.any() else texts
    )
    # The ends of the array are padded, so that a neighbour of any character can be looked at.
    letters = np.frombuffer(("\n" + "\n".join(lines) + "\n\n\n").encode(), dtype=np.uint8)
    kind = _KIND[letters]
    ends = np.flatnonzero(kind == _END)[1 : n + 1]
    row_of = np.cumsum(kind == _END) - 1  # the row of a character; of an end, the row behind it
    unread = np.zeros(n + 3, dtype=bool)
    unread[:n] |= strange | (np.diff(ends, prepend=0) == 1)

    before = np.concatenate((kind[:1], kind[:-1]))
    numeric = (kind == _DIGIT) | (kind == _POINT)
    was_numeric = (before == _DIGIT) | (before == _POINT)
    starts_number = numeric & ~was_numeric
    wrong = (
        (kind == _OTHER)
        | ((kind == _LOWER) & (before != _UPPER))
        | (starts_number & (before != _UPPER) & (before != _LOWER) & (before != _CLOSE))
        | ((kind == _CLOSE) & (before == _OPEN))
    )
    unread[row_of[wrong]] = True

    amount_at, value, bad_number = _amounts(letters, kind, starts_number, numeric)
    unread[row_of[bad_number]] = True

    place = np.flatnonzero(kind == _UPPER)
    two = kind[place + 1] == _LOWER
    number = _SYMBOL[letters[place] - ord("A"), np.where(two, _PLACE[letters[place + 1]], 0)]
    unread[row_of[place[number == 0]]] = True
    behind = place + 1 + two
    amount = np.where(starts_number[behind], value[amount_at[behind]], 1.0)

    brackets = np.flatnonzero((kind == _OPEN) | (kind == _CLOSE))
    if len(brackets):
        unread[_unbalanced(kind, brackets, row_of)] = True
        brackets = brackets[~unread[row_of[brackets]]]
        amount = _multiplied(amount, place, kind, brackets, starts_number, amount_at, value)
    # Too large or too small a formula is the scanner's to explain.
    rows = row_of[place]
    largest = np.zeros(n + 3)
    np.add.at(largest, rows, np.abs(amount))
    unread |= (largest > LARGEST_AMOUNT) | (largest < TOLERANCE)
    kept = ~unread[rows]
    return _Entries(rows[kept], number[kept], amount[kept], unread[:n])


def _amounts(
    letters: np.ndarray, kind: np.ndarray, starts: np.ndarray, numeric: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the number that starts at each character, the value of each number, and the places of unreadable ones."""
    first = np.flatnonzero(starts)
    ends = np.flatnonzero(numeric[:-1] & ~numeric[1:]) + 1
    length = ends - first
    mantissa = np.zeros(len(first))
    decimals, points = np.zeros(len(first), dtype=np.int64), np.zeros(len(first), dtype=np.int64)
    active = np.arange(len(first))
    for offset in range(int(length.max(initial=0))):
        active = active[length[active] > offset]
        at = first[active] + offset
        point = kind[at] == _POINT
        mantissa[active] = np.where(point, mantissa[active], mantissa[active] * 10 + (letters[at] - 48.0))
        decimals[active] += (points[active] > 0) & ~point
        points[active] += point
        if offset > _DIGITS:
            break
    bad = (length > _DIGITS) | (points > 1) | (length == points)
    value = mantissa / 10.0 ** np.minimum(decimals, _DIGITS)
    return np.cumsum(starts) - 1, np.append(value, 1.0), first[bad]


def _unbalanced(kind: np.ndarray, brackets: np.ndarray, row_of: np.ndarray) -> np.ndarray:
    """Return the rows whose brackets do not pair up."""
    rows = row_of[brackets]
    depth = np.cumsum(np.where(kind[brackets] == _OPEN, 1, -1))
    first = np.flatnonzero(np.diff(rows, prepend=-1))
    last = np.append(first[1:], len(rows)) - 1
    base = np.concatenate(([0], depth[last[:-1]]))
    lowest = np.minimum.reduceat(depth, first)
    return np.asarray(rows[first][(lowest < base) | (depth[last] != base)])


def _multiplied(
    amount: np.ndarray,
    place: np.ndarray,
    kind: np.ndarray,
    brackets: np.ndarray,
    starts_number: np.ndarray,
    amount_at: np.ndarray,
    value: np.ndarray,
) -> np.ndarray:
    """Return the amounts of the elements at `place`, multiplied by what stands behind their (balanced) brackets."""
    opening = kind[brackets] == _OPEN
    depth = np.cumsum(np.where(opening, 1, -1)) + ~opening
    factor = np.where(starts_number[brackets + 1], value[amount_at[brackets + 1]], 1.0)
    for level in range(int(depth.max(initial=0)), 0, -1):
        here = depth == level
        first, last, by = brackets[here & opening], brackets[here & ~opening], factor[here & ~opening]
        pair = np.searchsorted(first, place) - 1
        inside = (pair >= 0) & (place < last[pair])
        amount = np.where(inside, amount * by[pair], amount)
    return amount
