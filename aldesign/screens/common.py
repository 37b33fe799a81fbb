"""What all screens share: their context, the reading of formulas, and the checks of their options."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from aldesign.chemistry.formula import canonical_many
from aldesign.errors import SpecError
from aldesign.records import Verdict


@dataclass(frozen=True)
class ScreenContext:
    """What a screen may know of the campaign.

    Attributes:
        seen: Canonical formulas already in the campaign, each with where, e.g. ``"trial 12, measured"``.
        expected: The surrogate's ``(mean, std)`` in eV of canonical formulas.
        base: Folder that relative paths are relative to.

    """

    seen: Mapping[str, str] = field(default_factory=dict)
    expected: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    base: Path = field(default_factory=Path)


@dataclass(frozen=True)
class FormulaScreen(ABC):
    """A screen that judges canonical formulas; what is no formula fails with the reason.

    Fields after `context` are the options of a campaign file. Building one raises InputError for a bad value.

    Attributes:
        context: What the screen may know of the campaign.

    """

    name: ClassVar[str]
    context: ScreenContext

    @abstractmethod
    def judge(self, formulas: Sequence[str]) -> list[Verdict]:
        """Return one verdict per canonical formula, in order."""

    def check(self, formulas: Sequence[str]) -> list[Verdict]:
        """Return one verdict per formula, in any spelling, in order."""
        spelled = canonical_many(formulas)
        readable = [formula for formula in spelled if isinstance(formula, str)]
        judged = iter(self.judge(readable) if readable else [])
        return [
            next(judged) if isinstance(formula, str) else self.verdict(False, str(formula), unreadable=True)
            for formula in spelled
        ]

    def verdict(self, passed: bool, reason: str, **evidence: Any) -> Verdict:
        """Return this screen's verdict."""
        return Verdict(self.name, passed, reason, evidence)


def names(value: str | Sequence[str]) -> tuple[str, ...]:
    """Return one name or a list of names as a tuple. Raises SpecError for anything else."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Sequence):
        return tuple(value)
    raise SpecError(f"{value!r} is not a list of names", "write [first, second]")


def is_number(value: object) -> bool:
    """Return whether `value` is a number, and neither a truth value nor NaN."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def value_range(name: str, value: Sequence[float]) -> tuple[float, float]:
    """Return the ordered pair that the option `name` holds. Raises SpecError for anything else."""
    if isinstance(value, Sequence) and len(value) == 2 and all(map(is_number, value)) and value[0] <= value[1]:
        return value[0], value[1]
    raise SpecError(f"{name} is {value!r}", "give two numbers, [low, high]")
