"""The intervals of every shipped oracle hold on rows that it never saw."""

import json
from pathlib import Path

import numpy as np
import pytest

from aldesign.records import Candidate
from aldesign.registry import load_oracle
from oracles.calibration import FLOOR, Calibration
from oracles.levels import SHIPPED
from oracles.metrics import error_metrics, rank_correlation

BAR = 0.03  # of either share, from 68 and 95 %
FEW = 1000  # rows
NONMETALS = 0.06  # of the same among predicted non-metals
CARDS = [  # a descriptor's card tells of no property, and has no intervals to hold
    path for path in sorted(SHIPPED.rglob("card.json")) if "property" in json.loads(path.read_text(encoding="utf-8"))
]
GAPS = ("random_forest", "dense", "stoichiometry_graph")


def of_the_test(card: dict) -> dict:
    part = card["metrics"]["test"]
    return part.get(card["property"], part)


def holds(found: dict) -> None:
    """Both shares are within the bar, or on few rows within two and a half standard errors of a share."""
    for name, bar in (("coverage_{}", BAR), ("coverage_{}_predicted_nonmetals", NONMETALS)):
        for share in (0.68, 0.95):
            told = found.get(name.format(round(100 * share)))
            if told is not None:
                rows = found["count"] / (1 if bar == BAR else 2)
                assert abs(told - share) <= max(bar, 2.5 * np.sqrt(share * (1 - share) / rows)), name


def test_every_oracle_with_weights_is_among_them() -> None:
    assert len(CARDS) >= 8
    assert {path.relative_to(SHIPPED).parts[0] for path in CARDS} >= {*GAPS, "ensemble", "crystal_graph"}


@pytest.mark.parametrize("path", CARDS, ids=lambda path: str(path.parent.relative_to(SHIPPED)))
def test_coverage_on_the_test_part_as_the_card_tells_it(path: Path) -> None:
    holds(of_the_test(json.loads(path.read_text(encoding="utf-8"))))


@pytest.fixture(scope="module")
def parts(reference_data):
    from oracles.pretraining import split_rows

    return split_rows(reference_data / "mp", "band_gap")


@pytest.mark.data
@pytest.mark.parametrize("name", GAPS)
def test_coverage_on_the_test_part_and_in_groups(name, parts):
    rows = parts[2]
    answers = load_oracle(name).predict([Candidate(row.formula) for row in rows])
    truth = np.array([row.value for row in rows])
    value, std = (np.array([getattr(a, k) for a in answers]) for k in ("value", "std"))
    holds(error_metrics(truth, value, std))
    error = np.abs(value - truth)
    assert (std >= FLOOR).all()
    assert rank_correlation(error, std) > 0.6
    # among the two fifths of largest std, where a user looks twice, both shares hold nearly
    large = std > np.quantile(std, 0.6)
    assert abs((error <= std)[large].mean() - 0.68) < 0.08
    assert abs((error <= 1.96 * std)[large].mean() - 0.95) < 0.04


@pytest.mark.data
@pytest.mark.slow
def test_another_choice_of_validation_rows_calibrates_as_well(parts):
    """Calibrated on random halves of the rows that were not trained on, both shares hold on the other half."""
    oracle = load_oracle("dense")
    rows = [*parts[1], *parts[2]]
    from aldesign.chemistry.formula import compositions

    location, stated = oracle._infer(compositions([row.formula for row in rows]))
    truth = np.array([row.value for row in rows])
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(rows))
        a, b = order[: len(order) // 2], order[len(order) // 2 :]
        found = Calibration.fit(truth[a], location[a], stated[a], negative=False)
        holds(error_metrics(truth[b], found.answer(location[b]), found.std(location[b], stated[b])))
