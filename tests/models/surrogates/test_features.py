"""Features of formulas: blocks side by side, named by a digest."""

import numpy as np
import pytest

from aldesign.errors import FormulaError, InputError
from aldesign.models.surrogates.features import FeatureSpace

FORMULAS = ["NaCl", "MgO", "LiFePO4"]


class Lengths:
    """An encoder of the length of a formula's text."""

    digest = "abc"

    def encode(self, formulas):
        return np.array([[len(f), 1.0] for f in formulas])

    def decode(self, points):
        return [None] * len(points)


def test_blocks_stand_side_by_side_in_the_order_of_their_names():
    space = FeatureSpace(["magpie", "latent"], Lengths())
    found = space.describe(FORMULAS)
    assert space.blocks == (132, 2)
    assert found.shape == (3, 134)
    assert found.dtype == np.float64
    assert np.array_equal(found[:, :132], FeatureSpace(["magpie"]).describe(FORMULAS))
    assert found[:, 132].tolist() == [4, 3, 7]


def test_the_digest_follows_names_order_and_encoder():
    one = FeatureSpace(["magpie", "latent"], Lengths()).digest
    assert one == FeatureSpace(["magpie", "latent"], Lengths()).digest
    other = Lengths()
    other.digest = "abd"
    assert len({one, FeatureSpace(["latent", "magpie"], Lengths()).digest, FeatureSpace(["magpie"]).digest}) == 3
    assert FeatureSpace(["magpie", "latent"], other).digest != one


def test_bad_names_and_formulas_are_refused():
    with pytest.raises(InputError, match="did you mean 'magpie'"):
        FeatureSpace(["magpi"])
    with pytest.raises(InputError, match="each once"):
        FeatureSpace(["magpie", "magpie"])
    with pytest.raises(InputError, match="one or more"):
        FeatureSpace([])
    with pytest.raises(InputError, match="needs an encoder"):
        FeatureSpace(["latent"])
    with pytest.raises(FormulaError):
        FeatureSpace(["magpie"]).describe(["NaCl", "Xx"])
