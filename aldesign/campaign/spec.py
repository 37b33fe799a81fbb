"""A campaign's definition: the YAML, validated once at the edge."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from aldesign.campaign.source import Place, Source
from aldesign.errors import SpecError

ScreenEntry = str | dict[str, Any]


class Section(BaseModel):
    """A part of the campaign file; frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TargetSpec(Section):
    """What is looked for: the largest gap, the smallest, or one within a window (eV)."""

    property: Literal["band_gap"] = "band_gap"
    maximize: bool = False
    minimize: bool = False
    window: tuple[float, float] | None = None

    @model_validator(mode="after")
    def _one_goal(self) -> TargetSpec:
        if (self.maximize, self.minimize, self.window is not None).count(True) != 1:
            raise ValueError("give exactly one of maximize: true, minimize: true, window: [low, high]")
        if self.window is not None and not 0 <= self.window[0] < self.window[1]:
            raise ValueError(f"window must be [low, high] in eV with 0 <= low < high, not {list(self.window)}")
        return self


class SpaceSpec(Section):
    """Which formulas are allowed at all."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    n_elements: tuple[int, int] = (2, 5)
    max_count: int = Field(20, ge=1, le=20)
    max_atoms: int = Field(40, ge=2)

    @model_validator(mode="after")
    def _ordered(self) -> SpaceSpec:
        if not 1 <= self.n_elements[0] <= self.n_elements[1]:
            raise ValueError(f"n_elements must be [low, high] with 1 <= low <= high, not {list(self.n_elements)}")
        return self


class DataSpec(Section):
    """Where the first rows come from."""

    source: Literal["builtin", "table", "mp", "matbench"] = "builtin"
    path: str | None = None
    formula_column: str | None = None
    value_column: str | None = None
    level: str = "PBE"
    limit: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _path_given(self) -> DataSpec:
        if self.source != "builtin" and self.path is None:
            made = {"mp": "`aldesign data mp`", "matbench": "`aldesign data matbench`"}.get(self.source, "you")
            raise ValueError(f"source: {self.source} needs path: the file or folder written by {made}")
        if self.source == "builtin" and self.path is not None:
            raise ValueError("source: builtin reads no path; give source: table (or mp, matbench) with it")
        return self


class EncoderSpec(Section):
    """The map between formulas and the latent space; `path` is None for the shipped weights."""

    kind: Literal["autoencoder"] = "autoencoder"
    path: str | None = None


class SurrogateSpec(Section):
    """The model of the gap that learns during the campaign."""

    kind: Literal["gp"] = "gp"
    features: Literal["latent"] = "latent"
    max_observations: int = Field(4000, ge=10)


class AcquisitionSpec(Section):
    """How much uncertainty is worth: score = mean + kappa * std.

    The latent search starts from the `starts` best materials, stays within `trust` times the latent range of each
    and moves a share `free` of the coordinates; `proposals` points are decoded per round of an iteration, and
    `trust` grows from round to round while the batch is not full.
    """

    kind: Literal["ucb"] = "ucb"
    kappa: float = Field(10.0, ge=0)
    starts: int = Field(30, ge=1)
    proposals: int = Field(64, ge=1)
    trust: float = Field(0.3, gt=0, le=1)
    free: float = Field(0.5, gt=0, le=1)


class GeneratorSpec(Section):
    """The generator: of `samples` draws of allowed elements, the best-scored fill its share of the pool.

    `path` is None for the shipped weights.
    """

    kind: Literal["gan"] = "gan"
    path: str | None = None
    fraction: float = Field(0.5, ge=0, lt=1)
    samples: int = Field(1024, ge=1)


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


class StructuresSpec(Section):
    """How formulas become crystals at the end."""

    templates: str = "aflow"
    max_emd: float = Field(10.0, gt=0)
    max_sites: int = Field(40, ge=1)
    tries: int = Field(20, ge=1)
    relax: Literal["chgnet", "none"] = "chgnet"
    steps: int = Field(100, ge=1)


class RangeSpec(Section):
    """A range with optional ends."""

    min: float | None = None
    max: float | None = None


class ShortlistSpec(Section):
    """How many candidates are exported, and the formation energy (eV/atom) they must have.

    At most `consider` of the best measured formulas are given structures.
    """

    size: int = Field(20, ge=1)
    consider: int | None = Field(None, ge=1)
    formation_energy_per_atom: RangeSpec | None = RangeSpec(max=0.0)


class StopSpec(Section):
    """When to stop; the first rule that holds ends the campaign.

    Attributes:
        iterations: Closed iterations.
        budget: Oracle answers paid for, seed rows not counted.
        target: Best gap reached, in eV.
        patience: Iterations in a row without a better material.
        hours: Wall time of all iterations together.
    """

    iterations: int | None = Field(None, ge=1)
    budget: int | None = Field(None, ge=1)
    target: float | None = None
    patience: int | None = Field(None, ge=1)
    hours: float | None = Field(None, gt=0)

    @model_validator(mode="after")
    def _ends(self) -> StopSpec:
        if self.iterations is None and self.budget is None and self.hours is None:
            raise ValueError("a campaign must end: give at least one of iterations, budget, hours")
        return self


class ExecutionSpec(Section):
    """Where oracles run."""

    kind: Literal["serial", "processes", "dask"] = "serial"
    workers: int | Literal["auto"] = "auto"
    address: str | None = None


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


_PATHS: tuple[tuple[str, ...], ...] = (
    ("data", "path"),
    ("encoder", "path"),
    ("generator", "path"),
    ("oracle", "model"),
    ("oracle", "options", "path"),
    ("structures", "templates"),
)
_WORDS: dict[tuple[str, ...], str] = {
    ("structures", "templates"): "aflow",
    ("member", "model"): "shipped",
}  # stand for no path


def path_places(content: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], dict[str, Any], str]]:
    """Yield where a campaign's content holds paths: the place's name, the mapping that holds it, and its key there.

    The members of an ensemble, and of ensembles among them, are ``("oracle", "0")`` and so on.
    """
    for place in _PATHS:
        section = _inner(content, place[:-1])
        if _is_path(section.get(place[-1]), place):
            yield place[:1], section, place[-1]
    for section in (_inner(content, ("oracle",)), _inner(content, ("oracle", "options"))):
        yield from _member_places(section, ("oracle",))


def _member_places(
    section: dict[str, Any], place: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], dict[str, Any], str]]:
    members = section.get("members")
    for number, member in enumerate(members if isinstance(members, list | tuple) else ()):
        if isinstance(member, dict):
            here = (*place, str(number))
            for key in ("model", "path"):
                if _is_path(member.get(key), ("member", key)):
                    yield here, member, key
            yield from _member_places(member, here)


def _inner(content: dict[str, Any], place: tuple[str, ...]) -> dict[str, Any]:
    section: Any = content
    for key in place:
        section = section.get(key) if isinstance(section, dict) else None
    return section if isinstance(section, dict) else {}


def _is_path(value: object, place: tuple[str, ...]) -> bool:
    return isinstance(value, str) and value != _WORDS.get(place)


def read_spec(path: Path, assignments: tuple[str, ...] = ()) -> CampaignSpec:
    """Return the validated campaign of a YAML file.

    Args:
        path: The file; relative paths in it are relative to its folder.
        assignments: ``a.b=value`` texts that replace values of the file; their paths are relative to the
            working directory.

    Raises:
        SpecError: Names file and line, what was got and what is allowed.
    """
    source = Source.read(path)
    _make_absolute(source.content, path.resolve().parent)
    source.override(assignments)
    source.expand()
    _make_absolute(source.content, Path.cwd())
    return validate(source)


def validate(source: Source) -> CampaignSpec:
    """Return the campaign that `source` defines, or raise SpecError naming each fault and its line."""
    try:
        return CampaignSpec.model_validate(source.content)
    except ValidationError as error:
        faults = [_fault(source, dict(item)) for item in error.errors()]
        raise SpecError("\n".join(fault for fault, _ in faults), next((h for _, h in faults if h), "")) from None


def _make_absolute(content: dict[str, Any], base: Path) -> None:
    for _, section, key in path_places(content):
        if not section[key].startswith("${"):
            section[key] = str(base / Path(section[key]).expanduser())
    for entry in content.get("screens") or ():
        novelty = entry.get("novelty") if isinstance(entry, dict) else None
        if isinstance(novelty, dict) and "known" in novelty:
            known = novelty["known"]
            lists = known if isinstance(known, list) else [known]
            found = [
                str(base / Path(item).expanduser())
                if isinstance(item, str) and item != "builtin" and not item.startswith("${")
                else item
                for item in lists
            ]
            novelty["known"] = found if isinstance(known, list) else found[0]


def _fault(source: Source, item: dict[str, Any]) -> tuple[str, str]:
    place: Place = tuple(part for part in item["loc"] if not (isinstance(part, str) and "[" in part))
    where, dotted = source.where(place), ".".join(map(str, place)) or "campaign"
    if item["type"] == "extra_forbidden":
        allowed = _allowed(place[:-1])
        near = get_close_matches(str(place[-1]), allowed, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]!r}? " if near else ""
        return f"{where}: unknown key {place[-1]!r}", f"{meant}allowed here: {', '.join(allowed)}"
    if item["type"] == "missing":
        return f"{where}: {dotted!r} is missing", f"add {dotted}; see the YAML reference in the README"
    got = item.get("input")
    shown = f", got {got!r}" if not isinstance(got, dict) else ""
    return f"{where}: {dotted}: {item['msg'].removeprefix('Value error, ')}{shown}", ""


def _allowed(place: Place) -> list[str]:
    model: Any = CampaignSpec
    for key in place:
        field = getattr(model, "model_fields", {}).get(key)
        if field is None:
            return []
        choices = [field.annotation, *getattr(field.annotation, "__args__", ())]
        model = next((c for c in choices if isinstance(c, type) and issubclass(c, BaseModel)), None)
    return list(getattr(model, "model_fields", {}))
