"""The domain on Materials Project formulas: what was kept from training is flagged, what resembles it is not."""

import numpy as np
import pytest

from aldesign.chemistry.elements import ALPHABET, NUMBER, resolve
from aldesign.chemistry.formula import compositions
from oracles.domain import CompositionDomain

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def formulas(reference_data):
    from oracles.pretraining import ground_states

    return compositions(ground_states(reference_data / "mp")["formula"].tolist())


def holding(inputs, symbols):
    wanted = np.isin(inputs.numbers, [NUMBER[symbol] for symbol in symbols])
    return (wanted & (inputs.amounts > 0)).any(axis=1)


CASES = {
    "lutetium": lambda inputs: holding(inputs, ["Lu"]),
    "actinides": lambda inputs: holding(inputs, resolve(["actinide"])),
    "fluorine": lambda inputs: holding(inputs, ["F"]),
    "five elements and more": lambda inputs: inputs.n_elements() >= 5,
    "more than forty atoms": lambda inputs: inputs.n_atoms() > 40,
}


@pytest.mark.parametrize("case", CASES)
def test_what_was_never_seen_is_flagged_and_the_rest_is_not(formulas, case):
    out = CASES[case](formulas)
    rest = np.random.default_rng(0).permutation(np.flatnonzero(~out))
    domain = CompositionDomain.fit(formulas[rest[:9000]])
    assert out.sum() > 1000
    assert not domain.contains(formulas[np.flatnonzero(out)[:2000]]).any()
    assert domain.contains(formulas[rest[9000:11000]]).mean() > 0.99


def test_random_mixtures_of_seen_elements_are_far_more_often_than_compounds(formulas):
    rng = np.random.default_rng(1)
    order = rng.permutation(len(formulas))
    domain = CompositionDomain.fit(formulas[order[:9000]])
    seen = [symbol for symbol in ALPHABET if domain.arrays()["elements"][NUMBER[symbol]]]
    for k, least in ((4, 0.08), (6, 0.12)):
        draws = [rng.choice(seen, k, replace=False) for _ in range(1000)]
        mixed = compositions(["".join(f"{e}{rng.integers(1, 9)}" for e in draw) for draw in draws])
        assert 1.0 - domain.contains(mixed).mean() > least
    assert 1.0 - domain.contains(formulas[order[9000:12000]]).mean() < 0.015
