"""Charge neutrality and electronegativity balance, the two halves of SMACT's validity."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from aldesign.chemistry.neutrality import Assessment, Options, assess
from aldesign.errors import SpecError
from aldesign.records import Verdict
from aldesign.screens.common import FormulaScreen


@dataclass(frozen=True)
class _ChargeScreen(FormulaScreen):
    """The two halves of SMACT's validity share options and assessment.

    Attributes:
        alloys: ``"reject"`` asks a formula of metals alone for balanced charges too; ``"accept"`` lets it pass,
            as SMACT does by default. An alloy has no gap, so that a campaign seldom wants one.
        oxidation_states: Table of states; this and the next two as in `aldesign.chemistry.neutrality.Options`.
        consensus: Reports that a state needs.
        commonality: Share of an element's reports that a state needs.

    """

    alloys: str = "reject"
    oxidation_states: str = "icsd24"
    consensus: int = 3
    commonality: str | float = "low"

    def __post_init__(self) -> None:
        if self.alloys not in ("accept", "reject"):
            raise SpecError(f"alloys is {self.alloys!r}", "allowed: accept, reject")
        if isinstance(self.consensus, bool) or not isinstance(self.consensus, int):
            raise SpecError(f"consensus is {self.consensus!r}", "give a whole number of 1 or more")
        self._options()

    def _options(self) -> Options:
        return Options(self.oxidation_states, self.consensus, self.commonality, self.alloys == "accept")

    def judge(self, formulas: Sequence[str]) -> list[Verdict]:
        """Return one verdict per canonical formula, with the oxidation states found or the nearest miss."""
        return [self._of(assessment) for assessment in assess(formulas, self._options())]

    @abstractmethod
    def _of(self, found: Assessment) -> Verdict: ...


class NeutralityScreen(_ChargeScreen):
    """Oxidation states that add up to zero."""

    name = "neutrality"

    def _of(self, found: Assessment) -> Verdict:
        if found.neutral or found.rule == "alloy":
            return self.verdict(True, found.reason, rule=found.rule, oxidation_states=found.oxidation_states)
        nearest = {} if found.nearest is None else {"nearest": found.nearest, "charge": found.charge}
        return self.verdict(False, found.reason, rule=found.rule, **nearest)


class ElectronegativityScreen(_ChargeScreen):
    """Neutral with all cations less electronegative than all anions; what is not neutral is not judged here."""

    name = "electronegativity"

    def _of(self, found: Assessment) -> Verdict:
        if found.valid or found.neutral:
            return self.verdict(found.valid, found.reason, rule=found.rule, oxidation_states=found.oxidation_states)
        return self.verdict(True, "not judged: there are no balanced charges to compare", rule=found.rule)
