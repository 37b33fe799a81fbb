"""A whole campaign's definition."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import yaml
from pydantic import Field, model_validator

from aldesign.campaign.spec.crystals import ShortlistSpec, StructuresSpec
from aldesign.campaign.spec.places import ExecutionSpec
from aldesign.campaign.spec.sections import (
    AcquisitionSpec,
    DataSpec,
    EncoderSpec,
    GeneratorSpec,
    MutationSpec,
    OracleSpec,
    Section,
    SpaceSpec,
    StopSpec,
    SurrogateSpec,
    TargetSpec,
)

ScreenEntry = str | dict[str, Any]


MOST = 0.95
"""Share of the pool that generator and mutations may fill together."""


class CampaignSpec(Section):
    """A whole campaign. `base` is the folder that relative paths were resolved against."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    description: str = ""
    seed: int = Field(0, ge=0)
    target: TargetSpec
    space: SpaceSpec = SpaceSpec()
    data: DataSpec = DataSpec()
    encoder: EncoderSpec = EncoderSpec()
    surrogate: SurrogateSpec = SurrogateSpec()
    acquisition: AcquisitionSpec = AcquisitionSpec()
    generator: GeneratorSpec | None = GeneratorSpec()
    mutations: MutationSpec | None = MutationSpec()
    screens: tuple[ScreenEntry, ...] = ("duplicate", "elements", "neutrality", "electronegativity", "novelty")
    oracle: OracleSpec = OracleSpec()
    structures: StructuresSpec = StructuresSpec()
    shortlist: ShortlistSpec = ShortlistSpec()
    batch_size: int = Field(20, ge=1)
    stop: StopSpec
    execution: ExecutionSpec = ExecutionSpec()

    @model_validator(mode="after")
    def _consistent(self) -> CampaignSpec:
        if self.stop.target is not None and self.target.window is not None:
            raise ValueError("stop.target is a gap to reach; a window has none: use budget or patience")
        kind, window = self.acquisition.kind, self.target.window
        if (kind == "ehvi") != (self.target.also is not None):
            raise ValueError("acquisition.kind ehvi and target.also belong together: give both, or neither")
        if kind == "ehvi" and window is not None:
            raise ValueError("ehvi weighs a largest or smallest gap against a second property, not a window")
        if kind == "probability" and (self.acquisition.threshold is None) == (window is None):
            raise ValueError("acquisition.kind probability needs either acquisition.threshold in eV or a window")
        if self.acquisition.threshold is not None and (kind not in ("probability", "ucb") or window is not None):
            raise ValueError(f"acquisition.threshold is for ucb or probability, and for no window; kind is {kind}")
        if sum(part.fraction for part in (self.generator, self.mutations) if part is not None) > MOST:
            raise ValueError(
                f"generator.fraction and mutations.fraction must leave {1 - MOST:.0%} to the latent search"
            )
        if self.shortlist.score.gap.goal is not None and window is not None:
            raise ValueError("shortlist.score.gap.goal is a gap to reach; a window has none: its own chance counts")
        if self.shortlist.e_above_hull is not None and self.structures.hull is None:
            raise ValueError("shortlist.e_above_hull needs structures.hull: the source of known phases")
        try:
            json.dumps([self.oracle.options, self.screens], allow_nan=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"options of oracle and screens must be plain finite values: {error}") from None
        return self

    def digest(self) -> str:
        """Return a short hash of all that decides the campaign's course (not of where it is executed)."""
        fixed = self.model_dump(mode="json", exclude={"execution", "stop"})
        return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()[:16]

    def to_yaml(self) -> str:
        """Return the definition with every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
