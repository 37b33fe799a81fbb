"""Candidates of a finished run beside what another oracle finds: every claim has its row, every failure its reason."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from campaign_examples import measured, pending, rock_salt
from scipy.stats import spearmanr

from aldesign.campaign import measuring
from aldesign.campaign.campaign import Campaign
from aldesign.campaign.codec import trial_to_json
from aldesign.campaign.earlier import read_earlier
from aldesign.campaign.export import export
from aldesign.campaign.journal import Journal
from aldesign.campaign.reading import read_state
from aldesign.campaign.spec import read_spec
from aldesign.campaign.state import CampaignState
from aldesign.campaign.summary import summarise
from aldesign.campaign.validation import validation
from aldesign.dft.results import crystal_to_json
from aldesign.errors import CalculationError, InputError
from aldesign.records import Candidate, OracleCard, OracleIdentity, Prediction, TrialState
from aldesign.structures.cif import read_cif

SALTS = {
    "NaF": ("Na", "F", 4.6, 6.0),
    "KF": ("K", "F", 5.3, 5.5),
    "LiCl": ("Li", "Cl", 5.1, 6.2),
    "KCl": ("K", "Cl", 6.3, 5.0),
}
GAPS = {"NaF": 6.1, "KF": 5.9, "LiCl": 6.3}  # of KCl there is none
RUN = "name: earlier\ntarget: {maximize: true}\nstop: {iterations: 1}\nshortlist: {size: 4}\n"
CHECK = """
name: checked
target: {maximize: true}
data: {source: run, path: earlier, limit: 4}
oracle: {kind: lookup, options: {path: gaps.csv}}
structures: {relax: none}
stop: {iterations: 0}
"""


class Computing:
    """Stands in for an oracle that computes: it sees a crystal, and says more than a number."""

    card = OracleCard(OracleIdentity("computing", "7"))

    def predict(self, candidates: list[Candidate]) -> list[Prediction]:
        (candidate,) = candidates
        assert candidate.crystal is not None
        assert candidate.crystal.lattice[0] == SALTS[candidate.formula][2]
        if candidate.formula not in GAPS:
            raise CalculationError("convergence", "80 iterations did not suffice")
        facts = {"direct": True, "direct_gap_ev": GAPS[candidate.formula], "formation_energy_ev_per_atom": -2.5}
        return [Prediction(GAPS[candidate.formula], None, "eV", self.card.identity, "PBE", facts=facts)]


class _Everyone(dict):
    def get(self, key: object, default: object = None) -> Computing:
        return Computing()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder that holds a finished run of four rock salts, best gap first: LiCl, NaF, KF, KCl."""
    (tmp_path / "earlier.yaml").write_text(RUN)
    (tmp_path / "checked.yaml").write_text(CHECK)
    (tmp_path / "gaps.csv").write_text("formula,band_gap\n" + "".join(f"{f},{g}\n" for f, g in GAPS.items()))
    spec = read_spec(tmp_path / "earlier.yaml")
    trials = [measured(i, formula, salt[3], 1) for i, (formula, salt) in enumerate(SALTS.items())]
    (tmp_path / "earlier").mkdir()
    with Journal(tmp_path / "earlier", write=True, create=True) as journal:
        created = {"spec": spec.model_dump(mode="json"), "spec_digest": spec.digest(), "version": "0"}
        journal.append("created", {**created, "oracle": {}, "seed": {}, "digests": {}, "bad_rows": []})
        rows = [trial_to_json(trial) for trial in trials]
        journal.append("proposed", {"iteration": 1, "trials": rows, "stats": {}, "seconds": {}})
        for number, (formula, (cation, anion, side, _)) in enumerate(SALTS.items()):
            facts = rock_salt(formula, cation, anion, side)
            journal.append("structured", {"trial": number, "accepted": True, "reason": "", "facts": facts})
        journal.append("closed", {"iteration": 1, "seconds": {}})
        journal.append("stopped", {"reason": "1 iterations done"})
    return tmp_path


@pytest.fixture
def checked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(measuring, "_loaded", _Everyone())
    with Campaign.create(read_spec(folder / "checked.yaml"), folder / "run") as campaign:
        reason = campaign.run()
        assert "nothing is proposed" in reason
        export(campaign.state, campaign.spec, folder / "run" / "export")
    return folder / "run"


def test_every_candidate_has_its_row_with_both_gaps(checked: Path) -> None:
    with (checked / "export" / "validation.csv").open() as handle:
        rows = {row["formula"]: row for row in csv.DictReader(handle)}
    assert list(rows) == ["LiCl", "NaF", "KF", "KCl"]
    row = rows["NaF"]
    assert (row["predicted_gap_ev"], row["predicted_std_ev"], row["predicted_by"]) == ("6.0000", "0.1000", "made 1")
    assert (row["computed_gap_ev"], row["computed_by"], row["computed_level"]) == ("6.1000", "computing 7", "PBE")
    assert (row["error_ev"], row["within_2_std"], row["direct"]) == ("-0.1000", "True", "True")
    energies = [row[f"formation_energy{kind}_ev_per_atom"] for kind in ("", "_graph", "_computed")]
    assert energies == ["-1.9000", "-1.8000", "-2.5000"]
    assert (rows["KF"]["within_2_std"], rows["KF"]["crystal"]) == ("False", "the run's, relaxed")
    gone = rows["KCl"]
    assert (gone["state"], gone["computed_gap_ev"], gone["error_ev"]) == ("failed", "", "")
    assert "80 iterations did not suffice" in gone["reason"]


def test_the_crystals_are_those_of_the_run(checked: Path) -> None:
    for path in sorted((checked / "export").glob("*.cif")):
        ((_, crystal),) = read_cif(path)
        formula = path.stem.partition("_")[2]
        assert crystal.lattice[0] == pytest.approx(SALTS[formula][2])
        assert "# computed_level: PBE" in path.read_text() or formula == "KCl"
    assert len(list((checked / "export").glob("*.cif"))) == 4


def test_figures_of_merit_by_hand(checked: Path) -> None:
    state, spec = read_state(checked)
    found = validation(state)
    assert found is not None
    errors = np.array([6.2 - 6.3, 6.0 - 6.1, 5.5 - 5.9])
    figures = found.figures()
    assert (figures["checked"], figures["computed"], figures["failed"]) == (4, 3, 1)
    assert figures["mae_ev"] == pytest.approx(float(np.abs(errors).mean()), abs=1e-4)
    assert figures["bias_ev"] == pytest.approx(float(errors.mean()), abs=1e-4)
    assert figures["spearman"] == pytest.approx(spearmanr([6.2, 6.0, 5.5], [6.3, 6.1, 5.9]).statistic)
    assert (figures["within_2_std"], figures["with_std"]) == (2, 3)
    summary = json.loads(json.dumps(summarise(state, spec)))
    assert summary["validation"]["rows"][0]["formula"] == "LiCl"
    assert summary["trials"] == {"measured": 3, "failed": 1}


def test_inspect_and_the_report_tell_it(checked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from aldesign.cli.app import run as command
    from aldesign.report.html import write_report

    assert command(["inspect", str(checked)]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "3 of 4 candidates computed, 1 failed." in told
    assert "MAE 0.20 eV, bias -0.20 eV, Spearman 1.00" in told
    assert "within two standard deviations of the predicted one for 2 of 3" in told
    page = write_report(checked).read_text()
    assert "Predicted and computed" in page
    assert 'href="export/001_LiCl.cif"' in page
    assert "80 iterations did not suffice" in page
    assert "Ranked candidates" not in page


def test_an_export_folder_gives_the_same_claims_and_crystals(folder: Path) -> None:
    state, spec = read_state(folder / "earlier")
    export(state, spec, folder / "exported")
    from_run, from_export = read_earlier(folder / "earlier", 3), read_earlier(folder / "exported", 3)
    assert [c.formula for c in from_export.claims] == ["LiCl", "NaF", "KF"]
    for one, other in zip(from_run.claims, from_export.claims, strict=True):
        assert (one.gap_ev, one.std_ev, one.level) == (other.gap_ev, other.std_ev, other.level)
        assert one.formation_energy_graph_ev_per_atom == other.formation_energy_graph_ev_per_atom
    for mine, written in zip(from_run.crystals, from_export.crystals, strict=True):
        assert mine is not None
        assert written is not None
        assert sorted(mine.species) == sorted(written.species)
        assert math.isclose(mine.lattice[0], written.lattice[0], abs_tol=1e-5)
    (folder / "exported" / "002_NaF.cif").unlink()
    short = read_earlier(folder / "exported")
    assert [c.formula for c in short.claims] == ["LiCl", "KF", "KCl"]
    assert "002_NaF.cif is not in the folder" in short.bad[0].reason
    assert [c.rank for c in short.claims] == [1, 3, 4]  # places in the run's table, whoever is left out


def test_a_run_without_crystals_gives_its_best_formulas(folder: Path, make_state) -> None:
    run = folder / "bare"
    run.mkdir()
    spec = read_spec(folder / "earlier.yaml")
    with Journal(run, write=True, create=True) as journal:
        created = {"spec": spec.model_dump(mode="json"), "spec_digest": spec.digest(), "version": "0"}
        journal.append("created", {**created, "oracle": {}, "seed": {}, "digests": {}})
        trials = [measured(0, "KBr", 4.4, 1), measured(1, "LiF", 8.9, 1), pending(2, "NaI", 1)]
        rows = [trial_to_json(trial) for trial in trials]
        journal.append("proposed", {"iteration": 1, "trials": rows, "stats": {}, "seconds": {}})
    found = read_earlier(run)
    assert [claim.formula for claim in found.claims] == ["LiF", "KBr"]
    assert found.crystals == (None, None)
    assert any("no crystal of their own" in note for note in found.notes)
    assert any("had not ended" in note for note in found.notes)


def test_what_is_no_run_is_refused_with_what_to_do(folder: Path) -> None:
    for path, why in ((folder / "absent", "is not there"), (folder, "holds neither")):
        with pytest.raises(InputError, match=why) as error:
            read_earlier(path)
        assert "data.path" in str(error.value)
    (folder / "candidates.csv").write_text("formula,gap_ev\nXx,1\n")
    with pytest.raises(InputError, match="no candidate to check"):
        read_earlier(folder)
    (folder / "candidates.csv").write_text("")
    with pytest.raises(InputError, match="has no column formula and gap_ev"):
        read_earlier(folder)
    (folder / "candidates.csv").write_text("rank,formula,gap_ev\n1,LiF,nan\n2\n3,KCl,5.1\n4,KF,six\n5,NaF,inf\n")
    found = read_earlier(folder)
    assert [(claim.rank, claim.formula) for claim in found.claims] == [(3, "KCl")]
    assert [row.line for row in found.bad] == [2, 3, 5, 6]
    assert "gap_ev is 'nan', not a number" in found.bad[0].reason


def test_a_check_resumes_to_the_same_table(folder: Path, checked: Path) -> None:
    spec = read_spec(folder / "checked.yaml")
    with Campaign.create(spec, folder / "again") as campaign:
        trial, answer = next(iter(campaign.answers(campaign.state.pending)))
        campaign.record_answer(trial, answer)  # and then it is killed
    with Campaign.open(folder / "again") as campaign:
        campaign.run()
        export(campaign.state, campaign.spec, folder / "again" / "export")

    def table(run: Path) -> list[dict[str, str]]:
        with (run / "export" / "validation.csv").open() as handle:
            return [{**row, "seconds": ""} for row in csv.DictReader(handle)]

    assert table(folder / "again") == table(checked)


def test_the_crystal_that_an_oracle_made_is_the_one_exported(folder: Path) -> None:
    from aldesign.campaign.finishing import held_crystal, job, prepare
    from aldesign.campaign.parts import Parts

    (crystal, *_) = read_earlier(folder / "earlier").crystals
    facts = {
        "crystal": crystal_to_json(crystal),
        "template_id": "AB_cF8_225_a_b",
        "template_formula": "NaCl",
        "template_emd": 1.5,
        "crystal_made": "from NaCl, relaxed by CHGNet in 9 steps",
    }
    plain = measured(0, "LiCl", 6.3, 1)
    answer = Prediction(6.3, None, "eV", OracleIdentity("computing", "7"), "PBE", facts=facts)
    trial = type(plain)(**{**plain.__dict__, "prediction": answer})
    assert held_crystal(plain) is None
    parts = Parts(read_spec(folder / "earlier.yaml"))
    (made,) = prepare(parts, trial)
    assert made.crystal is not None
    assert made.crystal.lattice == crystal.lattice
    assert (made.template_formula, made.emd, made.space_group) == ("NaCl", 1.5, "Fm-3m")
    assert "relaxed by CHGNet" in made.warnings[0]
    left = job(parts, trial, [made])
    assert left is not None
    assert not left.relax


def test_a_campaign_that_began_with_nothing_of_the_kind_has_no_checks() -> None:
    assert validation(CampaignState({"seed": {"origin": "a table"}})) is None


def test_rows_wait_until_they_are_answered(folder: Path) -> None:
    with Campaign.create(read_spec(folder / "checked.yaml"), folder / "begun") as campaign:
        found = validation(campaign.state)
        assert found is not None
        assert {check.trial.state for check in found.checks} == {TrialState.PENDING}
        assert {check.reason for check in found.checks} == {"waits for an answer"}
        assert found.figures()["spearman"] is None
