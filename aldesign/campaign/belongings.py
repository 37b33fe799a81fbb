"""What a run keeps in its own directory, so that a copy of the directory goes on elsewhere."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from aldesign.campaign.spec import CampaignSpec

MODELS = "models"
_KEPT = (("encoder", "path"), ("generator", "path"), ("oracle", "model"), ("oracle", "options", "path"))


def adopt(spec: CampaignSpec, directory: Path) -> CampaignSpec:
    """Copy the models and the oracle's table that a campaign names into its run directory.

    Templates stay where they are, for they may be large; their digest is checked on resuming.

    Returns:
        The definition with paths relative to the run directory.
    """
    content = spec.model_dump(mode="json")
    for place in _KEPT:
        section: Any = content
        for key in place[:-1]:
            section = (section or {}).get(key)
        source = (section or {}).get(place[-1])
        if not isinstance(source, str):
            continue
        kept = Path(MODELS) / place[0] / Path(source).name
        target = directory / kept
        # A run that was killed before its first event begins again from what it has copied already.
        if not (target.exists() and target.samefile(source)):
            _copy(Path(source), target)
        section[place[-1]] = str(kept)
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
    for place in _KEPT:
        section: Any = content
        for key in place[:-1]:
            section = (section or {}).get(key)
        kept = (section or {}).get(place[-1])
        if isinstance(kept, str):
            section[place[-1]] = str(directory.resolve() / kept)
    return CampaignSpec.model_validate(content)
