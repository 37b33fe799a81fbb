"""Where a user's POTCAR files lie: VASP's data sets, which come with its licence and with nothing else."""

from __future__ import annotations

import gzip
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Folders of the PBE data sets, the one that is taken first: below PMG_VASP_PSP_DIR, and below VASP_PP_PATH
PYMATGEN = (
    *("POT_GGA_PAW_PBE_54", "POTPAW_PBE_54", "POT_PAW_PBE_64", "POT_GGA_PAW_PBE_52", "POTPAW_PBE_52"),
    "POT_GGA_PAW_PBE",
)
ASE = ("potpaw_PBE.54", "potpaw_PBE.64", "potpaw_PBE.52", "potpaw_PBE")
_TITLE = re.compile(r"TITEL\s*=\s*(.+)")
_VALENCE = re.compile(r"ZVAL\s*=\s*([\d.]+)")


@dataclass(frozen=True)
class Potcar:
    """One element's data set: its text, its title with the date, and its number of valence electrons."""

    text: str
    title: str
    valence: float


def folder() -> Path | None:
    """Return the folder of PBE data sets, one for all elements, or None where no variable leads to one.

    Looked at: ``PMG_VASP_PSP_DIR`` of the environment or of pymatgen's configuration, then ``VASP_PP_PATH`` of the
    environment or of ASE's configuration.
    """
    from ase.config import cfg
    from pymatgen.core import SETTINGS

    set_of_ase: Any = cfg.parser["environment"] if cfg.parser.has_section("environment") else {}
    roots = (
        (os.environ.get("PMG_VASP_PSP_DIR") or SETTINGS.get("PMG_VASP_PSP_DIR"), PYMATGEN),
        (os.environ.get("VASP_PP_PATH") or set_of_ase.get("VASP_PP_PATH"), ASE),
    )
    for root, names in roots:
        for name in names if root else ():
            place = Path(str(root)).expanduser() / name
            if place.is_dir():
                return place
    return None


def label(symbol: str) -> str:
    """Return the data set that the Materials Project's input sets take for an element, as ``Fe_pv``.

    Of tungsten ``W_sv``, since newer releases have no ``W_pv``.
    """
    from pymatgen.io.vasp.sets import MPRelaxSet

    return "W_sv" if symbol == "W" else str(MPRelaxSet.CONFIG["POTCAR"].get(symbol, symbol))


def path_of(symbol: str) -> Path | None:
    """Return the file of an element's data set, packed or not, or None."""
    place, name = folder(), label(symbol)
    if place is None:
        return None
    tried = (place / f"POTCAR.{name}", place / name / "POTCAR")
    return next((p for path in tried for p in (path, path.with_name(f"{path.name}.gz")) if p.is_file()), None)


def read(symbols: Sequence[str]) -> list[Potcar]:
    """Return the data sets of elements that all have one.

    Raises:
        ValueError: A file is missing or says neither title nor number of valence electrons.

    """
    return [_read(symbol) for symbol in symbols]


def _read(symbol: str) -> Potcar:
    path = path_of(symbol)
    if path is None:
        raise ValueError(f"there is no POTCAR {label(symbol)} in {folder()}")
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = raw.decode("utf-8", "replace")
    title, valence = _TITLE.search(text), _VALENCE.search(text)
    if title is None or valence is None:
        raise ValueError(f"{path} holds no TITEL and ZVAL; is it a POTCAR?")
    return Potcar(
        text if text.endswith("\n") else text + "\n", " ".join(title.group(1).split()), float(valence.group(1))
    )
