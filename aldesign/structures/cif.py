"""Crystals from and to files: JSON lines and CIF, every file written is read again before it counts."""

from __future__ import annotations

import gzip
import json
import math
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aldesign.chemistry.elements import NUMBER
from aldesign.chemistry.formula import canonical
from aldesign.errors import InputError, StructureError
from aldesign.files import atomic_path
from aldesign.records import BadRow, Crystal
from aldesign.structures.geometry import distances, space_group, volume

if TYPE_CHECKING:
    from pymatgen.core import Structure

SYMPREC = 0.01  # Å, tolerance of the symmetry search
_CHARGE = re.compile(r"\d*[+-]$")  # as in "Fe3+"


def formula_of(crystal: Crystal) -> str:
    """Return the canonical reduced formula of a crystal."""
    return canonical("".join(f"{symbol}{count}" for symbol, count in Counter(crystal.species).items()))


def to_pymatgen(crystal: Crystal) -> Structure:
    """Return the crystal as a pymatgen ``Structure``."""
    from pymatgen.core import Lattice, Structure

    return Structure(Lattice.from_parameters(*crystal.lattice), list(crystal.species), crystal.frac)


def from_pymatgen(structure: Structure, id: str = "") -> Crystal:  # noqa: A002
    """Return a pymatgen ``Structure`` as a crystal; oxidation states are dropped.

    Raises:
        InputError: A site is partly occupied or holds no element.

    """
    for site in structure:
        if len(site.species) != 1 or not math.isclose(site.species.num_atoms, 1.0, abs_tol=1e-3):
            at = ", ".join(f"{x:.4f}" for x in site.frac_coords)
            raise InputError(
                f"crystal {id!r} has a partly occupied site: {site.species} at ({at})",
                "order the structure first; only full occupancies are handled",
            )
    record = {
        "id": id,
        "lattice": structure.lattice.parameters,
        "species": [getattr(site.specie, "symbol", str(site.specie)) for site in structure],
        "frac": structure.frac_coords,
    }
    return from_record(record)


def from_record(record: Any) -> Crystal:
    """Return the crystal of one ``{id, lattice, species, frac}`` record.

    Raises:
        InputError: A key is missing or its content is no crystal.

    """
    if not isinstance(record, Mapping):
        raise InputError(f"got {type(record).__name__}, not an object with id, lattice, species, frac")
    missing = [key for key in ("lattice", "species", "frac") if key not in record]
    if missing:
        raise InputError(f"the record has no {' and no '.join(missing)}", "a crystal is {id, lattice, species, frac}")
    cell, sites = record["lattice"], record["species"]
    if isinstance(sites, list | tuple) and any(isinstance(site, Mapping | list) for site in sites):
        raise InputError("a site lists several species or occupancies", "order it; only full occupancies are handled")
    if isinstance(cell, list | tuple) and len(cell) == 3:
        raise InputError(
            "the lattice has three entries: vectors, or lengths alone", "give a, b, c in Å and alpha, beta, gamma"
        )
    try:
        lattice = tuple(float(x) for x in cell)
        frac = np.array(record["frac"], dtype=np.float64)
        species = tuple(_CHARGE.sub("", str(symbol)) for symbol in sites)
    except (TypeError, ValueError) as error:
        raise InputError(f"lattice, species or frac hold something else than numbers and symbols: {error}") from None
    if len(lattice) != 6 or not all(math.isfinite(x) and x > 0 for x in lattice):
        raise InputError(
            f"lattice {list(lattice)} is not a cell",
            "six positive numbers: a, b, c in Å, alpha, beta, gamma in degrees",
        )
    if not species:
        raise InputError("the crystal has no sites")
    unknown = sorted({symbol for symbol in species if symbol not in NUMBER})
    if unknown:
        raise InputError(f"species {', '.join(map(repr, unknown))} are no elements")
    if frac.shape != (len(species), 3) or not np.isfinite(frac).all():
        raise InputError(
            f"frac has shape {frac.shape} or is not finite; {len(species)} species need ({len(species)}, 3)"
        )
    a, b, c, alpha, beta, gamma = lattice
    # strictly: the three angles must close a parallelepiped
    if not (alpha + beta + gamma < 360 and alpha < beta + gamma and beta < alpha + gamma and gamma < alpha + beta):
        raise InputError(f"angles {alpha:g}, {beta:g}, {gamma:g} close no cell")
    return Crystal(str(record.get("id", "")), (a, b, c, alpha, beta, gamma), species, frac)


def read_jsonl(path: Path | str) -> Iterator[Crystal | BadRow]:
    """Yield the crystal of each line of a ``.jsonl`` or ``.jsonl.gz`` file, or why the line holds none.

    Args:
        path: Lines of ``{id, lattice [a,b,c,alpha,beta,gamma], species, frac}`` in Å and degrees;
            blank lines are skipped, a line without id gets ``name:line``.

    Raises:
        InputError: The file is missing or is no readable (gzip) file.

    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no file at {path}", "a .jsonl or .jsonl.gz file of crystals is wanted")
    opener = gzip.open if path.suffix == ".gz" else open
    try:
        with opener(path, "rb") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield _parse_line(line, path, number)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read: {error}", "copy or download it again") from error


def _parse_line(line: bytes, path: Path, number: int) -> Crystal | BadRow:
    try:
        record = json.loads(line)
        if isinstance(record, dict):
            record.setdefault("id", f"{path.name}:{number}")
        return from_record(record)
    except (ValueError, RecursionError, InputError) as error:
        text = line[:120].decode("utf-8", "replace").strip()
        reason = str(error) if isinstance(error, InputError) else f"not JSON: {error}"
        return BadRow(str(path), number, text, reason)


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
            yield name, from_pymatgen(_parse_cif(text), name)
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


def _parse_cif(text: str) -> Structure:
    """Return the structure of the text of one CIF block; raise InputError with the parser's words."""
    from pymatgen.io.cif import CifParser

    if negative := re.search(r"^\s*_cell_(length|angle)_\w+\s+-\S*", text, re.IGNORECASE | re.MULTILINE):
        raise InputError(f"the CIF has a negative cell parameter: {' '.join(negative[0].split())}")
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        try:
            structures: list[Structure] = CifParser.from_str(text).parse_structures(primitive=False)
        except Exception as error:
            told = _told(f"{error}" if isinstance(error, ValueError) else f"{type(error).__name__}: {error}", notes)
            if "occupanc" in told.lower():
                raise InputError(f"sites of the CIF coincide, or are occupied more than once: {told}") from error
            raise InputError(f"the CIF does not parse: {told}", "is it complete?") from error
    if not structures:
        raise InputError("the CIF holds no structure")
    return structures[0]


def _told(error: str, notes: Sequence[warnings.WarningMessage]) -> str:
    """Return what a parser said, each thing once, without what it says of every failure."""
    said = [
        part.strip() for text in (error, *(str(note.message) for note in notes)) for part in re.split("[;\n]", text)
    ]
    usual = ("Invalid CIF file", "Issues encountered", "No structure parsed")
    kept = dict.fromkeys(part for part in said if part and not part.startswith(usual))
    return ("; ".join(kept) or "it holds no structure")[:300]


def write_cif(crystal: Crystal, path: Path | str, provenance: Mapping[str, object] | None = None) -> str:
    """Write a crystal as CIF, symmetry-refined where that keeps it the same crystal, else in P1.

    The text is parsed again before it reaches its place: composition, number of sites, volume per atom and
    shortest distance must be the crystal's own. The file appears whole or not at all.

    Args:
        crystal: What to write.
        path: The file.
        provenance: Facts for comment lines at the top, ``# key: value``.

    Returns:
        The international symbol of the space group written.

    Raises:
        StructureError: Not even the P1 text gives the crystal back.

    """
    from pymatgen.io.cif import CifWriter

    path = Path(path)
    structure = to_pymatgen(crystal)
    symbol, number = space_group(crystal, SYMPREC)
    note = f"{symbol} ({number}), refined by spglib within {SYMPREC:g} Å"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            text = str(CifWriter(structure, symprec=SYMPREC))
        fault = _difference(crystal, text)
    except Exception as error:  # spglib and pymatgen raise many kinds on odd cells
        fault = f"{type(error).__name__}: {error}"
    if fault:
        note = f"P1 (1), because the refined cell of {symbol} was not the same crystal: {fault}"
        symbol, text = "P1", str(CifWriter(structure))
        fault = _difference(crystal, text)
        if fault:
            raise StructureError(f"no CIF of crystal {crystal.id!r} gives it back: {fault}")
    lines = [f"# {key}: {value}" for key, value in {**(provenance or {}), "symmetry": note}.items()]
    header = "".join(_ascii(line) + "\n" for line in lines)
    with atomic_path(path) as temporary:
        temporary.write_text(header + text, encoding="ascii")
    return symbol


def _ascii(line: str) -> str:
    """Return one comment line that CIF 1.1 allows: ASCII, no line break, below 2,048 characters."""
    flat = " ".join(line.split()).replace("Å", "Angstrom")
    return flat.encode("ascii", "backslashreplace").decode("ascii")[:2000]


def _difference(crystal: Crystal, text: str) -> str:
    """Return how the crystal read from a CIF's text differs from the one meant; empty where it does not."""
    try:
        read = from_pymatgen(_parse_cif(text))
    except InputError as error:
        return error.message
    if formula_of(read) != formula_of(crystal):
        return f"composition {formula_of(read)} instead of {formula_of(crystal)}"
    # the refined cell is the conventional one, with more sites; sites lost or doubled change this ratio
    ratio = (volume(read) / len(read)) / (volume(crystal) / len(crystal))
    if abs(ratio - 1.0) > 0.01:
        return f"volume per atom changed by {100 * (ratio - 1):.2f} %"
    before, after = float(distances(crystal).min()), float(distances(read).min())
    if abs(after - before) > 0.05:
        return f"shortest distance {after:.3f} Å instead of {before:.3f} Å"
    return ""
