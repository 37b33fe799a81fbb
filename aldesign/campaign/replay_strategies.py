"""Who buys in a replay: the campaign's learner, the same without curiosity, chance, and perfect knowledge."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from aldesign.campaign.ranking import objective
from aldesign.campaign.replay_journal import Bought
from aldesign.campaign.spec import CampaignSpec
from aldesign.errors import InputError, SpecError
from aldesign.models.acquisition import Acquirer, make_acquirer
from aldesign.protocols import Surrogate
from aldesign.seeds import stream

STRATEGIES: Mapping[str, str] = {
    "campaign": "the campaign's surrogate, acquisition and choice of batches",
    "greedy": "the same surrogate, the highest expectation first",
    "random": "rows drawn by chance",
    "best": "perfect knowledge: nothing can find more",
}
LEARNING = ("campaign", "greedy")

Features = Callable[[], tuple[np.ndarray, Sequence[int]]]
"""Gives the features of every row, (n, d), and the widths of their blocks."""


class Strategy(Protocol):
    """One that buys labels batch by batch, with one seed."""

    def buy(self, known: np.ndarray, left: np.ndarray, n: int, iteration: int) -> Bought:
        """Return the next batch.

        Args:
            known: Rows with a known label, in the order in which they became known.
            left: Rows that may be bought, ascending.
            n: How many, at most as many as are left.
            iteration: Number of the batch, from 1.
        """

    def recall(self, batch: Bought) -> None:
        """Take up what a batch bought before an interruption left behind."""


class Draw:
    """Chance."""

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def buy(self, known: np.ndarray, left: np.ndarray, n: int, iteration: int) -> Bought:  # noqa: ARG002
        """Return n rows drawn by chance."""
        return Bought(tuple(stream(self._seed, iteration, "replay-random").choice(left, n, replace=False).tolist()))

    def recall(self, batch: Bought) -> None:
        """Chance remembers nothing."""


class Perfect:
    """Perfect knowledge of every label.

    Args:
        utility: How good each row's gap is, shape (n,).
    """

    def __init__(self, utility: np.ndarray) -> None:
        self._utility = utility

    def buy(self, known: np.ndarray, left: np.ndarray, n: int, iteration: int) -> Bought:  # noqa: ARG002
        """Return the n best rows."""
        return Bought(tuple(left[np.argsort(-self._utility[left], kind="stable")[:n]].tolist()))

    def recall(self, batch: Bought) -> None:
        """It knew before."""


class Learner:
    """The campaign's surrogate, refitted before every batch on all that is known.

    Args:
        spec: The campaign, with the seed of this run.
        features: Of every row, shape (n, d).
        blocks: Widths of the blocks of features.
        gaps: Labels in eV, shape (n,); read for known rows alone.
        greedy: Whether to take the highest expectations instead of the campaign's acquisition.
    """

    def __init__(
        self, spec: CampaignSpec, features: np.ndarray, blocks: Sequence[int], gaps: np.ndarray, greedy: bool
    ) -> None:
        self._spec, self._goal, self._greedy = spec, objective(spec), greedy
        self._x, self._blocks, self._gaps = features, blocks, gaps
        self._start: Mapping[str, list[float]] | None = None

    def recall(self, batch: Bought) -> None:
        """Start the next fit from where that batch's ended."""
        self._start = batch.hyperparameters

    def buy(self, known: np.ndarray, left: np.ndarray, n: int, iteration: int) -> Bought:
        """Return the batch that the acquisition prefers, its first choice first."""
        from aldesign.models.batch import choose_batch

        began = time.perf_counter()
        gaps, pool = self._gaps[known], self._x[left]
        surrogate = self._surrogate().fit(self._x[known], gaps)
        fitted = time.perf_counter()
        if self._greedy:
            mean, _ = surrogate.posterior(pool)
            chosen = np.argsort(-self._goal.utility(mean), kind="stable")[:n]
        else:
            incumbent = float(gaps[np.argmax(self._goal.utility(gaps))])
            rng = stream(self._spec.seed, iteration, "replay-batch")
            chosen = choose_batch(surrogate, pool, self._acquirer(incumbent), n, rng)
        mean, std = surrogate.posterior(pool[chosen])
        return Bought(
            tuple(left[chosen].tolist()),
            tuple(np.round(mean, 6).tolist()),
            tuple(np.round(std, 6).tolist()),
            {"surrogate": round(fitted - began, 3), "acquisition": round(time.perf_counter() - fitted, 3)},
            surrogate.hyperparameters(),
            surrogate.notes,
        )

    def _surrogate(self) -> Surrogate:
        from aldesign.models.surrogates import make_surrogate

        section = self._spec.surrogate
        return make_surrogate(
            section.kind,
            blocks=self._blocks,
            max_observations=section.max_observations,
            seed=self._spec.seed,
            start=self._start,
        )

    def _acquirer(self, incumbent: float) -> Acquirer:
        section = self._spec.acquisition
        return make_acquirer(
            section.kind, self._goal, kappa=section.kappa, incumbent=incumbent, threshold=section.threshold
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


def make_strategy(name: str, spec: CampaignSpec, gaps: np.ndarray, features: Features) -> Strategy:
    """Return the strategy called `name` with the seed of `spec`; features are asked for only by those that learn."""
    if name == "random":
        return Draw(spec.seed)
    if name == "best":
        return Perfect(objective(spec).utility(gaps))
    return Learner(spec, *features(), gaps, name == "greedy")


def refuse_unlearnable(spec: CampaignSpec) -> None:
    """Raise SpecError where the campaign's acquisition asks for more than a table of gaps holds."""
    if spec.acquisition.kind == "ehvi":
        raise SpecError(
            "a replay looks up gaps alone, and this campaign weighs them against formation energies (ehvi)",
            "replay its gap: --set acquisition.kind=ucb --set target.also=null",
        )


def learner_facts(spec: CampaignSpec) -> dict[str, Any]:
    """Return what decides a learner's purchases, as JSON values."""
    keep = {"surrogate", "acquisition", "target", "encoder"}
    return spec.model_dump(mode="json", include=keep)
