"""An order of crystals in which every beginning is chemically diverse, and cheap."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Largest share of a kind at any place of the order, counted from `_SLACK` crystals on.
SHARES: Mapping[str, float] = {"large": 0.15, "metal": 0.12, "magnetic": 0.08}
_SLACK = 20
_ELEMENT, _PAIR, _FAMILY = 1.0, 0.5, 0.5  # what is new of a crystal is worth


@dataclass(frozen=True)
class Entry:
    """What the order sees of a crystal.

    Attributes:
        name: What no two crystals share.
        elements: Its elements.
        family: Its family.
        cost: Of the calculation, in any unit.
        kinds: Those of `SHARES` that it is of.
        first: Whether it comes before all that are not.
    """

    name: str
    elements: frozenset[str]
    family: str
    cost: float
    kinds: frozenset[str] = frozenset()
    first: bool = False


def in_order(entries: Sequence[Entry]) -> list[int]:
    """Return the places of entries in a greedy order: the most new elements, pairs of them and families for the cost.

    What was seen k times counts ``1 / (1 + k)``. Those that exceed a share wait; the last to wait are left out.
    """
    seen: Counter[object] = Counter()
    taken: Counter[str] = Counter()
    found: list[int] = []
    features = [_features(entry) for entry in entries]
    for stage in (True, False):
        open_ = [place for place, entry in enumerate(entries) if entry.first is stage]
        open_.sort(key=lambda place: entries[place].name)
        while open_:
            room = [place for place in open_ if _fits(entries[place], taken, len(found))]
            if not room:
                break

            def worth(place: int) -> float:
                new: float = sum(weight / (1 + seen[feature]) for feature, weight in features[place].items())
                return new / math.sqrt(entries[place].cost)

            best = max(room, key=worth)  # of equals the first by name
            open_.remove(best)
            found.append(best)
            seen.update(features[best].keys())
            taken.update(entries[best].kinds)
    return found


def _features(entry: Entry) -> dict[object, float]:
    symbols = sorted(entry.elements)
    pairs = [(a, b) for i, a in enumerate(symbols) for b in symbols[i + 1 :]]
    found: dict[object, float] = {symbol: _ELEMENT / len(symbols) for symbol in symbols}
    found |= {pair: _PAIR / len(pairs) for pair in pairs}
    return found | {("family", entry.family): _FAMILY}


def _fits(entry: Entry, taken: Mapping[str, int], n: int) -> bool:
    return all(taken[kind] + 1 <= SHARES[kind] * (n + _SLACK) for kind in entry.kinds)
