"""What every screen owes its callers, whatever it judges."""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aldesign.errors import SpecError
from aldesign.records import Verdict
from aldesign.screens import SCREENS, ScreenContext, make_screen

FORMULAS = ["ClNa", "Mg1O1", "MgO", "SrClF3", "FeNi", "NaCl2", "He", "Ca3(PO4)2", "Cu0.5Au1.5", "Xx2O", "", "NaN", "42"]
SPELLED_ALIKE = [("NaCl", "Cl2Na2"), ("MgO", "O Mg"), ("Ca3(PO4)2", "P2Ca3O8")]
CONTEXT = ScreenContext(seen={"NaCl": "trial 0, measured"}, expected={"MgO": (4.5, 0.2), "NaCl": (5.0, 0.1)})

every_screen = pytest.mark.parametrize("name", SCREENS)


@every_screen
def test_one_verdict_per_formula_in_order_even_for_nonsense(name):
    screen = make_screen(name, CONTEXT)
    verdicts = screen.check(FORMULAS)
    assert len(verdicts) == len(FORMULAS)
    for formula, verdict in zip(FORMULAS, verdicts, strict=True):
        assert isinstance(verdict, Verdict)
        assert verdict.screen == screen.name == name
        assert type(verdict.passed) is bool
        assert verdict.reason
        if formula in ("Xx2O", "", "42"):
            assert not verdict.passed


@every_screen
def test_evidence_is_plain_json(name):
    for verdict in make_screen(name, CONTEXT).check(FORMULAS):
        assert json.loads(json.dumps(verdict.evidence, allow_nan=False)) == verdict.evidence


@every_screen
def test_the_spelling_does_not_matter(name):
    screen = make_screen(name, CONTEXT)
    for one, other in SPELLED_ALIKE:
        assert screen.check([one]) == screen.check([other])


@every_screen
@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(FORMULAS), max_size=8, unique=True))
def test_a_formula_is_judged_alike_in_any_company(name, formulas):
    screen = make_screen(name, CONTEXT)
    if len({"Mg1O1", "MgO"} & set(formulas)) < 2:  # the same formula twice is what one screen is for
        assert screen.check(formulas) == [screen.check([formula])[0] for formula in formulas]


@every_screen
def test_no_formulas_no_verdicts_and_a_second_call_says_the_same(name):
    screen = make_screen(name, CONTEXT)
    assert screen.check([]) == []
    assert screen.check(FORMULAS) == screen.check(FORMULAS)


@every_screen
def test_it_can_be_named_both_ways_and_refuses_unknown_options(name):
    assert make_screen(name, CONTEXT) == make_screen({name: None}, CONTEXT) == make_screen({name: {}}, CONTEXT)
    with pytest.raises(SpecError, match="has no option 'colour'"):
        make_screen({name: {"colour": "red"}}, CONTEXT)


@every_screen
def test_it_says_in_one_line_what_it_asks_for(name):
    line = SCREENS[name].__doc__.partition("\n")[0]
    assert 20 < len(line) < 110
    assert line.endswith(".")
    assert not line.startswith(os.linesep)
