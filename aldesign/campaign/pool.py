"""Where proposals come from: the latent space, the generator, small changes of the best; or a given pool alone."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from aldesign.campaign.learning import Learned
from aldesign.campaign.parts import Parts
from aldesign.campaign.ranking import FEW
from aldesign.campaign.spec import CampaignSpec
from aldesign.chemistry.formula import compositions
from aldesign.chemistry.mutations import mutate
from aldesign.chemistry.neutrality import Options, valid_mask
from aldesign.chemistry.onehot import compositions_of, decode_indices, indices
from aldesign.errors import InputError
from aldesign.models.acquisition.latent_search import search as climb
from aldesign.models.acquisition.scatter import scatter
from aldesign.models.surrogates.gaussian_process import GaussianProcess
from aldesign.records import Candidate, Source
from aldesign.seeds import stream

_STRICT = Options(include_alloys=False)


@dataclass(frozen=True)
class Scored:
    """A candidate with the surrogate's mean and std (eV), its acquisition score and its features."""

    candidate: Candidate
    expected: tuple[float, float]
    score: float
    features: np.ndarray = field(compare=False, repr=False)


def propose(
    parts: Parts, learned: Learned, iteration: int, attempt: int, known: Iterable[str]
) -> tuple[list[Scored], Counter[str]]:
    """Return one pool of new candidates, the best of each source, scored by one acquisition.

    Args:
        parts: The campaign's parts.
        learned: What it knows.
        iteration: Number of the iteration.
        attempt: How many pools were drawn before in it; later ones search farther.
        known: Formulas that need not be proposed, being in the campaign already.

    Returns:
        The pool, the best first, and counts of what each source made.
    """
    spec = parts.spec
    counts: Counter[str] = Counter()
    made, shares = (
        _made(parts, learned, iteration, attempt, counts)
        if parts.pool is None
        else ({Source.POOL: list(parts.pool.crystals)}, {Source.POOL: spec.acquisition.proposals})
    )
    seen, origin = set(known), dict[str, Source]()
    for source, formulas in made.items():
        for formula in formulas:
            if formula not in seen:
                origin.setdefault(formula, source)
    keep = parts.within(list(origin))
    counts.update(outside_space=int((~keep).sum()))
    origin = {formula: source for (formula, source), kept in zip(origin.items(), keep.tolist(), strict=True) if kept}
    scored = score(parts, learned, origin, stream(spec.seed, iteration, f"score-{attempt}"))
    pool: list[Scored] = []
    for source, share in shares.items():
        own = [item for item in scored if item.candidate.source is source]
        early, late = spread([item.candidate.formula for item in own], most_alike(spec))
        pool += [own[row] for row in [*early, *late][:share]]
    return sorted(with_latents(parts, pool), key=lambda item: -item.score), counts


def _made(
    parts: Parts, learned: Learned, iteration: int, attempt: int, counts: Counter[str]
) -> tuple[dict[Source, Sequence[str]], dict[Source, int]]:
    """Return new formulas by source, and how many of each the pool may hold."""
    spec = parts.spec
    shares = {Source.LATENT: spec.acquisition.proposals}
    made: dict[Source, Sequence[str]] = {Source.LATENT: search(parts, learned, iteration, attempt, counts)}
    others = [part.fraction for part in (spec.generator, spec.mutations) if part is not None]
    whole = spec.acquisition.proposals / (1 - sum(others))
    if parts.generator is not None and spec.generator is not None:
        made[Source.GAN] = generate(parts, iteration, attempt, counts)
        shares[Source.GAN] = round(whole * spec.generator.fraction)
    if spec.mutations is not None and spec.mutations.fraction > 0:
        made[Source.MUTATION] = change(parts, learned, iteration, attempt, counts)
        shares[Source.MUTATION] = round(whole * spec.mutations.fraction)
    return made, shares


def most_alike(spec: CampaignSpec) -> int:
    """Return how many formulas of the same elements are chosen together; a random choice looks at no formula."""
    return sys.maxsize if spec.acquisition.kind == "random" else spec.acquisition.per_system


def spread(formulas: Sequence[str], most: int) -> tuple[list[int], list[int]]:
    """Return the rows of formulas of which `most` or fewer of the same elements came before, and the other rows."""
    taken: Counter[frozenset[int]] = Counter()
    first, others = list[int](), list[int]()
    for row, numbers in enumerate(compositions(formulas).numbers.tolist() if formulas else []):
        system = frozenset(numbers) - {0}
        (first if taken[system] < most else others).append(row)
        taken[system] += 1
    return first, others


def search(parts: Parts, learned: Learned, iteration: int, attempt: int, counts: Counter[str]) -> list[str]:
    """Return formulas decoded from points near the best materials' latents, before any screen.

    A Gaussian process on the latent itself is followed uphill by its gradient; other beliefs rank what is scattered.
    """
    section = parts.spec.acquisition
    rng = stream(parts.spec.seed, iteration, f"latent-{attempt}")
    trust = min(1.0, section.trust * (1 + attempt))
    if parts.climbs and isinstance(learned.surrogate, GaussianProcess):
        points = climb(
            learned.surrogate,
            parts.goal,
            section.kappa,
            learned.starts,
            learned.bounds,
            section.proposals,
            rng,
            trust=trust,
            free=section.free,
        )
    else:
        points = scatter(learned.starts, learned.bounds, section.samples, rng, trust=trust, free=section.free)
    formed = parts.decode(points)
    parsed = compositions(formed)
    distinct = list(dict.fromkeys(formed))
    counts.update(
        searched=len(points),
        decoded=len(formed),
        searched_distinct=len(distinct),
        searched_few_elements=int((parsed.n_elements() <= FEW).sum()),
        searched_valid=int(valid_mask(parsed, _STRICT).sum()),
    )
    return distinct


def generate(parts: Parts, iteration: int, attempt: int, counts: Counter[str]) -> list[str]:
    """Return formulas drawn from the generator within the campaign's space; none where it cannot make such ones."""
    spec = parts.spec
    if parts.generator is None or spec.generator is None:
        return []
    try:
        drawn = parts.generator.sample(
            spec.generator.samples,
            stream(spec.seed, iteration, f"generator-{attempt}"),
            min_elements=spec.space.n_elements[0],
            max_elements=spec.space.n_elements[1],
            allowed=parts.allowed,
        )
    except InputError:  # too narrow a space for it; the other sources may know it better
        counts.update(generator_gave_up=1)
        return []
    counts.update(sampled=len(drawn), sampled_valid=int(valid_mask(compositions(drawn), _STRICT).sum()))
    return drawn


def change(parts: Parts, learned: Learned, iteration: int, attempt: int, counts: Counter[str]) -> list[str]:
    """Return plausible small changes of the best materials, within the campaign's rules of elements and size."""
    section, space = parts.spec.mutations, parts.spec.space
    if section is None:
        return []
    parents = indices(compositions(learned.best[: section.parents * (1 + attempt)]))
    rng = stream(parts.spec.seed, iteration, f"mutation-{attempt}")
    table, _ = mutate(parents, section.samples, rng, allowed=parts.allowed_mask)
    table = np.unique(table, axis=0)
    size = (table > 0).sum(axis=1)
    fits = (size >= space.n_elements[0]) & (size <= space.n_elements[1]) & (table.max(axis=1) <= space.max_count)
    fits &= (table.sum(axis=1, dtype=np.int64) <= space.max_atoms) & ~(table[:, ~parts.allowed_mask] > 0).any(axis=1)
    table = table[fits]
    table = table[valid_mask(compositions_of(table), _STRICT)]
    counts.update(changed=section.samples, changed_plausible=len(table))
    return [formula for formula in decode_indices(table) if formula is not None]


def score(parts: Parts, learned: Learned, found: Mapping[str, Source], rng: np.random.Generator) -> list[Scored]:
    """Return formulas with their expected gap and acquisition score, the best first."""
    if not found:
        return []
    formulas = list(found)
    features = parts.describe(formulas)
    mean, std = learned.surrogate.posterior(features)
    scores = parts.worth(formulas, (mean, std), learned.incumbent, learned.paid, rng)
    return [
        Scored(
            Candidate(formulas[i], found[formulas[i]]),
            (round(float(mean[i]), 6), round(float(std[i]), 6)),
            round(float(scores[i]), 6),
            features[i],
        )
        for i in np.argsort(-scores, kind="stable").tolist()
    ]


def with_latents(parts: Parts, pool: Sequence[Scored]) -> list[Scored]:
    """Return the pool with the latent point that stands for each formula, and its crystal where one was given."""
    latents = parts.encoder.encode([item.candidate.formula for item in pool])
    return [
        replace(item, candidate=_whole(parts, item.candidate, tuple(round(float(x), 6) for x in point)))
        for item, point in zip(pool, latents, strict=True)
    ]


def _whole(parts: Parts, candidate: Candidate, latent: tuple[float, ...]) -> Candidate:
    crystal = None if parts.pool is None else parts.pool.crystals[candidate.formula]
    return replace(candidate, latent=latent, structure_id=crystal.id if crystal else None, crystal=crystal)
