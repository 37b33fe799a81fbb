"""The generated formulas that are screened, and which of them a model selects."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from aldesign.chemistry.formula import Compositions, compositions
from aldesign.chemistry.neutrality import Options, valid_mask
from aldesign.errors import InputError
from aldesign.predict import ask
from aldesign.protocols import Oracle
from aldesign.records import Candidate
from aldesign.reproduce.paper import (
    CANDIDATE_ATOMS,
    CANDIDATE_ELEMENTS,
    CANDIDATE_EV,
    POOL_ATOMS,
    POOL_COUNT,
    POOL_ELEMENTS,
)
from aldesign.seeds import stream

DRAW = 20_000
_BARREN = 50  # draws in a row without a new formula, after which there are no more
# An alloy has no gap: the rule that accepts metals without balanced charges is left out.
_RULES = Options(include_alloys=False)


def generate_pool(n: int, seed: int, progress: Callable[[str], None] | None = None) -> list[str]:
    """Return n distinct formulas of the shipped generator that pass the paper's filters.

    At most 20 atoms, 5 elements and 7 atoms of one element; charge-neutral with balanced electronegativities.

    Raises:
        InputError: The generator has no more new ones.

    """
    from aldesign.models.gan import FormulaGAN

    generator = FormulaGAN.load()
    found: dict[str, None] = {}
    draw, barren = 0, 0
    while len(found) < n:
        drawn = generator.sample(min(DRAW, 64 + 4 * n), stream(seed, draw, "pool"), max_elements=POOL_ELEMENTS)
        before = len(found)
        kept = in_pool(compositions(drawn))
        found.update(dict.fromkeys(formula for formula, good in zip(drawn, kept, strict=True) if good))
        draw, barren = draw + 1, 0 if len(found) > before else barren + 1
        if barren == _BARREN:
            raise InputError(
                f"the generator made {len(found)} different formulas for the pool, not {n}", "ask for fewer"
            )
        if progress:
            progress(f"formulas {min(len(found), n)}/{n}")
    return list(found)[:n]


def in_pool(given: Compositions) -> np.ndarray:
    """Return which of n compositions pass the paper's filters, bool (n,)."""
    small = (given.n_atoms() <= POOL_ATOMS) & (given.n_elements() <= POOL_ELEMENTS)
    small &= given.amounts.max(axis=1, initial=0) <= POOL_COUNT
    kept = np.flatnonzero(small)
    small[kept] = valid_mask(given[kept], _RULES)
    return np.asarray(small)


def eligible(formulas: Sequence[str]) -> list[str]:
    """Return the formulas that are small enough to be candidates, whatever their gap."""
    given = compositions(formulas)
    small = (given.n_atoms() < CANDIDATE_ATOMS) & (given.n_elements() < CANDIDATE_ELEMENTS)
    return [formula for formula, good in zip(formulas, small, strict=True) if good]


def select(oracle: Oracle, formulas: Sequence[str]) -> list[str]:
    """Return the formulas whose predicted gap makes them candidates; one that cannot be predicted is none."""
    answers = ask(oracle, [Candidate(formula) for formula in formulas])
    return [f for f, a in zip(formulas, answers, strict=True) if a.value is not None and a.value >= CANDIDATE_EV]


@dataclass(frozen=True)
class Recovery:
    """How a screening model's selection compares with the oracle's.

    Attributes:
        candidates: Formulas that the model selects.
        recovered: Those of them that the oracle selects too.
        false_positives: Those that it does not.
        recovery: Share of the oracle's candidates that are recovered; None where it has none.
        precision: Share of the model's candidates that the oracle selects too; None where there are none.

    """

    candidates: int
    recovered: int
    false_positives: int
    recovery: float | None
    precision: float | None

    @classmethod
    def of(cls, selected: Collection[str], wanted: Collection[str]) -> Recovery:
        """Return the comparison of what a model selected with what the oracle did."""
        chosen, right = set(selected), set(wanted)
        both = len(chosen & right)
        recovery = round(both / len(right), 6) if right else None
        precision = round(both / len(chosen), 6) if chosen else None
        return cls(len(chosen), both, len(chosen) - both, recovery, precision)

    def record(self) -> dict[str, int | float | None]:
        """Return it for JSON."""
        return asdict(self)


def recovered_of_new(selected: Collection[str], wanted: Collection[str], labelled: Collection[str]) -> dict[str, Any]:
    """Return how many of the oracle's candidates the sample labels, and how many of the others are recovered.

    Where the sample's labels are the oracle's own answers, a labelled candidate is looked up rather than found.
    """
    new = set(wanted) - set(labelled)
    found = Recovery.of(set(selected) - set(labelled), new)
    return {
        "labelled_candidates": len(set(wanted)) - len(new),
        "new_candidates": len(new),
        "new_recovered": found.recovered,
        "new_recovery": found.recovery,
    }
