"""Crystals as records: of JSON, of lines in a file, and of pymatgen."""

from __future__ import annotations

import gzip
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from aldesign.chemistry.elements import NUMBER
from aldesign.chemistry.formula import canonical
from aldesign.errors import InputError
from aldesign.records import BadRow, Crystal

if TYPE_CHECKING:
    from pymatgen.core import Structure

_CHARGE = re.compile(r"\d*[+-]$")  # as in "Fe3+"
_FLAT = 1e-4  # volume over abc; of 101,261 crystals of the Materials Project the least is 8e-3
_SYMBOLS = {symbol: symbol for symbol in NUMBER}  # one text for all sites of an element


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
    if isinstance(sites, str):
        raise InputError(f"species is the text {sites[:40]!r}", "a list with a symbol for each site is wanted")
    if isinstance(sites, list | tuple) and any(issubclass(kind, Mapping | list) for kind in set(map(type, sites))):
        raise InputError("a site lists several species or occupancies", "order it; only full occupancies are handled")
    if isinstance(cell, list | tuple) and len(cell) == 3:
        raise InputError(
            "the lattice has three entries: vectors, or lengths alone", "give a, b, c in Å and alpha, beta, gamma"
        )
    try:
        lattice = tuple(float(x) for x in cell)
        frac = np.array(record["frac"], dtype=np.float64)
        names = {site: _CHARGE.sub("", str(site)) for site in set(sites)}
        names = {site: _SYMBOLS.get(name, name) for site, name in names.items()}
        species = tuple(map(names.__getitem__, sites))
    except (TypeError, ValueError) as error:
        raise InputError(f"lattice, species or frac hold something else than numbers and symbols: {error}") from None
    if len(lattice) != 6 or not all(math.isfinite(x) and x > 0 for x in lattice):
        raise InputError(
            f"lattice {list(lattice)} is not a cell",
            "six positive numbers: a, b, c in Å, alpha, beta, gamma in degrees",
        )
    if not species:
        raise InputError("the crystal has no sites")
    unknown = sorted(set(names.values()) - _SYMBOLS.keys())
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
    x, y, z = (math.cos(math.radians(angle)) for angle in (alpha, beta, gamma))
    # the square of the volume over abc, which rounding leaves above zero for flat cells, too
    if 1.0 - x * x - y * y - z * z + 2.0 * x * y * z < _FLAT**2:
        raise InputError(f"angles {alpha:g}, {beta:g}, {gamma:g} close a cell without volume")
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
        record = orjson.loads(line)
        if isinstance(record, dict):
            record.setdefault("id", f"{path.name}:{number}")
        return from_record(record)
    except (ValueError, RecursionError, InputError) as error:
        text = line[:120].decode("utf-8", "replace").strip()
        reason = str(error) if isinstance(error, InputError) else f"not JSON: {error}"
        return BadRow(str(path), number, text, reason)
