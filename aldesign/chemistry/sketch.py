"""A compact memory of known formulas: a Bloom filter, which never forgets one and seldom invents one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from math import ceil, exp, log
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.chemistry.formula import canonical_many
from aldesign.errors import CheckpointError, FormulaError, InputError

FORMAT = 1
KNOWN = Path(__file__).with_name("known_formulas")
_CHUNK = 65536


@dataclass(frozen=True, eq=False)
class FormulaSketch:
    """A set of formulas as a Bloom filter (Bloom, Commun. ACM 13, 422, 1970).

    Attributes:
        bits: The filter, packed eight to a byte, uint8 (ceil(size / 8),).
        size: Number of bits.
        hashes: Bits set for each formula.
        count: Distinct formulas inside.
        false_positive_rate: Share of formulas outside that it takes for known, at most.
        card: Origin and licence of the formulas, for people.

    """

    bits: np.ndarray
    size: int
    hashes: int
    count: int
    false_positive_rate: float
    card: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def build(
        cls, formulas: Iterable[str], false_positive_rate: float = 0.001, card: Mapping[str, Any] | None = None
    ) -> FormulaSketch:
        """Return the sketch of `formulas`, in any spelling; repeats do no harm.

        Args:
            formulas: The known formulas.
            false_positive_rate: Allowed share of wrong hits among unknown formulas, between 0 and 1. A tenth of a
                per cent costs 14.4 bits a formula.
            card: Origin and licence of the formulas.

        Raises:
            FormulaError: For the first formula that cannot be read.
            InputError: The rate is not between 0 and 1, or there are no formulas.

        """
        if not 0 < false_positive_rate < 1:
            raise InputError(f"false_positive_rate={false_positive_rate} is not a share", "between 0 and 1")
        distinct = sorted(set(_spelled(list(formulas))))
        if not distinct:
            raise InputError("a sketch of no formulas would know nothing", "give at least one")
        # Double hashing and a whole number of hashes cost a little over Bloom's optimum: one per cent more bits.
        size = ceil(-1.01 * len(distinct) * log(false_positive_rate) / log(2) ** 2) + 64
        hashes = max(1, round(size / len(distinct) * log(2)))
        while (1 - exp(-hashes * len(distinct) / size)) ** hashes > false_positive_rate:
            size += ceil(0.001 * size)
        flags = np.zeros(size, dtype=bool)
        flags[_places(distinct, size, hashes)] = True
        return cls(np.packbits(flags), size, hashes, len(distinct), false_positive_rate, dict(card or {}))

    def contains(self, formulas: Sequence[str]) -> np.ndarray:
        """Return whether each formula, in any spelling, is known, bool (n,).

        A known formula is always found; an unknown one is taken for known at `false_positive_rate`.

        Raises:
            FormulaError: For the first formula that cannot be read.

        """
        found = np.zeros(len(formulas), dtype=bool)
        for start in range(0, len(formulas), _CHUNK):
            places = _places(_spelled(formulas[start : start + _CHUNK]), self.size, self.hashes)
            flags = self.bits[places >> 3] >> (7 - (places & 7)).astype(np.uint8) & 1
            found[start : start + _CHUNK] = flags.all(axis=1)
        return found

    def save(self, path: Path) -> None:
        """Write `path` with the endings ``.safetensors`` (the bits) and ``.json`` (the card)."""
        from safetensors.numpy import save

        card = {
            **self.card,
            "class": type(self).__name__,
            "format": FORMAT,
            "hash": "blake2b, two 64-bit words, double hashing",
            "size": self.size,
            "hashes": self.hashes,
            "count": self.count,
            "false_positive_rate": self.false_positive_rate,
            "sha256": hashlib.sha256(self.bits.tobytes()).hexdigest(),
        }
        _write(path.with_suffix(".safetensors"), save({"bits": self.bits}))
        _write(path.with_suffix(".json"), (json.dumps(card, indent=2, ensure_ascii=False) + "\n").encode())

    @classmethod
    def load(cls, path: Path) -> FormulaSketch:
        """Return the sketch that `save` wrote.

        Raises:
            CheckpointError: A file is missing, damaged or of another format.

        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        files = path.with_suffix(".safetensors"), path.with_suffix(".json")
        try:
            card = json.loads(files[1].read_text(encoding="utf-8"))
            bits = load(files[0].read_bytes())["bits"]
        except FileNotFoundError as error:
            raise CheckpointError(
                f"{error.filename} is missing", "a sketch has a .safetensors and a .json file"
            ) from error
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise CheckpointError(f"the sketch {path} cannot be read: {error}") from error
        if not isinstance(card, dict) or (card.get("class"), card.get("format")) != (cls.__name__, FORMAT):
            raise CheckpointError(f"{files[1]} is not the card of a formula sketch of format {FORMAT}")
        if hashlib.sha256(bits.tobytes()).hexdigest() != card.get("sha256"):
            raise CheckpointError(f"{files[0]} is not the file that its card describes", "restore or rebuild both")
        try:
            numbers = {name: card[name] for name in ("size", "hashes", "count", "false_positive_rate")}
        except KeyError as error:
            raise CheckpointError(f"{files[1]} lacks {error}") from error
        return cls(bits=bits, card=card, **numbers)


@cache
def known() -> FormulaSketch:
    """Return the shipped sketch of the formulas known to the Materials Project; its card says which."""
    return FormulaSketch.load(KNOWN)


def _spelled(formulas: Sequence[str]) -> list[str]:
    spelled: list[str] = []
    for formula in canonical_many(formulas):
        if isinstance(formula, FormulaError):
            raise formula
        spelled.append(formula)
    return spelled


def _places(formulas: Sequence[str], size: int, hashes: int) -> np.ndarray:
    """Return the bits of each formula, int64 (n, hashes), by double hashing.

    Kirsch and Mitzenmacher, Random Struct. Alg. 33, 187 (2008).
    """
    digests = b"".join([hashlib.blake2b(formula.encode(), digest_size=16).digest() for formula in formulas])
    words = np.frombuffer(digests, dtype="<u8").reshape(-1, 2)
    steps = np.arange(hashes, dtype=np.uint64)
    return ((words[:, :1] + steps * (words[:, 1:] | np.uint64(1))) % np.uint64(size)).astype(np.int64)


def _write(path: Path, content: bytes) -> None:
    temporary = path.with_name(path.name + ".part")
    temporary.write_bytes(content)
    temporary.replace(path)
