"""The sections of a campaign's definition, each with its defaults and rules."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Section(BaseModel):
    """A part of the campaign file; frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SecondTargetSpec(Section):
    """A second property, wanted as low as possible: what the shipped (or `model`'s) `oracle` foresees of it.

    It is foreseen, not paid for: every candidate gets a value and an uncertainty before the batch is chosen.
    """

    property: Literal["formation_energy_per_atom"] = "formation_energy_per_atom"
    oracle: str = "stoichiometry_graph_eform"
    model: str | None = None


class TargetSpec(Section):
    """What is looked for: the largest gap, the smallest, or one within a window (eV); and perhaps a second property."""

    property: Literal["band_gap"] = "band_gap"
    maximize: bool = False
    minimize: bool = False
    window: tuple[float, float] | None = None
    also: SecondTargetSpec | None = None

    @model_validator(mode="after")
    def _one_goal(self) -> TargetSpec:
        if (self.maximize, self.minimize, self.window is not None).count(True) != 1:
            raise ValueError("give exactly one of maximize: true, minimize: true, window: [low, high]")
        if self.window is not None and not 0 <= self.window[0] < self.window[1]:
            raise ValueError(f"window must be [low, high] in eV with 0 <= low < high, not {list(self.window)}")
        return self


class SpaceSpec(Section):
    """Which formulas are allowed at all; of what is in `require`, a formula needs one element or more.

    `pool` is a file of formulas or crystals: candidates are chosen from it alone, and no formula is made. Where it has
    a formula's crystal, that is the crystal which an oracle sees.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    require: tuple[str, ...] = ()
    n_elements: tuple[int, int] = (2, 5)
    max_count: int = Field(20, ge=1, le=20)
    max_atoms: int = Field(40, ge=2)
    pool: str | None = None

    @model_validator(mode="after")
    def _ordered(self) -> SpaceSpec:
        if not 1 <= self.n_elements[0] <= self.n_elements[1]:
            raise ValueError(f"n_elements must be [low, high] with 1 <= low <= high, not {list(self.n_elements)}")
        return self


class DataSpec(Section):
    """Where the first rows come from.

    Those of a ``run`` are the candidates of a finished run or of a folder of ``aldesign export``, in its order, with
    its crystals: the campaign's oracle is asked what they really are.
    """

    source: Literal["builtin", "table", "mp", "matbench", "run"] = "builtin"
    path: str | None = None
    formula_column: str | None = None
    value_column: str | None = None
    level: str = "PBE"
    limit: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _path_given(self) -> DataSpec:
        if self.source != "builtin" and self.path is None:
            made = {
                "mp": "`aldesign data mp`",
                "matbench": "`aldesign data matbench`",
                "run": "`aldesign run` or `aldesign export`",
            }.get(self.source, "you")
            raise ValueError(f"source: {self.source} needs path: the file or folder written by {made}")
        if self.source == "builtin" and self.path is not None:
            raise ValueError("source: builtin reads no path; give source: table (or mp, matbench) with it")
        return self


class EncoderSpec(Section):
    """The map between formulas and the latent space; `path` is None for the shipped weights."""

    kind: Literal["autoencoder"] = "autoencoder"
    path: str | None = None


class SurrogateSpec(Section):
    """The model of the gap that learns during the campaign, and the features by which it knows a formula.

    `features` are ``latent``, the encoder's point, and installed descriptors; see ``aldesign list descriptors``.
    """

    kind: Literal["gp", "deep_kernel", "trees", "committee"] = "gp"
    features: tuple[str, ...] = Field(("composition", "formation_energy"), min_length=1)
    max_observations: int = Field(4000, ge=10)

    @field_validator("features", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class AcquisitionSpec(Section):
    """What an answer is worth before it is known, and how the latent space is searched for it.

    ``ucb`` is the mean plus `kappa` standard deviations (eight or more as long as no gap beyond `threshold`, in eV, is
    known), ``ei`` the expected improvement, ``thompson`` a draw from the posterior, ``probability`` the chance of a gap
    beyond `threshold` or inside the window, and ``ehvi`` the expected gain in hypervolume of gap and second property.
    ``random`` asks for all alike: the baseline that a search must beat.

    The latent search starts from the `starts` best materials, stays within `trust` times the latent range of each
    and moves a share `free` of the coordinates. Of `samples` points the `proposals` that promise most are kept per
    round of an iteration, and `trust` grows from round to round while the batch is not full. A point is read as the
    decoder's likeliest formula with balanced charges, if that is no more than `slack` nats less likely than its
    likeliest of all. No more than `per_system` formulas of the same elements are paid for in one batch, unless it
    would not be full.
    """

    kind: Literal["ucb", "ei", "thompson", "probability", "ehvi", "random"] = "ucb"
    kappa: float = Field(1.0, ge=0)
    threshold: float | None = None
    starts: int = Field(30, ge=1)
    samples: int = Field(512, ge=1)
    proposals: int = Field(100, ge=1)
    trust: float = Field(0.3, gt=0, le=1)
    free: float = Field(0.5, gt=0, le=1)
    slack: float = Field(10.0, ge=0)
    per_system: int = Field(2, ge=1)


class GeneratorSpec(Section):
    """The generator: of `samples` draws of allowed elements, the best-scored fill its share of the pool.

    `path` is None for the shipped weights.
    """

    kind: Literal["gan"] = "gan"
    path: str | None = None
    fraction: float = Field(0.3, ge=0, lt=1)
    samples: int = Field(1024, ge=1)


class MutationSpec(Section):
    """Small chemical changes of the `parents` best materials: of `samples`, the best-scored fill their share."""

    fraction: float = Field(0.3, ge=0, lt=1)
    parents: int = Field(50, ge=1)
    samples: int = Field(2048, ge=1)


class OracleSpec(Section):
    """Who is paid for gaps; `model` is a folder written by ``aldesign train``, None for shipped weights.

    The ``level`` of theory, and the ``members`` of an ensemble, may stand beside `kind`, or among the options.
    """

    kind: str = "random_forest"
    model: str | None = None
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _common_options(cls, value: Any) -> Any:
        beside = [key for key in ("level", "members") if isinstance(value, dict) and key in value]
        options = value.get("options") or {} if beside else None
        if not isinstance(options, dict) or any(key in options for key in beside):
            return value
        rest = {key: inner for key, inner in value.items() if key not in beside}
        return {**rest, "options": {**options, **{key: value[key] for key in beside}}}


class StopSpec(Section):
    """When to stop; the first rule that holds ends the campaign.

    Attributes:
        iterations: Closed iterations; with 0 the first rows are labelled, and nothing is proposed.
        budget: Oracle answers paid for, seed rows not counted.
        target: Best gap reached, in eV.
        patience: Iterations in a row without a better material.
        hours: Wall time of all iterations together.
    """

    iterations: int | None = Field(None, ge=0)
    budget: int | None = Field(None, ge=1)
    target: float | None = None
    patience: int | None = Field(None, ge=1)
    hours: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _ends(self) -> StopSpec:
        if self.iterations is None and self.budget is None and self.hours is None:
            raise ValueError("a campaign must end: give at least one of iterations, budget, hours")
        return self
