"""Surrogates by the names that campaign files use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aldesign.errors import InputError
from aldesign.protocols import JointSurrogate

SURROGATES = ("gp", "deep_kernel", "trees", "committee")
MEMBERS = ("gp", "trees")


def make_surrogate(
    kind: str,
    *,
    blocks: Sequence[int],
    max_observations: int = 4000,
    seed: int = 0,
    start: Mapping[str, Sequence[float]] | None = None,
    **options: Any,
) -> JointSurrogate:
    """Return an unfitted surrogate.

    Args:
        kind: ``"gp"``, ``"deep_kernel"``, ``"trees"`` or ``"committee"``.
        blocks: Widths of the blocks of features, as `FeatureSpace.blocks` gives them.
        max_observations: Rows kept at most.
        seed: Of whatever is random in it.
        start: What `hyperparameters` of an earlier fit of the same kind returned; None for a cold start.
        options: Settings of that kind of surrogate; for a committee ``members``, names of other kinds.

    Raises:
        InputError: Unknown kind, or settings that it does not have.

    """
    limit: dict[str, Any] = {"max_observations": max_observations}
    try:
        if kind == "gp":
            from aldesign.models.surrogates.gaussian_process import GaussianProcess

            return GaussianProcess(blocks, start=start or None, **limit, **options)
        if kind == "deep_kernel":
            from aldesign.models.surrogates.deep_kernel import DeepKernel

            return DeepKernel(blocks, start=start or None, seed=seed, **limit, **options)
        if kind == "trees":
            from aldesign.models.surrogates.trees import ExtraTrees

            return ExtraTrees(seed=seed, **limit, **options)
        if kind == "committee":
            return _committee(blocks, seed, start, limit, **options)
    except TypeError as error:
        raise InputError(f"the surrogate {kind!r} refused its options {options!r}: {error}") from error
    raise InputError(f"no surrogate is called {kind!r}", f"allowed: {', '.join(SURROGATES)}")


def _committee(
    blocks: Sequence[int],
    seed: int,
    start: Mapping[str, Sequence[float]] | None,
    limit: Mapping[str, Any],
    members: Sequence[str] = MEMBERS,
) -> JointSurrogate:
    from aldesign.models.surrogates.committee import Committee, start_of

    if len(set(members)) < len(members) or "committee" in members:
        raise InputError(f"the members of the committee are {list(members)}", "name other kinds, each once")
    return Committee(
        {name: make_surrogate(name, blocks=blocks, seed=seed, start=start_of(name, start), **limit) for name in members}
    )
