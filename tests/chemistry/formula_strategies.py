"""Hypothesis strategies of formulas, shared by the tests of this folder."""

from __future__ import annotations

import random

from hypothesis import strategies as st

from aldesign.chemistry.elements import ALPHABET, SYMBOLS

# pymatgen warns where it knows no electronegativity; what follows He, Ne and Ar is tested by name.
COMMON = tuple(symbol for symbol in SYMBOLS[1:104] if symbol not in ("He", "Ne", "Ar"))


def counted(max_elements: int = 6, max_count: int = 20, symbols: tuple[str, ...] = COMMON):
    """Symbols with counts, each symbol once."""
    return st.dictionaries(st.sampled_from(symbols), st.integers(1, max_count), min_size=1, max_size=max_elements)


def spelled(atoms: dict[str, float]) -> str:
    return "".join(f"{symbol}{amount}" for symbol, amount in atoms.items())


formulas = counted().map(spelled)
one_hot_formulas = counted(symbols=ALPHABET).map(spelled)


@st.composite
def nested(draw: st.DrawFn, depth: int = 2) -> str:
    """Formulas with brackets inside brackets."""
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        if depth and draw(st.booleans()):
            parts.append(f"({draw(nested(depth - 1))})")
        else:
            parts.append(draw(st.sampled_from(COMMON)))
        parts.append(draw(st.sampled_from(["", "2", "3", "12", "0.5", "1.25"])))
    return "".join(parts)


def random_formulas(n: int, seed: int, max_elements: int = 7, max_count: int = 20) -> list[str]:
    """Formulas of distinct elements H to Lr with counts, all drawn evenly."""
    rng = random.Random(seed)
    drawn = [rng.sample(SYMBOLS[1:104], rng.randint(1, max_elements)) for _ in range(n)]
    return ["".join(f"{symbol}{rng.randint(1, max_count)}" for symbol in symbols) for symbols in drawn]
