"""CIFs read block by block; one that is cut, or whose atoms are not those of its formula, is refused."""

from __future__ import annotations

import gzip
import math
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from aldesign.chemistry.elements import SYMBOLS
from aldesign.chemistry.formula import parse_many
from aldesign.errors import InputError
from aldesign.records import BadRow, Crystal
from aldesign.structures.cif.records import from_pymatgen

_TOLERANCE = 1e-3  # of amounts in a formula
Counts = Mapping[str, float]


def read_cifs(path: Path | str) -> tuple[list[Crystal], list[BadRow]]:
    """Return the crystals of one CIF or of every ``*.cif`` in a folder (sorted), and the blocks refused.

    A file's first block gets the file's stem as id, further ones ``stem-2`` and so on (see `read_cif`).

    Raises:
        InputError: The path is missing, or a folder without CIFs.

    """
    path = Path(path)
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".cif")
        if not files:
            raise InputError(f"folder {path} holds no .cif file")
    elif path.is_file():
        files = [path]
    else:
        raise InputError(f"no file or folder at {path}", "a CIF or a folder of CIFs is wanted")
    items = [item for file in files for _, item in read_cif(file)]
    return (
        [item for item in items if isinstance(item, Crystal)],
        [item for item in items if isinstance(item, BadRow)],
    )


def read_cif(file: Path) -> Iterator[tuple[str, Crystal | BadRow]]:
    """Yield the id and the crystal of each block of a CIF, plain or gzipped, or why the block holds none.

    Ids go by position: the file's stem, then ``stem-2``, ``stem-3`` and so on, whatever became of the
    blocks before. Blocks with neither cell nor atoms, as publishers put in front, are not counted.
    """
    stem = Path(file.name.removesuffix(".gz")).stem
    try:
        content = file.read_bytes()
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as error:
        yield stem, BadRow(str(file), 0, file.name, f"the file cannot be read: {error}")
        return
    blocks = _blocks(content.decode("utf-8", "replace"))
    if not blocks:
        yield stem, BadRow(str(file), 0, file.name, "the CIF does not parse: no block has a cell or atoms")
    for position, (line, text) in enumerate(blocks, start=1):
        name = stem if position == 1 else f"{stem}-{position}"
        try:
            yield name, parse_cif(text, name)
        except InputError as error:
            shown = file.name if len(blocks) == 1 else f"{file.name}, block {position}"
            yield name, BadRow(str(file), line, shown, str(error))


def _blocks(text: str) -> list[tuple[int, str]]:
    """Return the line number and the text of each data block that names a cell or atoms."""
    blocks: list[tuple[int, list[str]]] = []
    within = False  # a text field, from a line that begins with a semicolon to the next such line
    for number, line in enumerate(text.splitlines(), start=1):
        start = line.lstrip()
        if line.startswith(";"):
            within = not within
        elif not within and start[:5].lower() == "data_":
            blocks.append((number, []))
            line = "data_" + start[5:]
        if blocks:
            blocks[-1][1].append(line)
    joined = [(number, "\n".join(lines)) for number, lines in blocks]
    return [(number, block) for number, block in joined if "_cell_" in block.lower() or "_atom_site" in block.lower()]


def parse_cif(text: str, name: str = "") -> Crystal:
    """Return the crystal of the text of one CIF block.

    Raises:
        InputError: The text does not parse (with the parser's words), a site is partly occupied, or the atoms are not
            those that the block's own formula promises.

    """
    from pymatgen.io.cif import CifParser

    if negative := re.search(r"^\s*_cell_(length|angle)_\w+\s+-\S*", text, re.IGNORECASE | re.MULTILINE):
        raise InputError(f"the CIF has a negative cell parameter: {' '.join(negative[0].split())}")
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        try:
            parser = CifParser.from_str(text)
            structures: list[Any] = parser.parse_structures(primitive=False)
        except Exception as error:
            told = _told(f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}", notes)
            if "occupanc" in told.lower():
                raise InputError(f"sites of the CIF coincide, or are occupied more than once: {told}") from error
            raise InputError(f"the CIF does not parse: {told}", "is it complete?") from error
    if not structures:
        raise InputError("the CIF holds no structure")
    crystal = from_pymatgen(structures[0], name)
    entries: Mapping[str, Any] = next(iter(parser.as_dict().values()))
    _refuse_missing_atoms(Counter(crystal.species), entries)
    return crystal


def _refuse_missing_atoms(atoms: Counter[str], entries: Mapping[str, Any]) -> None:
    """Raise InputError where a block's formula names other atoms than it holds, as after a cut between its lines."""
    promised = _promised(entries)
    if not promised:
        return
    unit = min(promised.values())
    scale = sum(atoms.values()) / sum(promised.values())
    held = _spelled(atoms)
    if promised.keys() != atoms.keys() or any(
        not math.isclose(atoms[symbol], scale * n, abs_tol=_TOLERANCE * max(scale * unit, 1.0))
        for symbol, n in promised.items()
    ):
        raise InputError(
            f"the atoms of the CIF are {held}, its _chemical_formula_sum is {_spelled(promised)}",
            "is it complete? Atoms that are known to be missing must be added, or the formula corrected",
        )
    # pymatgen and others write the whole cell as the sum, the standard has Z times the sum: a sum is all or one unit
    units = _number(entries.get("_cell_formula_units_Z"))
    if units is not None and scale < units - _TOLERANCE and not math.isclose(scale, 1.0, abs_tol=_TOLERANCE):
        raise InputError(
            f"the atoms of the CIF are {held}, {scale:g} times its _chemical_formula_sum; "
            f"_cell_formula_units_Z is {units:g}",
            "is it complete?",
        )


def _promised(entries: Mapping[str, Any]) -> Counts:
    """Return the atoms of the block's ``_chemical_formula_sum``; empty where it has none that can be read."""
    text = entries.get("_chemical_formula_sum")
    if not isinstance(text, str) or not text.strip("?. "):
        return {}
    parsed, errors = parse_many([re.sub(r"[\s,]+", "", text)])
    if errors[0] is not None:
        return {}
    rows = zip(parsed.numbers[0].tolist(), parsed.amounts[0].tolist(), strict=True)
    return {SYMBOLS[z]: n for z, n in rows if z}


def _number(text: object) -> float | None:
    try:
        value = float(str(text))
    except ValueError:
        return None
    return value if math.isfinite(value) and value > 0 else None


def _spelled(counts: Counts) -> str:
    return " ".join(f"{symbol}{n:g}" for symbol, n in sorted(counts.items()))


def _told(error: str, notes: Sequence[warnings.WarningMessage]) -> str:
    """Return what a parser said, each thing once, without what it says of every failure."""
    said = [
        part.strip() for text in (error, *(str(note.message) for note in notes)) for part in re.split("[;\n]", text)
    ]
    usual = ("Invalid CIF file", "Issues encountered", "No structure parsed")
    kept = dict.fromkeys(part for part in said if part and not part.startswith(usual))
    return ("; ".join(kept) or "it holds no structure")[:300]
