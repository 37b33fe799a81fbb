"""What a surrogate sees of a formula: its latent point, descriptors, or several of them side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from aldesign.errors import InputError
from aldesign.protocols import Encoder
from aldesign.registry import load_descriptor

LATENT = "latent"
_EXAMPLE = "NaCl"


class FeatureSpace:
    """Blocks of features of formulas, side by side.

    Args:
        names: ``latent`` for the encoder's own point, other names for installed descriptors; in this order.
        encoder: Needed for ``latent`` alone.

    Raises:
        InputError: There are no names, one is repeated or unknown, or ``latent`` has no encoder.

    """

    def __init__(self, names: Sequence[str], encoder: Encoder | None = None) -> None:
        self.names = tuple(names)
        if not self.names or len(set(self.names)) < len(self.names):
            raise InputError(f"the features are {list(self.names)}", "name one or more, each once")
        self._compute: dict[str, Callable[[Sequence[str]], np.ndarray]] = {}
        self._versions: dict[str, str] = {}
        for name in self.names:
            if name != LATENT:
                descriptor = load_descriptor(name)
                self._compute[name], self._versions[name] = descriptor.describe, descriptor.digest
            elif encoder is None:
                raise InputError(f"the feature {LATENT!r} needs an encoder", "give one, or name descriptors only")
            else:
                self._compute[name], self._versions[name] = encoder.encode, str(getattr(encoder, "digest", ""))

    def describe(self, formulas: Sequence[str]) -> np.ndarray:
        """Return the features of n formulas, float64 (n, d).

        Raises:
            FormulaError: A formula cannot be read, or cannot be encoded where ``latent`` is among the features.

        """
        return np.hstack([self._block(name, formulas) for name in self.names])

    @cached_property
    def blocks(self) -> tuple[int, ...]:
        """The width of each block, in the order of `names`."""
        return tuple(self._block(name, [_EXAMPLE]).shape[1] for name in self.names)

    @cached_property
    def digest(self) -> str:
        """A short hash of the names and of all that the features depend on."""
        parts = "\n".join(f"{name} {version}" for name, version in self._versions.items())
        return hashlib.sha256(parts.encode()).hexdigest()[:16]

    def _block(self, name: str, formulas: Sequence[str]) -> np.ndarray:
        return np.asarray(self._compute[name](formulas), dtype=np.float64)
