"""Questions that are handed out: each once, with the crystal that its answer belongs to."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from aldesign.campaign.answers import Answer
from aldesign.campaign.asking import candidate_of, question_rows, records, write_blank, write_questions
from aldesign.campaign.campaign import Campaign
from aldesign.campaign.finishing import crystal_of
from aldesign.campaign.learning import learn
from aldesign.campaign.reading import read_state
from aldesign.campaign.spec import read_spec
from aldesign.errors import InputError
from aldesign.records import TrialState
from aldesign.structures.cif import read_cif, to_pymatgen

TINY = Path(__file__).parent / "tiny.yaml"
LAB = ("oracle.kind=external", "oracle.options.needs=structure", "stop={budget: 8}", "execution={kind: serial}")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run directory in which six questions were handed out, three to each of two laboratories."""
    directory = tmp_path_factory.mktemp("runs") / "lab"
    with Campaign.create(read_spec(TINY, LAB), directory) as campaign:
        campaign.ask(3, "Oslo", "template")
        campaign.ask(3, "Kyoto", "template")
    return directory


@pytest.fixture
def lab(begun: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(begun, tmp_path / "lab"))


def formulas(trials: list) -> list[str]:
    return [trial.candidate.formula for trial in trials]


def test_nothing_is_handed_out_twice_and_the_journal_says_to_whom(begun: Path) -> None:
    state, _ = read_state(begun)
    assert len(set(formulas(state.waiting))) == 6
    assert [state.asked[t.number].to for t in state.waiting] == ["Oslo"] * 3 + ["Kyoto"] * 3
    assert not state.unasked
    seeds = [t.candidate.formula for t in state.measured]
    assert not set(seeds) & set(formulas(state.waiting))


def test_the_budget_counts_what_is_pending_and_withdrawing_frees_it(lab: Path) -> None:
    with Campaign.open(lab) as campaign:
        assert len(campaign.ask(5)) == 2
        assert campaign.ask(5) == []
        gone = formulas(campaign.state.waiting)[0]
        (trial,) = campaign.withdraw([gone], "too hygroscopic")
        assert (trial.state, trial.prediction.error) == (TrialState.WITHDRAWN, "withdrawn: too hygroscopic")
        (other,) = campaign.ask(5)
        assert other.candidate.formula != gone
        assert campaign.state.paid == 0
        campaign.tell([Answer(gone, value=4.0)])
        assert campaign.state.trials[trial.number].state is TrialState.MEASURED


def test_what_is_released_is_handed_out_before_anything_new(lab: Path) -> None:
    with Campaign.open(lab) as campaign:
        first = campaign.state.waiting[0]
        campaign.release([str(first.number)])
        assert campaign.state.unasked == [first]
        (new,) = campaign.ask(1, new=True)
        assert new.number != first.number
        assert campaign.ask(1, "Lima") == [first]
        assert campaign.state.asked[first.number].to == "Lima"


def test_pending_candidates_count_as_known(begun: Path) -> None:
    with Campaign.open(begun) as campaign:
        waiting = campaign.parts.describe(formulas(campaign.state.waiting))
        aware = learn(campaign.parts, campaign.state).surrogate.posterior(waiting)
        asked = {t.number for t in campaign.state.waiting}
        trials = {n: t for n, t in campaign.state.trials.items() if n not in asked}
        blind = learn(campaign.parts, type(campaign.state)(**{**vars(campaign.state), "trials": trials}))
        unaware = blind.surrogate.posterior(waiting)
    assert (aware[1] < 0.7 * unaware[1]).all()
    np.testing.assert_allclose(aware[0], unaware[0], atol=0.3)


def test_the_crystal_asked_about_is_in_the_journal_the_cif_and_the_final_table(lab: Path, tmp_path: Path) -> None:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    folder = tmp_path / "to_measure"
    state, _ = read_state(lab)
    numbers = [trial.number for trial in state.waiting]
    rows = write_questions(state, numbers, folder)
    same = StructureMatcher(scale=False, primitive_cell=False, attempt_supercell=True)
    for row in rows:
        ((_, written),) = read_cif(Path(row["cif"]))
        held = candidate_of(state, row["trial"]).crystal
        assert same.fit(to_pymatgen(written), to_pymatgen(held))
        assert row["crystal"] == "template, not relaxed"
        assert row["template_id"] in Path(row["cif"]).read_text()
    with Campaign.open(lab) as campaign:
        campaign.tell([Answer(cif=row["cif"], value=3.0 + i) for i, row in enumerate(rows)])
        for payload in campaign.crystals([(campaign.state.trials[n], []) for n in numbers[:1]]):
            campaign.record_structure(payload)
        found = campaign.state.structures[numbers[0]].facts
    asked = state.asked[numbers[0]].facts
    assert found["crystal"] == asked["crystal"]
    assert found["template_id"] == asked["template_id"]
    assert found["formation_energy_ev_per_atom"] is not None
    assert not found["relaxed"]


def test_a_folder_keeps_an_index_of_all_that_was_put_there(begun: Path, tmp_path: Path) -> None:
    folder = tmp_path / "to_measure"
    state, _ = read_state(begun)
    numbers = [trial.number for trial in state.waiting]
    write_questions(state, numbers[:2], folder)
    write_questions(state, numbers[1:4], folder)
    with (folder / "index.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [int(row["trial"]) for row in rows] == numbers[:4]
    assert [row["cif"] for row in rows] == sorted(path.name for path in folder.glob("*.cif"))
    assert len({row["cif"].lower() for row in rows}) == 4
    first = state.trials[numbers[0]]
    assert (float(rows[0]["expected_gap_ev"]), float(rows[0]["expected_std_ev"])) == first.expected
    assert float(rows[0]["score"]) == first.score
    assert "neutrality: " in rows[0]["screens"]


def test_a_folder_of_another_campaign_is_left_alone(begun: Path, tmp_path: Path) -> None:
    state, _ = read_state(begun)
    numbers = [trial.number for trial in state.waiting][:1]
    folder = tmp_path / "to_measure"
    rows = write_questions(state, numbers, folder)
    path = Path(rows[0]["cif"])
    path.write_text(path.read_text().replace("crystal_digest: ", "crystal_digest: 0"))
    with pytest.raises(InputError, match="holds another crystal"):
        write_questions(state, numbers, folder)
    index = folder / "index.csv"
    index.write_text(index.read_text().replace("tiny", "other"))
    with pytest.raises(InputError, match="belongs to the campaign 'other'"):
        write_questions(state, numbers, folder)


def test_programs_get_evidence_and_crystal(begun: Path) -> None:
    state, _ = read_state(begun)
    (found,) = records(state, [state.waiting[0].number])
    neutrality = next(verdict for verdict in found["screens"] if verdict["screen"] == "neutrality")
    assert neutrality["evidence"]["oxidation_states"]
    assert len(crystal_of({"structure_id": "x", "crystal": found["structure"]})) > 0


def test_a_blank_table_names_every_question_and_is_never_written_over(begun: Path, tmp_path: Path) -> None:
    state, _ = read_state(begun)
    path = tmp_path / "results.csv"
    numbers = [trial.number for trial in state.waiting]
    write_blank(state, numbers, path)
    with path.open() as stream:
        assert [int(row["trial"]) for row in csv.DictReader(stream)] == numbers
    with pytest.raises(InputError, match="may hold answers"):
        write_blank(state, numbers, path)


def test_the_oracle_of_a_campaign_leaves_alone_what_people_are_asked(tmp_path: Path) -> None:
    spec = read_spec(TINY, ("execution={kind: serial}", "stop={iterations: 2}", "batch_size=2"))
    with Campaign.create(spec, tmp_path / "run") as run:
        (asked,) = run.ask(1)
        run.run(1)
        assert run.state.waiting == [asked]
        assert run.state.paid == 2
        assert question_rows(run.state, [asked.number])[0]["cif"] == ""
        run.tell([Answer(trial=asked.number, value=3.0)])
        assert run.state.trials[asked.number].prediction.value == 3.0
