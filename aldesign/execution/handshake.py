"""Make sure that all machines of a cluster have the same software, before anything is sent there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aldesign.errors import AldesignError

SHOWN = 3


def same_versions(client: Any, packages: Sequence[str]) -> None:
    """Compare the versions of `packages` and of Python in this process, at the scheduler and at the workers.

    Args:
        client: Of Dask, connected.
        packages: Names of distributions, as pip has them.

    Raises:
        AldesignError: Names places, and both versions.

    """
    told = client.get_versions(packages=list(packages))
    here = _versions(told["client"], packages)
    places = {
        "the scheduler": told["scheduler"],
        **{f"worker {where}": facts for where, facts in told["workers"].items()},
    }
    faults = [
        f"{place} has {'no ' + name if version is None else f'{name} {version}'}, this process {here[name]}"
        for place, facts in places.items()
        if facts is not None
        for name, version in _versions(facts, packages).items()
        if version != here[name]
    ]
    if faults:
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise AldesignError(
            "; ".join(faults[:SHOWN]) + more, "install the same versions on all machines of the cluster"
        )


def _versions(facts: Any, packages: Sequence[str]) -> dict[str, str | None]:
    python = ".".join(facts["host"]["python"].split(".")[:2])
    return {"Python": python, **{name: facts["packages"].get(name) for name in packages}}
