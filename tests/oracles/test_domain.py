"""Each condition of the applicability domain refuses something that all the others let pass."""

import numpy as np

from aldesign.chemistry.formula import compositions
from oracles.domain import CompositionDomain
from oracles.features.magpie import descriptor

CATIONS, ANIONS = ("Li", "Na", "K", "Mg", "Ca", "Al", "Zn", "Ti"), ("O", "S", "F", "Cl", "N")


def fitted():
    ratios = ("{0}{1}", "{0}2{1}", "{0}{1}2", "{0}2{1}3", "{0}20{1}20")
    return CompositionDomain.fit(compositions([r.format(c, a) for r in ratios for c in CATIONS for a in ANIONS]))


def test_a_composition_of_seen_elements_and_size_is_outside_by_distance_alone():
    domain = fitted()
    # 36 Li to 1 Cl: binary, of seen elements, of no more than the 40 atoms seen; but no ratio was above 2
    odd, usual = compositions(["Li36Cl", "Al36O"]), compositions(["CaCl2", "Li2O", "Al2O3"])
    arrays = domain.arrays()
    for inputs in (odd, usual):
        assert arrays["elements"][inputs.numbers[inputs.amounts > 0]].all()
        assert (inputs.n_elements() <= arrays["limits"][0]).all()
        assert (inputs.n_atoms() <= arrays["limits"][1]).all()
    distance = np.linalg.norm((descriptor(odd) - arrays["mean"]) @ arrays["whiten"], axis=1)
    assert (distance > arrays["limits"][2]).all()
    assert domain.contains(odd).tolist() == [False, False]
    assert domain.contains(usual).all()


def test_each_other_condition_refuses_alone():
    arrays = fitted().arrays()
    far = CompositionDomain({**arrays, "limits": np.array([*arrays["limits"][:2], np.inf])})
    # an unseen element; more elements than any; more atoms than any; and what distance alone refused
    asked = compositions(["SrO", "NaKO", "Li40Cl3", "Li36Cl"])
    assert far.contains(asked).tolist() == [False, False, False, True]
