"""A formula's story in sentences: what is known, nothing else, and the same numbers as in the journal."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from aldesign.campaign.ranking import shortlist
from aldesign.campaign.reading import read_state, spec_of
from aldesign.campaign.summary import story
from aldesign.records import Source, TrialState
from aldesign.report.narrative import Chapter, narrate
from aldesign.report.narrative_crystal import hull_sentences


def chapters(state: Any, spec: Any, formula: str) -> dict[str, Chapter]:
    told = story(state, spec, formula)
    json.dumps(told, allow_nan=False)
    return {chapter.title: chapter for chapter in narrate(told, state, spec)}


@pytest.fixture(scope="module")
def run(build: Any) -> Any:
    return read_state(build())


def accepted(state: Any, *, full: bool) -> list[Any]:
    return [r for r in state.structures.values() if r.accepted and ("alternatives" in r.facts) == full]


@pytest.mark.parametrize("kind", [TrialState.REJECTED, TrialState.FAILED, TrialState.MEASURED])
def test_every_verdict_and_answer_is_told(run: Any, kind: TrialState) -> None:
    state, spec = run
    trial = state.in_state(kind)[-1]
    told = chapters(state, spec, trial.candidate.formula)
    text = " ".join(s for chapter in told.values() for s in chapter.sentences)
    for verdict in trial.verdicts:
        assert f"{verdict.screen} {'passed' if verdict.passed else 'FAILED'}: {verdict.reason}" in text
    assert f"iteration {trial.iteration}" in text
    if trial.prediction is not None and trial.prediction.ok:
        assert "which stands in for DFT, level PBE" in text
        assert trial.expected is not None
        less = abs(trial.prediction.value - trial.expected[0])
        assert f"That is {less:.2f} eV" in text
    elif trial.prediction is not None:
        assert f"No answer: {trial.prediction.error}" in text


def test_the_crystal_its_energies_and_its_fate(run: Any) -> None:
    state, spec = run
    for record in accepted(state, full=True):
        facts = record.facts
        told = chapters(state, spec, state.trials[record.trial].candidate.formula)
        structure = " ".join(told["Structure"].sentences)
        assert f"{facts['template_id']} (SrTiO3), at EMD {facts['emd']:.2f}" in structure
        assert "Sr → Ba" in structure
        assert "as made Pm-3m; as relaxed P4/mmm; 17.25 Å³ per atom" in structure
        for other in facts["alternatives"]:
            assert other["template_id"] in structure
            assert other["reason"] in structure
        energy = " ".join(told["Energy"].sentences)
        assert f"{facts['formation_energy_ev_per_atom']:.3f}".replace("-", "−") in energy
        assert ("they disagree" in energy) == facts["energies_disagree"]
        stability = " ".join(told["Stability"].sentences)
        above = facts["e_above_hull_ev_per_atom"]
        if above is None:
            assert facts["hull_reason"] in stability
        else:
            assert "0.6 BaF2 + 0.4 YF3" in stability
            assert ("below the hull" in stability) == (above < 0)


def test_a_known_phase_of_the_formula_itself_is_no_decay(run: Any) -> None:
    _, spec = run
    facts = {"e_above_hull_ev_per_atom": 0.117, "decomposition": [["GaAs", 1.0]]}
    text = " ".join(hull_sentences(facts, spec))
    assert "0.117 eV/atom above the hull" in text
    assert "The known phase GaAs is so much lower" in text
    assert "fall apart" not in text


def test_the_factors_in_the_sentences_multiply_to_the_score(run: Any) -> None:
    state, spec = run
    record = accepted(state, full=True)[0]
    first, *terms = chapters(state, spec, state.trials[record.trial].candidate.formula)["Score"].sentences
    value = re.match(r"(0\.\d+), the product", first)
    assert value is not None
    parts = [re.search(r"desirability ([\d.]+) \^ ([\d.]+) = ([\d.]+)$", line) for line in terms]
    found = [tuple(map(float, part.groups())) for part in parts if part is not None]
    assert len(found) > 5
    assert math.prod(d**share for d, share, _ in found) == pytest.approx(float(value[1]), abs=2e-3)
    assert all(d**share == pytest.approx(factor, abs=2e-3) for d, share, factor in found)


def test_a_run_of_an_earlier_version_tells_what_it_recorded(run: Any) -> None:
    state, spec = run
    for record in accepted(state, full=False):
        told = chapters(state, spec, state.trials[record.trial].candidate.formula)
        text = " ".join(s for chapter in told.values() for s in chapter.sentences)
        assert "names no source of known phases" in text
        assert "None" not in text
        assert "crystal graph" not in " ".join(told["Energy"].sentences)
        assert "not known, left out" in " ".join(told["Score"].sentences)


def test_seeds_strangers_and_places(run: Any) -> None:
    state, spec = run
    seed = next(t for t in state.measured if t.candidate.source is Source.SEED)
    told = chapters(state, spec, seed.candidate.formula)
    assert "From the seed" in " ".join(next(iter(told.values())).sentences)
    assert "It is known itself, by seed rows." in told["Novelty"].sentences
    assert chapters(state, spec, "U3Np2") == {}
    places = [
        chapters(state, spec, state.trials[r.trial].candidate.formula)["Place"] for r in accepted(state, full=True)
    ]
    assert any("first Pareto front in gap and formation energy (CHGNet)" in " ".join(p.sentences) for p in places)
    assert all(p.sentences[-1].endswith(".cif.") for p in places)


def test_a_definition_of_an_earlier_version_gets_the_recipe_and_keeps_its_table(build: Any) -> None:
    directory = build()
    state, spec = read_state(directory)
    recorded = json.loads(json.dumps(state.created["spec"]))
    for key in ("order", "pareto", "score", "e_above_hull"):
        del recorded["shortlist"][key]
    earlier = spec_of(replace(state, created={**state.created, "spec": recorded}), directory)
    assert earlier.shortlist.score == spec.shortlist.score
    assert earlier.shortlist.order == "gap"
    assert shortlist(state, earlier) == shortlist(state, spec)


def test_a_story_is_told_without_loading_a_model(build: Any) -> None:
    directory = build()
    state, _ = read_state(directory)
    formula = state.trials[accepted(state, full=True)[0].trial].candidate.formula
    code = (
        "import sys; from pathlib import Path; from aldesign.campaign.reading import read_state; "
        "from aldesign.campaign.summary import story; from aldesign.report.narrative import narrate; "
        "import aldesign.campaign.export, aldesign.report.html; "
        f"state, spec = read_state(Path({str(directory)!r})); "
        f"assert narrate(story(state, spec, {formula!r}), state, spec); print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "botorch", "pandas", "matplotlib", "chgnet"} & set(loaded)
