"""Campaign states made by hand: small, and known to the last number."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from aldesign.campaign.codec import trial_to_json
from aldesign.campaign.journal import Journal
from aldesign.campaign.spec import CampaignSpec, validate
from aldesign.campaign.spec.source import Source as Yaml
from aldesign.campaign.state import CampaignState, fold
from aldesign.records import Trial

TEXT = "name: made\ntarget: {maximize: true}\nstop: {iterations: 3}\nshortlist: {size: 2, consider: 4}\n"
SpecMaker = Callable[..., CampaignSpec]


@pytest.fixture
def make_spec() -> SpecMaker:
    def make(*assignments: str) -> CampaignSpec:
        source = Yaml(TEXT, "made.yaml")
        source.override(assignments)
        return validate(source)

    return make


@pytest.fixture
def make_state(tmp_path: Path) -> Callable[..., CampaignState]:
    """Return a function that journals iterations of trials and structure records, and folds them."""

    def make(
        iterations: Iterable[Iterable[Trial]],
        structures: Iterable[tuple[int, bool]] = (),
        seconds: float = 1.0,
    ) -> CampaignState:
        directory = tmp_path / "state"
        directory.mkdir()
        with Journal(directory, write=True, create=True) as journal:
            journal.append("created", {"spec": {}, "version": "0", "oracle": {}, "seed": {}, "digests": {}})
            for number, trials in enumerate(iterations):
                rows = [trial_to_json(trial) for trial in trials]
                stats = {"chosen": len(rows)}
                journal.append("proposed", {"iteration": number, "trials": rows, "stats": stats, "seconds": {}})
                journal.append("closed", {"iteration": number, "seconds": {"measure": seconds}})
            for trial, accepted in structures:
                reason = "" if accepted else "no template"
                journal.append("structured", {"trial": trial, "accepted": accepted, "reason": reason, "facts": {}})
            return fold(journal.events())

    return make
