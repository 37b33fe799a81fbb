"""The memory of formulas beside Python's own set."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from aldesign.survey.seen import Seen


@given(st.lists(st.lists(st.integers(0, 40) | st.integers(2**64 - 3, 2**64 - 1), max_size=30), max_size=20))
def test_it_is_a_set_that_tells_what_is_new(chunks):
    seen, known = Seen(), set()
    for chunk in chunks:
        numbers = np.array(chunk, dtype=np.uint64)
        assert seen.contains(numbers).tolist() == [number in known for number in chunk]
        expected = []
        for number in chunk:
            expected.append(number not in known)
            known.add(number)
        assert seen.add(numbers).tolist() == expected
        assert len(seen) == len(known)


def test_eight_bytes_a_formula_in_few_arrays():
    seen, rng = Seen(), np.random.default_rng(1)
    for _ in range(100):
        seen.add(rng.integers(0, 2**63, 1000).astype(np.uint64))
    assert len(seen) == 100_000
    assert sum(run.nbytes for run in seen._runs) == 800_000
    assert len(seen._runs) < 10
    assert int(seen._runs[0][0]) in seen
