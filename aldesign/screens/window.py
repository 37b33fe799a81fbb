"""An expected gap that may lie where it is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from aldesign.errors import SpecError
from aldesign.records import Verdict
from aldesign.screens.common import FormulaScreen, is_number, value_range


@dataclass(frozen=True)
class GapWindowScreen(FormulaScreen):
    """An expected gap near a window: the surrogate's mean ± `sigmas` standard deviations touches it.

    Attributes:
        low: Lower edge in eV.
        high: Upper edge in eV; None for none.
        sigmas: Standard deviations allowed on either side.

    """

    name: ClassVar[str] = "gap_window"
    low: float = 0.0
    high: float | None = None
    sigmas: float = 1.0

    def __post_init__(self) -> None:
        value_range("the window", (self.low, np.inf if self.high is None else self.high))
        if not (is_number(self.sigmas) and self.sigmas >= 0):
            raise SpecError(f"sigmas is {self.sigmas!r}", "give a number of 0 or more")

    def judge(self, formulas: Sequence[str]) -> list[Verdict]:
        """Return one verdict per canonical formula; one without an expected gap is not judged, and passes."""
        return [self._of(self.context.expected.get(formula)) for formula in formulas]

    def _of(self, expected: tuple[float, float] | None) -> Verdict:
        if expected is None:
            return self.verdict(True, "not judged: no gap is expected of it yet")
        mean, std = float(expected[0]), float(expected[1])
        high = np.inf if self.high is None else self.high
        passed = mean - self.sigmas * std <= high and mean + self.sigmas * std >= self.low
        reach = "reaches" if passed else "lies outside"
        reason = f"expected gap {mean:.2f} ± {std:.2f} eV {reach} [{self.low:g}, {high:g}] eV"
        return self.verdict(bool(passed), f"{reason} within {self.sigmas:g} std", mean=mean, std=std)
