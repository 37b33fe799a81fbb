"""Where GPAW's data sets lie, which elements have one, and what is missing for GPAW to run."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from aldesign.chemistry.elements import ALPHABET

INSTALL = (
    "on Debian: `apt-get install g++ libxc-dev libopenblas-dev`, then "
    '`CC=g++ pip install --constraint constraints.txt "aldesign[dft]"`; it brings the PAW data sets, too'
)
_DEBIAN = Path("/usr/share/gpaw-setups")


def missing() -> str | None:
    """Return what GPAW lacks to run and how to get it, or None."""
    if find_spec("gpaw") is None:
        return f"GPAW is not installed; {INSTALL}"
    if find_spec("_gpaw") is None:
        return f"GPAW's compiled part is missing; {INSTALL}"
    if not elements():
        looked = ", ".join(str(folder) for folder in _folders()) or "no folder"
        return (
            f"no PAW data set was found in {looked}; `pip install gpaw-data`, Debian's package gpaw-data, or name a "
            "folder of them in GPAW_SETUP_PATH"
        )
    return None


def elements(functional: str = "PBE") -> frozenset[str]:
    """Return the elements that have a data set made for a functional, ``PBE`` or ``GLLBSC``."""
    return frozenset(_files(tuple(_folders()), functional))


def lacking(symbols: Iterable[str]) -> list[str]:
    """Return the elements among `symbols` without a data set, in alphabetical order."""
    return sorted(set(symbols) - elements())


def fingerprint(symbol: str, functional: str = "PBE") -> str | None:
    """Return the MD5 sum of an element's data set, as GPAW writes it into its log, or None without one."""
    path = _files(tuple(_folders()), functional).get(symbol)
    return None if path is None else _md5(path)


def _folders() -> list[Path]:
    """Return the folders that GPAW looks into, the first one first."""
    named = [Path(text) for text in os.environ.get("GPAW_SETUP_PATH", "").split(os.pathsep) if text]
    package = find_spec("gpaw_data")
    shipped = [Path(place) / "setups" for place in (package.submodule_search_locations or ())] if package else []
    return [*named, *shipped] if shipped else [*named, _DEBIAN]


@cache
def _md5(path: Path) -> str:
    content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@cache
def _files(folders: tuple[Path, ...], functional: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in folders:
        for path in sorted(folder.glob(f"*.{functional}*")):
            parts = path.name.split(".")
            if parts[1:] in ([functional], [functional, "gz"]) and parts[0] in ALPHABET:
                found.setdefault(parts[0], path)
    return found
