"""Look into a run directory without becoming its writer, and without loading a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aldesign.campaign.belongings import located
from aldesign.campaign.journal import FILE_NAME, Journal
from aldesign.campaign.spec import CampaignSpec, validate
from aldesign.campaign.spec.source import Source
from aldesign.campaign.state import CampaignState, fold
from aldesign.errors import RunDirectoryError

SPEC_NAME = "campaign.yaml"


def spec_of(state: CampaignState, directory: Path) -> CampaignSpec:
    """Return the definition that a journal recorded, executed where the run's own file says now.

    Raises:
        RunDirectoryError: The journal has none.
        SpecError: The file is no YAML, or its section `execution` is not valid.
    """
    if not state.created:
        raise RunDirectoryError(
            f"{directory} was interrupted before its first event", "remove the directory and begin again"
        )
    # a run of an earlier version goes on as it began: without the sources of proposals that came later
    recorded = {"mutations": None, **dict(state.created["spec"]), **_execution(directory)}
    source = Source.of(recorded, str(directory / FILE_NAME))
    return located(validate(source), directory)


def _execution(directory: Path) -> dict[str, Any]:
    """Return the section that people may change in a run's file, so that it goes on elsewhere; the rest is fixed."""
    path = directory / SPEC_NAME
    content = Source.read(path).content if path.is_file() else {}
    return {"execution": content["execution"]} if "execution" in content else {}


def holds_events(directory: Path) -> bool:
    """Return whether the campaign of a run directory has begun."""
    try:
        with Journal(directory) as journal:
            return next(iter(journal.events()), None) is not None
    except RunDirectoryError:
        return (directory / FILE_NAME).is_file() and (directory / FILE_NAME).stat().st_size > 0


def read_state(directory: Path) -> tuple[CampaignState, CampaignSpec]:
    """Return what a run directory knows, without becoming its writer.

    Raises:
        RunDirectoryError: No run directory, or one of another format.
    """
    with Journal(directory) as journal:
        state = fold(journal.events())
    return state, spec_of(state, directory)
