"""What a run keeps in its own directory, so that a copy of the directory goes on elsewhere."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aldesign.campaign.spec import CampaignSpec, path_places

MODELS = "models"
_LEFT = ("data", "structures")  # the first are in the journal, the second may be large
_SHARED = ("store", "templates")  # of an oracle: what other campaigns also read and write, and again what may be large


def adopt(spec: CampaignSpec, directory: Path) -> CampaignSpec:
    """Copy the models and the oracle's table that a campaign names into its run directory.

    Templates stay where they are, for they may be large; their digest is checked on resuming.

    Returns:
        The definition with paths relative to the run directory.
    """
    content = spec.model_dump(mode="json")
    for place, section, key in _kept(content):
        source = Path(section[key])
        kept = Path(MODELS, *place, source.name)
        target = directory / kept
        # A run that was killed before its first event begins again from what it has copied already.
        if not (target.exists() and target.samefile(source)):
            _copy(source, target)
        section[key] = str(kept)
    return CampaignSpec.model_validate(content)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("checkpoint"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def located(spec: CampaignSpec, directory: Path) -> CampaignSpec:
    """Return the definition with the paths of its belongings made absolute again."""
    content = spec.model_dump(mode="json")
    for _, section, key in _kept(content):
        section[key] = str(directory.resolve() / section[key])
    return CampaignSpec.model_validate(content)


def _kept(content: dict[str, Any]) -> Iterator[tuple[tuple[str, ...], dict[str, Any], str]]:
    return (found for found in path_places(content) if found[0][0] not in _LEFT and found[2] not in _SHARED)
