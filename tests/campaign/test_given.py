"""A campaign that chooses from a given pool, and the honest baseline: a random choice."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from campaign_examples import measured, rock_salt

from aldesign.campaign.campaign import Campaign
from aldesign.campaign.codec import trial_from_json, trial_to_json
from aldesign.campaign.given import read_given
from aldesign.campaign.learning import learn
from aldesign.campaign.parts import Parts
from aldesign.campaign.pool import propose
from aldesign.campaign.proposing import choose
from aldesign.campaign.reading import read_state
from aldesign.campaign.spec import read_spec
from aldesign.errors import InputError, SpecError
from aldesign.models.acquisition import Objective, make_acquirer
from aldesign.models.acquisition.batch import choose_batch
from aldesign.models.surrogates import make_surrogate
from aldesign.records import Candidate, Crystal, Source, Trial, TrialState

METALS, ANIONS = ("Li", "Na", "K", "Rb", "Cs"), ("F", "Cl", "Br", "I")
SALTS = [f"{metal}{anion}" for metal in METALS for anion in ANIONS]
GAPS = {f"{m}{a}": 9.0 - 0.4 * i - 1.4 * j for i, m in enumerate(METALS) for j, a in enumerate(ANIONS)}
PLAIN = "screens=[duplicate, neutrality]"
CAMPAIGN = """
name: chosen
seed: {seed}
target: {{maximize: true}}
space: {{pool: pool.jsonl}}
data: {{source: table, path: seeds.csv}}
acquisition: {{kind: {kind}, proposals: 6}}
screens: [duplicate, neutrality]
oracle: {{kind: lookup, options: {{path: gaps.csv}}}}
structures: {{relax: none}}
shortlist: {{size: 2, formation_energy_per_atom: null}}
batch_size: 3
stop: {{iterations: 4}}
"""


def salt(formula: str) -> dict[str, object]:
    cation, anion = next((m, a) for m in METALS for a in ANIONS if m + a == formula)
    return {"id": f"own-{formula}", **rock_salt(formula, cation, anion, 6.0)["crystal"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pool.jsonl").write_text("".join(json.dumps(salt(f)) + "\n" for f in SALTS))
    rows = "".join(f"{formula},{gap:.2f}\n" for formula, gap in GAPS.items())
    (tmp_path / "gaps.csv").write_text("formula,band_gap\n" + rows)
    (tmp_path / "seeds.csv").write_text("formula,band_gap\nCsI,1.8\nRbI,2.2\nMgO,4.4\n")
    return tmp_path


def campaign(folder: Path, kind: str = "ucb", seed: int = 3, *changes: str) -> Path:
    path = folder / f"{kind}{seed}.yaml"
    path.write_text(CAMPAIGN.format(kind=kind, seed=seed))
    run = folder / f"run-{kind}{seed}"
    with Campaign.create(read_spec(path, changes), run) as begun:
        begun.run()
    return run


def test_candidates_come_from_the_pool_alone_with_its_crystals(folder: Path) -> None:
    state, _ = read_state(campaign(folder))
    chosen = [t for t in state.trials.values() if t.iteration > 0]
    assert {t.candidate.source for t in chosen} == {Source.POOL}
    assert len(chosen) == 12
    assert {t.candidate.formula for t in chosen} <= set(SALTS) - {"CsI", "RbI"}
    for trial in chosen:
        assert trial.candidate.crystal is not None
        assert trial.candidate.structure_id == f"own-{trial.candidate.formula}"
    best = max(state.measured, key=lambda t: t.prediction.value)
    assert best.candidate.formula == "LiF"
    facts = state.structures[best.number].facts
    assert (facts["template_id"], facts["relaxed"], facts["crystal"]["lattice"][0]) == ("own-LiF", False, 6.0)


def test_a_pool_is_used_up_and_the_campaign_ends(folder: Path) -> None:
    run = campaign(folder, "ucb", 5, "stop={iterations: 40}", "batch_size=5")
    state, _ = read_state(run)
    assert sum(t.iteration > 0 for t in state.measured) == len(SALTS) - 2
    assert state.stopped == "no new candidate passed the screens"


def test_more_of_the_pool_is_looked_at_where_screens_object_to_the_first(make_spec, make_state, tmp_path: Path) -> None:
    odd = [f"Na{i}Cl{j}" for i in range(2, 12) for j in range(2, 12) if np.gcd(i, j) == 1]
    (tmp_path / "pool.txt").write_text("\n".join([*odd, "KBr", "MgO"]))
    parts = Parts(make_spec(f"space.pool={tmp_path / 'pool.txt'}", "acquisition={kind: random, proposals: 20}", PLAIN))
    state = make_state([[measured(i, f, g, 0, Source.SEED) for i, (f, g) in enumerate([("NaCl", 5.0), ("KCl", 5.1)])]])
    batch = choose(parts, learn(parts, state), state, 1, 2)
    passed = {t.candidate.formula for t in batch.trials if t.state is TrialState.PENDING}
    assert passed == {"KBr", "MgO"}
    assert all(t.candidate.crystal is None for t in batch.trials)
    assert batch.stats["rejected"]["neutrality"] > 20  # more than one round of 20


@pytest.mark.parametrize("kind", ["ucb", "random"])
def test_the_order_of_the_pool_changes_nothing(folder: Path, make_spec, make_state, kind: str) -> None:
    state = make_state([[measured(0, "MgO", 4.5, 0, Source.SEED), measured(1, "CaF2", 7.3, 0, Source.SEED)]])

    def bought() -> list[str]:
        parts = Parts(make_spec(f"space.pool={folder / 'pool.jsonl'}", f"acquisition.kind={kind}", PLAIN))
        return [t.candidate.formula for t in choose(parts, learn(parts, state), state, 1, 5).trials]

    first = bought()
    (folder / "pool.jsonl").write_text("".join(json.dumps(salt(f)) + "\n" for f in reversed(SALTS)))
    assert len(first) == 5
    assert bought() == first


def test_a_random_choice_is_uniform_over_what_passes(folder: Path, make_spec, make_state) -> None:
    state = make_state([[measured(0, "MgO", 4.5, 0, Source.SEED), measured(1, "CaF2", 7.3, 0, Source.SEED)]])
    parts = Parts(make_spec(f"space.pool={folder / 'pool.jsonl'}", "acquisition.kind=random", PLAIN))
    learned = learn(parts, state)
    found: Counter[str] = Counter()
    for iteration in range(1, 41):
        batch = choose(parts, learned, state, iteration, 5)
        found.update(t.candidate.formula for t in batch.trials if t.state is TrialState.PENDING)
    # 200 draws over 20 formulas: a chi-square of 19 degrees of freedom stays below 50 but once in 8,000
    assert found.total() == 200
    assert sum((found[f] - 10) ** 2 / 10 for f in SALTS) < 50


def test_random_scores_look_at_no_belief() -> None:
    acquirer = make_acquirer("random", Objective())
    low = acquirer.score(np.zeros(4), np.ones(4), np.random.default_rng(1))
    assert (low == acquirer.score(np.full(4, 9.0), np.zeros(4), np.random.default_rng(1))).all()
    with pytest.raises(InputError, match="pass rng"):
        acquirer.score(np.zeros(2), np.ones(2))
    x = np.arange(12.0)[:, None]
    model = make_surrogate("trees", blocks=(1,)).fit(x, x[:, 0])
    rows = choose_batch(model, x, acquirer, 5, np.random.default_rng(2))
    assert sorted(set(rows.tolist())) == sorted(rows.tolist())
    assert len(rows) == 5


def test_given_crystals_survive_the_journal_to_the_last_digit() -> None:
    frac = np.array([[0.0, 0.0, 0.0], [1 / 3, 2 / 3, np.nextafter(0.5, 1)]])
    crystal = Crystal("mine", (3.1, 3.1, 5.0 / 7, 90.0, 90.0, 120.0), ("Zn", "O"), frac)
    for source, kept in ((Source.POOL, True), (Source.SEED, True), (Source.LATENT, False)):
        trial = Trial(0, 1, Candidate("OZn", source, None, "mine", crystal), TrialState.PENDING)
        back = trial_from_json(json.loads(json.dumps(trial_to_json(trial)))).candidate.crystal
        assert (back is not None) is kept
        if back is not None:
            assert back.lattice == crystal.lattice
            assert (back.frac == frac).all()
            assert back.species == crystal.species


def test_what_a_pool_may_be(tmp_path: Path, make_spec) -> None:
    (tmp_path / "list.csv").write_text("formula\nNaCl\nClNa\nXx\nSi0.5Ge0.5\nH30O\nKBr\n")
    given = read_given(tmp_path / "list.csv")
    assert list(given.crystals) == ["KBr", "NaCl"]
    assert "line 4" in given.notes[1]
    assert given.notes[2].startswith("2 formulas left out")
    (tmp_path / "none.txt").write_text("Xx\n")
    with pytest.raises(InputError, match="gives no candidate"):
        read_given(tmp_path / "none.txt")
    with pytest.raises(InputError, match="no file"):
        read_given(tmp_path / "absent")
    from aldesign.campaign.checking import check_campaign

    with pytest.raises(InputError, match=r"is within the space; the first, KBr: \w"):
        check_campaign(make_spec(f"space.pool={tmp_path / 'list.csv'}", "space.include=[O, Zn]"))
    facts = check_campaign(make_spec(f"space.pool={tmp_path / 'list.csv'}", "space.exclude=[K]"))
    assert facts["pool"].startswith("2 from")
    assert "1 of its formulas are within the space" in facts["notes"]
    assert facts["generator"] == "none"


def test_a_run_takes_its_pool_along(folder: Path) -> None:
    path = folder / "ucb9.yaml"
    path.write_text(CAMPAIGN.format(kind="ucb", seed=9))
    with Campaign.create(read_spec(path), folder / "begun") as begun:
        begun.run(1)
    whole = campaign(folder, "ucb", 9)
    (folder / "pool.jsonl").unlink()
    (folder / "begun").rename(folder / "moved")
    with Campaign.open(folder / "moved") as resumed:
        resumed.run()
        formulas = [t.candidate.formula for t in resumed.state.measured]
    assert formulas == [t.candidate.formula for t in read_state(whole)[0].measured]
    kept = next((folder / "moved" / "models").rglob("pool.jsonl"))
    kept.write_text(kept.read_text().splitlines()[0] + "\n")
    with pytest.raises(Exception, match="the pool has digest"):
        Campaign.open(folder / "moved")


def test_a_replay_refuses_a_campaign_that_chooses_at_random(make_spec) -> None:
    from aldesign.replay.strategies import refuse_unlearnable

    with pytest.raises(SpecError, match="at random"):
        refuse_unlearnable(make_spec("acquisition.kind=random"))


def test_nothing_but_the_pool_is_scored(folder: Path, make_spec, make_state) -> None:
    parts = Parts(make_spec(f"space.pool={folder / 'pool.jsonl'}", "acquisition.proposals=7"))
    state = make_state([[measured(0, "MgO", 4.5, 0, Source.SEED), measured(1, "LiF", 8.9, 0, Source.SEED)]])
    pool, counts = propose(parts, learn(parts, state), 1, 0, {"LiF"})
    assert len(pool) == 7
    assert "searched" not in counts
    assert [i.score for i in pool] == sorted((i.score for i in pool), reverse=True)
    with (folder / "gaps.csv").open() as handle:
        assert {i.candidate.formula for i in pool} <= {row["formula"] for row in csv.DictReader(handle)} - {"LiF"}
