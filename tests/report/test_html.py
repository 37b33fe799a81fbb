"""The page: well-formed, offline, escaped, true to the journal, and the same for the same journal."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from aldesign.campaign.assessment import assess
from aldesign.campaign.ranking import shortlist
from aldesign.campaign.reading import read_state
from aldesign.campaign.rows import cif_name
from aldesign.errors import RunDirectoryError
from aldesign.records import TrialState
from aldesign.report.html import exported_cifs, formula_markup, render, write_report

VOID = {"meta", "link", "br", "img", "hr", "input"}
ATTACK = "<script>alert('x')</script> & \"q\" {{ 7 * 7 }} </title><img src=x onerror=y>"


class Page(HTMLParser):
    """Tags that balance, ids, links and the rows of each labelled table."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.loads: list[str] = []
        self.scripts = 0
        self.tables: dict[str, list[list[str]]] = {}
        self.text = ""
        self._region = ""
        self.feed(text)
        self.close()
        assert self.stack == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in VOID:
            self.stack.append(tag)
        self.ids += [str(given["id"])] if "id" in given else []
        self.links += [str(given["href"])] if tag == "a" else []
        self.loads += [str(v) for k, v in attrs if k in {"src", "srcset", "data", "action", "poster"}]
        self.scripts += tag == "script"
        if given.get("role") == "region":
            self._region = str(given["aria-label"])
            self.tables[self._region] = []
        if tag == "tr" and self._region:
            self.tables[self._region].append([])
        if tag in {"td", "th"} and self._region:
            self.tables[self._region][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.stack.pop() == tag
        if tag == "table":
            self._region = ""

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._region and self.tables[self._region] and self.tables[self._region][-1]:
            self.tables[self._region][-1][-1] += data


CASES: dict[str, dict[str, Any]] = {
    "finished": {},
    "window": {"target": {"window": [2.0, 3.0]}, "iterations": 1},
    "running": {"open_iteration": True, "structures": False, "iterations": 1},
    "seed only": {"iterations": 0, "structures": False, "stopped": ""},
    "one row": {"seeds": 1, "iterations": 0, "structures": False, "stopped": ""},
    "nothing": {"seeds": 0, "iterations": 0, "structures": False, "stopped": ""},
    "no seed": {"seeds": 0, "iterations": 1},
    "external": {"oracle": "external", "iterations": 1},
}


@pytest.mark.parametrize("case", CASES)
def test_page_is_well_formed_and_loads_nothing(page: Any, case: str) -> None:
    text = page(**CASES[case]).read_text(encoding="utf-8")
    parsed = Page(text)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert parsed.loads == []
    assert set(re.findall(r"https?://[^\"'\s<>]+", text)) <= {"http://www.w3.org/2000/svg"}
    assert not re.search(r"@import|url\((?!#)|//cdn", text)
    assert all(not link.startswith(("/", "file:")) and ":" not in link for link in parsed.links)
    assert parsed.scripts == 1
    assert "level PBE" in parsed.text
    assert len(text) < 2_000_000
    for svg in re.findall(r"<svg[^>]*>", text):
        assert 'role="img"' in svg
        assert "aria-labelledby" in svg


def test_ranked_table_equals_the_journal(page: Any) -> None:
    path = page()
    state, spec = read_state(path.parent)
    accepted = shortlist(state, spec).accepted
    parsed = Page(path.read_text(encoding="utf-8"))
    head, *rows = parsed.tables["Ranked candidates"]
    names = [" ".join(h.split()) for h in head]
    assert names[:5] == ["#", "formula", "gap (eV)", "score", "front"]
    assessment = assess(shortlist(state, spec), state, spec)
    assert len(rows) == len(accepted) > 5
    for cells, item, assessed in zip(rows, accepted, assessment.accepted, strict=True):
        row = dict(zip(names, (cell.strip() for cell in cells), strict=True))
        trial, facts = item.trial, item.record.facts
        assert trial.prediction is not None
        assert assessed.score is not None
        assert assessed.nearest is not None
        assert row["#"] == str(item.rank)
        assert row["formula"] == trial.candidate.formula
        assert row["gap (eV)"] == f"{trial.prediction.value:.2f} ± 0.35*"  # hidden where it is within the domain
        assert row["score"] == f"{assessed.score.value:.2f}"
        assert row["front"] == str(assessed.front or "–")
        assert row["Eform (eV/atom)"] == minus(facts["formation_energy_ev_per_atom"])
        assert row["Ehull (eV/atom)"] == minus(facts.get("e_above_hull_ev_per_atom"))
        assert row["graph (eV/atom)"] == minus(facts.get("formation_energy_graph_ev_per_atom"))
        assert row["EMD"] == f"{facts['emd']:.2f}"
        assert row["nearest known"].split() == [assessed.nearest.formula, f"{assessed.nearest.emd:.1f}"]
    outside = [item for item in accepted if item.trial.prediction and item.trial.prediction.in_domain is False]
    assert path.read_text().count(">*</span></td>") - path.read_text().count('class="blank"') == len(outside) > 0
    gaps = [item.trial.prediction.value for item in accepted if item.trial.prediction]
    assert gaps == sorted(gaps, reverse=True)
    assert len(parsed.tables["Candidates set aside"]) - 1 == len(shortlist(state, spec).set_aside)


def minus(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".replace("-", "−")


def test_each_candidate_has_its_story_and_its_score(page: Any) -> None:
    path = page()
    state, spec = read_state(path.parent)
    parsed = Page(path.read_text(encoding="utf-8"))
    for item in shortlist(state, spec).accepted:
        anchor = f"candidate-{item.trial.number}"
        assert anchor in parsed.ids
        assert f"#{anchor}" in parsed.links
    assert "Tried as well" in parsed.text
    assert "gap, weight 3: 0 at 0 eV, 1 at 10 eV" in parsed.text
    assert "Pareto front 1: candidates that no other accepted one beats" in parsed.text
    assert parsed.text.count("the product of the factors") == len(shortlist(state, spec).accepted)


def test_cif_links_lead_to_the_files(page: Any, tmp_path: Path) -> None:
    directory = page().parent
    state, spec = read_state(directory)
    for path in (page(), write_report(directory, tmp_path / "elsewhere" / "page.html")):
        links = [link for link in Page(path.read_text(encoding="utf-8")).links if not link.startswith("#")]
        assert len(links) == len(shortlist(state, spec).accepted)
        for link, item in zip(links, shortlist(state, spec).accepted, strict=True):
            target = (path.parent / link).resolve()
            assert target.is_file()
            assert target.name == cif_name(item.rank, item.trial.candidate.formula)


def test_no_link_leads_out_of_the_export_folder(build: Any) -> None:
    directory = build(iterations=1, seeds=1)
    (directory / "secret.cif").write_text("x")
    table = directory / "export" / "candidates.csv"
    table.write_text("rank,formula,trial,cif\n1,NaCl,3,../secret.cif\n2,KCl,x,a.cif\n3,KF,4,missing.cif\n")
    assert exported_cifs(directory, directory) == {}


def test_users_texts_are_escaped_everywhere(page: Any) -> None:
    text = page(reason=ATTACK, iterations=1).read_text(encoding="utf-8")
    parsed = Page(text)
    assert parsed.scripts == 1
    assert parsed.loads == []
    assert "<script>alert" not in text
    assert "{{ 7 * 7 }}" in parsed.text
    assert parsed.text.count(ATTACK) >= 4


def test_formulas_are_escaped_and_get_subscripts() -> None:
    assert formula_markup("Ca3Al2O6") == "Ca<sub>3</sub>Al<sub>2</sub>O<sub>6</sub>"
    assert formula_markup("Li0.5O") == "Li<sub>0.5</sub>O"
    assert formula_markup("<b>2") == "&lt;b&gt;<sub>2</sub>"


def test_same_journal_same_page(page: Any, tmp_path: Path) -> None:
    first = page(**CASES["window"])
    second = write_report(first.parent, first.parent / "again.html")
    assert second.read_bytes() == first.read_bytes()


def test_headline_counts(page: Any) -> None:
    state, _ = read_state(page().parent)
    text = Page(page().read_text(encoding="utf-8")).text
    flat = " ".join(text.split())
    failed, rejected = state.in_state(TrialState.FAILED), state.in_state(TrialState.REJECTED)
    assert f"candidates measured{len(state.measured) - 60}" in flat
    for name, count in (("without an answer", len(failed)), ("rejected before paying", len(rejected))):
        assert f"{name}{count} " in flat


def test_a_created_event_may_lack_keys(build: Any) -> None:
    from dataclasses import replace

    state, spec = read_state(build(iterations=1))
    Page(render(replace(state, created={"spec": state.created["spec"]}), spec))


def test_not_a_run_directory(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match="no run directory"):
        write_report(tmp_path)
    assert list(tmp_path.iterdir()) == []
