"""The trade-off of gap and stability: its points are those of the table, its caption counts them."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from aldesign.campaign.assessment import Assessment, assess
from aldesign.campaign.ranking import shortlist
from aldesign.campaign.reading import read_state
from aldesign.report.pareto_figure import pareto_illustration, points


@pytest.fixture(scope="module")
def made(build: Any) -> tuple[Assessment, Any]:
    state, spec = read_state(build())
    return assess(shortlist(state, spec), state, spec), spec


def test_points_are_gap_and_stability_with_their_doubts(made: Any) -> None:
    assessment, _ = made
    assert assessment.stability == "formation_energy"  # one candidate has no place on the hull
    for point, row in zip(points(assessment.accepted, "formation_energy"), assessment.accepted, strict=True):
        facts = row.item.record.facts
        assert row.item.trial.prediction is not None
        assert (point.gap_ev, point.std_ev) == (row.item.trial.prediction.value, row.item.trial.prediction.std)
        assert point.energy == facts["formation_energy_ev_per_atom"]
        assert point.second == pytest.approx(facts.get("formation_energy_graph_ev_per_atom"))
    hulled = points(assessment.accepted, "e_above_hull")
    known = [r for r in assessment.accepted if r.item.record.facts.get("e_above_hull_ev_per_atom") is not None]
    assert len(hulled) == len(known) > 5
    for point, row in zip(hulled, known, strict=True):
        facts = row.item.record.facts
        shift = facts["formation_energy_graph_ev_per_atom"] - facts["formation_energy_ev_per_atom"]
        assert point.second == pytest.approx(facts["e_above_hull_ev_per_atom"] + shift)


@pytest.mark.parametrize("stability", ["formation_energy", "e_above_hull"])
def test_the_figure_marks_each_candidate_and_counts_the_first_front(made: Any, stability: str) -> None:
    assessment, spec = made
    drawn = pareto_illustration(replace(assessment, stability=stability), spec, (2.0, float("inf")))
    assert drawn is not None
    shown = points(assessment.accepted, stability)
    first = [p for p in shown if p.front == 1]
    assert f"{len(first)} of {len(shown)} are on front 1" in drawn.caption
    tips = re.findall(r"<title>(\S+): [^<]*, front (\d+)</title>", drawn.svg)
    assert sorted(tips) == sorted((p.formula, str(p.front)) for p in shown)
    assert all(f">{p.formula}</text>" in drawn.svg for p in first)


def test_one_candidate_makes_no_trade_off(made: Any) -> None:
    assessment, spec = made
    assert pareto_illustration(replace(assessment, accepted=assessment.accepted[:1]), spec, None) is None
