"""The crystals of the built-in data set: textbook solids and known formulas in small families, at rest by CHGNet.

Nothing here is computed from first principles: the plan says what such calculations are to be spent on, best first.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.datasets.families import families
from aldesign.datasets.ordering import Entry, in_order
from aldesign.datasets.substitutions import Idea, crystal_of, ideas, magnetic
from aldesign.datasets.textbook import textbook_metals, textbook_solids
from aldesign.records import Crystal
from aldesign.structures.geometry import lattice_vectors

STEPS, FMAX = 200, 0.03  # eV/Å
BATCH = 32
MAX_SITES = 8
LARGE = 5  # sites; more count as large
SYMPRECS = (0.01, 0.03, 0.1)  # Å
ABOVE_HULL = 0.06  # eV/atom by CHGNet, of the hull of the plan's own crystals
ABOVE_HULL_TEXTBOOK = 0.30
POLYMORPH = 0.05  # eV/atom: a second crystal of a formula lies no higher above the first
SAME = 0.003  # eV/atom
GROWTH = (0.5, 2.0)  # volume after relaxation over volume before

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Planned:
    """A crystal of the plan.

    Attributes:
        crystal: Primitive cell, symmetrised; its id is formula and family.
        formula: Canonical reduced formula.
        family: Name of the family.
        textbook: Whether it is one of the textbook solids.
        space_group: International symbol.
        operations: Of its point group.
        formation_energy: By CHGNet, eV/atom, on the scale of `aldesign.structures.energy`.
        above_hull: Of all crystals relaxed for the plan, eV/atom by CHGNet.
    """

    crystal: Crystal
    formula: str
    family: str
    textbook: bool
    space_group: str
    operations: int
    formation_energy: float
    above_hull: float

    def to_json(self) -> dict[str, Any]:
        """Return a line of the plan, which is a line of a table of crystals, too."""
        return {
            "id": self.crystal.id,
            "formula": self.formula,
            "prototype": self.family,
            "lattice": [round(x, 6) for x in self.crystal.lattice],
            "species": list(self.crystal.species),
            "frac": np.round(self.crystal.frac, 8).tolist(),
            "space_group": self.space_group,
            "chgnet_formation_energy": round(self.formation_energy, 4),
            "chgnet_above_hull": round(self.above_hull, 4),
            "source": "textbook" if self.textbook else "known formula",
        }


def plan(
    elements: Iterable[str], relaxed: Path, n: int | None = None, progress: Progress | None = None
) -> list[Planned]:
    """Return the crystals to compute, the first n of them where n is given.

    Args:
        elements: Those that the calculations have data sets for.
        relaxed: Where relaxations are kept as JSON lines; what stands there is not done again.
        n: How many.
        progress: Called with the relaxations done and their total.

    Raises:
        InputError: `relaxed` cannot be written or holds something else.
    """
    allowed = frozenset(elements)
    wanted = wishes(allowed)
    known = read_relaxed(relaxed)
    missing = [one for one in wanted if one.name not in known]
    if progress is not None:
        progress(len(wanted) - len(missing), len(wanted))
    for start in range(0, len(missing), BATCH):
        relax_into(missing[start : start + BATCH], relaxed)
        if progress is not None:
            progress(len(wanted) - len(missing) + min(start + BATCH, len(missing)), len(wanted))
    return chosen(wanted, read_relaxed(relaxed))[:n]


def wishes(elements: frozenset[str]) -> list[Idea]:
    """Return the textbook solids and the substitutions whose formulas the Materials Project knows, without repeats."""
    from aldesign.chemistry.sketch import known

    first = [one for one in textbook_solids() if set(one.elements.values()) <= elements]
    taken = {one.name for one in first}
    more = [one for one in ideas(elements) if one.name not in taken]
    listed = known().contains([one.formula for one in more])
    return [*first, *(one for one, yes in zip(more, listed.tolist(), strict=True) if yes)]


def relax_into(some: Sequence[Idea], path: Path) -> None:
    """Relax ideas by CHGNet and append one line of JSON for each to a file."""
    from aldesign.structures.energy import evaluate_many

    lines = []
    for one, energy in zip(some, evaluate_many([crystal_of(one) for one in some], True, STEPS, FMAX), strict=True):
        crystal = energy.crystal
        record = {
            "id": one.name,
            "lattice": list(crystal.lattice),
            "species": list(crystal.species),
            "frac": crystal.frac.tolist(),
            "formation_energy": energy.formation_energy_ev_per_atom,
            "converged": energy.converged,
            "volume_ratio": energy.volume_ratio,
            "error": energy.error,
        }
        lines.append(json.dumps(record))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write("".join(f"{line}\n" for line in lines))


def read_relaxed(path: Path) -> dict[str, dict[str, Any]]:
    """Return the relaxations of a file by name; a line cut short by an interruption is left out."""
    found: dict[str, dict[str, Any]] = {}
    if path.is_file():
        for line in path.read_text(encoding="utf-8").split("\n"):
            try:
                record = json.loads(line)
                found[record["id"]] = record
            except (ValueError, TypeError, KeyError):
                continue
    return found


def chosen(wanted: Sequence[Idea], relaxed: dict[str, dict[str, Any]]) -> list[Planned]:
    """Return the crystals worth a calculation, in the order of `in_order`.

    Kept are those that converged without growing or shrinking twofold, that lie near the hull of all of them, and of
    each formula the lowest and a second that lies close to it; textbook solids have more room.
    """
    from aldesign.structures.hull import Hull

    textbook = {one.name for one in textbook_solids()}
    usable = [one for one in wanted if _usable(relaxed.get(one.name))]
    energies = [float(relaxed[one.name]["formation_energy"]) for one in usable]
    hull = Hull([one.formula for one in usable], energies, scale="mp2019")
    found: dict[str, list[Planned]] = {}
    for one, energy, distance in zip(
        usable, energies, hull.distances([one.formula for one in usable], energies), strict=True
    ):
        above = distance.e_above_hull_ev_per_atom
        of_textbook = one.name in textbook
        if above is None or above > (ABOVE_HULL_TEXTBOOK if of_textbook else ABOVE_HULL):
            continue
        if energy > 0 and not of_textbook:
            continue
        settled = settle(relaxed[one.name], families()[one.family].operations)
        if settled is not None and settled[1] >= families()[one.family].operations:
            group, operations, crystal = settled
            item = Planned(crystal, one.formula, one.family, of_textbook, group, operations, energy, above)
            found.setdefault(one.formula, []).append(item)
    kept = [item for formula in sorted(found) for item in _distinct(found[formula])]
    return [kept[place] for place in in_order([_entry(item) for item in kept])]


def settle(record: Mapping[str, Any], operations: int = 0) -> tuple[str, int, Crystal] | None:
    """Return space group, number of point operations and standard primitive cell of a relaxed crystal.

    Relaxation leaves noise: the tolerance grows until the crystal has as many `operations` as its prototype, else the
    least one counts. None where spglib finds no symmetry at all.
    """
    from aldesign.structures.cif import from_record

    crystal = from_record(record)
    symbols = sorted(set(crystal.species))
    cell = (lattice_vectors(crystal.lattice), crystal.frac, [symbols.index(symbol) for symbol in crystal.species])
    first = None
    for tolerance in SYMPRECS:
        found = _standard(cell, tolerance)
        first = first or found
        if found is not None and found[1] >= operations:
            first = found
            break
    if first is None:
        return None
    group, count, (vectors, frac, kinds) = first
    record = {
        "id": crystal.id,
        "lattice": _parameters(vectors),
        "species": [symbols[kind] for kind in kinds],
        "frac": np.where(np.abs(frac - 1.0) < 1e-9, 0.0, frac),
    }
    return group, count, from_record(record)


def _standard(cell: Any, tolerance: float) -> tuple[str, int, Any] | None:
    import spglib

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # a failed search will raise one day; both are handled
        try:
            dataset = spglib.get_symmetry_dataset(cell, symprec=tolerance)
            standard = spglib.standardize_cell(cell, to_primitive=True, no_idealize=False, symprec=tolerance)
        except spglib.SpglibError:
            return None
    if dataset is None or standard is None:
        return None
    return str(dataset.international), len(np.unique(dataset.rotations, axis=0)), standard


def _parameters(vectors: np.ndarray) -> list[float]:
    """Return lengths in Å and angles in degrees of three vectors, rows."""
    lengths = np.linalg.norm(vectors, axis=1)
    unit = vectors / lengths[:, None]
    angles = [np.degrees(np.arccos(np.clip(unit[i] @ unit[j], -1.0, 1.0))) for i, j in ((1, 2), (0, 2), (0, 1))]
    return [*lengths.tolist(), *map(float, angles)]


def _usable(record: dict[str, Any] | None) -> bool:
    return (
        record is not None
        and not record["error"]
        and record["converged"]
        and GROWTH[0] < record["volume_ratio"] < GROWTH[1]
        and len(record["species"]) <= MAX_SITES
    )


def _distinct(items: list[Planned]) -> list[Planned]:
    """Return the lowest crystal of a formula, a second near to it that is another one, and all textbook solids."""
    items = sorted(items, key=lambda item: (round(item.formation_energy, 3), len(item.crystal), item.family))
    kept: list[Planned] = []
    for item in sorted(items, key=lambda item: not item.textbook):
        near = item.formation_energy - items[0].formation_energy <= POLYMORPH
        new = not any(_same(item, other) for other in kept)
        if new and (item.textbook or not kept or (near and len(kept) < 2 and len(item.crystal) <= LARGE)):
            kept.append(item)
    return kept


def _same(one: Planned, other: Planned) -> bool:
    """Return whether two crystals of a formula relaxed to the same one, as far as symmetry and energy can tell."""
    return one.space_group == other.space_group and abs(one.formation_energy - other.formation_energy) < SAME


def _entry(item: Planned) -> Entry:
    elements = frozenset(item.crystal.species)
    kinds = set()
    if len(item.crystal) > LARGE:
        kinds.add("large")
    if item.crystal.id in textbook_metals():
        kinds.add("metal")
    if magnetic(elements):
        kinds.add("magnetic")
    # bands times k-points that symmetry leaves, beside a part that every calculation has
    cost = len(item.crystal) * (1 + 24 / item.operations)
    return Entry(item.crystal.id, elements, item.family, cost, frozenset(kinds), item.textbook and not kinds)
