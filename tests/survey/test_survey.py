"""A survey beside the same work done plainly, after interruptions, with other workers, and with workers that die."""

from __future__ import annotations

import csv
import json
from functools import partial
from pathlib import Path

import pytest
from pymatgen.core import Composition
from smact.screening import smact_validity

from aldesign.errors import AldesignError, InputError, RunDirectoryError
from aldesign.execution import LostWorker, Workers, executor
from aldesign.survey import source as sources
from aldesign.survey import store
from aldesign.survey import survey as surveys
from aldesign.survey.ranking import Goal
from aldesign.survey.results import counts, ranked_rows, write
from aldesign.survey.sieves import Rules, Sieves
from aldesign.survey.source import DrawnSource, FileSource
from aldesign.survey.store import Store
from aldesign.survey.survey import run
from aldesign.survey.tally import MOST_LISTED, Tally
from aldesign.survey.work import Answered, Problem, Tools, prepare

CATIONS, ANIONS = ("Na", "Mg", "Al", "Ti", "Fe", "Cs", "Pb"), ("F", "O", "N", "I")
TEXTS = [f"{a}{x}{c}{y}" for a in CATIONS for c in ANIONS for x in (1, 2, 4) for y in (1, 2, 3)]
GAPS = {Composition(text).reduced_formula: round(1.0 + 0.01 * place, 2) for place, text in enumerate(TEXTS)}
UNKNOWN = "NaF"  # to the oracle


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (sources, surveys):
        monkeypatch.setattr(module, "ROWS", 30)
    monkeypatch.setattr(surveys, "BATCH", 7)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "gaps.csv"
    rows = [f"{formula},{gap}" for formula, gap in GAPS.items() if formula != UNKNOWN]
    path.write_text("formula,band_gap\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "formulas.csv"
    path.write_text("formula\n" + "\n".join(["Xx2O", *TEXTS, "ONa2", "2H2O", *TEXTS[:5]]) + "\n")
    return path


def tools_for(table: Path, **changes) -> Tools:
    sieves = Sieves(Rules(exclude=("Pb",), max_atoms=5))
    given = {"sieves": sieves, "goal": Goal(), "top": 20, "oracle": "lookup", "options": {"path": str(table)}}
    return Tools(**given | changes)


def workers_for(tools: Tools, kind="serial", number=1) -> Workers:
    return Workers(partial(executor, kind, number, prepare, (tools,)))


def surveyed(file: Path, tools: Tools, out: Path, kind="serial", number=1, listen=None):
    with workers_for(tools, kind, number) as workers:
        return run(FileSource(file), tools, out, workers, listen)


def plainly() -> list[tuple[str, float]]:
    """Return what must come out, by pymatgen's spelling and SMACT's verdict, formula by formula."""
    found = {}
    for text in [*TEXTS, "ONa2"]:
        formula = Composition(text).reduced_formula
        small = Composition(formula).num_atoms <= 5
        if "Pb" not in text and small and smact_validity(formula) and formula != UNKNOWN:
            found[formula] = GAPS[formula]
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))


def test_the_best_and_the_counts_are_those_of_plain_work(file, table, tmp_path):
    outcome = surveyed(file, tools_for(table), tmp_path / "out")
    expected = plainly()
    assert [(one.formula, one.value) for one in outcome.tally.best] == expected[:20]
    found = counts(outcome.tally)
    distinct = {Composition(text).reduced_formula for text in [*TEXTS, "ONa2"]}
    assert found["rows"] == len(TEXTS) + 8
    assert found["unreadable"] == 2
    assert found["repeats"] == len(TEXTS) + 6 - len(distinct)
    assert found["held_by_elements"] == sum("Pb" in formula for formula in distinct)
    assert found["passed"] == len(expected) + 1 == found["scored"] + found["unanswered"]
    assert found["unanswered"] == 1
    held = sum(count for name, count in found.items() if name.startswith("held_by"))
    assert found["rows"] == found["unreadable"] + found["repeats"] + held + found["passed"]
    reasons = {problem.text: (problem.line, problem.reason) for problem in outcome.tally.problems}
    assert reasons["Xx2O"][0] == 2
    assert "'Xx' is not an element" in reasons["Xx2O"][1]
    assert set(reasons) == {"Xx2O", "2H2O", UNKNOWN}


def test_neither_workers_nor_interruptions_change_the_outcome(file, table, tmp_path, monkeypatch):
    tools = tools_for(table)
    usual = surveyed(file, tools, tmp_path / "usual")
    two = surveyed(file, tools, tmp_path / "two", "processes", 2)
    assert ranked_rows(two) == ranked_rows(usual)
    assert counts(two.tally) == counts(usual.tally)
    monkeypatch.setattr(store, "COMMIT_SECONDS", 0.0)
    calls = 0

    def interrupt(tally) -> None:
        nonlocal calls
        calls += 1
        if calls % 3 == 0:
            raise KeyboardInterrupt

    surveys_begun = 0
    while surveys_begun < 100:
        surveys_begun += 1
        try:
            stopped = surveyed(file, tools, tmp_path / "stopped", listen=interrupt)
        except KeyboardInterrupt:
            continue
        break
    assert surveys_begun > 3
    assert ranked_rows(stopped) == ranked_rows(usual)
    assert counts(stopped.tally) == counts(usual.tally)
    again = surveyed(file, tools, tmp_path / "stopped", listen=interrupt)
    assert again.tally == stopped.tally


@pytest.mark.parametrize(
    ("kind", "number", "lost", "what"), [("sieve", 1, 30, "rows 31 to 60"), ("score", 0, 7, "7 formulas from ")]
)
def test_what_killed_its_workers_is_given_up_and_listed(file, table, tmp_path, kind, number, lost, what):
    tools = tools_for(table)
    usual = surveyed(file, tools, tmp_path / "usual")

    class Deadly(Workers):
        def run(self, function, items, attempts=3):
            jobs = {}
            remembered = (jobs.setdefault(place, item) for place, item in enumerate(items))
            for place, result in super().run(function, remembered, attempts):
                job = jobs[place]
                deadly = getattr(job, "kind", "") == kind and job.number == number
                yield place, LostWorker(3, "a worker died each of the 3 times") if deadly else result

    with Deadly(partial(executor, "serial", 1, prepare, (tools,))) as workers:
        outcome = run(FileSource(file), tools, tmp_path / "out", workers)
    found = counts(outcome.tally)
    assert (found["abandoned"], found["rows"]) == (lost, counts(usual.tally)["rows"])
    assert found["scored"] + found["unanswered"] + lost * (kind == "score") == found["passed"] <= usual.tally.passed
    assert found["scored"] < usual.tally.scored
    (told,) = [p for p in outcome.tally.problems if p.reason == "a worker died each of the 3 times"]
    assert told.text.startswith(what)


def test_a_folder_belongs_to_one_survey(file, table, tmp_path):
    surveyed(file, tools_for(table), tmp_path / "out")
    with pytest.raises(RunDirectoryError, match="another survey, different in: top"):
        surveyed(file, tools_for(table, top=3), tmp_path / "out")
    file.write_text("formula\nNaCl\n")
    with pytest.raises(RunDirectoryError, match="different in: input"):
        surveyed(file, tools_for(table), tmp_path / "out")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "survey.sqlite").write_text("no database at all, " * 100)
    with pytest.raises(RunDirectoryError, match="is no survey"):
        surveyed(file, tools_for(table), tmp_path / "odd")


def test_a_folder_that_cannot_be_and_one_of_another_version_are_refused(file, table, tmp_path, monkeypatch):
    with pytest.raises(RunDirectoryError, match="cannot be made"):
        surveyed(file, tools_for(table), file / "out")
    surveyed(file, tools_for(table), tmp_path / "out")
    monkeypatch.setattr(store, "FORMAT", "3")
    with pytest.raises(RunDirectoryError, match="survey of format 2; this version reads format 3"):
        surveyed(file, tools_for(table), tmp_path / "out")


def test_a_full_disk_is_named_and_the_survey_goes_on_later(file, table, tmp_path, monkeypatch):
    tools = tools_for(table)
    usual = surveyed(file, tools, tmp_path / "usual")
    monkeypatch.setattr(store, "COMMIT_SECONDS", 0.0)
    plain = Store._begin

    def small(self, facts) -> None:
        self._base.execute("PRAGMA page_size=512")
        plain(self, facts)
        self._base.execute("PRAGMA max_page_count=1")  # as many as there are

    with monkeypatch.context() as full:
        full.setattr(Store, "_begin", small)
        with pytest.raises(
            AldesignError, match=r"survey\.sqlite could not be written: .* full .*give the same command"
        ):
            surveyed(file, tools, tmp_path / "out")
    assert ranked_rows(surveyed(file, tools, tmp_path / "out")) == ranked_rows(usual)


def test_what_is_listed_does_not_depend_on_which_batch_was_faster():
    tallies = Tally(), Tally()
    found = {
        number: Answered(100, [], 0, 100, [Problem(0, f"X{number}Y{i}", "unknown") for i in range(100)], 0.0)
        for number in range(15)
    }
    for tally, numbers in zip(tallies, (range(15), [*range(14, 7, -1), *range(8)]), strict=True):
        for number in numbers:
            tally.answered(number, found[number], Goal(), 5)
    assert tallies[0].problems == tallies[1].problems == Tally.of(json.loads(json.dumps(tallies[0].record()))).problems
    assert [len(tallies[0].problems), tallies[0].problems[-1].text] == [MOST_LISTED, "X9Y99"]


def test_rows_in_another_encoding_are_listed_like_others(table, tmp_path):
    source = tmp_path / "latin.csv"
    source.write_bytes(b"formula\nNaCl\nNa\xe9\nKF\n")
    outcome = surveyed(source, tools_for(table), tmp_path / "out")
    write(outcome, tmp_path / "out", 1)
    rows = (tmp_path / "out" / "left_out.csv").read_text().splitlines()
    assert rows[1].startswith("3,Na?,")


def test_a_folder_is_known_by_the_content_of_its_files(tmp_path):
    (tmp_path / "a.cif").write_text("first")
    before = sources.file_digest(tmp_path)
    (tmp_path / "a.cif").write_text("other")
    assert sources.file_digest(tmp_path) != before


def test_drawn_formulas_do_not_depend_on_who_draws(table, tmp_path):
    tools = tools_for(table, sieves=Sieves(known=("builtin",)), wishes={"distinct": True})
    with workers_for(tools) as workers:
        first, second = (run(DrawnSource(70, 3), tools, tmp_path / name, workers) for name in ("first", "second"))
    assert (counts(first.tally), first.tally.problems) == (counts(second.tally), second.tally.problems)
    assert first.tally.rows == 70
    assert first.tally.held[1:5] == [0, 0, 0, 0]  # what the generator draws is plausible
    assert first.tally.unanswered == first.tally.passed > 40
    assert first.oracle.generator


def test_an_oracle_that_cannot_score_formulas_is_refused(file, tmp_path):
    tools = Tools(Sieves(), Goal(), 5, "crystal_graph")
    with pytest.raises(InputError, match="needs crystals"), workers_for(tools) as workers:
        run(FileSource(file), tools, tmp_path / "out", workers)


def test_the_tables_that_are_left_behind(file, table, tmp_path):
    outcome = surveyed(file, tools_for(table), tmp_path / "out")
    facts = write(outcome, tmp_path / "out", 1)
    with (tmp_path / "out" / "ranked.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["formula"] for row in rows] == [formula for formula, _ in plainly()[:20]]
    assert rows[0]["rank"] == "1"
    assert (rows[0]["unit"], rows[0]["oracle"], rows[0]["level"]) == ("eV", "lookup", "PBE")
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == facts
    rate = facts["rows_per_second"]
    assert facts["hours_for_100_million"] == pytest.approx(1e8 / rate / 3600, rel=0.01)
    assert (tmp_path / "out" / "left_out.csv").read_text().splitlines()[1].startswith("2,Xx2O,")
