"""Several oracles that answer together: what they must share, and that none can be swapped."""

import json
import shutil
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from test_random_forest_oracle import synthetic_rows

from aldesign import registry
from aldesign.errors import CheckpointError, InputError, OracleError
from aldesign.learning.checkpoint import read_tensors, write_tensors
from aldesign.records import Candidate, LabelledRow
from aldesign.registry import load_oracle
from aldesign.testing import check_oracle, check_trainable, example_candidates
from oracles.ensemble import EnsembleOracle
from oracles.random_forest import RandomForestOracle

ROWS = synthetic_rows()
FOREST = {"kind": "random_forest", "trees": 10}
DENSE = {"kind": "dense", "epochs": 2, "members": 1, "hidden": 16}


@pytest.fixture
def flat(monkeypatch):
    """Make the oracle `flat` known by name."""
    entry = EntryPoint("flat", "ensemble_toys:Flat", registry.GROUP)
    installed = registry.oracle_entries()
    monkeypatch.setattr(registry, "oracle_entries", lambda: {**installed, "flat": entry})


def member(**options):
    return {"kind": "flat", **options}


# Ready members


def test_ready_members_answer_together(flat):
    options = {"members": [member(value=1.0, std=0.3, weight=3), member(value=2.0, std=0.4, weight=1)]}
    oracle = load_oracle("ensemble", **options)
    check_oracle(oracle, name="ensemble", options=options)
    answer = oracle.predict([Candidate("NaCl")])[0]
    assert answer.value == pytest.approx(1.25)
    assert answer.std == pytest.approx(np.sqrt(0.75 * (0.09 + 1.0) + 0.25 * (0.16 + 4.0) - 1.25**2))
    assert answer.in_domain is True
    assert oracle.card.description.endswith("flat, flat")


@pytest.mark.parametrize(("target", "value"), [("formation_energy_per_atom", -1.5), ("band_gap", 0.0)])
def test_energies_may_be_negative_and_gaps_may_not(flat, target, value):
    members = [member(value=-1.0, property=target), member(value=-2.0, property=target)]
    assert load_oracle("ensemble", members=members).predict([Candidate("NaCl")])[0].value == value


def test_identity_follows_members_and_weights(flat):
    def digest(*members):
        return load_oracle("ensemble", members=list(members)).card.identity.digest

    one = digest(member(value=1.0), member(value=2.0))
    assert one == digest(member(value=1.0), member(value=2.0))
    assert one != digest(member(value=1.0), member(value=2.1))
    assert one != digest(member(value=1.0, weight=2), member(value=2.0, weight=1))


def test_an_absent_crystal_costs_certainty_and_not_the_answer(flat):
    members = [member(value=1.0, std=0.3, needs="structure", weight=3), member(value=2.0, std=0.4, weight=1)]
    oracle = load_oracle("ensemble", members=members)
    assert oracle.card.needs == "structure"
    check_oracle(oracle, name="ensemble", options={"members": members})
    with_crystal, without = oracle.predict([example_candidates()[0], Candidate("NaCl")])
    assert with_crystal.value == pytest.approx(1.25)
    assert with_crystal.in_domain is True
    assert without.value == 2.0
    assert without.std == pytest.approx(0.4 / np.sqrt(0.25))
    assert without.in_domain is False


def test_the_std_is_at_most_five_times_as_large(flat):
    members = [member(known=["NaCl"], weight=1e6), member(std=0.2, weight=1)]
    assert load_oracle("ensemble", members=members).predict([Candidate("MgO")])[0].std == pytest.approx(1.0)


def test_a_formula_that_one_member_lacks(flat):
    members = [member(known=["NaCl"]), member(known=["NaCl", "MgO"], value=3.0)]
    both, one, none = load_oracle("ensemble", members=members).predict([Candidate(f) for f in ("NaCl", "MgO", "KBr")])
    assert (both.value, both.in_domain) == (2.0, True)
    assert (one.value, one.in_domain) == (3.0, False)
    assert one.std > 0.1
    assert none.error == "KBr is unknown"


@pytest.mark.parametrize(
    ("said", "together"),
    [((True, True), True), ((True, False), False), ((True, None), True), ((None, None), None), ((None, False), False)],
)
def test_domain_is_what_all_members_say(flat, said, together):
    oracle = load_oracle("ensemble", members=[member(domain=inside) for inside in said])
    assert oracle.predict([Candidate("NaCl")])[0].in_domain is together


def test_no_std_is_invented(flat):
    lone = load_oracle("ensemble", members=[member(std=None)]).predict([Candidate("NaCl")])[0]
    assert (lone.value, lone.std) == (1.0, None)
    two = load_oracle("ensemble", members=[member(std=None), member(std=None, value=3.0)])
    assert two.predict([Candidate("NaCl")])[0].std == pytest.approx(1.0)  # their disagreement


def test_an_ensemble_may_be_a_member(flat):
    inner = {"kind": "ensemble", "members": [member(value=1.0), member(value=3.0)]}
    answer = load_oracle("ensemble", members=[inner, member(value=4.0)]).predict([Candidate("NaCl")])[0]
    assert answer.value == 3.0


# What must agree


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        (
            {"level": "HSE"},
            r"member 2 of the ensemble, 'flat', predicts band_gap in eV at level HSE, the others .* PBE",
        ),
        ({"property": "formation_energy_per_atom"}, r"member 2 .* formation_energy_per_atom in eV/atom"),
    ],
)
def test_the_odd_one_is_named(flat, odd, words):
    with pytest.raises(InputError, match=words):
        load_oracle("ensemble", members=[member(), member(**odd), member()])


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ([], "members="),
        ("dense", "a list of oracles"),
        ([3], "member 1 of the ensemble is 3"),
        ([{"model": "x"}], "a name, or a mapping"),
        (["forest"], "no oracle is called 'forest'"),
        ([{"kind": "dense", "weight": 0}], "weight=0"),
        ([{"kind": "dense", "weight": True}], "weight=True"),
        ([{"kind": "dense", "model": 3}], "model=3"),
        ([{"kind": "dense", "weight": 1}, "random_forest"], "none for 'random_forest'"),
        (["external"], "answers from outside"),
        ([{"kind": "random_forest", "trees": 5}], "no option 'trees'"),
        ([{"kind": "random_forest", "model": "nowhere"}], "nowhere"),
    ],
)
def test_members_that_cannot_be(members, words):
    with pytest.raises(InputError, match=words):
        load_oracle("ensemble", members=members)


def test_what_load_refuses(flat, tmp_path):
    with pytest.raises(InputError, match="no option 'epochs'"):
        load_oracle("ensemble", epochs=3)
    with pytest.raises(InputError, match="give one of them"):
        load_oracle("ensemble", tmp_path, members=[member()])
    with pytest.raises(InputError, match="has property band_gap"):
        load_oracle("ensemble", members=[member()], property="formation_energy_per_atom")
    with pytest.raises(CheckpointError, match=r"card\.json"):
        load_oracle("ensemble", tmp_path)


def test_level_reaches_the_members(flat):
    oracle = load_oracle("ensemble", members=[member(), member(value=2.0)], level="HSE")
    assert oracle.card.level == "HSE"
    with pytest.raises(InputError, match="at level"):
        load_oracle("ensemble", members=[member(level="PBE"), member()], level="HSE")


# Fitting and keeping


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fitted")
    oracle = EnsembleOracle(members=[FOREST, DENSE]).fit(ROWS[:100], ROWS[100:], seed=2)
    oracle.save(folder)
    return oracle, folder


def answers(oracle, rows=ROWS):
    found = oracle.predict([Candidate(row.formula) for row in rows])
    return np.array([(a.value, a.std) for a in found])


def test_fit_trains_weighs_and_calibrates(fitted):
    oracle, _ = fitted
    alone = RandomForestOracle(trees=10).fit(ROWS[:100], ROWS[100:], seed=2)
    np.testing.assert_allclose(answers(oracle.members[0].ready), answers(alone))
    assert oracle.weights[0] > oracle.weights[1] > 0  # two epochs teach a network little
    metrics = oracle.card.training["metrics"]
    values = [answers(m.ready, ROWS[100:])[:, 0] for m in oracle.members]
    truth = np.array([row.value for row in ROWS[100:]])
    assert metrics["validation"]["mae"] == pytest.approx(np.abs(oracle.weights @ values - truth).mean(), abs=1e-4)
    worst = max(part["mae"] for part in metrics["validation_of_each_member"].values())
    assert metrics["validation"]["mae"] < worst
    assert 0.5 < metrics["validation"]["coverage_68"] < 0.85
    assert oracle.card.training["split"] == {"train": 100, "validation": 50, "seed": 2}


def test_stored_ensemble_is_the_same_and_conforms(fitted, tmp_path):
    oracle, folder = fitted
    loaded = load_oracle("ensemble", folder)
    np.testing.assert_array_equal(answers(loaded), answers(oracle))
    assert loaded.card == oracle.card
    assert loaded.training == oracle.training
    check_oracle(loaded, name="ensemble", directory=folder)
    card = json.loads((folder / "card.json").read_text())
    assert [entry["model"] for entry in card["config"]["members"]] == ["members/0_random_forest", "members/1_dense"]
    assert str(folder) not in (folder / "card.json").read_text()
    elsewhere = tmp_path / "moved"
    shutil.copytree(folder, elsewhere)
    assert load_oracle("ensemble", elsewhere).card == oracle.card
    loaded.save(tmp_path / "again")
    assert load_oracle("ensemble", tmp_path / "again").card == oracle.card


def test_it_learns_as_a_trainable_oracle_must(tmp_path):
    check_trainable("ensemble", tmp_path, {"members": [FOREST, DENSE]})


@pytest.fixture
def copy(fitted, tmp_path):
    shutil.copytree(fitted[1], tmp_path / "copy")
    return tmp_path / "copy"


def test_a_swapped_member_is_refused(copy):
    other = RandomForestOracle(trees=10).fit(ROWS[:90], ROWS[100:])
    other.save(copy / "members" / "0_random_forest")
    with pytest.raises(CheckpointError, match="was changed since"):
        load_oracle("ensemble", copy)


def test_an_edited_member_is_refused(copy):
    path = copy / "members" / "1_dense" / "card.json"
    path.write_text(path.read_text().replace('"licence"', '"license"').replace('"seed": 2', '"seed": 3'))
    with pytest.raises(CheckpointError, match=r"1_dense/card\.json was changed"):
        load_oracle("ensemble", copy)
    path.unlink()
    with pytest.raises(CheckpointError, match="is missing"):
        load_oracle("ensemble", copy)


def test_edited_weights_are_refused(copy):
    path = copy / "card.json"
    card = json.loads(path.read_text())
    for entry in card["config"]["members"]:
        entry["weight"] = 0.5
    path.write_text(json.dumps(card))
    with pytest.raises(CheckpointError, match="the setting members"):
        load_oracle("ensemble", copy)
    path.write_text(json.dumps({**card, "level": "HSE"}))
    with pytest.raises(CheckpointError, match="trained for 'PBE'"):
        load_oracle("ensemble", copy)
    tensors, _ = read_tensors(copy / "weights.safetensors")
    write_tensors(copy / "weights.safetensors", {**tensors, "x": np.zeros(1)})
    with pytest.raises(CheckpointError, match="is not the file"):
        load_oracle("ensemble", copy)


def test_a_shipped_member_is_named_and_not_copied(tmp_path, monkeypatch):
    from oracles import levels

    shipped = tmp_path / "weights"
    RandomForestOracle(trees=10).fit(ROWS[:100]).save(shipped / "random_forest")
    monkeypatch.setattr(levels, "SHIPPED", shipped)
    members = [{"kind": "random_forest", "model": "shipped"}, {**FOREST, "trees": 5}]
    oracle = EnsembleOracle(members=members).fit(ROWS[:100], ROWS[100:])
    oracle.save(tmp_path / "out")
    names = {path.name for path in (tmp_path / "out" / "members").iterdir()}
    assert names == {"1_random_forest"}
    np.testing.assert_array_equal(answers(load_oracle("ensemble", tmp_path / "out")), answers(oracle))
    RandomForestOracle(trees=10).fit(ROWS[:90]).save(shipped / "random_forest")
    with pytest.raises(CheckpointError, match=r"member 1 .* is not the one that it was fitted with"):
        load_oracle("ensemble", tmp_path / "out")


def test_a_table_is_kept_with_the_ensemble(tmp_path):
    table = tmp_path / "gaps.csv"
    table.write_text("formula,band_gap\n" + "".join(f"{row.formula},{row.value}\n" for row in ROWS))
    oracle = EnsembleOracle(members=[{"kind": "lookup", "path": str(table)}, FOREST]).fit(ROWS[:100], ROWS[100:])
    assert oracle.weights[0] > oracle.weights[1]
    oracle.save(tmp_path / "out")
    table.unlink()
    loaded = load_oracle("ensemble", tmp_path / "out")
    np.testing.assert_array_equal(answers(loaded), answers(oracle))
    (tmp_path / "out" / "members" / "0_lookup" / "gaps.csv").write_text("formula,band_gap\nNaCl,3\n")
    with pytest.raises(CheckpointError, match=r"gaps\.csv was changed"):
        load_oracle("ensemble", tmp_path / "out")


def test_a_member_with_a_model_is_taken_as_it_stands(tmp_path):
    ready = RandomForestOracle(trees=10).fit(ROWS[:80])
    ready.save(tmp_path / "forest")
    given = {"kind": "random_forest", "model": str(tmp_path / "forest")}
    oracle = EnsembleOracle(members=[given, FOREST]).fit(ROWS[:100], ROWS[100:])
    np.testing.assert_array_equal(answers(oracle.members[0].ready), answers(ready))
    oracle.save(tmp_path / "out")
    shutil.rmtree(tmp_path / "forest")
    np.testing.assert_array_equal(answers(load_oracle("ensemble", tmp_path / "out")), answers(oracle))


def test_given_weights_stay(tmp_path):
    members = [{**FOREST, "weight": 1}, {**FOREST, "weight": 3}]
    oracle = EnsembleOracle(members=members).fit(ROWS[:100], ROWS[100:])
    np.testing.assert_array_equal(oracle.weights, [0.25, 0.75])
    first, second = (answers(m.ready) for m in oracle.members)
    assert not np.array_equal(first, second)  # a second member of a kind has a seed of its own


def test_interrupted_training_goes_on(tmp_path):
    def fit(lines):
        oracle = EnsembleOracle(members=[FOREST, {**FOREST, "trees": 20}])
        return oracle.fit(ROWS[:100], ROWS[100:], checkpoint=tmp_path, progress=lines.append)

    whole = fit(lines := [])
    assert lines[0] == "member 1/2, random_forest: 10 of 10 trees"
    assert {path.name for path in tmp_path.iterdir()} == {"0_random_forest", "1_random_forest"}
    kept = tmp_path / "0_random_forest" / "trees_0000.safetensors"
    (tmp_path / "1_random_forest" / "trees_0010.safetensors").unlink()
    written = kept.stat().st_mtime_ns
    np.testing.assert_array_equal(answers(fit([])), answers(whole))
    assert kept.stat().st_mtime_ns == written
    with pytest.raises(CheckpointError, match="other data or settings"):
        EnsembleOracle(members=[FOREST]).fit(ROWS[:90], checkpoint=tmp_path)


def test_without_validation_rows_all_count_the_same():
    oracle = EnsembleOracle(members=[FOREST, {**FOREST, "trees": 20}]).fit(ROWS[:100])
    np.testing.assert_array_equal(oracle.weights, [0.5, 0.5])
    assert "metrics" not in oracle.training
    assert oracle.predict([Candidate("NaCl")])[0].ok


def test_fit_refuses_what_does_not_agree(flat):
    rows = [LabelledRow(row.formula, -row.value, level="SCAN") for row in ROWS]
    oracle = EnsembleOracle("formation_energy_per_atom", members=[FOREST]).fit(rows[:100], rows[100:])
    assert (oracle.card.unit, oracle.card.level) == ("eV/atom", "SCAN")
    assert oracle.predict([Candidate(rows[0].formula)])[0].level == "SCAN"
    for wrong in (member(), member(level="SCAN", property="band_gap")):
        with pytest.raises(InputError, match=r"member 2 .* the rows hold formation_energy_per_atom at level SCAN"):
            EnsembleOracle("formation_energy_per_atom", members=[FOREST, wrong]).fit(rows)
    with pytest.raises(InputError, match="no rows"):
        EnsembleOracle(members=[FOREST]).fit([])
    with pytest.raises(InputError, match="no option 'tree'"):
        EnsembleOracle(members=[{"kind": "random_forest", "tree": 3}]).fit(ROWS)
    with pytest.raises(OracleError, match="has not been trained"):
        EnsembleOracle(members=[FOREST]).predict([Candidate("NaCl")])
    with pytest.raises(InputError, match="no option 'epochs'"):
        EnsembleOracle(epochs=3)


def test_a_smaller_ensemble_leaves_nothing_of_the_larger(copy):
    EnsembleOracle(members=[FOREST]).fit(ROWS[:100]).save(copy)
    assert [path.name for path in (copy / "members").iterdir()] == ["0_random_forest"]
    assert load_oracle("ensemble", copy).card.description.endswith(": random_forest")
