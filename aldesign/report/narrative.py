"""One formula's story in plain sentences: proposal, screens, answer, structures, energies, supply, score, place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aldesign.campaign.recipe import NAMES
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState
from aldesign.records import Source, Trial, Verdict
from aldesign.report.facts import (
    SOURCE_NAMES,
    amount_text,
    gap_text,
    number_text,
    oracle_text,
    oxidation_text,
    significant_text,
)
from aldesign.report.narrative_crystal import energy_sentences, hull_sentences, structure_sentences
from aldesign.report.narrative_outside import outside_sentences

DOMAIN = {True: "within the oracle's training domain", False: "outside the oracle's domain", None: "domain unknown"}

SCORE = "Score"


@dataclass(frozen=True)
class Chapter:
    """A heading and the sentences below it."""

    title: str
    sentences: tuple[str, ...]


def narrate(told: Mapping[str, Any], state: CampaignState, spec: CampaignSpec) -> list[Chapter]:
    """Return the chapters of a formula's story but its conclusion; those without anything to say are left out.

    Args:
        told: What `aldesign.campaign.summary.story` returned.
        state: The campaign it was told of.
        spec: Its definition.

    """
    trials = state.of_formula(told["formula"])
    chapters = [
        chapter
        for trial in trials
        for chapter in (*trial_chapters(trial), Chapter("From outside", tuple(outside_sentences(state, trial))))
    ]
    for record in (state.structures[t.number] for t in trials if t.number in state.structures):
        chapters.append(Chapter("Structure", tuple(structure_sentences(record))))
        chapters.append(Chapter("Energy", tuple(energy_sentences(record.facts))))
        chapters.append(Chapter("Stability", tuple(hull_sentences(record.facts, spec))))
    if trials:
        chapters.append(Chapter("Novelty", tuple(_novelty_sentences(told))))
        chapters.append(Chapter("Supply", tuple(supply_sentences(told["supply"]))))
    if told["score"] is not None:
        chapters.append(Chapter(SCORE, tuple(score_sentences(told["score"]))))
    if told["rank"] is not None:
        chapters.append(Chapter("Place", tuple(_place_sentences(told, spec))))
    return [chapter for chapter in chapters if chapter.sentences]


def trial_chapters(trial: Trial) -> list[Chapter]:
    """Return proposal, screens and answer of one trial."""
    name = f"{trial.candidate.formula}, trial {trial.number}, {trial.state.value}"
    return [
        Chapter(name, tuple(_proposal_sentences(trial))),
        Chapter("Screens", tuple(verdict_text(verdict) for verdict in trial.verdicts)),
        Chapter("Answer", tuple(_answer_sentences(trial))),
    ]


def _proposal_sentences(trial: Trial) -> Iterable[str]:
    source = trial.candidate.source
    if source is Source.SEED:
        yield "From the seed: a row that the campaign began with."
    elif source is Source.USER:
        yield f"Told from outside (user), in iteration {trial.iteration}."
    else:
        yield f"Proposed by the {SOURCE_NAMES[source]} in iteration {trial.iteration}."
    if trial.expected is not None:
        yield f"The surrogate expected a gap of {gap_text(*trial.expected)} eV before measuring."
    if trial.score is not None:
        yield f"The acquisition valued an answer at {trial.score:.3g}."


def verdict_text(verdict: Verdict) -> str:
    """Return a screen's verdict with its evidence, in a sentence."""
    evidence = ", ".join(
        f"{key.replace('_', ' ')} {_plain(value)}"
        for key, value in verdict.evidence.items()
        if value not in (None, "", (), [], {}) and key != "oxidation_states"
    )
    states = verdict.evidence.get("oxidation_states")
    if isinstance(states, Mapping):
        evidence = "; ".join(part for part in (oxidation_of(states), evidence) if part)
    tail = f" ({evidence})" if evidence else ""
    return f"{verdict.screen} {'passed' if verdict.passed else 'FAILED'}: {verdict.reason}{tail}"


def oxidation_of(states: Mapping[str, Any]) -> str:
    """Return oxidation states in words."""
    try:
        return ", ".join(f"{s} {'−' if float(x) < 0 else '+'}{abs(float(x)):g}" for s, x in states.items())
    except (TypeError, ValueError):  # several states of one element
        return ", ".join(f"{symbol} {_plain(state)}" for symbol, state in states.items())


def _answer_sentences(trial: Trial) -> Iterable[str]:
    answer = trial.prediction
    if answer is None:
        return
    if answer.value is None:
        yield f"No answer: {answer.error} ({answer.oracle.name}, attempt {trial.attempts})."
        return
    std = "" if answer.std is not None else "; no uncertainty is stated"
    yield (
        f"The gap is {gap_text(answer.value, answer.std)} eV{std}: {oracle_text(answer)}, level {answer.level}, "
        f"{DOMAIN[answer.in_domain]}."
    )
    yield from _computed_sentences(answer.facts)
    if trial.expected is not None:
        mean, doubt = trial.expected
        less = answer.value - mean
        way = "more" if less >= 0 else "less"
        apart = f", {abs(less) / doubt:.1f} of its standard deviations" if doubt > 0 else ""
        yield f"That is {abs(less):.2f} eV {way} than the surrogate expected{apart}."
    if states := oxidation_text(trial):
        yield f"Oxidation states: {states}."


def _computed_sentences(facts: Mapping[str, Any]) -> Iterable[str]:
    """Return what an oracle that computes found besides the gap."""
    if facts.get("direct") is not None:
        direct = facts.get("direct_gap_ev")
        wider = "" if facts["direct"] or direct is None else f"; the least direct one is {gap_text(direct)} eV"
        yield f"The gap is {'direct' if facts['direct'] else 'not direct'}{wider}."
    energy = facts.get("formation_energy_ev_per_atom")
    if energy is not None:
        yield f"Computed alike, its formation energy is {number_text(energy, 3)} eV/atom."
    if facts.get("crystal_made"):
        yield f"The crystal that was computed: {facts['crystal_made']}."


def _novelty_sentences(told: Mapping[str, Any]) -> Iterable[str]:
    near = told["nearest_known"]
    if near is None:
        yield "Nothing known was at hand to compare it with."
    elif near["formula"] == told["formula"]:
        yield f"It is known itself, by {near['origin']}."
    else:
        yield f"The nearest known formula is {near['formula']}, at EMD {near['emd']:.2f} ({near['origin']})."
    sketched = told["known_to_sketch"]
    yield (
        "The sketch of the Materials Project's formulas takes it for known (of new formulas it does so for 0.1 %)."
        if sketched
        else "It is not among the Materials Project's formulas, by the shipped sketch."
    )


def supply_sentences(supply: Mapping[str, Any]) -> Iterable[str]:
    """Return what the elements cost, how risky their supply is, and which are hazardous."""
    if supply["cost_usd_per_kg"] is None:
        yield f"No price is known for {', '.join(supply['cost_missing'])}."
    else:
        yield (
            f"Its elements cost about {amount_text(supply['cost_usd_per_kg'])} USD per kg, "
            f"{amount_text(supply['cost_usd_per_mol_atoms'])} USD per mol of atoms (pure elements, 2013 to 2020)."
        )
    if supply["hhi_production"] is None:
        yield f"No supply risk is known for {', '.join(supply['hhi_missing'])}."
    else:
        yield (
            f"Supply risk (HHI): {supply['hhi_production']:.0f} by production, {supply['hhi_reserves']:.0f} by "
            "reserves; above 2,500 is high."
        )
    hazards = supply["hazards"]
    named = "; ".join(f"{name}: {', '.join(symbols)}" for name, symbols in hazards.items())
    yield f"Hazardous elements: {named}." if named else "No hazardous element."


def score_sentences(score: Mapping[str, Any]) -> Iterable[str]:
    """Return the score term by term, such that the factors multiply to it."""
    if score["value"] is None:
        yield "No score: none of its terms counts."
        return
    yield f"{score['value']:.4f}, the product of these factors:"
    for term in score["terms"]:
        name = NAMES[term["name"]]
        if term["desirability"] is None:
            yield f"{name}: {term['note']}"
            continue
        value = term["note"] if term["value"] is None else f"{significant_text(term['value'])} {term['unit']}"
        yield f"{name}: {value}; desirability {term['desirability']:.4f} ^ {term['share']:.4f} = {term['factor']:.4f}"


def _place_sentences(told: Mapping[str, Any], spec: CampaignSpec) -> Iterable[str]:
    yield f"The table is in order of {'the score' if spec.shortlist.order == 'score' else 'the gap'}."
    goals = [NAMES[told["stability"]] if name == "stability" else NAMES[name] for name in spec.shortlist.pareto]
    against = f" in {' and '.join(goals)}"
    if told["pareto"] is None:
        yield f"It is on no Pareto front{against}: a value is missing."
    elif told["pareto"] == 1:
        yield f"It is on the first Pareto front{against}: no other exported candidate beats it in all of them."
    else:
        yield f"It is on Pareto front {told['pareto']}{against}."
    yield f"Its crystal is exported as {told['cif']}."


def _plain(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(inner)}" for key, inner in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_plain, value))
    return significant_text(value) if isinstance(value, float) else str(value)
