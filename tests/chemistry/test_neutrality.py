import random
import warnings

import numpy as np
import pytest
from formula_strategies import counted, random_formulas, spelled
from hypothesis import given, settings

from aldesign.chemistry.elements import NUMBER
from aldesign.chemistry.formula import compositions
from aldesign.chemistry.neutrality import Options, assess, valid_mask
from aldesign.chemistry.oxidation import state_table
from aldesign.errors import InputError


def smact(formula: str, **options) -> bool:
    from smact.screening import smact_validity

    return smact_validity(formula, **options)


def one(formula: str, **options):
    return assess([formula], Options(**options))[0]


# What a chemist writes down.
STATES = {
    "NaCl": {"Na": 1, "Cl": -1},
    "Fe2O3": {"Fe": 3, "O": -2},
    "SrTiO3": {"Sr": 2, "Ti": 4, "O": -2},
    "CsPbI3": {"Cs": 1, "Pb": 2, "I": -1},
    "LiFePO4": {"Li": 1, "Fe": 2, "P": 5, "O": -2},
    "GaAs": {"Ga": 3, "As": -3},
    "CF4": {"C": 4, "F": -1},
    "H2O": {"H": 1, "O": -2},
    "Cu2O": {"Cu": 1, "O": -2},
    "BaTiO3": {"Ba": 2, "Ti": 4, "O": -2},
    "K2SO4": {"K": 1, "S": 6, "O": -2},
}


@pytest.mark.parametrize(("formula", "states"), STATES.items())
def test_common_compounds_get_their_textbook_states(formula, states):
    found = one(formula)
    assert found.valid
    assert found.neutral
    assert found.electronegativity
    assert found.rule == "neutral"
    assert found.oxidation_states == states


def test_rules_decide_before_charges():
    assert (one("FeAl").valid, one("FeAl").rule) == (True, "alloy")
    assert not one("FeNi", include_alloys=False).valid
    assert (one("O2").rule, one("O2").oxidation_states) == ("element", {"O": 0})
    assert one("He").valid


def test_reasons_name_the_nearest_miss():
    found = one("NaCl2")
    assert (found.valid, found.neutral, found.rule, found.charge) == (False, False, "charge", -1)
    assert found.nearest == {"Na": 1, "Cl": -1}
    assert found.reason == "no oxidation states balance: the nearest, Na+1 Cl-1, leave -1"


def test_an_electronegativity_fault_is_explained():
    for formula in random_formulas(400, 9, max_elements=2, max_count=4):
        found = one(formula)
        if found.rule == "electronegativity":
            assert found.neutral
            assert not found.valid
            assert "not less electronegative" in found.reason or "is not known" in found.reason
            assert one(formula, use_pauling_test=False).valid
            break
    else:
        pytest.fail("no example among the formulas drawn")


def test_elements_without_states_are_named():
    assert one("HeO").reason == "He has no known oxidation state"
    assert one("OgF2").reason == "Og has no known oxidation state"
    assert "electronegativity of Pm is not known" in one("Pm2O3").reason
    assert not one("HeO").valid


def test_fractional_amounts_lose_their_decimals_as_in_smact():
    for formula in ("Li1.5Cl1.2", "Fe2.9O3.1", "Ga0.5In0.5As", "Ca1.9F2.5", "NaCl0.5", "Al2.5O3.99"):
        assert one(formula).valid == smact(formula), formula
    assert "cut to whole numbers" in one("Ca1.9F2.5").reason
    found = one("Li0.5O0.3")
    assert (found.valid, found.rule) == (False, "fractional")


def test_huge_counts_are_judged_too():
    for formula in ("Na999999Cl1000000", "Fe2000O3001", "Fe200000O300000", "Mg149Si74", "C60H999"):
        assert one(formula).valid == bool(valid_mask(compositions([formula]))[0]) == smact(formula), formula


def test_an_unreadable_formula_sinks_no_other():
    bad, good = assess(["Xx2O", "NaCl"])
    assert (bad.rule, bad.valid) == ("unreadable", False)
    assert "'Xx' is not an element" in bad.reason
    assert good.valid
    assert assess([]) == []


@settings(max_examples=200, deadline=None)
@given(counted(max_elements=4, max_count=9))
def test_verdicts_are_smacts(atoms):
    formula = spelled(atoms)
    assert one(formula).valid == bool(valid_mask(compositions([formula]))[0]) == smact(formula)


@pytest.mark.parametrize(
    "options",
    [
        {"use_pauling_test": False},
        {"include_alloys": False},
        {"oxidation_states": "smact14"},
        {"oxidation_states": "icsd16"},
        {"oxidation_states": "pymatgen_sp"},
        {"oxidation_states": "wiki"},
        {"consensus": 50},
        {"commonality": "medium"},
        {"commonality": "main"},
        {"commonality": 25.0},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:This set of oxidation states is sourced from Wikipedia")
def test_options_mean_what_they_mean_in_smact(options):
    from smact.screening import ICSD24FilterConfig

    theirs = dict(options)
    if name := theirs.pop("oxidation_states", None):
        theirs["oxidation_states_set"] = name
    keep = {key: theirs.pop(key) for key in ("consensus", "commonality") if key in theirs}
    if keep:
        theirs["icsd_filter"] = ICSD24FilterConfig(**keep)
    texts = [*random_formulas(60, 4, max_elements=4, max_count=6), "NaCl", "Fe3O4", "FeAl", "CuO", "O2"]
    ours = valid_mask(compositions(texts), Options(**options)).tolist()
    assert ours == [smact(text, **theirs) for text in texts]
    assert [found.valid for found in assess(texts, Options(**options))] == ours


def test_mixed_valence_means_what_it_means_in_smact():
    options = Options(mixed_valence=True)
    texts = [
        "Fe3O4",
        "Mn3O4",
        "Cu3O4",
        "NaCl2",
        "NaCl",
        "Sb2O4",
        "FeAl",
        "Ti4O7",
        "Fe2.9O4",
        "W2Cl7",
        "CeF3",
        "Fe20O21",
    ]
    texts += [text for text in random_formulas(300, 12, max_elements=3, max_count=3) if "Mn" in text or "Fe" in text]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SMACT says which formulas have too many combinations
        expected = [smact(text, mixed_valence=True) for text in texts]
    found = assess(texts, options)
    assert [one.valid for one in found] == expected == valid_mask(compositions(texts), options).tolist()
    assert found[0].rule == "mixed valence"
    assert found[0].mixed_states == {"Fe": (2, 3, 3), "O": (-2,)}
    assert found[0].reason == "Fe+2 Fe+3 Fe+3 O-2 balance, atom by atom"
    assert all(one.valid == (one.rule in ("neutral", "mixed valence", "alloy", "element")) for one in found)
    both = Options(mixed_valence=True, use_pauling_test=False)
    assert all(
        one.valid == (one.rule in ("neutral", "mixed valence", "alloy", "element")) for one in assess(texts, both)
    )


def test_every_assessment_carries_its_own_proof():
    table = state_table("icsd24", 3, "low")
    texts = random_formulas(400, 6, max_elements=5, max_count=6)
    for text, found, numbers, amounts in zip(
        texts, assess(texts), *(getattr(compositions(texts), name) for name in ("numbers", "amounts")), strict=True
    ):
        units = dict(zip(numbers.tolist(), (amounts // np.gcd.reduce(amounts.astype(int))).tolist(), strict=True))
        states = found.oxidation_states or found.nearest
        if states is None or found.rule == "element":
            continue
        total = sum(state * units[NUMBER[symbol]] for symbol, state in states.items())
        assert total == found.charge, text
        assert (total == 0) == found.neutral
        assert all(state in table.states[NUMBER[symbol]] for symbol, state in states.items())
        if found.electronegativity:
            cations = [table.negativity[NUMBER[s]] for s, state in states.items() if state > 0]
            anions = [table.negativity[NUMBER[s]] for s, state in states.items() if state < 0]
            assert max(cations) < min(anions)
        assert found.valid == (found.electronegativity or found.rule == "alloy")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"oxidation_states": "icsd"}, "did you mean 'icsd16'|did you mean 'icsd24'"),
        ({"oxidation_states": "smact14", "consensus": 5}, "icsd24 table"),
        ({"commonality": "rare"}, "low, medium, high, main"),
        ({"commonality": 101.0}, "percentage"),
        ({"consensus": 0}, "1 or more"),
        ({"consensus": 2.5}, "whole number"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Options(**options)


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_verdicts_on_ten_thousand_real_and_as_many_random_formulas_are_smacts(reference_data):
    real = (reference_data / "mp" / "formulas.txt").read_text().split()
    for texts in (random.Random(20261121).sample(real, 10_000), random_formulas(10_000, 20261121)):
        ours = valid_mask(compositions(texts)).tolist()
        assert [text for text, verdict in zip(texts, ours, strict=True) if verdict != smact(text)] == []
