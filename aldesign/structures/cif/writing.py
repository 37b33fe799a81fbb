"""CIFs that hold: written only when pymatgen and ASE both read the same crystal from the text."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Mapping
from pathlib import Path

from aldesign.errors import StructureError
from aldesign.files import atomic_path
from aldesign.records import Crystal
from aldesign.structures.cif.checks import fault_of, overlap
from aldesign.structures.cif.records import to_pymatgen
from aldesign.structures.geometry import space_group

SYMPREC = 0.01  # Å, tolerance of the symmetry search
MOVED = 0.02  # Å, by which refinement may change a distance
ROUNDING = 1e-4  # Å, by which the digits of a P1 text may move a distance
_WIDTH = 1000  # characters of a comment line; CIF 1.1 allows 2,048
_LONGEST = 20_000  # characters of a comment


def write_cif(crystal: Crystal, path: Path | str, provenance: Mapping[str, object] | None = None) -> str:
    """Write a crystal as CIF, symmetry-refined where that keeps it the same crystal, else in P1.

    The text is parsed again, by pymatgen and by ASE, before it reaches its place: both must find the crystal's
    composition, cell and sites, and no two sites on each other. Refinement may change no distance by more than
    0.02 Å. The file appears whole or not at all.

    Args:
        crystal: What to write.
        path: The file.
        provenance: Facts for comment lines at the top, ``# key: value``; long ones go on in lines ``#   ...``.

    Returns:
        The international symbol of the space group written.

    Raises:
        StructureError: Two sites overlap (they are named with their distance), or not even the P1 text gives the
            crystal back.

    """
    from pymatgen.io.cif import CifWriter

    path = Path(path)
    if fault := overlap(crystal):
        raise StructureError(f"no CIF is written of crystal {crystal.id!r}: {fault}")
    structure = to_pymatgen(crystal)
    symbol, number = space_group(crystal, SYMPREC)
    note = f"{symbol} ({number}), refined by spglib within {SYMPREC:g} Å"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = str(CifWriter(structure, symprec=SYMPREC))
        fault = fault_of(text, crystal, MOVED)
    except Exception as error:  # spglib and pymatgen raise many kinds on odd cells
        fault = f"{type(error).__name__}: {error}"
    if fault:
        note = f"P1 (1), because the refined cell of {symbol} was not the same crystal: {fault}"
        symbol, text = "P1", str(CifWriter(structure))
        fault = fault_of(text, crystal, ROUNDING)
        if fault:
            raise StructureError(f"no CIF of crystal {crystal.id!r} gives it back: {fault}")
    header = "".join(_comment(key, value) for key, value in {**(provenance or {}), "symmetry": note}.items())
    with atomic_path(path) as temporary:
        temporary.write_text(header + text, encoding="ascii")
    return symbol


def _comment(key: str, value: object) -> str:
    """Return comment lines that CIF 1.1 allows: printable ASCII, no line of more than 2,048 characters."""
    flat = " ".join(f"{key}: {value}".split()).replace("Å", "Angstrom")
    plain = "".join(c if c.isascii() and c.isprintable() else c.encode("unicode_escape").decode() for c in flat)
    if len(plain) > _LONGEST:
        plain = f"{plain[:_LONGEST]}... ({len(plain) - _LONGEST} more characters)"
    lines = textwrap.wrap(plain, _WIDTH, break_on_hyphens=False, subsequent_indent="  ")
    return "".join(f"# {line}\n" for line in lines)
