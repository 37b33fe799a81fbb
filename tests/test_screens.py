"""What each screen lets pass, against SMACT, sets and arithmetic; and what campaign files may say of them."""

import gzip

import pytest
import yaml
from smact.screening import smact_validity

from aldesign.chemistry import sketch
from aldesign.errors import SpecError
from aldesign.records import Candidate
from aldesign.registry import load_oracle
from aldesign.screens import SCREENS, ScreenContext, make_screen, validate_screen

NOTHING = ScreenContext()
COMPOUNDS = [
    *("NaCl", "MgO", "BaTiO3", "SrClF3", "Fe3O4", "Fe2O3", "NaCl2", "K4Si23", "SiO2", "Al2O3", "YCl3", "CaClF5"),
    *("FeNi", "Cu3Au", "TiAl", "MgCu2", "LiFePO4", "NaF5C", "PF5", "XeF2", "NaKRb", "GaAs", "HgSe2", "TlF3"),
]


def passed(entry, formulas, context=NOTHING):
    return [verdict.passed for verdict in make_screen(entry, context).check(formulas)]


def reason(entry, formula, context=NOTHING):
    (verdict,) = make_screen(entry, context).check([formula])
    return verdict.reason


@pytest.mark.parametrize("alloys", ["accept", "reject"])
def test_both_charge_screens_together_are_smact_validity(alloys):
    options = {"alloys": alloys}
    ours = [
        a and b
        for a, b in zip(
            passed({"neutrality": options}, COMPOUNDS), passed({"electronegativity": options}, COMPOUNDS), strict=True
        )
    ]
    assert ours == [smact_validity(formula, include_alloys=alloys == "accept") for formula in COMPOUNDS]


def test_the_two_halves_of_validity_fail_for_their_own_reason():
    neutrality, electronegativity = (make_screen(n, NOTHING) for n in ("neutrality", "electronegativity"))
    (salt,) = neutrality.check(["NaCl"])
    assert salt.evidence["oxidation_states"] == {"Na": 1, "Cl": -1}
    (charged,) = neutrality.check(["NaCl2"])
    assert not charged.passed
    assert charged.evidence["charge"] == -1
    assert charged.evidence["nearest"] == {"Na": 1, "Cl": -1}
    assert "leave -1" in charged.reason
    assert electronegativity.check(["NaCl2"])[0].reason.startswith("not judged")
    assert neutrality.check(["FeNi"])[0].passed
    (upside_down,) = electronegativity.check(["FeNi"])
    assert not upside_down.passed
    assert "Ni (1.91) is not less electronegative than the anion Fe (1.83)" in upside_down.reason


def test_the_table_of_oxidation_states_can_be_chosen():
    tables = [passed({"neutrality": {"oxidation_states": t}}, COMPOUNDS) for t in ("icsd24", "smact14", "wiki")]
    assert len({tuple(t) for t in tables}) > 1


def test_duplicates_are_found_in_the_campaign_and_within_the_batch():
    context = ScreenContext(seen={"NaCl": "trial 12, measured", "MgO": "seed row 3"})
    screen = make_screen("duplicate", context)
    verdicts = screen.check(["KCl", "ClNa", "Cl2K2", "MgO"])
    assert [v.passed for v in verdicts] == [True, False, False, False]
    assert "trial 12, measured" in verdicts[1].reason
    assert verdicts[2].evidence == {"first": "earlier in this batch"}
    assert "seed row 3" in verdicts[3].reason


def test_element_rules_name_what_they_forbid():
    rules = {"elements": {"exclude": ["toxic", "Fe"], "n_elements": [2, 3], "max_count": 8, "max_atoms": 12}}
    formulas = ["PbTe", "Fe2O3", "NaCl", "He", "KNaLiCl3", "K4Si23", "Mg5Si7O2"]
    assert passed(rules, formulas) == [False, False, True, False, False, False, False]
    assert reason(rules, "PbTe") == "Pb excluded as toxic"
    assert reason(rules, "Fe2O3") == "Fe excluded"
    assert reason(rules, "He") == "1 element, allowed are 2 to 3"
    assert reason(rules, "K4Si23") == "23 of one element, at most 8 allowed; 27 atoms, at most 12 allowed"
    assert reason(rules, "FePbNaCl") == "Pb excluded as toxic; Fe excluded; 4 elements, allowed are 2 to 3"


def test_included_elements_are_the_only_ones():
    rules = {"elements": {"include": ["halogen", "alkali", "O"]}}
    assert passed(rules, ["NaCl", "Na2O", "MgO"]) == [True, True, False]
    assert reason(rules, "MgO") == "Mg not among the included elements"
    assert passed({"elements": {"require": ["halogens", "O"]}}, ["NaCl", "MgO", "GaAs"]) == [True, True, False]
    assert reason({"elements": {"require": ["halogens", "O"]}}, "GaAs") == "nothing of what is required: halogens, O"
    assert passed({"elements": {"include": "halogens", "exclude": "F"}}, ["ClBr", "ClF"]) == [True, False]


def test_limits_count_the_atoms_that_are_written():
    assert passed({"elements": {"max_count": 2}}, ["Cu0.5Au1.5", "Na2O2", "Al2O3"]) == [True, True, False]


def test_builtin_novelty_gives_its_rate_of_false_alarms():
    screen = make_screen({"novelty": {"known": "builtin"}}, NOTHING)
    (known,) = screen.check(["BaTiO3"])
    assert not known.passed
    assert known.evidence == {"known_by": "builtin", "false_positive_rate": sketch.known().false_positive_rate}
    assert "may be known already (false alarms: 0.1%)" in known.reason
    absurd = [f"Og{n}Lr{n + 1}" for n in range(1, 20)]
    assert sum(v.passed for v in screen.check(absurd)) >= 18


def test_novelty_against_lists_of_one_s_own(tmp_path):
    text, table = tmp_path / "mine.txt", tmp_path / "more.csv.gz"
    text.write_text("ClNa\n# a remark\nnot a formula!\nMg2O2\n")
    table.write_bytes(gzip.compress(b"id,formula,gap\n1,KCl,8.5\n2,NaN,1\n"))
    context = ScreenContext(base=tmp_path)
    entry = {"novelty": {"known": ["mine.txt", str(table)]}}
    assert passed(entry, ["NaCl", "MgO", "KCl", "NaN", "LiF"], context) == [False, False, False, False, True]
    assert reason(entry, "NaCl", context) == "NaCl is known already, by mine.txt"


def test_a_list_is_read_once_until_it_changes(tmp_path, monkeypatch):
    path = tmp_path / "mine.txt"
    path.write_text("NaCl\n")
    entry, context = {"novelty": {"known": "mine.txt"}}, ScreenContext(base=tmp_path)
    assert passed(entry, ["KCl"], context) == [True]
    with monkeypatch.context() as patch:
        patch.setattr("aldesign.datasets.formulas.read_formulas", None)
        assert passed(entry, ["KCl"], context) == [True]
    path.write_text("NaCl\nKCl\n")
    assert passed(entry, ["KCl"], context) == [False]


@pytest.mark.parametrize(
    ("expected", "outcome"),
    [((1.4, 0.0), True), ((0.9, 0.1), False), ((0.9, 0.2), True), ((2.0, 0.1), False), ((2.0, 0.3), True)],
)
def test_gap_window_passes_an_interval_that_touches_it(expected, outcome):
    context = ScreenContext(expected={"GaAs": expected})
    assert passed({"gap_window": {"low": 1.1, "high": 1.7}}, ["GaAs"], context) == [outcome]
    assert passed({"gap_window": {"low": 1.1, "high": 1.7, "sigmas": 9}}, ["GaAs"], context) == [
        outcome or expected[1] > 0
    ]


def test_gap_window_without_an_upper_edge_and_without_an_expectation():
    context = ScreenContext(expected={"GaAs": (99.0, 0.1), "InSb": (0.1, 0.1)})
    screen = make_screen({"gap_window": {"low": 1.0}}, context)
    assert [v.passed for v in screen.check(["GaAs", "InSb", "MgO"])] == [True, False, True]
    assert screen.check(["MgO"])[0].reason.startswith("not judged")


def test_formation_energy_is_the_oracles_and_its_doubt_may_be_allowed():
    formulas = ["NaCl", "Au3O", "MgO"]  # the second is not known, and gold hardly oxidises
    oracle = load_oracle("stoichiometry_graph_eform")
    answers = oracle.predict([Candidate(formula) for formula in formulas])
    strict = make_screen({"formation_energy": {"max": -1.0}}, ScreenContext()).check(formulas)
    assert [v.evidence["value"] for v in strict] == pytest.approx([answer.value for answer in answers], abs=1e-6)
    assert [v.passed for v in strict] == [answer.value <= -1.0 for answer in answers] == [True, False, True]
    assert "above -1" in strict[1].reason
    lenient = make_screen({"formation_energy": {"max": -1.0, "sigmas": 1000.0}}, ScreenContext())
    assert [v.passed for v in lenient.check(formulas)] == [True, True, True]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("neutralty", "did you mean 'neutrality'\\? allowed: duplicate"),
        ("[neutrality]", "is not a screen"),
        ("{neutrality: {}, novelty: {}}", "is not a screen"),
        ("{novelty: builtin}", "is not a screen"),
        ("{novelty: {knwon: builtin}}", "did you mean 'known'"),
        ("{novelty: {known: nowhere.csv}}", "no list of known formulas at .*nowhere.csv"),
        ("{novelty: {known: []}}", "given no formulas"),
        ("{novelty: {known: 3}}", "not a list of names"),
        ("{novelty: {known: nothing.txt}}", "nothing.txt"),
        ("{elements: {exclude: [Xx]}}", "screen 'elements': 'Xx' is neither an element nor a class"),
        ("{elements: {exclude: [No]}}", "quote symbols"),
        ("{elements: {n_elements: 3}}", "give two numbers"),
        ("{elements: {n_elements: [3, 2]}}", "give two numbers"),
        ("{elements: {n_elements: [1.5, 2]}}", "whole numbers"),
        ("{elements: {max_count: 0}}", "max_count is 0"),
        ("{elements: {max_atoms: many}}", "max_atoms is 'many'"),
        ("{neutrality: {alloys: maybe}}", "allowed: accept, reject"),
        ("{neutrality: {oxidation_states: icsd}}", "did you mean 'icsd24'"),
        ("{electronegativity: {consensus: three}}", "consensus is 'three'"),
        ("{gap_window: {low: 3, high: 1}}", "give two numbers"),
        ("{gap_window: {sigmas: -1}}", "sigmas is -1"),
        ("{duplicate: {of: seed}}", "it has no options"),
        ("{formation_energy: {max: low}}", "max is 'low'"),
        ("{formation_energy: {sigmas: -1}}", "sigmas is -1"),
        ("{formation_energy: {oracle: random_forest}}", "predicts band_gap of a formula"),
        ("{formation_energy: {oracle: [a]}}", "give the name of one"),
        ("{formation_energy: {oracle: nobody}}", "no oracle is called 'nobody'"),
    ],
)
def test_a_bad_entry_is_refused_before_anything_runs(entry, message, tmp_path):
    (tmp_path / "nothing.txt").write_text("?\n")
    with pytest.raises(SpecError, match=message):
        validate_screen(yaml.safe_load(entry), tmp_path)


def test_every_screen_can_be_validated_by_its_name(tmp_path):
    for name in SCREENS:
        validate_screen(name, tmp_path)
