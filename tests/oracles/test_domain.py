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
    assert (distance > arrays["reach"][2]).all()
    assert domain.contains(odd).tolist() == [False, False]
    assert domain.contains(usual).all()


def test_each_other_condition_refuses_alone():
    arrays = fitted().arrays()
    far = CompositionDomain({**arrays, "reach": np.full(3, np.inf)})
    # an unseen element; more elements than any; more atoms than any; and what distance alone refused
    asked = compositions(["SrO", "NaKO", "Li40Cl3", "Li36Cl"])
    assert far.contains(asked).tolist() == [False, False, False, True]


def test_each_number_of_elements_has_a_limit_of_its_own():
    from itertools import combinations

    pairs = [f"{a}{i % 3 + 1}{b}" for i, (a, b) in enumerate((a, b) for a in CATIONS for b in ANIONS)] * 3
    triples = [f"{a}{b}{x}3" for a, b in combinations(CATIONS, 2) for x in ANIONS]
    inputs = compositions([*pairs, *triples, "Li", "O2"])
    arrays = CompositionDomain.fit(inputs).arrays()
    distance = np.linalg.norm((descriptor(inputs) - arrays["mean"]) @ arrays["whiten"], axis=1)
    for k in (2, 3):
        like = distance[inputs.n_elements() == k]
        assert (like > arrays["reach"][k] + 1e-3).mean() <= 0.01
    # two elements alone are too few for a limit of their own, and inside
    assert CompositionDomain(arrays).contains(compositions(["Li", "O"])).all()


def test_a_domain_stored_with_one_limit_is_read():
    arrays = fitted().arrays()
    old = CompositionDomain({name: array for name, array in arrays.items() if name != "reach"})
    asked = compositions(["CaCl2", "Li36Cl", "SrO", "NaKO"])
    assert old.contains(asked).tolist() == [True, False, False, False]
