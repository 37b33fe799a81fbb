"""Fronts equal those of brute force, and the first one BoTorch's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from aldesign.campaign.pareto import fronts

TABLES = st.tuples(st.integers(0, 25), st.integers(2, 4)).flatmap(
    lambda shape: arrays(float, shape, elements=st.integers(0, 6).map(float))
)


def beats(a: np.ndarray, b: np.ndarray) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


@given(TABLES)
def test_fronts_equal_brute_force(costs: np.ndarray) -> None:
    expected, left, number = {}, set(range(len(costs))), 0
    while left:
        number += 1
        front = {i for i in left if not any(beats(costs[j], costs[i]) for j in left)}
        expected.update(dict.fromkeys(front, number))
        left -= front
    assert fronts(costs).tolist() == [expected[i] for i in range(len(costs))]


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_the_first_front_is_botorchs() -> None:
    import torch
    from botorch.utils.multi_objective.pareto import is_non_dominated

    costs = np.random.default_rng(5).normal(size=(200, 3))
    assert ((fronts(costs) == 1) == is_non_dominated(torch.as_tensor(-costs)).numpy()).all()


def test_what_has_no_value_is_refused() -> None:
    with pytest.raises(ValueError, match="no front"):
        fronts(np.array([[1.0, np.nan]]))
