"""Who buys in a replay: the campaign's learner, the same without curiosity, chance, and perfect knowledge."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.campaign.parts import Parts
from aldesign.campaign.pool import spread
from aldesign.campaign.ranking import objective
from aldesign.campaign.spec import CampaignSpec
from aldesign.errors import InputError, SpecError
from aldesign.protocols import Surrogate
from aldesign.replay.journal import Bought
from aldesign.seeds import stream

STRATEGIES: Mapping[str, str] = {
    "campaign": "the campaign's surrogate, acquisition and choice of batches",
    "greedy": "the same surrogate, the highest expectation first",
    "random": "rows drawn by chance",
    "best": "perfect knowledge: nothing can find more",
}
LEARNING = ("campaign", "greedy")

_DECISIVE = ("kind", "kappa", "threshold", "per_system")  # settings of an acquisition that choose among known formulas
_ASKED = 4  # times as many are ordered as are bought, so that some of the same elements may be passed over, as in a run


@dataclass(frozen=True)
class Ground:
    """What labels are bought from.

    Attributes:
        gaps: Label of every row in eV, shape (n,); those who learn read the known ones alone.
        features: Of every row, shape (n, d), or the file that holds them; None for those who do not learn.
        blocks: Widths of the blocks of features.
        formulas: Of every row, to tell sets of elements by.
    """

    gaps: np.ndarray
    features: np.ndarray | Path | None = None
    blocks: tuple[int, ...] = ()
    formulas: tuple[str, ...] = ()


@dataclass(frozen=True)
class Request:
    """One batch to be bought.

    Attributes:
        strategy: Who buys.
        spec: The campaign, with the seed of this run.
        known: Rows with a known label, in the order in which they became known.
        left: Rows that may be bought, ascending.
        n: How many, at most as many as are left.
        iteration: Number of the batch, from 1.
        hyperparameters: Of the last batch's surrogate, from which this one's begins.
    """

    strategy: str
    spec: CampaignSpec
    known: np.ndarray
    left: np.ndarray
    n: int
    iteration: int
    hyperparameters: Mapping[str, list[float]] | None = None


def buy(request: Request, ground: Ground) -> Bought:
    """Return the batch that a strategy chooses; equal requests give equal batches."""
    if request.strategy == "random":
        rng = stream(request.spec.seed, request.iteration, "replay-random")
        return Bought(tuple(rng.choice(request.left, request.n, replace=False).tolist()))
    if request.strategy == "best":
        utility = objective(request.spec).utility(ground.gaps[request.left])
        return Bought(tuple(request.left[np.argsort(-utility, kind="stable")[: request.n]].tolist()))
    return _learn_and_buy(request, ground)


def _learn_and_buy(request: Request, ground: Ground) -> Bought:
    """Refit the campaign's surrogate on all that is known, and choose by its acquisition or, greedy, by the mean."""
    from aldesign.models.acquisition.batch import choose_batch

    if not isinstance(ground.features, np.ndarray):
        raise TypeError(f"{request.strategy} was given no features")
    began = time.perf_counter()
    goal = objective(request.spec)
    # equal scores fall to the first row: by chance, lest the order of the rows tell of their labels
    left = stream(request.spec.seed, request.iteration, "replay-ties").permutation(request.left)
    gaps, pool = ground.gaps[request.known], ground.features[left]
    surrogate = _surrogate(request, ground.blocks).fit(ground.features[request.known], gaps)
    fitted = time.perf_counter()
    if request.strategy == "greedy":
        chosen = np.argsort(-goal.utility(surrogate.posterior(pool)[0]), kind="stable")[: request.n]
    else:
        incumbent = float(gaps[np.argmax(goal.utility(gaps))])
        rng = stream(request.spec.seed, request.iteration, "replay-batch")
        most = request.spec.acquisition.per_system
        asked = request.n if most >= request.n else _ASKED * request.n
        ordered = choose_batch(surrogate, pool, Parts(request.spec).acquirer(incumbent), asked, rng)
        first, others = spread([ground.formulas[row] for row in left[ordered]], most)
        chosen = ordered[[*first, *others][: request.n]]
    mean, std = surrogate.posterior(pool[chosen])
    return Bought(
        tuple(left[chosen].tolist()),
        tuple(np.round(mean, 6).tolist()),
        tuple(np.round(std, 6).tolist()),
        {"surrogate": round(fitted - began, 3), "acquisition": round(time.perf_counter() - fitted, 3)},
        surrogate.hyperparameters(),
        surrogate.notes,
    )


def _surrogate(request: Request, blocks: Sequence[int]) -> Surrogate:
    from aldesign.models.surrogates import make_surrogate

    section = request.spec.surrogate
    return make_surrogate(
        section.kind,
        blocks=blocks,
        max_observations=section.max_observations,
        seed=request.spec.seed,
        start=request.hyperparameters,
    )


def strategy_names(text: str) -> tuple[str, ...]:
    """Return the strategies of a list with commas, each once. Raises InputError for an unknown one."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    unknown = [name for name in names if name not in STRATEGIES]
    if unknown or not names:
        raise InputError(
            f"no replay strategy is called {unknown[0]!r}" if unknown else "--strategies names none",
            f"allowed: {', '.join(STRATEGIES)}",
        )
    return names


def refuse_unlearnable(spec: CampaignSpec) -> None:
    """Raise SpecError where the campaign's acquisition asks for more than a table of gaps holds."""
    if spec.acquisition.kind == "ehvi":
        raise SpecError(
            "a replay looks up gaps alone, and this campaign weighs them against formation energies (ehvi)",
            "replay its gap: --set acquisition.kind=ucb --set target.also=null",
        )
    if spec.acquisition.kind == "random":
        raise SpecError("this campaign chooses at random", "a replay compares with --strategies random")


def learner_facts(spec: CampaignSpec) -> dict[str, Any]:
    """Return what decides a learner's purchases, as JSON values; what only proposes new formulas does not."""
    kept = spec.model_dump(mode="json", include={"surrogate", "target", "encoder"})
    return {**kept, "acquisition": {key: getattr(spec.acquisition, key) for key in _DECISIVE}}
