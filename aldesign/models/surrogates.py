"""Surrogates by the names that campaign files use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aldesign.errors import InputError
from aldesign.protocols import Surrogate

SURROGATES = ("gp", "deep_kernel", "trees")


def make_surrogate(
    kind: str,
    *,
    blocks: Sequence[int],
    max_observations: int = 4000,
    seed: int = 0,
    start: Mapping[str, Sequence[float]] | None = None,
    **options: Any,
) -> Surrogate:
    """Return an unfitted surrogate.

    Args:
        kind: ``"gp"``, ``"deep_kernel"`` or ``"trees"``.
        blocks: Widths of the blocks of features, as `FeatureSpace.blocks` gives them.
        max_observations: Rows kept at most.
        seed: Of whatever is random in it.
        start: What `hyperparameters` of an earlier fit of the same kind returned; None for a cold start.
        options: Settings of that kind of surrogate.

    Raises:
        InputError: Unknown kind, or settings that it does not have.

    """
    try:
        if kind == "gp":
            from aldesign.models.surrogate import GaussianProcess

            return GaussianProcess(blocks, max_observations=max_observations, start=start or None, **options)
        if kind == "deep_kernel":
            from aldesign.models.deep_kernel import DeepKernel

            return DeepKernel(blocks, max_observations=max_observations, start=start or None, seed=seed, **options)
        if kind == "trees":
            from aldesign.models.trees import ExtraTrees

            return ExtraTrees(max_observations=max_observations, seed=seed, **options)
    except TypeError as error:
        raise InputError(f"the surrogate {kind!r} refused its options {options!r}: {error}") from error
    raise InputError(f"no surrogate is called {kind!r}", f"allowed: {', '.join(SURROGATES)}")
