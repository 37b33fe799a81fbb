"""Several measurements of one material, against formulas worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aldesign.campaign.answers import Answer
from aldesign.campaign.measurements import current, key, to_json, together

GAPS = st.floats(0.0, 10.0)
STDS = st.floats(0.01, 1.0)


@given(st.lists(st.tuples(GAPS, STDS), min_size=2, max_size=6))
def test_stated_uncertainties_weigh_and_scatter_widens(measured: list[tuple[float, float]]) -> None:
    values, stds = np.array(measured).T
    mean, std = together(measured)
    assert mean == pytest.approx(np.average(values, weights=stds**-2.0), abs=1e-12)
    internal = np.sum(stds**-2.0) ** -0.5
    birge = np.sqrt(np.sum(((values - mean) / stds) ** 2) / (len(values) - 1))
    assert std == pytest.approx(internal * max(1.0, birge))


@given(st.lists(GAPS, min_size=2, max_size=6))
def test_without_them_the_scatter_speaks(values: list[float]) -> None:
    mean, std = together([(value, None) for value in values])
    assert mean == pytest.approx(np.mean(values))
    assert (std or 0.0) == pytest.approx(np.std(values, ddof=1) / np.sqrt(len(values)), abs=1e-12)


def test_one_measurement_is_what_it_says_and_none_is_an_error() -> None:
    assert together([(5.0, 0.1)]) == (5.0, 0.1)
    assert together([(5.0, None), (None, None)]) == (5.0, None)
    with pytest.raises(ValueError, match="no value to average"):
        together([(None, None)])


def test_only_what_came_since_the_last_correction_counts() -> None:
    def told(value: float | None, how: str) -> dict[str, object]:
        return to_json(Answer("NaCl", value=value, error="" if value else "lost"), "PBE", how)

    history = [told(5.0, "first"), told(5.2, "added"), told(4.0, "replaced"), told(4.2, "added")]
    assert [one["value"] for one in current(history)] == [4.0, 4.2]
    assert [one["value"] for one in current([*history, told(None, "replaced"), told(4.1, "first")])] == [4.1]


def test_a_measurement_is_known_by_what_it_says_not_by_its_file() -> None:
    first = to_json(Answer("NaCl", value=5.0, file="a.csv", line=3), "PBE", "first")
    assert key(first) == key(to_json(Answer("ClNa", value=5.0, file="b.csv", line=9), "PBE", "added"))
    assert key(first) != key(to_json(Answer("NaCl", value=5.0, notes={"source": "another furnace"}), "PBE", "added"))
