"""Learn from what was paid for, and propose what to pay for next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from aldesign.campaign.parts import Parts
from aldesign.campaign.ranking import gap_of, utilities
from aldesign.campaign.state import CampaignState
from aldesign.errors import FormulaError, InputError
from aldesign.models.surrogate import GaussianProcess
from aldesign.protocols import Surrogate
from aldesign.records import Candidate, Source, Trial, TrialState, Verdict
from aldesign.seeds import stream

ROUNDS = 5  # pools drawn at most per iteration while the batch is not full


@dataclass(frozen=True)
class Learned:
    """What the campaign knows: a fitted surrogate, where the best materials lie and the latent box.

    Attributes:
        surrogate: Fitted on every measured trial of closed iterations, in trial order.
        starts: Latent points of the best materials, shape (m, d).
        bounds: Lower and upper latent bounds, shape (2, d).
    """

    surrogate: GaussianProcess
    starts: np.ndarray
    bounds: np.ndarray


@dataclass(frozen=True)
class Scored:
    """A candidate with the surrogate's mean and std (eV) and its acquisition score."""

    candidate: Candidate
    expected: tuple[float, float]
    score: float


@dataclass(frozen=True)
class Screened:
    """A scored candidate with every screen's verdict."""

    scored: Scored
    verdicts: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Whether no screen objected."""
        return all(verdict.passed for verdict in self.verdicts)


def learn(parts: Parts, state: CampaignState) -> Learned:
    """Fit the surrogate on what has been measured; pending points count with their expected gap.

    Raises:
        InputError: Fewer than two measured materials can be encoded.
    """
    trials = [t for t in state.measured if state.proposals[t.iteration].closed]
    kept, latents = encodable(parts, trials)
    if len(kept) < 2:
        raise InputError(
            f"only {len(kept)} measured materials can be represented; a campaign learns from at least 2",
            "give more seed rows (data), or tell more results",
        )
    gaps = np.array([gap_of(trial) for trial in kept])
    surrogate = parts.surrogate().fit(latents, gaps)
    waiting, pending = encodable(parts, state.pending)
    if waiting:
        believed, _ = surrogate.posterior(pending)
        surrogate = parts.surrogate().fit(np.vstack([latents, pending]), np.concatenate([gaps, believed]))
    order = np.argsort(-utilities(kept, parts.goal), kind="stable")
    bounds = np.stack([latents.min(axis=0), latents.max(axis=0)])
    return Learned(surrogate, latents[order[: parts.spec.acquisition.starts]], bounds)


def propose(parts: Parts, learned: Learned, iteration: int, attempt: int) -> tuple[list[Scored], Counter[str]]:
    """Return one pool of candidates from the latent search and the generator, scored by one acquisition.

    Returns:
        The pool without repeats, and counts of points searched, decoded and sampled.
    """
    spec = parts.spec
    found: dict[str, Source] = {}
    share = 0
    counts: Counter[str] = Counter()
    rng = stream(spec.seed, iteration, f"latent-{attempt}")
    points = parts.acquirer.propose(
        learned.surrogate,
        learned.starts,
        learned.bounds,
        spec.acquisition.proposals,
        rng,
        trust=min(1.0, spec.acquisition.trust * (1 + attempt)),
        free=spec.acquisition.free,
    )
    decoded = parts.encoder.decode(points)
    counts.update(searched=len(decoded), decoded=sum(formula is not None for formula in decoded))
    found.update({formula: Source.LATENT for formula in decoded if formula is not None})
    if parts.generator is not None and spec.generator is not None:
        drawn = parts.generator.sample(
            spec.generator.samples,
            stream(spec.seed, iteration, f"generator-{attempt}"),
            min_elements=spec.space.n_elements[0],
            max_elements=spec.space.n_elements[1],
            allowed=parts.allowed,
        )
        counts.update(sampled=len(drawn))
        for formula in drawn:
            found.setdefault(formula, Source.GAN)
        share = round(spec.acquisition.proposals * spec.generator.fraction / (1 - spec.generator.fraction))
    scored = sorted(score(parts, learned.surrogate, found), key=lambda item: -item.score)
    searched = [item for item in scored if item.candidate.source is Source.LATENT]
    return searched + [item for item in scored if item.candidate.source is Source.GAN][:share], counts


def score(parts: Parts, surrogate: Surrogate, found: dict[str, Source]) -> list[Scored]:
    """Return formulas with the latent point that stands for them, their expected gap and their score."""
    latents = parts.encoder.encode(list(found))
    mean, std = surrogate.posterior(latents)
    scores = parts.acquirer.score(mean, std)
    return [
        Scored(
            Candidate(formula, source, latent=tuple(round(float(x), 6) for x in latents[i])),
            (round(float(mean[i]), 6), round(float(std[i]), 6)),
            round(float(scores[i]), 6),
        )
        for i, (formula, source) in enumerate(found.items())
    ]


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
        match = assign(formula, parts.templates, section.max_emd, tries=section.tries)
        passed = match.crystal is not None
        reason = f"template {match.template_id}" if passed else match.reason
        verdict = Verdict("structure", passed, reason, {"emd": match.emd, "template_id": match.template_id})
        candidate = Candidate(
            formula, item.scored.candidate.source, item.scored.candidate.latent, match.template_id, match.crystal
        )
        done.append(Screened(Scored(candidate, item.scored.expected, item.scored.score), (*item.verdicts, verdict)))
        found += passed
    return done


@dataclass(frozen=True)
class Batch:
    """What one iteration decided: trials to pay for and trials rejected, with counts."""

    trials: tuple[Trial, ...]
    stats: dict[str, Any]


def choose(parts: Parts, learned: Learned, state: CampaignState, iteration: int, wanted: int) -> Batch:
    """Return the next batch: the best candidates that pass every screen, and all that did not, with reasons."""
    counts: Counter[str] = Counter()
    chosen: dict[str, Screened] = {}
    rejected: dict[str, Screened] = {}
    refused_before = {t.candidate.formula for t in state.in_state(TrialState.REJECTED)}
    for attempt in range(ROUNDS):
        pool, drawn = propose(parts, learned, iteration, attempt)
        counts.update(drawn)
        counts.update(pool=len(pool), valid_before_screening=_valid(pool))
        fresh = [item for item in pool if item.candidate.formula not in chosen.keys() | rejected.keys()]
        judged = screen(parts, fresh, state)
        survivors = sorted((item for item in judged if item.passed), key=lambda item: -item.scored.score)
        rejected.update({item.scored.candidate.formula: item for item in judged if not item.passed})
        if parts.card.needs == "structure":
            survivors = with_structures(parts, survivors, wanted - len(chosen))
            rejected.update({item.scored.candidate.formula: item for item in survivors if not item.passed})
        chosen.update({i.scored.candidate.formula: i for i in survivors if i.passed})
        if len(chosen) >= wanted:
            break
    best = sorted(chosen.values(), key=lambda item: -item.scored.score)[:wanted]
    new = [item for item in rejected.values() if item.scored.candidate.formula not in refused_before]
    trials = [
        _trial(number, iteration, item)
        for number, item in enumerate([*best, *sorted(new, key=lambda i: -i.scored.score)], start=state.next_number)
    ]
    by_screen = Counter(v.screen for item in rejected.values() for v in item.verdicts if not v.passed)
    stats = {**counts, "rejected": dict(by_screen), "rejected_again": len(rejected) - len(new), "chosen": len(best)}
    return Batch(tuple(trials), stats)


def _trial(number: int, iteration: int, item: Screened) -> Trial:
    candidate = item.scored.candidate
    return Trial(
        number,
        iteration,
        candidate if item.passed else replace(candidate, latent=None),
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


def encodable(parts: Parts, trials: Sequence[Trial]) -> tuple[list[Trial], np.ndarray]:
    """Return the trials whose formulas fit the one-hot matrix, with their latent points."""
    try:
        return list(trials), parts.encoder.encode([trial.candidate.formula for trial in trials])
    except FormulaError:
        kept: list[Trial] = []
        rows: list[np.ndarray] = []
        for trial in trials:
            try:
                rows.append(parts.encoder.encode([trial.candidate.formula])[0])
            except FormulaError:
                continue
            kept.append(trial)
        return kept, np.array(rows)
