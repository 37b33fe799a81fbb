"""Learn from what was paid for: the belief that an iteration's proposals are ranked by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aldesign.campaign.parts import Parts
from aldesign.campaign.ranking import gap_of, utilities
from aldesign.campaign.state import CampaignState
from aldesign.errors import FormulaError, InputError
from aldesign.protocols import Surrogate
from aldesign.records import Trial

MEASURED = ("told:", "table:")
"""How the names of those begin whose uncertainties are scatter: people who tell, and tables of seed rows."""


@dataclass(frozen=True)
class Learned:
    """What the campaign knows.

    Attributes:
        surrogate: Fitted on every measured trial of closed iterations, in trial order.
        best: The measured formulas within the campaign's space, the best first; all of them where none is.
        starts: Latent points of the best of them, shape (m, d).
        bounds: Lower and upper latent bounds of all measured formulas, shape (2, d).
        incumbent: The best gap among `best`, in eV.
        paid: Gaps in eV of `best`, those of pending candidates as expected, and beside them the second property, where
            one counts, shape (n, 1 or 2).
        left_out: Measured materials that cannot be learned from, having fractional amounts or amounts above 20.
    """

    surrogate: Surrogate
    best: tuple[str, ...]
    starts: np.ndarray
    bounds: np.ndarray
    incumbent: float
    paid: np.ndarray
    left_out: int


def learn(parts: Parts, state: CampaignState) -> Learned:
    """Fit the surrogate on what has been measured; pending points count with their expected gap.

    The search for its hyper-parameters begins where that of the last iteration ended, as the journal says.

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
    formulas = [trial.candidate.formula for trial in kept]
    gaps, features = np.array([gap_of(trial) for trial in kept]), parts.describe(formulas)
    start = _last_hyperparameters(state)
    noise = stated_noise(kept)
    surrogate = parts.surrogate(start).fit(features, gaps, noise)
    waiting = [trial.candidate.formula for trial in encodable(parts, state.pending)[0]]
    believed = np.zeros(0)
    if waiting:
        pending = parts.describe(waiting)
        believed, _ = surrogate.posterior(pending)
        noise = None if noise is None else np.concatenate([noise, np.zeros(len(waiting))])
        surrogate = parts.surrogate(start).fit(np.vstack([features, pending]), np.concatenate([gaps, believed]), noise)
    inside = parts.within(formulas)
    worth = np.where(inside | ~inside.any(), utilities(kept, parts.goal), -np.inf)
    order = np.argsort(-worth, kind="stable")[: int(np.isfinite(worth).sum())]
    best = [formulas[i] for i in order.tolist()]
    paid = np.concatenate([gaps[order], believed])[:, None]
    if parts.second is not None:
        paid = np.column_stack([paid, parts.foresee([*best, *waiting])[0]])
    return Learned(
        surrogate,
        tuple(best),
        latents[order[: parts.spec.acquisition.starts]],
        np.stack([latents.min(axis=0), latents.max(axis=0)]),
        float(gaps[order[0]]),
        paid,
        len(trials) - len(kept),
    )


def stated_noise(trials: Sequence[Trial]) -> np.ndarray | None:
    """Return the uncertainty in eV that was stated with each measured gap, (n,), 0 where none was; None for none.

    A measurement scatters by it. The uncertainty of a model that answers is none of that: asked again, it answers
    the same.
    """
    stds = [
        t.prediction.std if t.prediction and t.prediction.oracle.name.startswith(MEASURED) else None for t in trials
    ]
    return np.array([std or 0.0 for std in stds]) if any(stds) else None


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


def _last_hyperparameters(state: CampaignState) -> dict[str, list[float]] | None:
    last = max((number for number, p in state.proposals.items() if p.closed), default=0)
    found: dict[str, list[float]] | None = state.proposals[last].stats.get("hyperparameters") if last else None
    return found
