"""The section about where work is done."""

from __future__ import annotations

from typing import Literal

from aldesign.campaign.spec.sections import Section


class ExecutionSpec(Section):
    """Where oracles run."""

    kind: Literal["serial", "processes", "dask"] = "serial"
    workers: int | Literal["auto"] = "auto"
    address: str | None = None
