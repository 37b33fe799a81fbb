"""The sections about the end of a campaign: crystals, and which candidates are exported."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from aldesign.campaign.spec.scores import ScoreSpec
from aldesign.campaign.spec.sections import Section


class StructuresSpec(Section):
    """How formulas become crystals at the end.

    Of `tries` near templates the `candidates` that promise most are made and relaxed; energy and likelihood choose
    one. `hull` names the source of known phases that energies above hull are counted from: a folder of
    ``aldesign data mp``, or a table of formulas and formation energies. With `screen` a formula that no template fits
    is rejected before an oracle is paid, as it always is where the oracle needs a crystal.
    """

    templates: str = "aflow"
    max_emd: float = Field(30.0, gt=0)
    max_sites: int = Field(40, ge=1)
    tries: int = Field(20, ge=1)
    candidates: int = Field(3, ge=1)
    hull: str | None = None
    screen: bool = False
    relax: Literal["chgnet", "none"] = "chgnet"
    steps: int = Field(100, ge=1)


class RangeSpec(Section):
    """A range with optional ends."""

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _ordered(self) -> RangeSpec:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"nothing is at least {self.min:g} and at most {self.max:g}")
        return self


class ShortlistSpec(Section):
    """How many candidates are exported, and the formation energy and energy above hull (eV/atom) they must have.

    At most `consider` of the best measured formulas are given structures, the best gap first, until `size` of them are
    accepted: who is accepted never depends on the score. Those accepted are listed by their `order`: the best ``gap``
    first, or the highest ``score``. `pareto` names what the exported Pareto fronts weigh against each other:
    stability is the energy above hull where every accepted candidate has one, else the formation energy.
    """

    size: int = Field(20, ge=1)
    consider: int | None = Field(None, ge=1)
    formation_energy_per_atom: RangeSpec | None = RangeSpec(max=0.0)
    e_above_hull: RangeSpec | None = None
    order: Literal["gap", "score"] = "gap"
    pareto: tuple[Literal["gap", "stability", "uncertainty", "cost"], ...] = Field(("gap", "stability"), min_length=2)
    score: ScoreSpec = ScoreSpec()

    @field_validator("pareto")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) < len(value):
            raise ValueError(f"each goal once, not {list(value)}")
        return value
