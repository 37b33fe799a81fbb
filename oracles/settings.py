"""Settings of the trained oracles: their types follow the defaults, their ranges stand here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aldesign.errors import InputError

UNITS = {"band_gap": "eV", "formation_energy_per_atom": "eV/atom"}


@dataclass(frozen=True)
class Rule:
    """What a setting may be.

    Attributes:
        kind: ``int`` or ``float``.
        low: Least value.
        high: Largest value.
        above: Whether `low` itself is refused.
        below: Whether `high` itself is refused.

    """

    kind: type[int] | type[float]
    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def __str__(self) -> str:
        """Return the rule in words."""
        words = "a whole number" if self.kind is int else "a number"
        if math.isfinite(self.low):
            words += f" above {self.low:g}" if self.above else f" from {self.low:g}"
        if math.isfinite(self.high):
            words += f" below {self.high:g}" if self.below else f" to {self.high:g}"
        return words

    def admits(self, value: float) -> bool:
        """Return whether `value` lies within the bounds."""
        over = value > self.low if self.above else value >= self.low
        return over and (value < self.high if self.below else value <= self.high)


_COUNT = Rule(int, 1)
_POSITIVE = Rule(float, 0.0, above=True)
RULES: dict[str, Rule] = {
    **dict.fromkeys(("min_decrease", "weight_decay"), Rule(float, 0.0)),
    "max_features": Rule(float, 0.0, 1.0, above=True),
    "dropout": Rule(float, 0.0, 1.0, below=True),
    "max_minutes": _POSITIVE,
    "cutoff": Rule(float, 1.0, 20.0),  # Å; neighbours, and with them the memory, grow with its cube
    "max_neighbours": Rule(int, 1, 1000),
    "centres": Rule(int, 2),
    "learning_rate": Rule(float, 0.0, 1.0, above=True),
    **dict.fromkeys(("epochs", "patience"), _COUNT),
}


def checked(oracle: str, defaults: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings that `given` makes of `defaults`, each of its default's type and in its range.

    A setting without a rule of its own is a whole number from 1, or a positive number, as its default is. None is
    allowed where the default is None. A default of another type (a text, a list) is the oracle's to check.

    Args:
        oracle: Name, for messages.
        defaults: Every setting there is.
        given: Settings by name.

    Raises:
        InputError: A setting is unknown, of the wrong type, or out of its range.

    """
    unknown = sorted(given.keys() - defaults.keys())
    if unknown:
        raise InputError(
            f"{oracle} has no option {unknown[0]!r}", f"allowed: {', '.join(dict.fromkeys(['property', *defaults]))}"
        )
    return {**defaults, **{name: _checked(oracle, name, defaults[name], value) for name, value in given.items()}}


def _checked(oracle: str, name: str, default: object, value: object) -> object:
    if value is None and default is None:
        return None
    rule = RULES.get(name)
    if rule is None:
        if isinstance(default, bool) or not isinstance(default, int | float):
            return value
        rule = _COUNT if isinstance(default, int) else _POSITIVE
    number = _number(value, rule.kind)
    if number is None or not rule.admits(number):
        none = ", or nothing" if default is None else f"; default {default}"
        raise InputError(f"{oracle} got {name}={value!r}", f"allowed: {rule}{none}")
    return number


def _number(value: object, kind: type[int] | type[float]) -> float | None:
    """Return `value` as `kind`, or None where it is none: a text, a truth value, a fraction for an int."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    if kind is float:
        return float(value)
    return int(value) if value == int(value) else None
