"""Randomness with an address: the same seed, iteration and stage give the same numbers, always."""

from __future__ import annotations

import hashlib

import numpy as np


def _words(seed: int, iteration: int, stage: str) -> list[int]:
    digest = hashlib.sha256(f"{seed}/{iteration}/{stage}".encode()).digest()
    return [int.from_bytes(digest[i : i + 4], "little") for i in range(0, 32, 4)]


def stream(seed: int, iteration: int, stage: str) -> np.random.Generator:
    """Return the random generator that belongs to one stage of one iteration.

    Args:
        seed: The campaign's seed.
        iteration: Iteration number, 0 for work before the first.
        stage: Name of the stage, e.g. ``"latent"``.

    Returns:
        A fresh generator; equal addresses give equal sequences, others are independent.

    """
    return np.random.default_rng(np.random.SeedSequence(_words(seed, iteration, stage)))


def torch_seed(seed: int, iteration: int, stage: str) -> int:
    """Return a 63-bit integer seed for ``torch.Generator.manual_seed`` at the same address."""
    low, high = _words(seed, iteration, stage)[:2]
    return (high << 32 | low) & (2**63 - 1)
