"""The oracle that computes: its options, the crystals it takes, and campaigns that live through its failures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from dft_toys import TINY, ToyCode, hurry, needs_gpaw, record, rocksalt

from aldesign.campaign.campaign import Campaign
from aldesign.campaign.checking import check_campaign
from aldesign.campaign.parts import Parts
from aldesign.campaign.reading import read_state
from aldesign.campaign.spec import read_spec
from aldesign.dft.store import ResultStore
from aldesign.errors import AldesignError, InputError
from aldesign.records import Candidate, Crystal, Trial, TrialState
from aldesign.registry import load_oracle
from oracles.dft import DFTOracle

SETTINGS = {"cutoff_ev": 200.0, "kpoint_density": 0.5, "band_density": 0.5}
SALTS = {"LiF": 4.03, "NaF": 4.62, "KF": 5.34, "LiCl": 5.14, "NaCl": 5.64, "KCl": 6.29}
CAMPAIGN = """
name: computed
seed: 5
target: {maximize: true}
space: {pool: pool.jsonl}
data: {source: table, path: seeds.csv}
acquisition: {kind: random}
screens: [duplicate]
oracle: {kind: dft, options: OPTIONS}
structures: {relax: none}
shortlist: {size: 1, formation_energy_per_atom: null}
batch_size: 3
stop: {iterations: 4}
execution: {kind: serial}
"""


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ToyCode:
    return ToyCode(tmp_path, monkeypatch)


def salt(formula: str, name: str = "") -> Crystal:
    first, second = (formula[:2], formula[2:]) if formula[1].islower() else (formula[:1], formula[1:])
    return rocksalt(first, second, SALTS[formula], name or f"own-{formula}")


def campaign(folder: Path, crystals: list[Crystal], **options: object) -> Path:
    (folder / "pool.jsonl").write_text("".join(json.dumps(record(crystal)) + "\n" for crystal in crystals))
    (folder / "seeds.csv").write_text("formula,band_gap\nCsI,3.6\nRbI,3.8\nMgO,4.4\n")
    (folder / "c.yaml").write_text(CAMPAIGN.replace("OPTIONS", json.dumps({"store": "kept/s.sqlite", **options})))
    return folder / "c.yaml"


def finished(folder: Path, crystals: list[Crystal], **options: object) -> dict[str, Trial]:
    """Run a campaign to its end and return its trials by formula."""
    with Campaign.create(read_spec(campaign(folder, crystals, **options)), folder / "run") as begun:
        begun.run()
    return trials(folder)


def trials(folder: Path) -> dict[str, Trial]:
    state, _ = read_state(folder / "run")
    assert state.stopped
    return {t.candidate.formula: t for t in state.trials.values() if t.iteration > 0}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"cutoff": 500}, "no option 'cutoff'"),
        ({"code": "castep"}, "castep"),
        ({"level": "HSE"}, "HSE"),
        ({"preset": "quick"}, "quick"),
        ({"spin": "up"}, "up"),
        ({"settings": {"ecut": 5}}, "ecut"),
        ({"settings": [1]}, "a mapping"),
        ({"relax": "vasp"}, "relax"),
        ({"property": "hardness"}, "hardness"),
        ({"property": "formation_energy_per_atom", "level": "GLLB-SC"}, "formation energies"),
        ({"code": "vasp", "level": "GLLB-SC"}, "GLLB-SC"),
        ({"time_limit_s": 0}, "time_limit_s"),
        ({"memory_gib": -1}, "memory_gib"),
        ({"steps": 1.5}, "steps"),
        ({"templates": "no/such/file"}, "no/such/file"),
        ({"store": 5}, "store"),
        ({"store": "/"}, "folder"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_options_are_checked(options: dict[str, object], words: str) -> None:
    with pytest.raises(InputError) as caught:
        DFTOracle(**options)
    assert words in str(caught.value)


def test_no_weights_and_no_damaged_store(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no weights"):
        load_oracle("dft", tmp_path)
    (tmp_path / "s.sqlite").write_text("no store" * 100)
    with pytest.raises(InputError, match="damaged"):
        load_oracle("dft", store=str(tmp_path / "s.sqlite"))


def test_the_digest_names_what_decides_an_answer(tmp_path: Path) -> None:
    def digest(**options: object) -> str:
        return DFTOracle(store=str(tmp_path / "s.sqlite"), **options).card.identity.digest

    usual = digest()
    assert digest(time_limit_s=5.0, memory_gib=1.0) == usual
    others = [{"preset": "tight"}, {"level": "GLLB-SC"}, {"relax": "none"}, {"settings": SETTINGS}, {"max_sites": 9}]
    assert len({usual, *(digest(**other) for other in others)}) == 6
    (tmp_path / "own.jsonl").write_text(json.dumps(record(salt("LiF"))))
    mine = digest(templates=str(tmp_path / "own.jsonl"))
    (tmp_path / "own.jsonl").write_text(json.dumps(record(salt("NaF"))))
    assert digest(templates=str(tmp_path / "own.jsonl")) != mine
    assert not (tmp_path / "s.sqlite").exists()


def test_the_store_is_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert DFTOracle().store == tmp_path / "aldesign" / "dft.sqlite"


def test_a_crystal_is_computed_as_it_is_given(toy: ToyCode, tmp_path: Path) -> None:
    oracle = DFTOracle(store=str(tmp_path / "s.sqlite"))
    (answer,) = oracle.predict([Candidate("NaCl", crystal=salt("NaCl"))])
    # the toy's gap is 0.1 eV a site and 0.01 eV per Å of the edge of the cell
    assert answer.value == pytest.approx(0.2 + 0.01 * SALTS["NaCl"] / 2**0.5)
    assert answer.std is None
    assert answer.in_domain is None
    assert "template_id" not in answer.facts
    assert answer.facts["direct"] is True
    (other,) = oracle.predict([Candidate("KCl", crystal=salt("NaCl"))])
    assert "is NaCl" in other.error
    assert other.facts["failure"] == "structure"


def test_a_formula_is_given_a_crystal_by_a_template(toy: ToyCode, tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text(json.dumps(record(salt("NaF", "halite"))))
    options = {"store": str(tmp_path / "s.sqlite"), "templates": str(own), "relax": "none"}
    answers = load_oracle("dft", **options).predict([Candidate("LiF"), Candidate("Li3N"), Candidate("NaF")])
    assert answers[0].facts["template_id"] == "halite"
    assert answers[0].facts["crystal_made"] == "from halite (NaF), as substituted"
    assert answers[0].facts["crystal"]["species"] in (["Li", "F"], ["F", "Li"])
    assert "was given no crystal" in answers[1].error
    edge = SALTS["NaF"] / 2**0.5
    assert answers[2].value == pytest.approx(0.2 + 0.01 * edge)  # its own crystal, as it stands
    json.dumps(dict(answers[0].facts), allow_nan=False)


def test_the_built_in_crystals_lend_their_structures(toy: ToyCode, tmp_path: Path) -> None:
    options = {"store": str(tmp_path / "s.sqlite"), "templates": "builtin", "relax": "none"}
    (answer,) = load_oracle("dft", **options).predict([Candidate("NaCl")])
    assert answer.facts["template_id"] == "NaCl/rocksalt"
    assert answer.value is not None


def test_large_cells_are_refused(toy: ToyCode, tmp_path: Path) -> None:
    (answer,) = DFTOracle(store=str(tmp_path / "s.sqlite"), max_sites=1).predict(
        [Candidate("LiF", crystal=salt("LiF"))]
    )
    assert "2 sites in the primitive cell, 1 allowed" in answer.error
    assert toy.paid() == []


def test_a_missing_code_is_told_before_and_for_each_candidate(toy: ToyCode, tmp_path: Path) -> None:
    toy.go("GPAW is not installed; do this")
    facts = check_campaign(read_spec(campaign(tmp_path, [salt("LiF")])))
    assert facts["warnings"] == "every calculation here will fail: GPAW is not installed; do this"
    found = finished(tmp_path, [salt(formula) for formula in ("LiF", "NaF")])
    assert {t.state for t in found.values()} == {TrialState.FAILED}
    for trial in found.values():
        assert trial.prediction is not None
        assert trial.prediction.error == "GPAW is not installed; do this"
        assert trial.prediction.facts["failure"] == "unavailable"
    assert toy.paid() == []


@pytest.mark.slow
def test_a_campaign_goes_on_past_every_failure(toy: ToyCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    hurry(monkeypatch, tmp_path / "scratch", "toy.txt")
    ways = {"LiF": "slow-1", "NaF": "greedy-1", "KF": "stuck-1", "LiCl": "full-1", "NaCl": "crash-1", "KCl": ""}
    crystals = [salt(formula, name) for formula, name in ways.items()]
    found = finished(tmp_path, crystals, time_limit_s=100.0, memory_gib=0.4)
    assert found["KCl"].state is TrialState.MEASURED
    kinds = {}
    for formula, trial in found.items():
        if formula != "KCl":
            assert trial.state is TrialState.FAILED
            assert trial.prediction is not None
            kinds[formula] = trial.prediction.facts["failure"]
    assert kinds == {"LiF": "time", "NaF": "memory", "KF": "convergence", "LiCl": "disk", "NaCl": "crash"}
    store = ResultStore(tmp_path / "kept" / "s.sqlite")
    assert len(store) == 1
    assert not (tmp_path / "run" / "models" / "oracle").exists()  # the store is shared, not copied


def test_other_settings_are_refused_on_resuming(toy: ToyCode, tmp_path: Path) -> None:
    finished(tmp_path, [salt("LiF")], max_sites=8)
    journal = read_state(tmp_path / "run")[0].created
    assert journal["digests"]["oracle"] == journal["oracle"]["digest"]
    others = Parts(read_spec(tmp_path / "c.yaml", ["oracle.options={store: kept/s.sqlite, max_sites: 9}"]))
    with pytest.raises(AldesignError, match="oracle has digest"):
        others.refuse_other_weights(dict(journal["digests"]))


@pytest.mark.slow
@pytest.mark.timeout(900)  # on a machine that computes something else
def test_a_killed_campaign_pays_nothing_twice(toy: ToyCode, tmp_path: Path) -> None:
    toy.take(0.7)
    path = campaign(tmp_path, [salt(formula) for formula in SALTS])

    def command(*words: str) -> list[str]:
        return [sys.executable, "-m", "aldesign", *words, "--quiet"]

    process = subprocess.Popen(command("run", str(path), "--out", str(tmp_path / "run")), stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 400
    while len(toy.paid()) < 3 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = toy.paid()
    assert 3 <= len(before) < len(SALTS)
    subprocess.run(command("resume", str(tmp_path / "run")), check=True, stdout=subprocess.DEVNULL)
    found = trials(tmp_path)
    assert {t.state for t in found.values()} == {TrialState.MEASURED}
    paid = Counter(toy.paid())
    assert set(paid) == {f"own-{formula}" for formula in SALTS}
    assert paid.total() <= len(SALTS) + 1  # the one in hand at the kill


@pytest.mark.dft
@needs_gpaw
def test_a_campaign_computed_by_gpaw(tmp_path: Path) -> None:
    crystals = [rocksalt("Li", "H", 4.0), rocksalt("Mg", "O", 4.2)]
    found = finished(tmp_path, crystals, settings=SETTINGS, preset="fast")
    values = {}
    for formula, trial in found.items():
        assert trial.prediction is not None
        assert trial.prediction.error == ""
        assert trial.prediction.oracle.digest.endswith(trial.prediction.facts["software"]["gpaw"])
        values[formula] = trial.prediction.value
    store = ResultStore(tmp_path / "kept" / "s.sqlite")
    assert {r.formula: r.gap_ev for r in store.results(TINY)} == {f: pytest.approx(v) for f, v in values.items()}
    oracle = load_oracle("dft", store=str(store.path), settings=SETTINGS, preset="fast", time_limit_s=0.01)
    (again,) = oracle.predict([Candidate("LiH", crystal=crystals[0])])  # too little time for a second calculation
    assert again.value == pytest.approx(values["LiH"])
    assert again.facts["from_store"] is True
