"""Look into a run directory without becoming its writer, and without loading a model."""

from __future__ import annotations

from pathlib import Path

from aldesign.campaign.journal import FILE_NAME, Journal
from aldesign.campaign.source import Source
from aldesign.campaign.spec import CampaignSpec, validate
from aldesign.campaign.state import CampaignState, fold
from aldesign.errors import RunDirectoryError


def spec_of(state: CampaignState, directory: Path) -> CampaignSpec:
    """Return the definition that a journal recorded. Raises RunDirectoryError where it has none."""
    if not state.created:
        raise RunDirectoryError(
            f"{directory} was interrupted before its first event", "remove the directory and begin again"
        )
    source = Source.of(dict(state.created["spec"]), str(directory / FILE_NAME))
    return validate(source)


def read_state(directory: Path) -> tuple[CampaignState, CampaignSpec]:
    """Return what a run directory knows, without becoming its writer.

    Raises:
        RunDirectoryError: No run directory, or one of another format.
    """
    with Journal(directory) as journal:
        state = fold(journal.events())
    return state, spec_of(state, directory)
