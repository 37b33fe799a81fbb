"""What is exported: old columns first, a score that can be made again, CIFs that say where they come from."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

import pytest
from campaign_examples import NEW_FACTS, measured, rock_salt, state_of

from aldesign.campaign.assessment import assess
from aldesign.campaign.export import export
from aldesign.campaign.ranking import shortlist
from aldesign.campaign.rows import COLUMNS
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState, StructureRecord
from aldesign.campaign.summary import story
from aldesign.records import Source

FIRST = (  # the columns of earlier versions
    "rank,formula,gap_ev,gap_std_ev,oracle,level,in_domain,source,iteration,trial,expected_gap_ev,expected_std_ev,"
    "oxidation_states,template_id,template_formula,emd,space_group,mapping,formation_energy_ev_per_atom,energy_method,"
    "formation_energy_graph_ev_per_atom,formation_energy_graph_std_ev_per_atom,relaxed,cif,reason"
)


@pytest.fixture(scope="module")
def made() -> tuple[CampaignState, CampaignSpec]:
    """Return a state with two full records, one of an earlier version, one set aside, and one not listed."""
    shortlisted = {"size": 3, "consider": 5}
    definition = {"name": "made", "target": {"maximize": True}, "stop": {"iterations": 3}, "shortlist": shortlisted}
    spec = CampaignSpec.model_validate(definition)
    trials = [
        measured(0, "NaCl", 5.0, 0, Source.SEED),
        measured(1, "LiF", 9.0, 1),
        measured(2, "KF", 6.0, 1),
        measured(3, "RbF", 7.0, 1, Source.GAN),
        measured(4, "CsF", 5.5, 1),
        measured(5, "CsCl", 5.2, 2),
        measured(6, "CsBr", 4.0, 2),
        measured(7, "CsI", 1.0, 2),
    ]
    far = {**rock_salt("RbF", "Rb", "F", 5.6), **NEW_FACTS, "emd": 20.0, "e_above_hull_ev_per_atom": 0.09}
    facts: dict[int, Any] = {
        1: {"template_id": None, "emd": None},
        2: {**rock_salt("KF", "K", "F", 5.3), **NEW_FACTS},
        3: far,
        4: rock_salt("CsF", "Cs", "F", 6.0),
        5: rock_salt("CsCl", "Cs", "Cl", 7.0),
    }
    reasons = {1: "no template with amounts 1:1"}
    records = {n: StructureRecord(n, n not in reasons, reasons.get(n, ""), found) for n, found in facts.items()}
    return state_of(spec, trials, records), spec


@pytest.fixture(scope="module")
def exported(made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    export(*made, folder)
    return folder


def table(folder: Path, name: str = "candidates.csv") -> list[dict[str, str]]:
    with (folder / name).open(encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_old_columns_come_first_and_rows_match_their_files(exported: Path) -> None:
    rows = table(exported)
    assert ",".join(rows[0]).startswith(FIRST + ",")
    assert tuple(rows[0]) == COLUMNS
    assert [row["formula"] for row in rows] == ["RbF", "KF", "CsF"]
    assert [row["cif"] for row in rows] == ["001_RbF.cif", "002_KF.cif", "003_CsF.cif"]
    full, old = rows[1], rows[2]
    assert full["decomposition"] == "KF:0.4000 NaF:0.6000"
    assert (full["e_above_hull_ev_per_atom"], full["energies_disagree"]) == ("0.0200", "True")
    assert full["formation_energy_difference_ev_per_atom"] == "-0.1000"
    assert "CsCl), EMD 2.50, Pm-3m, -1.700 eV/atom, 0.200 eV/atom above" in full["alternatives"]
    assert (full["nearest_known"], full["nearest_known_from"]) == ("NaCl", "seed rows")
    assert (old["e_above_hull_ev_per_atom"], old["energies_disagree"], old["likelihood"]) == ("", "", "")
    assert float(old["cost_usd_per_kg"]) > 10_000  # caesium
    (aside,) = table(exported, "set_aside.csv")
    assert (aside["formula"], aside["score"], aside["reason"]) == ("LiF", "", "no template with amounts 1:1")
    assert float(aside["cost_usd_per_mol_atoms"]) > 0


def test_a_reader_can_make_the_score_again(exported: Path) -> None:
    recipe = json.loads((exported / "provenance.json").read_text())["export"]["score"]["recipe"]
    for row in table(exported):
        value: dict[str, float | None] = {
            "e_above_hull": number(row["e_above_hull_ev_per_atom"]),
            "formation_energy": number(row["formation_energy_ev_per_atom"]),
            "disagreement": abs(float(row["formation_energy_difference_ev_per_atom"])),
            "emd": number(row["emd"]),
            "bond_valence": number(row["bond_valence_deviation_vu"]),
            "uncertainty": number(row["gap_std_ev"]),
            "hazard": float(sum(cell.count("+") + 1 for cell in row["hazards"].split())),
        }
        low, high = recipe["gap"]["limits"]
        wishes = {"gap": (float(row["gap_ev"]) - low) / (high - low)}
        for name, x in value.items():
            term = recipe[name]
            if x is not None:
                wishes[name] = (x - term["worst"]) / (term["best"] - term["worst"])
            elif term["missing"] == "worst":
                wishes[name] = 0.0
        cost = math.log(float(row["cost_usd_per_kg"]) / recipe["cost"]["worst"])
        wishes["cost"] = cost / math.log(recipe["cost"]["best"] / recipe["cost"]["worst"])
        wishes = {name: max(min(wish, 1.0), recipe["least"]) for name, wish in wishes.items()}
        weight = {name: recipe[name]["weight"] for name in wishes}
        total = sum(weight.values())
        made_again = math.prod(wish ** (weight[name] / total) for name, wish in wishes.items())
        assert float(row["score"]) == pytest.approx(made_again, abs=5e-4)
        for name, wish in wishes.items():
            assert float(row[f"score_{name}"]) == pytest.approx(wish, abs=1e-4)
        assert row["score_supply_risk"] == ""  # weight 0
    last = table(exported)[-1]
    assert last["score_missing"] == "e_above_hull: not known, left out; bond_valence: not known, left out"


def number(cell: str) -> float | None:
    return float(cell) if cell else None


def test_two_exports_are_equal_to_the_byte(made, exported: Path, tmp_path: Path) -> None:
    export(*made, tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 6
    assert names == sorted(path.name for path in exported.iterdir())
    for name in names:
        assert (tmp_path / name).read_bytes() == (exported / name).read_bytes()


def test_every_cif_says_where_it_comes_from_and_is_read_by_ase_and_pymatgen(made, exported: Path) -> None:
    from ase.io import read
    from pymatgen.core import Composition, Structure

    _, spec = made
    for row in table(exported):
        text = (exported / row["cif"]).read_text(encoding="ascii")
        header = dict(line[2:].split(": ", 1) for line in text.splitlines() if line.startswith("# ") and ": " in line)
        assert (header["campaign"], header["spec digest"], header["oracle"]) == ("made", spec.digest(), "made 1")
        for name in ("gap_ev", "gap_std_ev", "level", "template_id", "emd", "mapping", "score", "pareto"):
            assert header[name] == row[name]
        assert header.get("decomposition_by_share_of_atoms", "") == row["decomposition"]
        assert header.get("bond_valence_deviation_vu_as_made", "") == row["bond_valence_deviation_vu"]
        assert header.get("e_above_hull_ev_per_atom", "") == row["e_above_hull_ev_per_atom"]
        crystals = [Structure.from_file(exported / row["cif"]), read(exported / row["cif"])]
        formulas = [crystals[0].composition, Composition(crystals[1].get_chemical_formula())]
        assert {f.reduced_formula for f in formulas} == {row["formula"]}


def test_fronts_use_the_hull_only_where_all_have_it(made, make_spec) -> None:
    state, spec = made
    assessment = assess(shortlist(state, spec), state, spec)
    assert assessment.stability == "formation_energy"
    # all have -1.9 eV/atom, so that the gap alone decides
    assert [a.front for a in assessment.accepted] == [1, 2, 3]
    two = make_spec("shortlist={size: 2, consider: 5}")
    hulled = assess(shortlist(state, two), state, two)
    assert hulled.stability == "e_above_hull"
    assert [(a.item.trial.candidate.formula, a.front) for a in hulled.accepted] == [("RbF", 1), ("KF", 1)]
    cheap = make_spec("shortlist={size: 3, consider: 5, pareto: [stability, cost]}")
    assert [a.front for a in assess(shortlist(state, cheap), state, cheap).accepted] == [3, 1, 2]


def test_the_order_of_score_changes_ranks_and_nobodys_acceptance(made, make_spec, tmp_path: Path) -> None:
    state, by_gap = made
    by_score = make_spec("shortlist={size: 3, consider: 5, order: score}")
    first, second = shortlist(state, by_gap), shortlist(state, by_score)
    assert {a.trial.number for a in first.accepted} == {a.trial.number for a in second.accepted}
    assert first.set_aside == second.set_aside
    assert [item.rank for item in second.accepted] == [1, 2, 3]
    export(state, by_score, tmp_path)
    rows = table(tmp_path)
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert rows[0]["formula"] != "RbF"  # the widest gap, in a far template
    assert [row["rank"] for row in rows] == ["1", "2", "3"]
    export(state, by_score, tmp_path / "top", top=1)
    assert [row["formula"] for row in table(tmp_path / "top")] == [rows[0]["formula"]]
    # what a longer table of this campaign left behind goes, whatever its rank; what others put there stays
    (first,) = (tmp_path / "top").glob("001_*.cif")
    (tmp_path / "top" / "1000_KF.cif").write_text(first.read_text())
    (tmp_path / "top" / "1001_mine.cif").write_text("data_mine\n")
    export(state, by_score, tmp_path / "top", top=1)
    assert sorted(path.name for path in (tmp_path / "top").glob("*.cif")) == [first.name, "1001_mine.cif"]


def test_provenance_keeps_the_beginning_and_names_its_sources(made, exported: Path) -> None:
    _, spec = made
    kept = json.loads((exported / "provenance.json").read_text())
    assert kept["spec_digest"] == spec.digest()
    assert kept["export"]["columns"] == list(COLUMNS)
    assert "2013" in kept["export"]["sources"]["cost"]
    assert kept["export"]["score"]["target"] == "the largest gap"
    assert any("gap, weight 3: 0 at 0 eV, 1 at 10 eV" in line for line in kept["export"]["score"]["in_words"])


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        ("RbF", "number 1 of the exported"),
        ("LiF", "number 1 of 7 measured candidates, was measured and set aside: no template"),
        ("CsCl", "has a crystal, but is not exported: 3 with better gaps"),
        ("CsI", "was given no crystal: only the best 5 are (shortlist.consider)"),
        ("NaCl", "was a seed row"),
        ("KBr", "never proposed"),
    ],
)
def test_a_story_says_why_a_formula_is_where_it_is(made, formula: str, said: str) -> None:
    told = story(*made, formula)
    assert said in told["conclusion"]
    json.dumps(told, allow_nan=False)
    assert (told["rank"] is None) == (told["cif"] is None) == (told["score"] is None)
    assert told["supply"]["cost_usd_per_kg"] > 0


def test_a_candidate_waits_where_the_table_is_not_finished(make_spec) -> None:
    spec = make_spec()
    trials = [measured(0, "NaCl", 5.0, 0, Source.SEED), measured(1, "KF", 6.0, 1), measured(2, "KCl", 5.0, 1)]
    record = StructureRecord(2, True, "", rock_salt("KCl", "K", "Cl", 6.3))
    state = state_of(spec, trials, {2: record})
    assert "waits for its crystal" in story(state, spec, "KF")["conclusion"]
    assert "has a crystal; it will be listed" in story(state, spec, "KCl")["conclusion"]
