"""What a campaign's state says in words: the same on the page and in the terminal."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from aldesign.campaign.ranking import best_first, gap_of, objective, utilities
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState, StructureRecord
from aldesign.chemistry.elements import NUMBER
from aldesign.records import Prediction, Source, Trial, TrialState, Verdict

SOURCE_NAMES: dict[Source, str] = {
    Source.SEED: "seed",
    Source.LATENT: "latent search",
    Source.GAN: "generator",
    Source.MUTATION: "mutation",
    Source.POOL: "pool",
    Source.USER: "user",
}
"""Sources in words, in the order in which they are shown."""

_PREDICTED = (
    "Gaps of candidates are predictions of the oracle {name} (level {level}), which stands in for DFT: they come from "
    "no experiment and from no first-principles calculation, and “measured” means answered by this oracle or, of first "
    "rows, given with them. Confirm a candidate before relying on it."
)
_STATEMENTS: dict[str, str] = {
    "lookup": "Gaps are looked up in a table (oracle {name}, level {level}), which stands in for DFT: they are as good "
    "as that table, and nothing was computed for this campaign.",
    "external": "Gaps were told from outside (oracle {name}, level {level}) and recorded as told, unchecked.",
    "dft": "Gaps were computed from first principles (oracle {name}, level {level}); they come from no experiment.",
}


@dataclass(frozen=True, eq=False)
class Progress:
    """Answers after the seed, in trial order, n of them.

    Attributes:
        trials: Every answered trial, failed ones among them.
        gaps: Gap in eV, NaN where there was no value, shape (n,).
        best: Gap of the best material up to and including each answer, seeds counted, NaN before the first.
        seed_best: The best seed row, if there is one.

    """

    trials: tuple[Trial, ...]
    gaps: np.ndarray
    best: np.ndarray
    seed_best: Trial | None


def goal_text(spec: CampaignSpec) -> str:
    """Return what the campaign looks for, in words."""
    return objective(spec).describe()


def status_text(state: CampaignState) -> str:
    """Return whether the campaign ended, and why, or where it stands."""
    if state.stopped:
        return f"stopped: {state.stopped}"
    pending = f", {counted(len(state.pending), 'answer')} pending" if state.pending else ""
    if state.open_iteration is not None:
        what = "seed rows" if state.open_iteration == 0 else f"iteration {state.open_iteration}"
        return f"unfinished: {what} open{pending}"
    if state.proposals:
        return f"unfinished: {counted(state.iterations, 'iteration')} closed{pending}"
    return "created: nothing has been measured yet"


def labels_text(trials: Iterable[Trial], spec: CampaignSpec, level: str = "") -> str:
    """Return what the gaps are and are not, naming every oracle and level among the answers in `trials`.

    Args:
        trials: Those whose answers are spoken of.
        spec: The campaign's definition.
        level: The oracle's level of theory, for when it has not answered yet.

    """
    trials = list(trials)
    answers = [t.prediction for t in trials if t.candidate.source is not Source.SEED and t.prediction is not None]
    told = [a for a in answers if a.ok and a.oracle.name.startswith("told:")]
    given = [a for a in answers if a.ok and not a.oracle.name.startswith("told:")]
    statement = _STATEMENTS.get(spec.oracle.kind, _PREDICTED)
    names, levels = _joined({a.oracle.name for a in given}), _joined({a.level for a in given or told})
    text = statement.format(name=names or spec.oracle.kind, level=levels or level or "not known yet")
    if told and spec.oracle.kind != "external":
        outside = _joined({a.level for a in told})
        text += f" {len(told)} of the gaps were told from outside (level {outside}), unchecked."
    seeds = [t.prediction for t in trials if t.candidate.source is Source.SEED and t.prediction is not None]
    found = {(a.oracle.name.removeprefix("table:"), a.level) for a in seeds if a.oracle.name.startswith("table:")}
    if found:
        text += f" Seed labels: {'; '.join(f'{table} (level {level})' for table, level in sorted(found))}."
    return text


def oracle_text(answer: Prediction) -> str:
    """Return who gave one answer, and what that is worth."""
    name = f"{answer.oracle.name} {answer.oracle.version}".strip()
    if name.startswith("told:"):
        return f"told from outside ({name.removeprefix('told:')})"
    if name.startswith("table:"):
        return f"a label of the seed table {name.removeprefix('table:')}"
    return f"oracle {name}" + ("" if name.startswith("dft") else ", which stands in for DFT")


def energies_text(records: Iterable[StructureRecord]) -> str:
    """Return what the formation energies are, or nothing where there are none."""
    listed = [r.facts for r in records if r.facts.get("energy_method")]
    if not listed:
        return ""
    methods = ", ".join(sorted({str(facts["energy_method"]) for facts in listed}))
    given = [bool(facts.get("given")) for facts in listed]
    made = "Crystals are made by substitution into templates: each is a hypothesis about the structure."
    if any(given):
        made = "Crystals are those that were given." if all(given) else f"{made} Some were given with the candidates."
    return f"Formation energies are predictions of {methods}, not of DFT. {made}"


def stated_level(state: CampaignState) -> str:
    """Return the level of theory that the oracle's card stated when the campaign began, if it is recorded."""
    return str((state.created.get("oracle") or {}).get("level") or "")


def label_groups(state: CampaignState) -> list[tuple[str, str, str, int]]:
    """Return (what, oracle, level, number of labels) for each kind of label, seeds first."""
    groups: Counter[tuple[str, str, str]] = Counter()
    for trial in state.measured:
        if trial.prediction is not None:
            what = "seed" if trial.candidate.source is Source.SEED else "campaign"
            identity = trial.prediction.oracle
            groups[what, f"{identity.name} {identity.version}".strip(), trial.prediction.level] += 1
    return [(*key, count) for key, count in sorted(groups.items(), key=lambda item: (item[0][0] != "seed", item[0]))]


def progress(state: CampaignState, spec: CampaignSpec) -> Progress:
    """Return the answers after the seed and the best material at each of them."""
    goal = objective(spec)
    done = (TrialState.MEASURED, TrialState.FAILED, TrialState.ABANDONED)
    answered = [t for t in state.in_state(*done) if t.candidate.source is not Source.SEED]
    seeds = [t for t in state.measured if t.candidate.source is Source.SEED]
    seed_best = seeds[int(np.argmax(utilities(seeds, goal)))] if seeds else None
    best_utility, best_gap = -np.inf, np.nan
    if seed_best is not None:
        best_utility, best_gap = float(utilities([seed_best], goal)[0]), gap_of(seed_best)
    gaps, best = [], []
    for trial in answered:
        measured = trial.state is TrialState.MEASURED
        gaps.append(gap_of(trial) if measured else np.nan)
        if measured and (utility := float(utilities([trial], goal)[0])) > best_utility:
            best_utility, best_gap = utility, gap_of(trial)
        best.append(best_gap)
    return Progress(tuple(answered), np.array(gaps, dtype=float), np.array(best, dtype=float), seed_best)


def rejections(state: CampaignState) -> dict[str, list[tuple[Trial, Verdict]]]:
    """Return, by screen, the rejected trials and the verdict against each; one trial may fail several screens."""
    found: dict[str, list[tuple[Trial, Verdict]]] = defaultdict(list)
    for trial in state.in_state(TrialState.REJECTED):
        for verdict in trial.verdicts:
            if not verdict.passed:
                found[verdict.screen].append((trial, verdict))
    return dict(sorted(found.items(), key=lambda item: (-len(item[1]), item[0])))


def seconds_spent(state: CampaignState) -> float:
    """Return the wall time of all stages of all iterations in s, pauses between calls not counted."""
    return float(sum(sum(proposal.seconds.values()) for proposal in state.proposals.values()))


def oxidation_states(trial: Trial) -> Mapping[str, Any]:
    """Return the oxidation state of each element that a screen found, empty where none did."""
    for verdict in trial.verdicts:
        found = verdict.evidence.get("oxidation_states")
        if isinstance(found, Mapping):
            return found
    return {}


def oxidation_text(trial: Trial) -> str:
    """Return e.g. ``Sr +2, Cl −1``, or nothing."""
    return ", ".join(f"{symbol} {_signed(state)}" for symbol, state in oxidation_states(trial).items())


def elements(formula: str) -> list[str]:
    """Return the distinct element symbols of a canonical formula."""
    return [s for s in dict.fromkeys(re.findall(r"[A-Z][a-z]?", formula)) if s in NUMBER]


def by_element(trials: Iterable[Trial]) -> dict[str, list[Trial]]:
    """Return the trials that hold each element."""
    found: dict[str, list[Trial]] = defaultdict(list)
    for trial in trials:
        for symbol in elements(trial.candidate.formula):
            found[symbol].append(trial)
    return dict(found)


def best_trial(state: CampaignState, spec: CampaignSpec) -> Trial | None:
    """Return the best measured candidate that is no seed row."""
    ranked = best_first(state, spec)
    return ranked[0] if ranked else None


def duration_text(seconds: float) -> str:
    """Return a duration as people say it, e.g. ``1 h 02 min``, ``3 min 05 s``, ``4.2 s``."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def counted(count: int, noun: str) -> str:
    """Return e.g. ``1 row`` or ``3 rows``."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def gap_text(value: float | None, std: float | None = None) -> str:
    """Return a gap in eV with its uncertainty, two decimals, or a dash."""
    if value is None:
        return "–"
    return number_text(value, 2) + ("" if std is None else f" ± {std:.2f}")


def number_text(value: float | None, digits: int) -> str:
    """Return a number with so many decimals and a real minus sign, or a dash."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def amount_text(value: float | None) -> str:
    """Return a positive amount of any size with about two digits, or a dash."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def significant_text(value: float) -> str:
    """Return a number with four significant digits, large ones with all of their whole digits."""
    text = f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return text.replace("-", "−")


def _joined(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _signed(state: Any) -> str:
    number = float(state)
    return f"{'−' if number < 0 else '+'}{abs(number):g}" if number else "0"
