"""The order of a plan: every beginning diverse, cheap and within the shares of each kind."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from aldesign.datasets.ordering import SHARES, Entry, in_order

KINDS = sorted(SHARES)
entry = st.builds(
    Entry,
    name=st.integers(0, 10**6).map(str),
    elements=st.frozensets(st.sampled_from(["Li", "Na", "K", "O", "F", "Cl"]), min_size=1, max_size=3),
    family=st.sampled_from(["a", "b"]),
    cost=st.floats(1, 50),
    kinds=st.frozensets(st.sampled_from(KINDS), max_size=2),
    first=st.booleans(),
)
entries = st.lists(entry, max_size=40, unique_by=lambda one: one.name)


@given(entries)
def test_shares_are_kept_at_every_place_and_nothing_comes_twice(some: list[Entry]) -> None:
    order = in_order(some)
    assert len(set(order)) == len(order)
    assert {i for i, one in enumerate(some) if not one.kinds} <= set(order)
    for kind, share in SHARES.items():
        taken = 0
        for n, place in enumerate(order):
            taken += kind in some[place].kinds
            assert taken <= share * (n + 20)
    firsts = [some[place].first for place in order]
    assert firsts == sorted(firsts, reverse=True)


@given(entries, st.randoms(use_true_random=False))
def test_the_order_does_not_depend_on_that_of_the_input(some: list[Entry], chance: random.Random) -> None:
    shuffled = list(some)
    chance.shuffle(shuffled)
    assert [some[i].name for i in in_order(some)] == [shuffled[i].name for i in in_order(shuffled)]


def test_a_beginning_holds_every_element_and_the_cheap_come_first() -> None:
    elements = [f"E{i}" for i in range(30)]
    pairs = [(a, b) for i, a in enumerate(elements) for b in elements[:i]]
    some = [Entry(f"{a}{b}", frozenset((a, b)), "f", 1.0) for a, b in pairs]
    first = in_order(some)[:15]
    assert len({symbol for i in first for symbol in some[i].elements}) == 30
    twins = [Entry("dear", frozenset({"A"}), "f", 9.0), Entry("fair", frozenset({"B"}), "f", 1.0)]
    assert [twins[i].name for i in in_order(twins)] == ["fair", "dear"]
