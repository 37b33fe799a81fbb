"""Splits, figures and recovery of the reproduced screening models, held against independent ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from paper_tables import rows as rule_rows
from paper_tables import write_tables
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from aldesign.chemistry.formula import canonical, compositions
from aldesign.errors import InputError
from aldesign.records import Candidate, LabelledRow
from aldesign.reproduce.pool import Recovery, eligible, generate_pool, in_pool, recovered_of_new, select
from aldesign.reproduce.screening import MODELS, STARTS, divide, settings, train_and_judge
from aldesign.reproduce.tables import FILES, find_tables, load_tables

ROWS = [LabelledRow(canonical(formula), gap) for formula, gap in dict(rule_rows()).items()]
UNIQUE = list({row.formula: row for row in ROWS}.values())


def test_the_split_is_60_20_20_and_disjoint_by_formula() -> None:
    twice = [*UNIQUE, *UNIQUE]  # a formula that stands twice stays on one side
    parts = divide(twice, seed=3, repeat=1)
    formulas = [{row.formula for row in part} for part in parts]
    assert not formulas[0] & formulas[1]
    assert not formulas[0] & formulas[2]
    assert not formulas[1] & formulas[2]
    assert formulas[0] | formulas[1] | formulas[2] == {row.formula for row in UNIQUE}
    assert [len(part) for part in parts] == pytest.approx([2 * len(UNIQUE) * share for share in (0.6, 0.2, 0.2)], abs=2)
    assert divide(twice, seed=3, repeat=1) == parts
    assert divide(twice, seed=3, repeat=2) != parts
    with pytest.raises(InputError, match="cannot be divided"):
        divide(UNIQUE[:9], seed=0, repeat=0)


def test_the_figures_are_those_of_scikit_learn() -> None:
    sample, test = UNIQUE[:150], UNIQUE[150:200]
    options = {"trees": 20, "min_decrease": 0.0}
    oracle, found = train_and_judge("random_forest", options, sample, test, seed=1, repeat=0)
    _, _, hold = divide(sample, seed=1, repeat=0)
    for prefix, part in (("", hold), ("test_", test)):
        truth = [row.value for row in part]
        said = [answer.value for answer in oracle.predict([Candidate(row.formula) for row in part])]
        assert found[prefix + "r2"] == pytest.approx(r2_score(truth, said), abs=6e-5)
        assert found[prefix + "mae"] == pytest.approx(mean_absolute_error(truth, said), abs=6e-5)
        assert found[prefix + "rmse"] == pytest.approx(root_mean_squared_error(truth, said), abs=6e-5)
    _, same = train_and_judge("random_forest", options, sample, test, seed=1, repeat=0)
    assert same == found
    assert same != train_and_judge("random_forest", options, sample, test, seed=1, repeat=1)[1]


def test_recovery_of_a_list_made_by_hand() -> None:
    found = Recovery.of(["LiF", "NaF", "SiO2"], ["LiF", "NaF", "BaF2", "MgF2"])
    assert (found.candidates, found.recovered, found.false_positives) == (3, 2, 1)
    assert found.recovery == 0.5
    assert found.precision == pytest.approx(2 / 3, abs=1e-6)
    assert Recovery.of([], ["LiF"]) == Recovery(0, 0, 0, 0.0, None)
    assert Recovery.of(["LiF"], []) == Recovery(1, 0, 1, None, 0.0)


def test_what_the_sample_labels_is_no_new_recovery() -> None:
    found = recovered_of_new(["LiF", "NaF", "SiO2"], ["LiF", "NaF", "BaF2", "MgF2"], ["LiF", "BaF2", "NaCl"])
    assert (found["labelled_candidates"], found["new_candidates"], found["new_recovered"]) == (2, 2, 1)
    assert found["new_recovery"] == 0.5
    assert recovered_of_new(["LiF"], ["LiF"], ["LiF"])["new_recovery"] is None


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_recovery_counts_add_up(chosen: set[int], wanted: set[int]) -> None:
    found = Recovery.of([str(i) for i in chosen], [str(i) for i in wanted])
    assert found.recovered + found.false_positives == found.candidates == len(chosen)
    assert found.recovery is None or 0 <= found.recovery <= 1
    assert found.recovery == (None if not wanted else pytest.approx(len(chosen & wanted) / len(wanted), abs=1e-6))


def test_candidates_have_fewer_than_eight_atoms_and_four_elements() -> None:
    assert eligible(["LiF", "Na3AlF6", "K2MgF4", "LiNaMgF4", "CaMg(CO3)2"]) == ["LiF", "K2MgF4"]


def test_a_candidate_has_a_gap_of_six_or_more() -> None:
    oracle, _ = train_and_judge("random_forest", MODELS["random_forest"], UNIQUE, UNIQUE[:20], seed=0, repeat=0)
    formulas = [row.formula for row in UNIQUE]
    said = np.array([answer.value for answer in oracle.predict([Candidate(f) for f in formulas])])
    assert select(oracle, formulas) == [f for f, value in zip(formulas, said, strict=True) if value >= 6.0]
    assert 0 < (said >= 6.0).sum() < len(formulas)


def test_the_pool_keeps_the_papers_filters() -> None:
    given = ["NaCl", "NaCl2", "Na8Cl8O", "Mg7Si8O23", "LiNaKRbCsF5", "LiNaMgAlClF7", "Zr2Ni"]
    # neutral; charged; atoms; more than 7 of one; 6 elements; 6 elements; an alloy
    assert in_pool(compositions(given)).tolist() == [True] + [False] * 6
    pool = generate_pool(300, seed=5)
    assert len(set(pool)) == 300
    assert in_pool(compositions(pool)).all()
    assert pool == generate_pool(300, seed=5)
    assert pool[:100] != generate_pool(300, seed=6)[:100]


def test_no_weights_that_saw_gaps_are_allowed() -> None:
    assert set(STARTS) == {"stoichiometry_graph_eform", "nothing"}
    for oracle in (True, False):
        assert settings("stoichiometry_graph", oracle=oracle)["start"] == "stoichiometry_graph_eform"
    with pytest.raises(InputError, match="cannot start from 'stoichiometry_graph'"):
        settings("stoichiometry_graph", oracle=True, start="stoichiometry_graph")
    with pytest.raises(InputError, match="no screening model"):
        settings("dense", oracle=True)
    assert settings("stoichiometry_graph", oracle=True, epochs=3)["epochs"] == 3
    assert "epochs" not in settings("stoichiometry_graph", oracle=False, epochs=3)


def test_the_test_rows_are_in_no_sample(tmp_path: Path) -> None:
    tables = load_tables(find_tables(write_tables(tmp_path)), 0)
    test = {row.formula for row in tables.test}
    others = set().union(*({r.formula for r in rows} for name, rows in tables.samples.items() if name != "exp1"))
    full = {row.formula for row in tables.samples["exp1"]}
    assert not test & (full | others)
    assert len(test) == len(tables.test) == len((full | test) - others) // 10
    assert min(row.value for rows in tables.samples.values() for row in rows) == 0.0  # a negative gap counts as none
    assert max(row.value for row in tables.low_rows(0, 1)) < 3.0


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    folder = write_tables(tmp_path) / "agd"
    assert find_tables(folder) == find_tables(tmp_path) == folder
    (folder / FILES["exp3-al"]).unlink()
    with pytest.raises(InputError, match=r"agd lacks Exp3_AL_1153\.csv"):
        find_tables(tmp_path)


@pytest.mark.data
def test_the_released_tables_have_their_stated_sizes(reference_data: Path) -> None:
    tables = load_tables(find_tables(reference_data), 0)
    sizes = {name: len(rows) for name, rows in tables.samples.items()}
    assert sizes == {"exp1": 37425, "exp2-bs": 1000, "exp2-al": 1741, "exp3-bs": 300, "exp3-al": 1153}
    assert len(tables.test) == 3000
    low = [tables.low_rows(0, repeat) for repeat in (0, 1)]
    assert [len(rows) for rows in low] == [300, 300]
    assert max(row.value for rows in low for row in rows) < 3.0
    assert low[0] != low[1]
