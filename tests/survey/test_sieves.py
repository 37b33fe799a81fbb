"""The sieves beside pymatgen, SMACT and the screens of campaigns."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Composition

from aldesign.chemistry.elements import resolve
from aldesign.chemistry.formula import canonical_many
from aldesign.chemistry.neutrality import Options, assess
from aldesign.errors import InputError
from aldesign.screens.common import ScreenContext
from aldesign.screens.known import NoveltyScreen
from aldesign.survey.seen import fingerprints
from aldesign.survey.sieves import Rules, Sieves, Stage, check_lists, drawable, is_known

FORMULAS = [
    *("NaCl", "SrTiO3", "UO2", "Li2O2", "Fe", "FeAl", "NaCl2", "LiFePO4", "CsPbI3", "Ba2YCu3O7", "C60H999"),
    *("Al2(SO4)3", "Fe2O3", "SiO2", "Ga0.5In0.5As", "K3Na4Rb5Cs6Li7F25", "H2O", "Tc2O7", "Sr3YF9", "CoAs", "SbTe"),
]


def test_elements_and_sizes_are_pymatgens():
    rules = Rules(("Na", "Cl", "halogen", "O", "transition_metal", "Li", "P"), ("Tc",), ("O", "metal"), 2, 4, 8, 20)
    formulas = [text for text in canonical_many(FORMULAS) if isinstance(text, str)]
    allowed = resolve(rules.include) - resolve(rules.exclude)
    for formula, stage in zip(formulas, Sieves(rules, None).stages(formulas).tolist(), strict=True):
        amounts = Composition(formula).get_el_amt_dict()
        fits = set(amounts) <= allowed and "O" in amounts and bool(resolve("metal") & set(amounts))
        small = 2 <= len(amounts) <= 4 and max(amounts.values()) <= 8 and sum(amounts.values()) <= 20
        assert stage == (Stage.PASSED if fits and small else Stage.SIZE if fits else Stage.ELEMENTS), formula


def test_what_is_broken_is_said():
    from aldesign.chemistry.formula import compositions

    rules = Rules((), ("radioactive",), ("F",), 1, 2, 3, 5)
    parsed = compositions(["UO2", "CsPbI3", "Na4F", "F", "Ca9F9"])
    assert rules.broken(parsed, 0) == "U not allowed; no F"
    assert rules.broken(parsed, 1) == "no F; 3 elements, allowed are 1 to 2"
    assert rules.broken(parsed, 2) == "4 of one element, at most 3 allowed"
    assert rules.broken(parsed, 3) == ""
    assert rules.broken(parsed, 4) == "9 of one element, at most 3 allowed; 18 atoms, at most 5 allowed"


def test_charges_are_judged_as_the_assessment_does():
    formulas = [text for text in canonical_many(FORMULAS) if isinstance(text, str)]
    for options in (Options(), Options(include_alloys=False), Options(use_pauling_test=False)):
        stages = Sieves(charges=options).stages(formulas)
        for found, stage in zip(assess(formulas, options), stages.tolist(), strict=True):
            expected = Stage.PASSED if found.valid else Stage.ELECTRONEGATIVITY if found.neutral else Stage.NEUTRALITY
            assert stage == expected, found.reason


def test_novelty_is_that_of_campaigns(tmp_path):
    listed = tmp_path / "known.txt"
    listed.write_text("ClNa\nO3SrTi\nnonsense\n")
    formulas = ["NaCl", "SrTiO3", "Sr3YF9", "NaCl7"]
    for name in ("builtin", str(listed)):
        expected = [not one.passed for one in NoveltyScreen(ScreenContext(), known=name).check(formulas)]
        assert is_known(formulas, [name]).tolist() == expected
    assert Sieves(known=(str(listed),)).stages(["NaCl", "KCl"]).tolist() == [Stage.NOVELTY, Stage.PASSED]
    assert is_known([], ["builtin"]).tolist() == []


def test_the_first_sieve_that_holds_a_formula_back_is_named():
    sieves = Sieves(Rules(exclude=("U",), max_elements=2), known=("builtin",))
    assert sieves.stages(["UO2", "SrTiO3", "NaCl2", "NaCl"]).tolist() == [1, 2, Stage.NEUTRALITY, Stage.NOVELTY]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"include": ("Na",), "exclude": ("alkali",)}, "no element is left"),
        ({"include": ("Na",), "require": ("Cl",)}, "Cl is required, but may not occur"),
        ({"min_elements": 3, "max_elements": 2}, "3 or more elements and at most 2"),
        ({"exclude": ("halogene",)}, "did you mean"),
    ],
)
def test_rules_that_nothing_can_keep_are_refused(words, message):
    with pytest.raises(InputError, match=message):
        Rules(**words)


def test_a_list_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(InputError, match="no list of known formulas at"):
        check_lists([str(tmp_path / "none.csv")])
    (tmp_path / "empty.txt").write_text("nothing here\n")
    with pytest.raises(InputError, match="holds no formula"):
        is_known(["NaCl"], [str(tmp_path / "empty.txt")])


def test_the_generator_is_asked_for_what_the_rules_allow():
    found = drawable(Rules(("alkali", "F", "Og"), ("Fr",), ("F", "alkali"), 1, 3))
    assert found["allowed"] == ("Cs", "F", "K", "Li", "Na", "Rb")
    assert (found["required"], found["min_elements"], found["max_elements"]) == (("F",), 2, 3)
    with pytest.raises(InputError, match="no element is left"):
        drawable(Rules(("Og",)))


def test_fingerprints_tell_formulas_apart():
    names = [f"Na{i}Cl{j}" for i in range(1, 120) for j in range(1, 120)]
    assert len(np.unique(fingerprints(names))) == len(names)
    assert fingerprints(["NaCl"]).tolist() == fingerprints(["LiF", "NaCl"]).tolist()[1:]
