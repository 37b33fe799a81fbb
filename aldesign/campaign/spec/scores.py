"""The section that says how one number is made of a candidate's properties, so that a reader can make it again."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from aldesign.campaign.spec.sections import Section
from aldesign.chemistry.elements import CLASSES


class TermSpec(Section):
    """One property's part in the score: its desirability is 0 at `worst`, 1 at `best`, and linear between the two.

    A candidate without a value counts as the `worst`, or the term is left out of its mean (``neutral``). A term of
    weight 0 is left out of all.
    """

    weight: float = Field(1.0, ge=0)
    worst: float
    best: float
    missing: Literal["worst", "neutral"] = "neutral"

    @model_validator(mode="after")
    def _apart(self) -> TermSpec:
        if self.worst == self.best:
            raise ValueError(f"worst and best must differ, and both are {self.best:g}")
        return self


class CostTermSpec(TermSpec):
    """The elements' cost, in US dollars a kilogram; desirability is linear in its logarithm."""

    worst: float = Field(10000.0, gt=0)
    best: float = Field(10.0, gt=0)
    weight: float = Field(0.25, ge=0)


class GapTermSpec(Section):
    """The gap's part in the score.

    With a `goal` (eV), its desirability is the chance of a gap beyond it, the answer being normal with the oracle's
    std. For a window it is the chance of a gap inside. Otherwise it rises linearly over `limits` (eV), in the
    direction that the target wants. An answer without std counts as exact.
    """

    weight: float = Field(3.0, ge=0)
    goal: float | None = None
    limits: tuple[float, float] = (0.0, 10.0)

    @model_validator(mode="after")
    def _ordered(self) -> GapTermSpec:
        if not self.limits[0] < self.limits[1]:
            raise ValueError(f"limits must be [low, high] in eV with low < high, not {list(self.limits)}")
        return self


class HazardTermSpec(TermSpec):
    """Hazardous elements: how many of a formula's elements are in one of the `classes`."""

    classes: tuple[str, ...] = ("radioactive", "toxic")
    worst: float = 1.0
    best: float = 0.0
    weight: float = Field(0.5, ge=0)

    @field_validator("classes")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in CLASSES]
        if unknown:
            raise ValueError(f"{', '.join(unknown)} is no class of elements; classes: {', '.join(CLASSES)}")
        return value


class ScoreSpec(Section):
    """How the score of a candidate is made: the weighted geometric mean of desirabilities from 0 to 1.

    Derringer and Suich, J. Qual. Technol. 12, 214 (1980). No desirability counts as less than `least`, so that
    one bad property does not hide all others; with 0, any term at its worst makes the score 0, as in that paper.

    Attributes:
        least: The least desirability of a term.
        gap: The gap.
        e_above_hull: Energy above the hull of known phases, eV/atom.
        formation_energy: CHGNet's formation energy, eV/atom.
        disagreement: Difference of the two formation energies, eV/atom.
        emd: Distance of the formula to its template's, in places of the modified Pettifor scale.
        bond_valence: Global instability index of the crystal, in valence units: below 0.1 is usual for known crystals,
            above 0.2 strained (Salinas-Sanchez et al., J. Solid State Chem. 100, 201, 1992).
        uncertainty: The oracle's std of the gap, eV.
        cost: The elements' cost, US dollars a kilogram.
        hazard: Elements of hazardous classes.
        supply_risk: Herfindahl-Hirschman index of the elements' production.
    """

    least: float = Field(0.01, ge=0, lt=1)
    gap: GapTermSpec = GapTermSpec()
    e_above_hull: TermSpec = TermSpec(weight=2.0, worst=0.2, best=0.0)
    formation_energy: TermSpec = TermSpec(weight=1.0, worst=0.0, best=-1.0, missing="worst")
    disagreement: TermSpec = TermSpec(weight=0.5, worst=0.5, best=0.05)
    emd: TermSpec = TermSpec(weight=1.0, worst=30.0, best=0.0, missing="worst")
    bond_valence: TermSpec = TermSpec(weight=1.0, worst=0.6, best=0.1)
    uncertainty: TermSpec = TermSpec(weight=0.5, worst=1.5, best=0.1)
    cost: CostTermSpec = CostTermSpec()
    hazard: HazardTermSpec = HazardTermSpec()
    supply_risk: TermSpec = TermSpec(weight=0.0, worst=6000.0, best=1500.0)

    @model_validator(mode="before")
    @classmethod
    def _merged(cls, value: Any) -> Any:
        """Fill what a file leaves out of a term from the term's defaults, so that a weight alone can be given."""
        if not isinstance(value, dict):
            return value
        defaults = {name: cls.model_fields[name].default.model_dump() for name in value if name in TERMS}
        return {k: {**defaults[k], **v} if k in defaults and isinstance(v, dict) else v for k, v in value.items()}

    @model_validator(mode="after")
    def _weighs(self) -> ScoreSpec:
        if not self.gap.weight > 0 and not any(getattr(self, name).weight > 0 for name in TERMS[1:]):
            raise ValueError("a score needs a term with a weight above 0")
        return self


TERMS: tuple[str, ...] = tuple(name for name in ScoreSpec.model_fields if name != "least")
"""Names of the terms, in the order in which they are exported; the gap comes first."""
