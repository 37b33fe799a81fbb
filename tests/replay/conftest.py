"""A small campaign whose learner is rehearsed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aldesign.campaign.spec import CampaignSpec, validate
from aldesign.campaign.spec.source import Source as Yaml

TEXT = "name: made\ntarget: {maximize: true}\nstop: {iterations: 3}\nshortlist: {size: 2, consider: 4}\n"


@pytest.fixture
def make_spec() -> Callable[..., CampaignSpec]:
    def make(*assignments: str) -> CampaignSpec:
        source = Yaml(TEXT, "made.yaml")
        source.override(assignments)
        return validate(source)

    return make
