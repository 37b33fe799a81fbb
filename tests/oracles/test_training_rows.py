"""One formula, several labels: the rule, and that training keeps to it."""

import pytest

from aldesign.errors import FormulaError
from aldesign.records import Candidate, LabelledRow
from oracles.random_forest import RandomForestOracle
from oracles.rows import disjoint, one_per_formula

PLAIN = [LabelledRow(f"{c}{a}", i / 4) for i, c in enumerate(("Li", "Na", "K", "Rb")) for a in ("F", "Cl", "Br", "I")]


def test_the_mean_of_a_formulas_labels_in_the_place_of_its_first():
    rows = [LabelledRow("NaCl", 5.0, line=2), LabelledRow("MgO", 4.5), LabelledRow("ClNa", 6.0, line=9)]
    found = one_per_formula(rows)
    assert [(r.formula, r.value, r.line) for r in found] == [("NaCl", 5.5, 2), ("MgO", 4.5, 0)]
    assert one_per_formula(PLAIN) == PLAIN
    assert one_per_formula([]) == []


def test_an_unreadable_formula_raises():
    with pytest.raises(FormulaError):
        one_per_formula([LabelledRow("Xx3", 1.0)])


def test_no_formula_is_in_both_parts_and_all_is_told():
    learn, held, told = disjoint(
        [*PLAIN, LabelledRow("NaCl", 9.0)], [LabelledRow("ClNa", 9.0), LabelledRow("MgO", 4.5)]
    )
    assert [r.formula for r in learn] == [r.formula for r in PLAIN]
    assert [r.formula for r in held] == ["MgO"]
    assert "1 rows repeat a formula" in told
    assert "1 formulas for validation are training formulas" in told
    assert disjoint(PLAIN, [LabelledRow("MgO", 4.5)])[2] == ""


def test_training_on_two_labels_is_training_on_their_mean():
    doubled = [
        row for r in PLAIN for row in (LabelledRow(r.formula, r.value + 0.5), LabelledRow(r.formula, r.value - 0.5))
    ]
    lines = []
    theirs = RandomForestOracle(trees=3).fit(doubled, progress=lines.append)
    ours = RandomForestOracle(trees=3).fit(PLAIN)
    asked = [Candidate(r.formula) for r in PLAIN]
    assert [a.value for a in theirs.predict(asked)] == pytest.approx([a.value for a in ours.predict(asked)])
    assert "16 rows repeat a formula" in lines[0]
    assert "16 rows repeat a formula" in theirs.training["data"]["merged"]
    assert theirs.training["data"]["rows"] == 32
    assert theirs.training["split"]["train"] == 16
    assert "merged" not in ours.training["data"]
