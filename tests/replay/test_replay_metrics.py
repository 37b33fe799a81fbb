"""What a replay found, and how much faster than chance, against closed forms and by hand."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import hypergeom, nhypergeom

from aldesign.campaign.spec import CampaignSpec
from aldesign.models.acquisition import Objective
from aldesign.replay.metrics import Course, Curve, Spread, band, measure
from aldesign.replay.runs import Run
from aldesign.replay.seeds import acceleration, chance_figures, figures, first_hit_paid
from aldesign.replay.strategies import Ground, buy

SpecMaker = Callable[..., CampaignSpec]


def curve_of(found: list[int], hits: int, rows: int) -> Curve:
    return Curve(np.array([0, *found]), np.zeros(len(found) + 1), hits, rows)


def course(start: list[int], rows: list[int], seed: int = 0) -> Course:
    bought = np.array(rows, dtype=np.int64)
    nothing = np.full(len(rows), np.nan)
    return Course(
        "campaign",
        seed,
        np.array(start),
        bought,
        nothing,
        nothing,
        (len(rows),),
        {"surrogate": 1.0, "acquisition": 2.0},
    )


def bought_by(strategy: str, spec: CampaignSpec, gaps: np.ndarray, labels: int, batch: int) -> list[int]:
    """Return all that a strategy buys of a pool whose every row may be bought."""
    run = Run(strategy, spec, np.zeros(0, dtype=np.int64), labels, batch)
    while run.missing:
        run.batches.append(buy(run.request(np.ones(len(gaps), dtype=bool)), Ground(gaps)))
    return run.rows


@given(st.integers(1, 40), st.integers(0, 40), st.data())
def test_chance_is_hypergeometric(hits: int, misses: int, data: st.DataObject) -> None:
    rows = hits + misses
    n = data.draw(st.integers(0, rows))
    curve = curve_of([0] * n, hits, rows)
    found = np.arange(hits + 1)
    assert curve.by_chance[-1] == pytest.approx(found @ hypergeom.pmf(found, rows, hits, n), abs=1e-9)


@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_the_labels_of_chance_are_negative_hypergeometric(hits: int, misses: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, hits))
    # scipy counts the misses before the count-th hit
    expected = nhypergeom(hits + misses, misses, count).mean() + count
    assert curve_of([], hits, hits + misses).chance_to(count) == pytest.approx(expected)


def test_factors_by_hand() -> None:
    # 20 rows, 4 hits, found with the labels 1, 3 and 4 of five
    curve = curve_of([1, 1, 2, 3, 3], 4, 20)
    assert curve.share.tolist() == [0, 0.25, 0.25, 0.5, 0.75, 0.75]
    assert curve.by_chance.tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert math.isnan(curve.enhancement[0])
    assert curve.enhancement[1:].tolist() == pytest.approx([5, 2.5, 10 / 3, 3.75, 3])
    assert [curve.labels_to(k) for k in (1, 2, 3, 4)] == [1, 3, 4, math.inf]
    # chance needs 21 / 5 labels a hit: 4.2, 8.4, 12.6 for one to three
    assert acceleration([curve], 0.25).mean == pytest.approx(4.2)
    assert acceleration([curve], 0.25).error is None
    assert acceleration([curve], 0.10).mean == pytest.approx(4.2)  # no part of a hit can be found
    assert acceleration([curve], 0.50).mean == pytest.approx(8.4 / 3)
    assert acceleration([curve], 0.75).mean == pytest.approx(12.6 / 4)
    assert acceleration([curve], 0.80) == Spread(None, None, 0)


def test_an_acceleration_is_a_ratio_of_means_with_the_error_of_a_jackknife() -> None:
    rng = np.random.default_rng(5)
    paid_by, hits = rng.poisson(40, 80), rng.poisson(9, 80) + 1
    curves = [curve_of([0] * int(n) + [1], int(k), 300) for n, k in zip(paid_by, hits, strict=True)]
    told = acceleration(curves, 0.0)
    chance = np.array([301 / (curve.hits + 1) for curve in curves])
    paid = np.array([len(curve.found) - 1.0 for curve in curves])
    assert told.mean == pytest.approx(chance.mean() / paid.mean())
    without = (chance.sum() - chance) / (paid.sum() - paid)
    assert told.error == pytest.approx(math.sqrt(79 / 80 * np.square(without - without.mean()).sum()), rel=0.05)


def test_chance_has_an_acceleration_of_one(make_spec: SpecMaker) -> None:
    hits = np.arange(40) % 10 == 0
    curves = []
    for seed in range(400):
        rows = bought_by("random", make_spec(f"seed={seed}"), np.zeros(40), 40, 40)
        found = np.concatenate([[0], np.cumsum(hits[rows])])
        curves.append(Curve(found, found.astype(float), 4, 40))
    for share in (0.10, 0.25, 0.50, 0.80):
        told = acceleration(curves, share)
        assert told.mean is not None
        assert told.error is not None
        assert abs(told.mean - 1) < 4.5 * told.error
        assert told.error < 0.06
    # a mean of ratios would not be
    assert np.mean([curve.chance_to(1) / curve.labels_to(1) for curve in curves]) > 1.5


def test_the_first_hit_is_paid_for_with_its_whole_batch() -> None:
    bought = replace(course([9], list(range(7))), batches=(3, 3, 1))
    for place, paid in ((1, 3), (3, 3), (4, 6), (6, 6), (7, 7)):
        curve = curve_of([int(n >= place) for n in range(1, 8)], 1, 10)
        assert (curve.labels_to(1), first_hit_paid(bought, curve)) == (place, paid)
    assert first_hit_paid(bought, curve_of([0] * 7, 1, 10)) == math.inf


def test_the_best_gap_counts_the_start_and_follows_the_goal() -> None:
    gaps = np.array([2.0, 1.0, 5.0, 3.0, 0.5, 6.0])
    everything = np.ones(6, dtype=bool)
    done = course([0, 1], [3, 4, 2, 5])

    def best(goal: Objective) -> list[float]:
        return measure(done, gaps, gaps > 4, everything, goal).best_ev.tolist()

    assert best(Objective("maximize")) == [2, 3, 3, 5, 6]
    assert best(Objective("minimize")) == [1, 1, 0.5, 0.5, 0.5]
    assert best(Objective("window", 2.5, 3.5)) == [2, 3, 3, 3, 3]


def test_hits_of_the_start_are_not_found_again() -> None:
    gaps = np.array([9.0, 1.0, 8.0, 7.0, 1.0])
    buyable = np.array([True, True, True, True, False])
    curve = measure(course([0, 1], [2, 3]), gaps, gaps > 6, buyable, Objective())
    assert (curve.hits, curve.rows) == (2, 2)
    assert curve.found.tolist() == [0, 1, 2]


def test_perfect_knowledge_finds_one_hit_with_every_label(make_spec: SpecMaker) -> None:
    gaps = np.arange(30.0)[::-1].copy()
    rows = bought_by("best", make_spec(), gaps, 20, 7)
    curve = measure(
        course([30], rows), np.append(gaps, 0), np.append(gaps >= 18, False), np.ones(31, bool), Objective()
    )
    assert curve.found.tolist() == [min(n, 12) for n in range(21)]


def test_chance_has_an_enhancement_of_one_on_average(make_spec: SpecMaker) -> None:
    hits = np.arange(60) % 5 == 0
    curves = []
    for seed in range(300):
        rows = bought_by("random", make_spec(f"seed={seed}"), np.zeros(60), 24, 8)
        assert len(set(rows)) == 24
        found = np.concatenate([[0], np.cumsum(hits[rows])])
        curves.append(Curve(found, found.astype(float), int(hits.sum()), 60))
    mean, error = band([curve.enhancement[1:] for curve in curves])
    assert (np.abs(mean - 1) < 4.5 * error).all()
    labels = [curve.labels_to(1) for curve in curves if math.isfinite(curve.labels_to(1))]
    assert np.mean(labels) == pytest.approx(curves[0].chance_to(1), rel=0.15)


def test_spreads_are_those_of_samples() -> None:
    spread = Spread.of([1.0, 2.0, 6.0])
    assert (spread.mean, spread.count) == (3.0, 3)
    assert spread.error == pytest.approx(np.std([1, 2, 6], ddof=1) / math.sqrt(3))
    assert Spread.of([4.0]) == Spread(4.0, None, 1)
    assert Spread.of([4.0, math.nan, math.inf]) == Spread(None, None, 1)


def test_figures_tell_the_end_of_all_seeds() -> None:
    curves = [curve_of([1, 2, 2], 2, 10), curve_of([0, 0, 1], 2, 10)]
    told = figures([course([0], [1, 2, 3]), course([0], [1, 2, 3], seed=1)], curves)
    assert (told["found"].mean, told["share"].mean) == (1.5, 0.75)
    assert told["labels_to_first_hit"].mean == 2.0
    assert told["first_hit_batch_labels"].mean == 3.0
    assert told["acceleration_50"].mean == pytest.approx((11 / 3) / 2)
    assert (told["acceleration_80"].mean, told["acceleration_80"].count) == (None, 1)
    chance = chance_figures(curves)
    assert chance["found"].mean == pytest.approx(0.6)
    assert chance["labels_to_first_hit"].mean == pytest.approx(11 / 3)
    assert chance["enhancement_factor"].mean == 1.0
