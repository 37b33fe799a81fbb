"""Small crystals, and a toy in the place of GPAW for what does not depend on which code computes."""

from __future__ import annotations

import os
import runpy
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from aldesign.dft import codes, jobs, setups
from aldesign.dft.settings import Settings
from aldesign.records import Crystal

TOY = Path(__file__).parent / "toy_code"
TINY = Settings.of("fast", cutoff_ev=200, kpoint_density=0.5, band_density=0.5)
"""Settings with which lithium hydride takes a second."""
needs_gpaw = pytest.mark.skipif(setups.missing() is not None, reason="GPAW is not installed: `make dft`")


def rocksalt(first: str, second: str, edge: float, name: str = "") -> Crystal:
    """Return the primitive cell of rock salt with the conventional edge in Å."""
    a = edge / 2**0.5
    frac = np.array([[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])
    return Crystal(name or first + second, (a, a, a, 60.0, 60.0, 60.0), (first, second), frac)


def record(crystal: Crystal) -> dict[str, object]:
    """Return a crystal as it stands in a line of JSON."""
    return {
        "id": crystal.id,
        "lattice": list(crystal.lattice),
        "species": list(crystal.species),
        "frac": crystal.frac.tolist(),
    }


def hurry(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    """Let time stand still for limits until a calculation below `folder` has written a file `name`, and then be over.

    A busy machine cannot make a test fail then, and an idle one need not wait.
    """

    def clock() -> float:
        return 1e6 if any(path.stat().st_size for path in folder.rglob(name)) else 0.0

    monkeypatch.setattr(jobs, "time", SimpleNamespace(monotonic=clock, sleep=time.sleep))


class ToyCode:
    """The toy, switched on; crystals whose id begins with a misbehaviour's name and a hyphen misbehave."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._log, self._patch = folder / "toy.log", monkeypatch
        monkeypatch.setattr(codes, "code", codes.code)  # so that it comes back
        path = os.pathsep.join([str(TOY), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        monkeypatch.setenv("PYTHONPATH", path)
        monkeypatch.setenv("ALDESIGN_TOY_CODE", "here")
        monkeypatch.setenv("ALDESIGN_TOY_LOG", str(self._log))
        runpy.run_path(str(TOY / "sitecustomize.py"))

    def paid(self) -> list[str]:
        """Return the ids of the crystals that were computed, in order."""
        return self._log.read_text().split() if self._log.exists() else []

    def take(self, seconds: float) -> None:
        """Let every calculation take so long."""
        self._patch.setenv("ALDESIGN_TOY_SECONDS", str(seconds))

    def go(self, reason: str = "GPAW is not installed; do this") -> None:
        """Let the code be missing."""
        self._patch.setenv("ALDESIGN_TOY_CODE", reason)
