"""The folder of a reproduction: who may write it, what is refused, and what its table is made from."""

from __future__ import annotations

from pathlib import Path

import pytest
from paper_tables import write_tables

from aldesign.errors import InputError, RunDirectoryError
from aldesign.files import write_json
from aldesign.report.reproduce import cells, wide_text, write_results
from aldesign.reproduce.study import Job, Study
from aldesign.reproduce.summary import first_wide, results, table_one
from aldesign.reproduce.tables import find_tables, load_tables

FOREST = "random_forest"
FIGURES: dict[str, object] = {"rows": 80, "r2": 0.5, "test_r2": 0.4, "mae": 1.0, "rmse": 1.2, "candidates": 9}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "study", write_tables(tmp_path), (FOREST,))


def keep(study: Study, sample: str, repeat: int, **more: object) -> None:
    job = Job(sample, FOREST, repeat - 1)
    write_json(study.record(job), {"sample": sample, "model": FOREST, "repeat": repeat, **more})


def judged(recovered: int, wrong: int, known: int, new: int, new_recovered: int) -> dict[str, object]:
    return FIGURES | {
        "recovered": recovered,
        "false_positives": wrong,
        "recovery": recovered / (known + new),
        "labelled_candidates": known,
        "new_candidates": new,
        "new_recovered": new_recovered,
        "new_recovery": new_recovered / new,
    }


def test_one_process_at_a_time_writes_a_study(study: Study) -> None:
    with study.opened(), pytest.raises(RunDirectoryError, match="being written by another process") as caught:
        study.opened().__enter__()
    assert caught.value.exit_code == 2
    with study.opened():
        assert (study.out / "study.json").is_file()


def test_what_a_kill_left_is_not_something_else(study: Study) -> None:
    study.out.mkdir()
    (study.out / "study.lock").touch()
    (study.out / ".study.1a2b3c4d.json").touch()
    with study.opened():
        pass
    other = Study(study.out.parent / "other", study.data, (FOREST,))
    other.out.mkdir()
    (other.out / "letters.txt").touch()
    with pytest.raises(InputError, match="holds something else"), other.opened():
        pass
    assert [path.name for path in other.out.iterdir()] == ["letters.txt"]


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_damaged_note_is_told_and_can_be_forced(text: str, study: Study) -> None:
    study.begin()
    (study.out / "study.json").write_text(text)
    with pytest.raises(InputError, match="is damaged") as caught, study.opened():
        pass
    assert "--force" in caught.value.hint
    with study.opened(force=True):
        pass
    with study.opened():
        pass


def test_a_damaged_result_is_told(study: Study) -> None:
    study.begin()
    keep(study, "exp9", 1)
    path = study.record(Job("exp9", FOREST))
    path.write_text('{"sample": "exp9"}')
    with pytest.raises(InputError, match="no result"):
        results(study)


def test_the_oracle_does_not_praise_itself(study: Study) -> None:
    keep(study, "exp1", 1, **judged(10, 0, 4, 6, 6))
    alone = table_one(results(study))[0]
    assert (alone["recovery"], alone["new_recovery"], alone["false_positives"]) == (None, None, None)
    assert (alone["r2"], alone["candidates"]) == (0.5, 9.0)
    keep(study, "exp1", 2, **judged(5, 2, 4, 6, 3))
    keep(study, "exp1", 3, **judged(6, 4, 4, 6, 4))
    line = table_one(results(study))[0]
    assert (line["repeats"], line["recovery"], line["false_positives"]) == (3, 0.55, 3.0)
    assert line["new_recovery"] == pytest.approx(3.5 / 6, abs=1e-4)


def test_every_finished_part_is_told_with_its_counts(study: Study) -> None:
    tables = load_tables(find_tables(study.data), study.seed)
    keep(study, "exp3-ours", 1, **judged(12, 1, 33, 15, 8))
    keep(study, "exp3-campaign", 1, labels=50, iterations=2, wide=7, best_ev=7.0)
    keep(study, "exp2-bs", 7, **FIGURES)  # of an earlier version: no counts
    lines = write_results(study, tables)
    assert [line["sample"] for line in lines] == ["exp2-bs", "exp3-ours"]
    assert cells(lines[1])[10] == "53.3 (8/15)"
    assert cells(lines[0])[10] == "–"
    text = (study.out / "table1.md").read_text()
    assert "from 50 labels paid in 2 iterations (7 of 6 eV or more) and the paper's first 60;" in text
    assert "Of the oracle's 48 candidates the sample labels 33; 15 are new." in text
    assert "standard deviation over random splits of one sample (one campaign, one oracle)" in text
    assert "1 negative gaps set to 0" in text
    assert "formation energies" not in text  # the graph did not run


def test_the_fourth_experiment_counts_whole_batches_of_those_that_found(study: Study) -> None:
    keep(study, "exp4", 1, rows=300, found=True, iterations=5, labels=81, paid=100, best_ev=6.4, best_formula="CF4")
    keep(study, "exp4", 2, rows=300, found=False, iterations=30, labels=600, paid=600)
    line = first_wide(results(study))[0]
    assert (line["starts"], line["found"], line["labels"], line["paid"], line["most_paid"]) == (2, 1, 81.0, 100.0, 100)
    assert "1 of 2 starts found" in wide_text(line)
    assert "81 labels (100 with the whole batch) on average" in wide_text(line)
