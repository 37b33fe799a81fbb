"""Several measurements of one material: which were told before, and what they say together."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from aldesign.campaign.answers import Answer

Told = Mapping[str, Any]
"""A measurement as the journal keeps it."""


def to_json(answer: Answer, level: str, how: str) -> dict[str, Any]:
    """Return a measurement for the journal; `how` is ``first``, ``added`` or ``replaced``."""
    return {
        "value": answer.value,
        "std": answer.std,
        "level": level,
        "error": answer.error,
        "notes": dict(answer.notes),
        "written": answer.written,
        "file": answer.file,
        "line": answer.line,
        "how": how,
    }


def key(told: Told, notes: bool = True) -> str:
    """Return what makes a measurement this one and no other; the file it came in and its line do not.

    Args:
        told: The measurement.
        notes: Whether comment, source and the like tell two measurements of one value apart.

    """
    said = [told["value"], told["std"], told["level"], told["error"]]
    return json.dumps([*said, told["notes"]] if notes else said, sort_keys=True)


def current(told: Sequence[Told]) -> list[Told]:
    """Return the measurements with a value that still count: those since the last correction or failure."""
    kept: list[Told] = []
    for one in told:
        if one["how"] == "replaced" or one["value"] is None:
            kept = []
        if one["value"] is not None:
            kept.append(one)
    return kept


def together(measured: Sequence[tuple[float | None, float | None]]) -> tuple[float, float | None]:
    """Return the mean of measurements (value, std) in eV, and its standard deviation.

    Where every measurement states one, the mean is weighted by inverse variances, and its std is widened by the
    Birge ratio if they scatter more than they say (R. T. Birge, Phys. Rev. 40, 207 (1932)). Otherwise it is the plain
    mean with the standard error of the scatter; equal values without a std give none.

    Args:
        measured: One or more measurements.

    Raises:
        ValueError: There is none with a value.

    """
    values = [(value, std) for value, std in measured if value is not None]
    if not values:
        raise ValueError("there is no value to average")
    if len(values) == 1:
        return values[0]
    numbers = [value for value, _ in values]
    stds = [std for _, std in values if std]
    if len(stds) == len(values):
        weights = [std**-2 for std in stds]
        mean = math.fsum(w * x for w, x in zip(weights, numbers, strict=True)) / math.fsum(weights)
        squares = math.fsum(w * (x - mean) ** 2 for w, x in zip(weights, numbers, strict=True))
        return mean, max(1.0, math.sqrt(squares / (len(values) - 1))) / math.sqrt(math.fsum(weights))
    mean = math.fsum(numbers) / len(numbers)
    scatter = math.fsum((x - mean) ** 2 for x in numbers) / (len(numbers) * (len(numbers) - 1))
    return mean, math.sqrt(scatter) or None
