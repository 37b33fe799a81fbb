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


@dataclass(frozen=True)
class Learned:
    """What the campaign knows.

    Attributes:
        surrogate: Fitted on every measured trial of closed iterations, in trial order.
        best: The measured formulas, the best first.
        starts: Latent points of the best of them, shape (m, d).
        bounds: Lower and upper latent bounds of all, shape (2, d).
        paid: Measured gaps in eV and, where a second property counts, its foreseen values, shape (n, 1 or 2).
        incumbent: The best gap so far, in eV.
    """

    surrogate: Surrogate
    best: tuple[str, ...]
    starts: np.ndarray
    bounds: np.ndarray
    paid: np.ndarray
    incumbent: float


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
    surrogate = parts.surrogate(start).fit(features, gaps)
    waiting, _ = encodable(parts, state.pending)
    if waiting:
        pending = parts.describe([trial.candidate.formula for trial in waiting])
        believed, _ = surrogate.posterior(pending)
        surrogate = parts.surrogate(start).fit(np.vstack([features, pending]), np.concatenate([gaps, believed]))
    worth = utilities(kept, parts.goal)
    order = np.argsort(-worth, kind="stable")
    paid = gaps[:, None] if parts.second is None else np.column_stack([gaps, parts.foresee(formulas)[0]])
    return Learned(
        surrogate,
        tuple(formulas[i] for i in order),
        latents[order[: parts.spec.acquisition.starts]],
        np.stack([latents.min(axis=0), latents.max(axis=0)]),
        paid,
        float(gaps[order[0]]),
    )


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
