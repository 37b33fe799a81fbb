"""Coverage holds on rows that the calibration never saw, in groups too, and degenerate rows do no harm."""

import numpy as np
import pytest

from oracles.calibration import FLOOR, NONMETAL_EV, Calibration


def gaps(seed: int, n: int = 3000) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, locations and stated std like those of a gap model.

    Half of the rows are metals, seen as such but for a few; the errors of the others have Student's distribution with
    five degrees of freedom, whose 95 % reach 2.3 times as far as 68 %, and a scale understated threefold.
    """
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.1, 0.6, n)
    truth = rng.uniform(0.5, 6.0, n)
    location = truth + scale * rng.standard_t(5, n)
    metal = rng.random(n) < 0.5
    truth[metal] = 0.0
    location[metal] = rng.normal(-0.02, 0.02, metal.sum())
    mistaken = metal & (rng.random(n) < 0.03)
    truth[mistaken] = rng.uniform(0.1, 2.0, mistaken.sum())
    stated = np.where(metal, rng.uniform(0.02, 0.04, n), scale / 3)
    return truth, location, stated


@pytest.fixture(scope="module")
def fitted() -> tuple[Calibration, np.ndarray, np.ndarray, np.ndarray]:
    truth, location, stated = gaps(4)
    return Calibration.fit(truth, location, stated, negative=False), truth, location, stated


def coverage(error: np.ndarray, std: np.ndarray) -> tuple[float, float]:
    return float((error <= std).mean()), float((error <= 1.96 * std).mean())


@pytest.mark.parametrize("seed", [0, 1])
def test_both_shares_hold_on_unseen_rows_and_among_nonmetals(seed):
    truth, location, stated = gaps(seed, 8000)
    half = len(truth) // 2
    found = Calibration.fit(truth[:half], location[:half], stated[:half], negative=False)
    error = np.abs(found.answer(location[half:]) - truth[half:])
    std = found.std(location[half:], stated[half:])
    low, high = coverage(error, std)
    assert abs(low - 0.68) < 0.03
    assert abs(high - 0.95) < 0.03
    nonmetal = found.answer(location[half:]) > NONMETAL_EV
    low, high = coverage(error[nonmetal], std[nonmetal])
    # with such tails both shares cannot hold in every group
    assert abs(low - 0.68) < 0.12
    assert abs(high - 0.95) < 0.04


def test_normal_errors_give_back_their_standard_deviation():
    rng = np.random.default_rng(3)
    sigma = np.exp(rng.uniform(np.log(0.02), np.log(0.5), 5000))
    value = rng.uniform(-3.0, 1.0, 5000)
    found = Calibration.fit(value + rng.normal(0.0, sigma), value, 7.0 * sigma**2)
    ratio = found.std(value, 7.0 * sigma**2) / sigma
    assert np.median(ratio) == pytest.approx(1.0, abs=0.07)
    assert (np.abs(np.log(ratio)) < 0.25).mean() > 0.95


def test_the_std_rises_with_the_stated_one_and_makes_no_jump(fitted):
    found, _, _, stated = fitted
    grid = np.geomspace(1e-4, 50.0, 5000)
    for value in (0.0, 0.05, 1.0, 5.0):
        std = found.std(np.full(len(grid), value), grid)
        steps = np.diff(np.log(std))
        assert (steps >= -1e-12).all()
        assert (steps <= 25 * np.log(grid[1] / grid[0])).all()
        assert (std >= FLOOR).all()
    beyond = found.std(np.ones(2), np.array([1e3, 1e9]))
    assert beyond[0] == beyond[1] < 20 * found.std(np.ones(1), stated.max(keepdims=True))[0]
    along = found.std(np.linspace(-1.0, 10.0, 50_000), np.full(50_000, 0.3))
    assert np.abs(np.diff(np.log(along))).max() < 0.1


def test_gaps_are_never_negative_and_keep_their_order(fitted):
    found, _, location, _ = fitted
    ordered = np.sort(np.concatenate([location, [-5.0, 0.0, 1e-3, 20.0]]))
    answers = found.answer(ordered)
    assert (np.diff(answers) >= 0).all()
    assert (answers >= 0).all()
    high = ordered > 0.1
    np.testing.assert_allclose(answers[high], ordered[high], atol=2e-4)
    assert answers[~high].max() < 0.11
    cut = Calibration.identity(negative=False)
    np.testing.assert_array_equal(cut.answer(np.array([-1.0, 0.0, 2.0])), [0.0, 0.0, 2.0])


def test_other_properties_keep_their_values():
    value = np.linspace(-4.0, 1.0, 50)
    found = Calibration.fit(value + np.tile([0.1, -0.2], 25), value, np.full(50, 0.05))
    np.testing.assert_array_equal(found.answer(value), value)


@pytest.mark.parametrize("n", [0, 1, 9])
def test_with_next_to_no_rows_the_stated_std_stays(n):
    found = Calibration.fit(np.ones(n), np.zeros(n), np.full(n, 0.3))
    np.testing.assert_allclose(found.std(np.zeros(3), np.array([0.0, 0.2, 4.0])), [FLOOR, 0.2, 4.0])


@pytest.mark.parametrize("n", [10, 30, 100, 300])
def test_few_rows_give_a_robust_scale(n):
    rng = np.random.default_rng(n)
    stated = rng.uniform(0.05, 0.2, n)
    value = rng.uniform(0.0, 3.0, n)
    truth = value + rng.normal(0.0, 2.0 * stated)
    truth[0] += 50.0  # one blunder
    found = Calibration.fit(truth, value, stated)
    ratio = found.std(value, stated) / (2.0 * stated)
    assert 0.5 < np.median(ratio) < 2.0
    assert ratio.max() < 5.0


@pytest.mark.parametrize(
    ("truth", "value", "stated"),
    [
        (np.zeros(500), np.zeros(500), np.zeros(500)),
        (np.zeros(500), np.full(500, 0.2), np.full(500, 0.1)),
        (np.linspace(0, 5, 500), np.linspace(0, 5, 500), np.full(500, 0.1)),
        (np.linspace(0, 5, 500), np.zeros(500), np.repeat([0.1, 0.2], 250)),
        (np.zeros(2000), np.repeat([0.0, 1.0], 1000), np.repeat([0.0, 1e-12], 1000)),
    ],
    ids=["nothing", "one error", "no error", "two stated", "zero stated"],
)
@pytest.mark.parametrize("negative", [True, False])
def test_degenerate_rows_give_finite_std(truth, value, stated, negative):
    found = Calibration.fit(truth, value, stated, negative=negative)
    for asked in (stated, np.full(len(stated), 0.5), np.zeros(len(stated))):
        std = found.std(value, asked)
        assert np.isfinite(std).all()
        assert (std >= FLOOR).all()
        assert (std < 1e3).all()


def test_rows_without_a_number_are_left_out():
    truth, location, stated = gaps(6, 800)
    spoilt = [np.concatenate([part, extra]) for part, extra in zip(
        (truth, location, stated), ([np.nan, 1.0, 1.0], [1.0, np.inf, 1.0], [0.1, 0.1, np.nan]), strict=True
    )]  # fmt: skip
    ours, theirs = Calibration.fit(truth, location, stated), Calibration.fit(*spoilt)
    for name, array in ours.arrays().items():
        np.testing.assert_array_equal(array, theirs.arrays()[name])


def test_half_of_the_rows_alike_is_a_compromise():
    """A model that cannot tell metals apart covers all of them or none; the non-metals must not pay for all of it."""
    truth, location, stated = gaps(7)
    metal = stated < 0.05
    location[metal], stated[metal] = 0.0, 0.03
    found = Calibration.fit(truth, location, stated, negative=False)
    error, std = np.abs(found.answer(location) - truth), found.std(location, stated)
    low, high = coverage(error[~metal], std[~metal])
    assert 0.5 < low < 0.8
    assert 0.85 < high < 0.99


def test_storage_keeps_every_digit():
    truth, location, stated = gaps(8, 800)
    for negative in (True, False):
        found = Calibration.fit(truth, location, stated, negative=negative)
        again = Calibration.from_arrays(found.arrays("calibration.3."), "calibration.3.")
        np.testing.assert_array_equal(again.std(location, stated), found.std(location, stated))
        np.testing.assert_array_equal(again.answer(location), found.answer(location))


def test_damaged_storage_is_refused():
    arrays = Calibration.identity().arrays()
    with pytest.raises(KeyError):
        Calibration.from_arrays({k: v for k, v in arrays.items() if not k.endswith("factor")})
    with pytest.raises(ValueError, match="shapes"):
        Calibration.from_arrays({**arrays, "calibration.reported": np.zeros(2)})
