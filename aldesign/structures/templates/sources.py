"""Where templates come from: pymatgen's AFLOW prototypes, files of crystals, and labels that rank polymorphs."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import math
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from aldesign.chemistry.elements import NUMBER, PETTIFOR
from aldesign.errors import InputError, StructureError
from aldesign.records import BadRow, Crystal
from aldesign.structures.cif import formula_of, from_record, read_cifs, read_jsonl
from aldesign.structures.graphs import MAX_VOLUME_PER_ATOM, MIN_VOLUME_PER_ATOM
from aldesign.structures.radii import reference_volume

_UNKNOWN = ("", "nan", "none", "null", "na", "n/a")  # how tables spell a value left out
_BEYOND = frozenset(symbol for symbol, z in NUMBER.items() if PETTIFOR[z] < 0)
_SHOWN = 3  # repeated ids that a note names
# Of 101,261 crystals of the Materials Project none has faces nearer than 0.82 Å, and the volumes of 99.9 in 100 are
# within 0.75 and 2.8 of the usual; lengths in bohr make them 6.7
MIN_SPACING = 0.3  # Å
_UNUSUAL = 3.0
_SAMPLED = 200  # crystals whose volume is compared


@dataclass(frozen=True, eq=False)
class Source:
    """What was read from a source of templates.

    Attributes:
        crystals: The crystals, ids being distinct.
        bad: Rows that hold no crystal, or none that can be a template.
        stability: Energy above hull in eV/atom by id, where the source tells.
        notes: Which ids were given more than once.

    """

    crystals: tuple[Crystal, ...]
    bad: tuple[BadRow, ...] = ()
    stability: Mapping[str, float] | None = None
    notes: tuple[str, ...] = ()


def read_aflow() -> list[Crystal]:
    """Return the 288 prototypes of the AFLOW library that ship with pymatgen.

    Raises:
        InputError: pymatgen has none.

    """
    package = importlib.util.find_spec("pymatgen.analysis.prototypes")
    folder = Path(str(package.origin)).parent if package and package.origin else Path()
    path = folder / "aflow_prototypes.json.gz"
    if not path.is_file():
        raise InputError(f"pymatgen has no prototypes at {path}", "install pymatgen 2024.8 or later")
    with gzip.open(path, "rb") as file:
        entries = json.load(file)
    shared = Counter(entry["tags"]["aflow"] for entry in entries)
    seen: Counter[str] = Counter()
    crystals = []
    for entry in entries:
        name = _aflow_id(entry["tags"], shared)
        seen[name] += 1
        crystals.append(_aflow_crystal(entry["snl"], name if seen[name] == 1 else f"{name}-{seen[name]}"))
    return crystals


def read_builtin() -> Source:
    """Return the computed crystals of the built-in data set, and the AFLOW prototypes of other formulas.

    Stability is the distance from the hull of the computed ones by PBE; the prototypes have none.

    Raises:
        CheckpointError: The shipped data set is damaged.
        InputError: pymatgen has no prototypes.

    """
    from aldesign.datasets.builtin import builtin_set, computed_formulas

    rows, known = builtin_set().rows, computed_formulas()
    stability = {row.crystal.id: row.above_hull_ev_per_atom for row in rows if row.above_hull_ev_per_atom is not None}
    others = [crystal for crystal in read_aflow() if formula_of(crystal) not in known]
    return Source((*(row.crystal for row in rows), *others), stability=stability)


def read_templates(path: Path) -> Source:
    """Return the crystals of a file or folder (see `TemplateLibrary.from_path`).

    Raises:
        InputError: Nothing is there, or nothing in it is a crystal.

    """
    stability: dict[str, float] = {}
    notes: list[str] = []
    if path.is_dir():
        for name in ("structures.jsonl.gz", "structures.jsonl"):
            if (path / name).is_file():
                stability, notes = _read_stability(path)
                path = path / name
                break
    rows = _read_rows(path)
    bad = [row for row in rows if isinstance(row, BadRow)]
    read = [row for row in rows if isinstance(row, Crystal)]
    crystals = []
    for crystal in read:
        if reason := _objection(crystal):
            bad.append(BadRow(str(path), 0, crystal.id, reason))
        else:
            crystals.append(crystal)
    if not crystals:
        where = f"line {bad[0].line}" if bad and bad[0].line else bad[0].text if bad else ""
        first = f"first reason, {where}: {bad[0].reason}" if bad else "it is empty"
        raise InputError(f"no crystal could be read from {path}", first)
    distinct, more = _distinct(crystals)
    return Source(tuple(distinct), tuple(bad), stability, (*notes, *more, *_unit_notes(distinct)))


def _objection(crystal: Crystal) -> str:
    """Return why a crystal can be no template; empty where it can."""
    if beyond := _BEYOND.intersection(crystal.species):
        return f"{', '.join(sorted(beyond))} has no place on the modified Pettifor scale, which holds H to Lr"
    size, spacing = _extent(crystal)
    per_atom = size / len(crystal)
    if not MIN_VOLUME_PER_ATOM < per_atom < MAX_VOLUME_PER_ATOM:
        return f"{per_atom:.3g} Å³ per atom are no crystal; are lengths in Å and angles in degrees?"
    if spacing < MIN_SPACING:
        return f"two faces of the cell are {spacing:.2g} Å apart; give a reduced cell"
    return ""


def _extent(crystal: Crystal) -> tuple[float, float]:
    """Return the volume of the cell in Å³ and the least distance of two opposite faces in Å."""
    a, b, c = crystal.lattice[:3]
    angles = [math.radians(angle) for angle in crystal.lattice[3:]]
    (x, y, z), sines = map(math.cos, angles), [math.sin(angle) for angle in angles]
    size = a * b * c * math.sqrt(max(1.0 - x * x - y * y - z * z + 2.0 * x * y * z, 0.0))
    return size, size / max(b * c * sines[0], a * c * sines[1], a * b * sines[2])


def _unit_notes(crystals: Sequence[Crystal]) -> list[str]:
    """Return what shows that cells are not in Å; nothing where they may be."""
    ratios = []
    for crystal in crystals[:: max(1, len(crystals) // _SAMPLED)]:
        with suppress(StructureError):  # an element without a volume
            ratios.append(_extent(crystal)[0] / reference_volume(Counter(crystal.species)))
    usual = median(ratios) if ratios else 1.0
    if 1 / _UNUSUAL < usual < _UNUSUAL:
        return []
    return [f"volumes are {usual:.2g} times what their elements usually have, in the median: are lengths in Å?"]


def _read_rows(path: Path) -> Sequence[Crystal | BadRow]:
    if path.is_dir() or path.suffix.lower() == ".cif":
        crystals, bad = read_cifs(path)
        return [*crystals, *bad]
    return list(read_jsonl(path))


def _distinct(crystals: Sequence[Crystal]) -> tuple[list[Crystal], list[str]]:
    """Return crystals with distinct ids, the further ones of an id being numbered, and a note on them."""
    times = Counter(crystal.id for crystal in crystals)
    repeated = [name for name, count in times.items() if count > 1]
    if not repeated:
        return list(crystals), []
    taken, seen = set(times), Counter[str]()
    found = []
    for crystal in crystals:
        seen[crystal.id] += 1
        name, number = crystal.id, seen[crystal.id]
        if number > 1:
            while (name := f"{crystal.id}-{number}") in taken:
                number += 1
            taken.add(name)
        found.append(crystal if name == crystal.id else replace(crystal, id=name))
    shown = ", ".join(f"{name!r} ({times[name]} times)" for name in repeated[:_SHOWN])
    more = f" and {len(repeated) - _SHOWN} more" if len(repeated) > _SHOWN else ""
    extra = sum(times[name] - 1 for name in repeated)
    return found, [f"ids that name several crystals: {shown}{more}; {extra} crystals were given a number, as in id-2"]


def _aflow_id(tags: Mapping[str, str], shared: Mapping[str, int]) -> str:
    label = tags["aflow"]
    if shared[label] == 1:
        return f"aflow/{label}"
    name = tags["strukturbericht"] if tags["strukturbericht"] != "None" else tags["mineral"] or "other"
    return f"aflow/{label}/{name.replace(' ', '-')}"


def _aflow_crystal(snl: Mapping[str, Any], name: str) -> Crystal:
    lattice, sites = snl["lattice"], snl["sites"]
    return from_record(
        {
            "id": name,
            "lattice": [lattice[key] for key in ("a", "b", "c", "alpha", "beta", "gamma")],
            "species": [site["species"][0]["element"] for site in sites],
            "frac": [site["abc"] for site in sites],
        }
    )


def _read_stability(folder: Path) -> tuple[dict[str, float], list[str]]:
    """Return ``e_above_hull`` in eV/atom by id from ``labels.csv[.gz]`` in `folder`, and a note on repeated ids.

    Both are empty without such a file.

    Raises:
        InputError: The file is damaged, or a value is neither a number nor left out.

    """
    path = next((folder / name for name in ("labels.csv.gz", "labels.csv") if (folder / name).is_file()), None)
    if path is None:
        return {}, []
    opener = gzip.open if path.suffix == ".gz" else open
    found: dict[str, float] = {}
    repeated: dict[str, float] = {}
    line = 1
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if not {"id", "e_above_hull"} <= set(rows.fieldnames or ()):
                return {}, []
            for row in rows:
                line, text = rows.line_num, (row["e_above_hull"] or "").strip()
                if text.lower() not in _UNKNOWN:
                    value = _finite(text, path, line)
                    if found.setdefault(row["id"], value) != value:
                        repeated.setdefault(row["id"], value)
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeError) as error:
        raise InputError(f"{path} cannot be read after line {line}: {error}", "copy or download it again") from error
    if not repeated:
        return found, []
    shown = ", ".join(f"{name!r} ({found[name]:g}, {repeated[name]:g})" for name in list(repeated)[:_SHOWN])
    more = f" and {len(repeated) - _SHOWN} more" if len(repeated) > _SHOWN else ""
    return found, [f"{path.name}: ids with different e_above_hull: {shown}{more}; the first counts"]


def _finite(text: str, path: Path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"{path}, line {line}: e_above_hull is {text[:40]!r}", "a number in eV/atom, or empty where it is unknown"
        )
    return value
