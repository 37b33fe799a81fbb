"""The best materials of a campaign beside what is known, checked against distances by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from campaign_examples import measured

from aldesign.campaign.auditing import as_records, audit, summary
from aldesign.cli.app import run
from aldesign.errors import InputError
from aldesign.records import LabelledRow, Source

KNOWN = [LabelledRow("NaCl", 5.0), LabelledRow("LiF", 8.9), LabelledRow("MgO", 4.5)]


@pytest.fixture
def state(make_state):
    seeds = [measured(0, "MgO", 4.4, 0, Source.SEED)]
    found = [
        measured(1, "NaBr", 4.1, 1),
        measured(2, "KF", 7.0, 1),
        measured(3, "LiF", 9.0, 1),
        measured(4, "F", 6.5, 1),
    ]
    return make_state([seeds, found])


def test_every_find_stands_beside_its_nearest_known_formula(state, make_spec) -> None:
    rows = audit(state, make_spec(), KNOWN, None)
    assert [row.formula for row in rows] == ["LiF", "KF", "F", "NaBr"]  # the best first, without the seed
    by_name = {row.formula: row for row in rows}
    # Na is shared, and Br lies one place from Cl on the modified Pettifor scale: half of the atoms move by one.
    assert (by_name["NaBr"].nearest, by_name["NaBr"].emd, by_name["NaBr"].nearest_gap_ev) == ("NaCl", 0.5, 5.0)
    # K lies two places from Li, and one from Na as F does from Cl: a tie, which goes to the first.
    assert (by_name["KF"].nearest, by_name["KF"].emd) == ("NaCl", 1.0)
    assert by_name["LiF"].known
    assert by_name["LiF"].emd == 0
    assert [row.formula for row in audit(state, make_spec(), KNOWN, 2)] == ["LiF", "KF"]


def test_a_hit_is_trusted_where_nothing_speaks_against_it(state, make_spec) -> None:
    counts = summary(audit(state, make_spec(), KNOWN, None, 6.0))
    assert (counts["materials"], counts["hits"], counts["new"]) == (4, 3, 2)
    assert counts["trusted_hits"] == 2  # KF and F: an element counts as balanced, as SMACT has it
    assert counts["mean_gap_ev"] == pytest.approx((9 + 7 + 6.5) / 3)
    assert counts["mean_std_ev"] == pytest.approx(0.1)
    assert counts["nearest_is_hit"] == 1  # LiF beside itself
    assert summary([])["mean_gap_ev"] is None


def test_what_is_a_hit_follows_from_the_goal(state, make_spec) -> None:
    def hits(*assignments: str, threshold: float | None = None) -> list[str]:
        rows = audit(state, make_spec(*assignments), KNOWN, None, threshold)
        return sorted(row.formula for row in rows if row.hit)

    assert hits() == ["F", "KF", "LiF", "NaBr"]
    assert hits(threshold=6.8) == ["KF", "LiF"]
    assert hits("target={minimize: true}", threshold=6.8) == ["F", "NaBr"]
    assert hits("target={window: [6.0, 7.5]}") == ["F", "KF"]
    assert hits("target={window: [6.0, 7.5]}", threshold=2.0) == ["F", "KF", "LiF", "NaBr"]


def test_an_element_without_a_place_on_the_scale_has_no_neighbour(make_state, make_spec) -> None:
    state = make_state([[], [measured(1, "RfO2", 3.0, 1, Source.USER), measured(2, "NaBr", 4.1, 1)]])
    by_name = {row.formula: row for row in audit(state, make_spec(), KNOWN, None)}
    assert (by_name["RfO2"].nearest, by_name["RfO2"].emd, by_name["RfO2"].nearest_hit) == (None, None, None)
    assert by_name["NaBr"].nearest == "NaCl"


def test_nothing_measured_or_nothing_known_is_refused(make_state, make_spec, state) -> None:
    with pytest.raises(InputError, match="no formula of elements up to lawrencium"):
        audit(state, make_spec(), [LabelledRow("OgF2", 3.0)], None)
    assert as_records(audit(state, make_spec(), KNOWN, 1))[0]["rank"] == 1


def test_a_campaign_without_answers_has_nothing_to_audit(make_state, make_spec) -> None:
    with pytest.raises(InputError, match="measured nothing"):
        audit(make_state([[measured(0, "MgO", 4.4, 0, Source.SEED)]]), make_spec(), KNOWN, None)


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory, known = tmp_path / "run", tmp_path / "known.csv"
    known.write_text("formula,gap\nNaCl,5.0\nLiF,8.9\nnonsense!,1\n")
    tiny = str(Path(__file__).parent / "tiny.yaml")
    assert run(["run", tiny, "--out", str(directory), "--iterations", "1", "--quiet"]) == 0
    capsys.readouterr()
    command = ["audit", str(directory), "--known", str(known), "--threshold", "3"]
    assert run([*command, "--json", "--output", str(tmp_path / "rows.csv")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["summary"]["materials"] == len(told["materials"]) == 4
    assert {row["nearest"] for row in told["materials"]} <= {"NaCl", "LiF"}
    assert (tmp_path / "rows.csv").read_text().splitlines()[0].startswith("rank,formula,gap_ev,std_ev,in_domain")
    assert run([*command, "--top", "2"]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 3
    assert "left out" in shown.err
    assert run(["audit", str(directory), "--known", str(tmp_path / "absent.csv")]) == 2
