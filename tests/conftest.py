"""Shared fixtures: the reference tables, where a machine has them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def reference_data() -> Path:
    folder = Path(os.environ.get("ALDESIGN_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no reference tables at {folder}: set ALDESIGN_DATA to their folder")
    return folder
