"""Which crystals are computed with both spins, and the moments they start from.

Whether a shell is open is read off the oxidation states that chemistry allows: TiO2 holds d⁰ and is computed with one
spin, Ti2O3 holds d¹ and is not. Moments all point the same way at the start (ferromagnetic): of the orders that a
primitive cell can hold this is the one that needs no guess. Crystals whose ground state is antiferromagnetic come out
too high in energy, by some 0.1 eV per magnetic atom in 3d oxides, and with too small a gap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Literal

import numpy as np

from aldesign.chemistry.elements import NUMBER
from aldesign.chemistry.formula import canonical
from aldesign.chemistry.neutrality import Options, assess
from aldesign.records import Crystal

_METAL_MB = {"Cr": 2.0, "Mn": 3.0, "Fe": 2.5, "Co": 1.7, "Ni": 0.8}
"""Where no charges balance: elements and alloys. Close to the moments of the elements, from above."""
_SHELLS: dict[str, tuple[int, int, Literal["high", "low", "f"]]] = {
    **{symbol: (NUMBER[symbol], 18, "high") for symbol in ("Ti", "V", "Cr", "Mn", "Fe", "Co", "Ni", "Cu")},
    **{symbol: (NUMBER[symbol], 36, "low") for symbol in ("Nb", "Mo", "Tc", "Ru", "Rh")},
    **{symbol: (NUMBER[symbol], 68, "low") for symbol in ("Ta", "W", "Re", "Os", "Ir")},
}
_LANTHANIDES = ("Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb")
_SHELLS.update({symbol: (NUMBER[symbol], 54, "f") for symbol in _LANTHANIDES})
_DIVALENT = frozenset({"Eu", "Yb"})
_VANISHED_MB = 0.05
_MIXED = Options(mixed_valence=True)


def starting_moments(crystal: Crystal, spin: str) -> np.ndarray | None:
    """Return the starting moment of each site, (n,) in μB, or None where one spin stands for both.

    Args:
        crystal: The cell.
        spin: ``auto`` polarises where a d or f shell is open in the likeliest oxidation states, in elements and
            alloys of Cr, Mn, Fe, Co, Ni and lanthanides, and in oxygen; ``none`` never; ``collinear`` always.
    """
    if spin == "none":
        return None
    counts = Counter(crystal.species)
    by_element = moments_mb(counts)
    moments = np.array([by_element[symbol] for symbol in crystal.species])
    if moments.any():
        return moments
    return np.ones(len(crystal)) if spin == "collinear" else None


def notes(moments: np.ndarray | None, magnetization: float) -> tuple[str, ...]:
    """Return what a reader should know of the moments of a finished calculation.

    Args:
        moments: What `starting_moments` gave.
        magnetization: The moment of the cell at the end, μB.
    """
    if moments is None:
        return ()
    if abs(magnetization) < _VANISHED_MB:
        return ("computed with both spins; the moments vanished",)
    if np.count_nonzero(moments) < 2:
        return ()
    return ("moments that point the same way; antiferromagnetic orders were not tried",)


def moments_mb(counts: Mapping[str, int]) -> dict[str, float]:
    """Return the starting moment in μB of an atom of each element of a compound, 0 for closed shells.

    Args:
        counts: Atoms by symbol.
    """
    if set(counts) == {"O"}:
        return {"O": 1.0}
    if not any(symbol in _SHELLS for symbol in counts):
        return dict.fromkeys(counts, 0.0)
    found = assess([canonical("".join(f"{symbol}{n}" for symbol, n in counts.items()))], _MIXED)[0]
    states = found.mixed_states or {symbol: (state,) for symbol, state in (found.oxidation_states or {}).items()}
    if len(counts) == 1 or not states:
        return {symbol: _metallic(symbol) for symbol in counts}
    return {symbol: max(unpaired(symbol, state) for state in states[symbol]) for symbol in counts}


def unpaired(symbol: str, state: int) -> float:
    """Return the number of unpaired d or f electrons of an ion: high spin in 3d and 4f, low spin in 4d and 5d."""
    if symbol not in _SHELLS:
        return 0.0
    number, core, kind = _SHELLS[symbol]
    n = number - core - state
    if kind == "f":
        return float(min(n, 14 - n)) if 0 < n < 14 else 0.0
    if kind == "high":
        return float(min(n, 10 - n)) if 0 < n < 10 else 0.0
    return float(min(n, 6 - n)) if 0 < n < 6 else 0.0


def _metallic(symbol: str) -> float:
    if symbol in _LANTHANIDES:
        return unpaired(symbol, 2 if symbol in _DIVALENT else 3)
    return _METAL_MB.get(symbol, 0.0)
