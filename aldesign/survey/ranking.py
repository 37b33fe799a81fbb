"""Which of the scored formulas are the best, in an order that nothing but their scores and names decides."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from aldesign.errors import InputError

WISHES = ("largest", "smallest", "window")


class Scored(NamedTuple):
    """A formula and what the oracle said of it, in the oracle's unit, six decimals."""

    formula: str
    value: float
    std: float | None
    in_domain: bool | None


@dataclass(frozen=True)
class Goal:
    """What makes a formula better than another.

    Attributes:
        wish: ``"largest"`` or ``"smallest"`` value, or ``"window"``: the nearest to the window, and of those within
            it the surest. Equal formulas stand in alphabetical order.
        window: Lowest and highest value of the window, in the oracle's unit.
        inside: Whether only answers within the oracle's domain count.
        surest: Largest std that counts, if limited.

    Raises:
        InputError: The wish is unknown, or the window is missing or upside down.

    """

    wish: str = "largest"
    window: tuple[float, float] | None = None
    inside: bool = False
    surest: float | None = None

    def __post_init__(self) -> None:
        if self.wish not in WISHES:
            raise InputError(f"no ranking is called {self.wish!r}", f"allowed: {', '.join(WISHES)}")
        if (self.wish == "window") != (self.window is not None):
            raise InputError("a window belongs to the ranking by a window, and to no other", "give both, or neither")
        if self.window is not None and not self.window[0] <= self.window[1]:
            raise InputError(f"the window is {self.window[0]:g} to {self.window[1]:g}", "give low, then high")

    def key(self, scored: Scored) -> tuple[Any, ...]:
        """Return what formulas are sorted by, the best first."""
        if self.window is not None:
            low, high = self.window
            beyond = round(max(low - scored.value, scored.value - high, 0.0), 6)
            return beyond, scored.std if scored.std is not None else float("inf"), scored.formula
        return (-scored.value if self.wish == "largest" else scored.value), scored.formula

    def best(self, scored: Iterable[Scored], top: int) -> list[Scored]:
        """Return the best `top` of those that count, best first."""
        counted = (
            one
            for one in scored
            if (one.in_domain is not False or not self.inside)
            and (self.surest is None or (one.std is not None and one.std <= self.surest))
        )
        return heapq.nsmallest(top, counted, key=self.key)
