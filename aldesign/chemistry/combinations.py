"""The most plausible oxidation states of one composition, where there are any, and the nearest miss."""

from __future__ import annotations

from collections.abc import Iterable

from aldesign.chemistry.oxidation import StateTable

# For each total charge: the weight of the most reported combination that reaches it, and its states.
_Reached = dict[int, tuple[float, tuple[int, ...]]]


def best_balanced(numbers: list[int], units: list[int], table: StateTable) -> tuple[int, ...] | None:
    """Return the most reported states that add up to zero, every cation being less electronegative than every anion.

    Args:
        numbers: Atomic numbers of k elements, all with known states.
        units: Atoms of each.
        table: The allowed states.

    Returns:
        One state per element, or None where no combination passes.

    """
    negativity: list[float] = table.negativity[numbers].tolist()
    if any(value != value for value in negativity):  # unknown
        return None
    order = sorted(range(len(numbers)), key=negativity.__getitem__)
    elements, counts = [numbers[i] for i in order], [units[i] for i in order]
    # Charges beyond what all elements together can give back never cancel.
    most = sum(-min(0, table.states[z][0]) * count for z, count in zip(elements, counts, strict=True))
    cations = _partial(elements, counts, table, 1, most)
    anions = _partial(elements[::-1], counts[::-1], table, -1, most)[::-1]
    best: tuple[float, tuple[int, ...]] | None = None
    for cut in range(1, len(order) + 1):
        if cut < len(order) and negativity[order[cut]] == negativity[order[cut - 1]]:
            continue  # both must stand on the same side
        for charge, (weight, states) in cations[cut].items():
            other = anions[cut].get(charge)
            if other is not None and (best is None or weight + other[0] > best[0]):
                best = weight + other[0], states + other[1][::-1]
    if best is None:
        return None
    by_place = dict(zip(order, best[1], strict=True))
    return tuple(by_place[i] for i in range(len(order)))


def nearest_to_neutral(numbers: list[int], units: list[int], table: StateTable) -> tuple[int, tuple[int, ...]]:
    """Return the smallest total charge of any combination, and the most reported states that leave it.

    Args:
        numbers: Atomic numbers of k elements, all with known states.
        units: Atoms of each.
        table: The allowed states.

    Returns:
        The charge in elementary charges, 0 where states balance, and one state per element.

    """
    reached: _Reached = {0: (0.0, ())}
    for z, count in zip(numbers, units, strict=True):
        reached = _extended(reached, zip(table.states[z], table.weights[z], strict=True), count, None)
    charge = min(reached, key=lambda total: (abs(total), -reached[total][0], total))
    return charge, reached[charge][1]


def _partial(numbers: list[int], units: list[int], table: StateTable, sign: int, most: int) -> list[_Reached]:
    """Return what the first 0, 1, ... k elements reach with states of one sign, by magnitude up to `most`."""
    sums: list[_Reached] = [{0: (0.0, ())}]
    for z, count in zip(numbers, units, strict=True):
        choices = [(s, w) for s, w in zip(table.states[z], table.weights[z], strict=True) if s * sign >= 0]
        sums.append(_extended(sums[-1], choices, count * sign, most))
    return sums


def _extended(reached: _Reached, choices: Iterable[tuple[int, float]], count: int, most: int | None) -> _Reached:
    further: _Reached = {}
    for state, weight in choices:
        added = state * count
        for charge, (so_far, states) in reached.items():
            total = charge + added
            if most is not None and total > most:
                continue
            known = further.get(total)
            if known is None or so_far + weight > known[0]:
                further[total] = (so_far + weight, (*states, state))
    return further
