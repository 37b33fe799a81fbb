"""Pseudopotentials in UPF, the format of Quantum ESPRESSO: what their headers say, and which one an element gets."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from aldesign.chemistry.elements import ALPHABET

_HEAD = 200_000  # bytes within which a header ends; what precedes it are notes
_KINDS = ("NC", "US", "PAW")  # the later one is taken where an element has several
_KIND = {"NC": "NC", "SL": "NC", "US": "US", "USPP": "US", "PAW": "PAW"}
_PBE = (["PBE"], ["SLA", "PW", "PBE", "PBE"], ["SLA", "PW", "PBX", "PBC"])
_ATTRIBUTE = re.compile(r"""(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
RYDBERG_EV = 13.605693122994  # CODATA 2018


@dataclass(frozen=True)
class Pseudopotential:
    """One file for one element.

    Attributes:
        path: The file.
        element: Its symbol.
        kind: ``NC`` norm-conserving, ``US`` ultrasoft, or ``PAW``.
        functional: Of the exchange and correlation, as ``PBE``.
        valence: Number of valence electrons.
        relativistic: ``no``, ``scalar``, or ``full`` with spin-orbit coupling.
        wave_cutoff_ev: Kinetic-energy cutoff that the file asks for, eV; 0 where it asks for none.
        density_cutoff_ev: The same of the density.

    """

    path: Path
    element: str
    kind: str
    functional: str
    valence: float
    relativistic: str
    wave_cutoff_ev: float = 0.0
    density_cutoff_ev: float = 0.0

    @property
    def digest(self) -> str:
        """Return the first 16 hexadecimal digits of the file's SHA-256."""
        return hashlib.sha256(self.path.read_bytes()).hexdigest()[:16]


def library(folder: Path) -> dict[str, Pseudopotential]:
    """Return the PBE pseudopotential of each element that has one in a folder.

    A file counts where its name begins with the element's symbol and ends in ``.upf``, its header names the same
    element and PBE, and it has no spin-orbit coupling. Of several, PAW comes before ultrasoft and norm-conserving
    ones, then the name that is last in the alphabet, which is the newer version in the usual naming.
    """
    return dict(_library(folder, folder.stat().st_mtime_ns)) if folder.is_dir() else {}


def read_header(path: Path) -> Pseudopotential | None:
    """Return what a UPF file's header says, of version 1 or 2; None where it has no readable header."""
    with path.open("rb") as file:
        text = file.read(_HEAD).decode("latin-1")
    start = text.find("<PP_HEADER")
    if start < 0:
        return None
    text = text[start + len("<PP_HEADER") :]
    try:
        return _lines(path, text) if text.startswith(">") else _attributes(path, text)
    except (KeyError, ValueError, IndexError):
        return None


def _attributes(path: Path, text: str) -> Pseudopotential:
    """Read version 2: an element of XML with attributes, as the standard on pseudopotentials.quantum-espresso.org."""
    found = {name: (one or other).strip() for name, one, other in _ATTRIBUTE.findall(text[: text.index("<PP_")])}
    return Pseudopotential(
        path=path,
        element=found["element"],
        kind=_KIND[found["pseudo_type"]],
        functional=_functional(found["functional"]),
        valence=_number(found["z_valence"]),
        relativistic=found.get("relativistic", "no"),
        wave_cutoff_ev=_number(found.get("wfc_cutoff", "0")) * RYDBERG_EV,
        density_cutoff_ev=_number(found.get("rho_cutoff", "0")) * RYDBERG_EV,
    )


def _lines(path: Path, text: str) -> Pseudopotential:
    """Read version 1: a line for each property, its value first."""
    line = text.splitlines()[1:]  # version, element, type, core correction, functional, valence, energy, cutoffs
    wave, density = line[7].split()[:2]
    return Pseudopotential(
        path=path,
        element=line[1].split()[0],
        kind=_KIND[line[2].split()[0]],
        functional=_functional(" ".join(line[4].split()[:4])),
        valence=_number(line[5].split()[0]),
        relativistic="full" if b"<PP_ADDINFO>" in path.read_bytes() else "scalar",  # near the end
        wave_cutoff_ev=_number(wave) * RYDBERG_EV,
        density_cutoff_ev=_number(density) * RYDBERG_EV,
    )


def _functional(text: str) -> str:
    """Return ``PBE`` for its parts, too, in either spelling: Slater, Perdew-Wang, and the two gradient corrections."""
    return "PBE" if re.split(r"[\s\-+]+", text.upper().strip()) in _PBE else text.strip()


def _number(text: str) -> float:
    return float(text.strip().replace("D", "E"))


@cache
def _library(folder: Path, _changed: int) -> dict[str, Pseudopotential]:
    best: dict[str, tuple[tuple[int, str], Pseudopotential]] = {}
    for path in sorted(folder.iterdir()):
        symbol = re.split(r"[._\-]", path.name)[0].capitalize()
        if path.suffix.lower() != ".upf" or symbol not in ALPHABET:
            continue
        found = read_header(path)
        if found is None or found.element != symbol or found.functional != "PBE" or found.relativistic == "full":
            continue
        rank = (_KINDS.index(found.kind), path.name)
        if symbol not in best or rank > best[symbol][0]:
            best[symbol] = (rank, found)
    return {symbol: found for symbol, (_, found) in best.items()}
