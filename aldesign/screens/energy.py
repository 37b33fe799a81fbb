"""A formation energy, foreseen from the formula alone, that leaves hope of a stable compound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from aldesign.errors import SpecError
from aldesign.protocols import Oracle
from aldesign.records import Candidate, Prediction, Verdict
from aldesign.registry import load_oracle
from aldesign.screens.common import FormulaScreen, is_number

PROPERTY = "formation_energy_per_atom"
FORESEER = "stoichiometry_graph_eform"
"""The oracle that is asked where none is named."""
_DIGITS = 6


@dataclass(frozen=True)
class FormationEnergyScreen(FormulaScreen):
    """A foreseen formation energy of at most `max` eV/atom, give or take `sigmas` standard deviations.

    A compound with a positive one falls apart into its elements; a negative one is no promise, since compounds may
    share the elements out better among them.

    Attributes:
        max: Largest formation energy in eV/atom.
        sigmas: Standard deviations of the prediction by which it may lie above.
        oracle: Who foresees it; one of `aldesign list oracles` that needs the formula alone.

    """

    name: ClassVar[str] = "formation_energy"
    max: float = 0.0
    sigmas: float = 0.0
    oracle: str = FORESEER

    def __post_init__(self) -> None:
        if not is_number(self.max):
            raise SpecError(f"max is {self.max!r}", "give a formation energy in eV/atom")
        if not (is_number(self.sigmas) and self.sigmas >= 0):
            raise SpecError(f"sigmas is {self.sigmas!r}", "give a number of 0 or more")
        if not isinstance(self.oracle, str):
            raise SpecError(f"oracle is {self.oracle!r}", "give the name of one; see `aldesign list oracles`")
        card = _load(self.oracle).card
        if card.property != PROPERTY or card.needs != "formula" or card.answers != "predict":
            raise SpecError(
                f"oracle {self.oracle!r} predicts {card.property} of a {card.needs}",
                "name one that foresees the formation energy from the formula",
            )

    def judge(self, formulas: Sequence[str]) -> list[Verdict]:
        """Return one verdict per canonical formula; one without a prediction fails with the oracle's reason."""
        answers = _load(self.oracle).predict([Candidate(formula) for formula in formulas])
        return [self._of(answer) for answer in answers]

    def _of(self, answer: Prediction) -> Verdict:
        if answer.value is None:
            return self.verdict(False, f"no formation energy can be foreseen: {answer.error}", oracle=self.oracle)
        # the last digits of a network's answer depend on who else was asked
        value, std = round(answer.value, _DIGITS), round(answer.std or 0.0, _DIGITS)
        passed = value - self.sigmas * std <= self.max
        where = "within" if passed else "above"
        reason = f"foreseen formation energy {value:.3f} ± {std:.3f} eV/atom, {where} {self.max:g}"
        reason += f" + {self.sigmas:g} std" if self.sigmas else ""
        return self.verdict(bool(passed), reason, value=value, std=std, oracle=self.oracle)


@lru_cache(maxsize=4)
def _load(name: str) -> Oracle:
    return load_oracle(name)
