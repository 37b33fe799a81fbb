"""Numbers in the cells of a table."""

from __future__ import annotations

import math

from aldesign.tables.rawfile import clean


def number_of(cell: object, delimiter: str = ",") -> float | None:
    """Return the finite number in a cell, or None for an empty one.

    Args:
        cell: A text of a CSV, or any JSON value.
        delimiter: The table's separator; with a semicolon, a comma is a decimal comma.

    Raises:
        ValueError: The cell holds something else; the message says what.

    """
    if cell is None or cell == "":
        return None
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        raise ValueError(f"{clean(str(cell), 40)!r} is not a number")
    text = str(cell).strip()
    if delimiter == ";" and "." not in text:  # the decimal comma of a spreadsheet
        text = text.replace(",", ".")
    try:
        number = float(text if "_" not in text else "?")
    except ValueError:
        raise ValueError(f"{clean(text, 40)!r} is not a number") from None
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is not a finite number")
    return number
