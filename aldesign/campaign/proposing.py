"""Propose what to pay for next: one pool, screened, and the best and most different of it chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np

from aldesign.campaign.learning import Learned
from aldesign.campaign.parts import Parts
from aldesign.campaign.pool import Scored, most_alike, propose, spread
from aldesign.campaign.state import CampaignState
from aldesign.models.acquisition.batch import choose_batch
from aldesign.records import Candidate, Trial, TrialState, Verdict
from aldesign.seeds import stream

ROUNDS = 5  # pools drawn at most per iteration while the batch is not full
_ASKED = 4  # times as many are ordered as are wanted, so that some may be passed over
_FITTED = 2  # times as many are given crystals as are wanted, where the oracle needs one


@dataclass(frozen=True)
class Screened:
    """A scored candidate with every screen's verdict."""

    scored: Scored
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether no screen objected."""
        return all(verdict.passed for verdict in self.verdicts)


def screen(parts: Parts, pool: Sequence[Scored], state: CampaignState) -> list[Screened]:
    """Return the pool with every screen's verdict on every candidate."""
    from aldesign.screens import ScreenContext

    seen = {
        trial.candidate.formula: f"trial {trial.number}, {trial.state.value}"
        for trial in state.trials.values()
        if trial.state is not TrialState.REJECTED
    }
    context = ScreenContext(seen=seen, expected={item.candidate.formula: item.expected for item in pool})
    formulas = [item.candidate.formula for item in pool]
    columns = [check.check(formulas) for check in parts.screens(context)] if formulas else []
    return [Screened(item, tuple(column[i] for column in columns)) for i, item in enumerate(pool)]


def with_structures(parts: Parts, survivors: list[Screened], wanted: int) -> list[Screened]:
    """Give the best survivors a crystal, where the oracle needs one; those that no template fits do not pass."""
    from aldesign.structures.assign import assign

    done: list[Screened] = []
    found = 0
    for item in survivors:
        if found == wanted:
            break
        section = parts.spec.structures
        formula = item.scored.candidate.formula
        if (given := item.scored.candidate.crystal) is not None:
            verdict = Verdict("structure", True, f"the pool's own crystal {given.id}", {"structure_id": given.id})
            done.append(Screened(item.scored, (*item.verdicts, verdict)))
            found += 1
            continue
        match = assign(formula, parts.templates, section.max_emd, tries=section.tries)
        passed = match.crystal is not None
        reason = f"template {match.template_id}" if passed else match.reason
        verdict = Verdict("structure", passed, reason, {"emd": match.emd, "template_id": match.template_id})
        candidate = Candidate(
            formula, item.scored.candidate.source, item.scored.candidate.latent, match.template_id, match.crystal
        )
        done.append(Screened(replace(item.scored, candidate=candidate), (*item.verdicts, verdict)))
        found += passed
    return done


@dataclass(frozen=True)
class Batch:
    """What one iteration decided: trials to pay for and trials rejected, with counts."""

    trials: tuple[Trial, ...]
    stats: dict[str, Any]


def choose(parts: Parts, learned: Learned, state: CampaignState, iteration: int, wanted: int) -> Batch:
    """Return the next batch: candidates that pass every screen, and all that did not, with reasons.

    Where more pass than are wanted, the batch is chosen for what its members promise together.
    """
    counts: Counter[str] = Counter()
    passed: dict[str, Screened] = {}
    rejected: dict[str, Screened] = {}
    refused_before = {t.candidate.formula for t in state.in_state(TrialState.REJECTED)}
    taken = {t.candidate.formula for t in state.trials.values() if t.state is not TrialState.REJECTED}
    for attempt in range(ROUNDS) if parts.pool is None else count():
        pool, drawn = propose(parts, learned, iteration, attempt, taken | passed.keys() | rejected.keys())
        counts.update(drawn)
        counts.update(pool=len(pool), valid_before_screening=_valid(pool))
        judged = screen(parts, pool, state)
        survivors = [item for item in judged if item.passed]
        rejected.update({item.scored.candidate.formula: item for item in judged if not item.passed})
        if parts.card.needs == "structure" or parts.spec.structures.screen:
            survivors = with_structures(parts, survivors, _FITTED * wanted - len(passed))
            rejected.update({item.scored.candidate.formula: item for item in survivors if not item.passed})
        passed.update({i.scored.candidate.formula: i for i in survivors if i.passed})
        if len(passed) >= wanted or not (pool or parts.pool is None):
            break
    best = together(parts, learned, list(passed.values()), wanted, iteration)
    new = [item for item in rejected.values() if item.scored.candidate.formula not in refused_before]
    trials = [
        _trial(number, iteration, item)
        for number, item in enumerate([*best, *sorted(new, key=lambda i: -i.scored.score)], start=state.next_number)
    ]
    given = parts.pool.crystals if parts.pool is not None else ()
    parts.forget_all_but({*given, *(t.candidate.formula for t in (*state.measured, *trials[: len(best)]))})
    by_screen = Counter(v.screen for item in rejected.values() for v in item.verdicts if not v.passed)
    stats = {
        **counts,
        "rejected": dict(by_screen),
        "rejected_again": len(rejected) - len(new),
        "chosen": len(best),
        "not_learned_from": learned.left_out,
        "chosen_by_source": dict(Counter(item.scored.candidate.source.value for item in best)),
        "hyperparameters": learned.surrogate.hyperparameters(),
    }
    return Batch(tuple(trials), stats)


def together(parts: Parts, learned: Learned, items: Sequence[Screened], wanted: int, iteration: int) -> list[Screened]:
    """Return at most `wanted` of the candidates that passed, the first choice first.

    What promises most together comes first, with no more of one set of elements than `acquisition.per_system`;
    only where that leaves the batch short, others of the same elements fill it.
    """
    ranked = sorted(items, key=lambda item: -item.scored.score)
    if len(ranked) <= wanted:
        return ranked
    most = min(len(ranked), _ASKED * wanted)
    if parts.second is not None:
        from aldesign.models.acquisition.multiobjective import choose_trade_offs

        mean, std = np.array([item.scored.expected for item in ranked]).T
        believed = parts.beliefs([item.scored.candidate.formula for item in ranked], mean, std)
        rows = choose_trade_offs(parts.goals, *believed, learned.paid, most)
    else:
        x = np.array([item.scored.features for item in ranked])
        rng = stream(parts.spec.seed, iteration, "batch")
        rows = choose_batch(learned.surrogate, x, parts.acquirer(learned.incumbent), most, rng)
    ordered = [ranked[row] for row in rows.tolist()]
    first, others = spread([item.scored.candidate.formula for item in ordered], most_alike(parts.spec))
    return [ordered[row] for row in [*first, *others][:wanted]]


def _trial(number: int, iteration: int, item: Screened) -> Trial:
    candidate = item.scored.candidate
    return Trial(
        number,
        iteration,
        candidate if item.passed else replace(candidate, latent=None, structure_id=None, crystal=None),
        TrialState.PENDING if item.passed else TrialState.REJECTED,
        item.verdicts,
        expected=item.scored.expected,
        score=item.scored.score,
    )


def _valid(pool: Sequence[Scored]) -> int:
    """Return how many of the pool SMACT's rules accept, for the record."""
    from aldesign.chemistry.formula import compositions
    from aldesign.chemistry.neutrality import valid_mask

    return int(valid_mask(compositions([item.candidate.formula for item in pool])).sum()) if pool else 0
