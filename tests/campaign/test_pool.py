"""One iteration's proposals: where they come from, what they keep to, and how the batch is chosen."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from campaign_examples import measured, pending
from pymatgen.core import Composition
from smact.screening import smact_validity

from aldesign.campaign.checking import build_all
from aldesign.campaign.learning import learn
from aldesign.campaign.parts import Parts
from aldesign.campaign.pool import change, propose, search, spread
from aldesign.campaign.proposing import choose
from aldesign.errors import AldesignError, InputError, OracleError, SpecError
from aldesign.models.acquisition import make_acquirer
from aldesign.records import Source, TrialState

SEEDS = [
    ("NaCl", 5.0),
    ("LiF", 8.9),
    ("MgO", 4.5),
    ("CaF2", 7.3),
    ("KBr", 4.3),
    ("Al2O3", 5.9),
    ("GaAs", 0.2),
    ("ZnS", 2.0),
]
SMALL = (
    "acquisition={samples: 60, proposals: 12, starts: 4}",
    "generator={samples: 60, fraction: 0.3}",
    "mutations={samples: 200, parents: 6, fraction: 0.3}",
    "space={exclude: [radioactive, noble_gas], n_elements: [2, 4], max_count: 8, max_atoms: 20}",
)


@pytest.fixture
def state(make_state):
    return make_state([[measured(i, formula, gap, 0, Source.SEED) for i, (formula, gap) in enumerate(SEEDS)]])


def made(make_spec, *assignments: str) -> Parts:
    return Parts(make_spec(*SMALL, *assignments))


def test_every_source_fills_its_share_with_its_best_and_nothing_known_comes_back(state, make_spec) -> None:
    parts = made(make_spec)
    learned = learn(parts, state)
    known = {formula for formula, _ in SEEDS}
    pool, counts = propose(parts, learned, 1, 0, known)
    sources = Counter(item.candidate.source for item in pool)
    assert sources[Source.LATENT] <= 12
    assert sources[Source.GAN] == sources[Source.MUTATION] == 9  # 0.3 of 12 / (1 - 0.6)
    assert not known & {item.candidate.formula for item in pool}
    assert [item.score for item in pool] == sorted((item.score for item in pool), reverse=True)
    assert counts["searched"] == counts["decoded"] == 60
    assert 0 < counts["searched_valid"] <= counts["searched_few_elements"] <= 60
    assert (counts["sampled"], counts["changed"]) == (60, 200)
    for item in pool:
        assert np.array_equal(item.features, parts.describe([item.candidate.formula])[0])
        assert len(item.candidate.latent) == parts.encoder.latent_size
    again, _ = propose(Parts(parts.spec), learned, 1, 0, known)
    assert again == pool


def test_changes_of_the_best_are_plausible_and_keep_the_rules_of_the_space(state, make_spec) -> None:
    parts = made(make_spec, "space.n_elements=[2, 3]", "space.max_atoms=6")
    formulas = change(parts, learn(parts, state), 1, 0, Counter())
    assert len(formulas) > 20
    for formula in formulas:
        composition = Composition(formula)
        assert 2 <= len(composition.elements) <= 3
        assert composition.reduced_composition.num_atoms <= 6
        assert not {str(e) for e in composition.elements} & {"He", "Ne", "Ar", "Kr", "Xe", "U", "Tc"}
        assert smact_validity(formula)


def test_a_process_on_the_latent_is_followed_uphill_and_others_rank_what_is_scattered(state, make_spec) -> None:
    counts: dict[str, Counter[str]] = {}
    for features in ("latent", "magpie"):
        parts = made(make_spec, f"surrogate.features={features}")
        assert parts.climbs == (features == "latent")
        counts[features] = Counter()
        assert search(parts, learn(parts, state), 1, 0, counts[features])
    assert (counts["latent"]["searched"], counts["magpie"]["searched"]) == (12, 60)


@pytest.mark.parametrize(
    "assignments",
    [
        ("acquisition.kind=ei",),
        ("acquisition.kind=thompson",),
        ("acquisition.kind=probability", "acquisition.threshold=6"),
        ("target={window: [1.0, 2.0]}", "acquisition.kind=probability"),
        ("target={window: [1.0, 2.0]}",),
        ("surrogate.kind=trees",),
        ("generator=null", "mutations=null", "screens=[duplicate, elements]", "acquisition.samples=400"),
    ],
)
def test_every_acquisition_and_surrogate_chooses_a_batch_and_says_how(state, make_spec, assignments) -> None:
    parts = made(make_spec, *assignments)
    batch = choose(parts, learn(parts, state), state, 1, 4)
    chosen = [trial for trial in batch.trials if trial.state is TrialState.PENDING]
    assert len({trial.candidate.formula for trial in chosen}) == batch.stats["chosen"] == 4
    assert sum(batch.stats["chosen_by_source"].values()) == 4
    assert all(verdict.passed for trial in chosen for verdict in trial.verdicts)
    assert choose(Parts(parts.spec), learn(parts, state), state, 1, 4) == batch


def test_a_batch_holds_no_more_of_one_system_than_is_allowed_while_others_are_left(state, make_spec) -> None:
    for allowed in (1, 3):
        parts = made(
            make_spec, f"acquisition.per_system={allowed}", "mutations={samples: 600, fraction: 0.9}", "generator=null"
        )
        batch = choose(parts, learn(parts, state), state, 1, 8)
        chosen = [trial for trial in batch.trials if trial.state is TrialState.PENDING]
        systems = Counter(Composition(trial.candidate.formula).chemical_system for trial in chosen)
        assert len(chosen) == 8
        assert max(systems.values()) <= allowed


def test_formulas_of_one_system_are_spread() -> None:
    formulas = ["NaCl", "LiF", "Na2Cl", "FLi2", "NaCl3", "NaF"]
    assert spread(formulas, 1) == ([0, 1, 5], [2, 3, 4])
    assert spread(formulas, 2) == ([0, 1, 2, 3, 5], [4])
    assert spread([], 1) == ([], [])


def test_the_next_search_for_hyperparameters_begins_where_the_journal_says(state, make_spec, monkeypatch) -> None:
    from aldesign.campaign import learning

    parts = made(make_spec)
    first = learn(parts, state).surrogate.hyperparameters()
    assert first
    starts = []
    monkeypatch.setattr(learning, "_last_hyperparameters", lambda _: first)
    original = parts.surrogate
    monkeypatch.setattr(parts, "surrogate", lambda start: starts.append(start) or original(start))
    learn(parts, state)
    assert starts == [first]


def test_two_goals_are_weighed_by_what_they_add_to_the_front(state, make_spec) -> None:
    parts = made(
        make_spec, "target={maximize: true, also: {property: formation_energy_per_atom}}", "acquisition.kind=ehvi"
    )
    learned = learn(parts, state)
    assert learned.paid.shape == (8, 2)
    assert learned.paid[:, 0].tolist() == sorted((gap for _, gap in SEEDS), reverse=True)
    value, std = parts.foresee(["NaCl"])
    assert -2.5 < value[0] < -1.5  # NaCl: -2.1 eV/atom in the Materials Project
    assert std[0] > 0
    pool, _ = propose(parts, learned, 1, 0, ())
    assert all(item.score >= 0 for item in pool)
    batch = choose(parts, learned, state, 1, 3)
    assert batch.stats["chosen"] == 3


def test_candidates_that_wait_count_with_what_is_expected_of_them(make_state, make_spec) -> None:
    seeds = [measured(i, formula, gap, 0, Source.SEED) for i, (formula, gap) in enumerate(SEEDS)]
    also = "target={maximize: true, also: {property: formation_energy_per_atom}}"
    parts = made(make_spec, also, "acquisition.kind=ehvi")
    learned = learn(parts, make_state([seeds, [pending(8, "SrF2", 1)]]))
    assert learned.paid.shape == (9, 2)
    assert learned.paid[-1, 1] == parts.foresee(["SrF2"])[0][0]
    assert "SrF2" not in learned.best


def test_seeds_outside_the_space_teach_but_lead_nowhere(state, make_spec) -> None:
    parts = made(make_spec, "space.exclude=[halogen]", "space.require=[O, S]")
    learned = learn(parts, state)
    assert set(learned.best) == {"MgO", "Al2O3", "ZnS"}
    assert learned.incumbent == 5.9
    pool, counts = propose(parts, learned, 1, 0, ())
    assert pool
    assert all({"O", "S"} & {str(e) for e in Composition(i.candidate.formula).elements} for i in pool)
    assert counts["outside_space"] > 0


def test_a_space_too_narrow_for_the_generator_is_left_to_the_other_sources(state, make_spec, monkeypatch) -> None:
    parts = made(make_spec)

    def give_up(*_: object, **__: object) -> list[str]:
        raise InputError("the generator made no formula")

    monkeypatch.setattr(parts.generator, "sample", give_up)
    pool, counts = propose(parts, learn(parts, state), 1, 0, ())
    assert counts["generator_gave_up"] == 1
    assert {item.candidate.source for item in pool} <= {Source.LATENT, Source.MUTATION}


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("surrogate.features=[nope]", "no descriptor is called 'nope'"),
        ("surrogate.features=[latent, latent]", "each once"),
        ("space={require: [O], exclude: [O]}", "the other rules allow none of them"),
        ("space={include: [F]}", "asks for 2 elements, and 1 may occur"),
        ("space={n_elements: [4, 5], max_atoms: 3}", "need more than 3 atoms"),
    ],
)
def test_what_cannot_run_is_refused_before_it_begins(state, make_spec, assignment, message) -> None:
    with pytest.raises(AldesignError, match=message):
        build_all(Parts(make_spec(assignment)), list(state.trials.values()))


def test_refused_rows_of_own_templates_and_phases_are_noted(state, make_spec, tmp_path) -> None:
    (tmp_path / "phases.csv").write_text("formula,formation_energy_per_atom\nNaCl,-2.1\nKCl,abc\n")
    cell = {"lattice": [4.1, 4.1, 4.1, 90, 90, 90], "species": ["Cs", "Cl"], "frac": [[0, 0, 0], [0.5, 0.5, 0.5]]}
    (tmp_path / "templates.jsonl").write_text(f"{json.dumps(cell)}\nnonsense\n")
    spec = make_spec(f"structures={{templates: {tmp_path}/templates.jsonl, hull: {tmp_path}/phases.csv}}")
    notes = build_all(Parts(spec), list(state.trials.values()))
    assert any("templates: rows that hold no template: 1; the first, line 2" in note for note in notes)
    assert any("known phases: rows that hold no phase: 1; the first, line 3" in note for note in notes)


def test_a_second_goal_needs_an_oracle_of_formation_energies(make_spec) -> None:
    also = "target={maximize: true, also: {property: formation_energy_per_atom, oracle: random_forest}}"
    with pytest.raises(SpecError, match="predicts band_gap"):
        _ = made(make_spec, also, "acquisition.kind=ehvi").second
    with pytest.raises(OracleError, match="no second property"):
        made(make_spec).foresee(["NaCl"])


def test_what_is_remembered_can_be_forgotten(make_spec, tmp_path: Path) -> None:
    parts = made(make_spec)
    before = parts.describe(["NaCl", "MgO"])
    parts.forget_all_but(["NaCl"])
    assert np.array_equal(parts.describe(["MgO", "NaCl"]), before[::-1])
    assert parts.acquirer(3.0) == make_acquirer("ucb", parts.goal, kappa=1.0, incumbent=3.0)
