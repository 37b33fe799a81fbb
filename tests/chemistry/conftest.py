"""Peers that need help to be imported."""

from __future__ import annotations

import sys
import types
import warnings
from typing import Any

import pytest


@pytest.fixture(scope="session")
def elmd() -> Any:
    """The class ElMD of the package ElMD, which names pkg_resources without using it."""
    absent = "pkg_resources" not in sys.modules
    if absent:
        sys.modules["pkg_resources"] = types.ModuleType("pkg_resources")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            package = pytest.importorskip("ElMD")
    finally:
        if absent:
            del sys.modules["pkg_resources"]
    return package.ElMD
