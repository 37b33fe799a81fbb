"""The YAML of a campaign, read and validated once at the edge."""

from __future__ import annotations

from difflib import get_close_matches
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from aldesign.campaign.spec.paths import path_places
from aldesign.campaign.spec.source import Place, Source
from aldesign.campaign.spec.whole import CampaignSpec
from aldesign.errors import SpecError


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
