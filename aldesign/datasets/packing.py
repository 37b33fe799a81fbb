"""From a folder of ``aldesign dft compute`` to a computed set: results, failures, provenance and honest limits."""

from __future__ import annotations

import csv
import json
import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aldesign.datasets.computed import GRID_EV, Computed, on_grid, save_computed
from aldesign.errors import AldesignError, CalculationError, InputError
from aldesign.records import Crystal

if TYPE_CHECKING:
    from aldesign.dft.results import Result
    from aldesign.dft.settings import Settings
    from aldesign.dft.store import ResultStore

LIMITS = (
    "PBE gaps are too small, by some 40 % in the median against experiment; some semiconductors come out as metals.",
    "Cells are those of CHGNet, within about 1 % of PBE's; the code itself did not relax them.",
    "Crystals of source 'textbook' stand in a structure known from experiment.",
    "Those of source 'polymorph' are other cubic forms of such binary compounds; many have never been made.",
    "The others are a known formula in the small prototype that CHGNet puts lowest, perhaps not its ground state.",
    "Distances from the hull count the crystals of this set and the elements alone.",
    "Formation energies are plain PBE, with no correction for any anion, and spin-orbit coupling is left out.",
    "Where spins were polarised they are parallel, and no Hubbard U was used.",
    "Densities of states are those of a coarse mesh, broadened by 0.2 eV, up to the highest band computed.",
)
_STRANGE_EV = 5.0  # eV/atom; a formation energy beyond means that something went wrong


@dataclass(frozen=True)
class Packed:
    """What was packed.

    Attributes:
        rows: Crystals in the set.
        failed: Crystals whose calculation failed.
        waiting: Crystals of the plan without an answer yet.
        without_energy: Crystals without a formation energy, by the element that lacks a reference.
        size: Bytes of both files.
        digest: Of the arrays.
    """

    rows: int
    failed: int
    waiting: int
    without_energy: Mapping[str, int]
    size: int
    digest: str


def pack(folder: Path, plan: Path, out: Path) -> Packed:
    """Write the computed set of a folder's results, in the order of the plan.

    Args:
        folder: Written by ``aldesign dft compute``.
        plan: The crystals that were computed, as ``aldesign data plan`` wrote them.
        out: Where to write, without an ending: ``.safetensors`` and ``.json`` are added.

    Raises:
        InputError: There is no store or journal in the folder, no crystal in the plan, or no result for any of them.
    """
    from aldesign.dft.batch import JOURNAL, STORE
    from aldesign.dft.laboratory import Archive
    from aldesign.dft.store import ResultStore

    for name in (JOURNAL, STORE):
        if not (folder / name).is_file():
            raise InputError(f"{folder} holds no {name}", "name the folder of `aldesign dft compute --out`")
    settings = _settings(folder / JOURNAL)
    store = ResultStore(folder / STORE)
    lines = _plan(plan)
    results = _results(store, settings, lines)
    if not results:
        raise InputError(f"{folder} holds no result for a crystal of {plan}", "compute some first")
    symbols = sorted({symbol for line, _ in results for symbol in line["species"]})
    energies, missing = _references(symbols, settings, Archive(store))
    rows = _with_hull([_computed(line, result, energies) for line, result in results])
    failures = _failures(folder, lines)
    bare = [row for row in rows if row.formation_energy_ev_per_atom is None]
    lacking = Counter(symbol for row in bare for symbol in set(row.crystal.species) & missing.keys())
    answered = {row.crystal.id for row in rows} | {failure["id"] for failure in failures}
    card = _card(settings, [result for _, result in results], rows, energies, missing, failures)
    digest = save_computed(rows, card, out)
    size = sum(out.with_suffix(ending).stat().st_size for ending in (".safetensors", ".json"))
    waiting = sum(line["id"] not in answered for line in lines)
    return Packed(len(rows), len(failures), waiting, dict(sorted(lacking.items())), size, digest)


def _settings(journal: Path) -> Settings:
    from aldesign.dft.settings import Settings

    try:
        with journal.open(encoding="utf-8") as file:
            return Settings.from_json(json.loads(file.readline())["settings"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{journal} does not begin with the settings of a batch: {error}") from error


def _plan(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a plan, ids being distinct."""
    from aldesign.structures.cif import from_record

    found: dict[str, dict[str, Any]] = {}
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}", "give the file of `aldesign data plan`") from error
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
            found.setdefault(record["id"], record | {"crystal": from_record(record)})
        except (ValueError, KeyError, TypeError, InputError) as error:
            raise InputError(f"{path}, line {number}, is no crystal of a plan: {error}") from error
    if not found:
        raise InputError(f"{path} holds no crystals", "give the file of `aldesign data plan`")
    return list(found.values())


def _results(
    store: ResultStore, settings: Settings, lines: Sequence[dict[str, Any]]
) -> list[tuple[dict[str, Any], Result]]:
    """Return the lines of the plan that have a result; of two that are one crystal, the first."""
    from aldesign.dft.store import crystal_key

    known = store.known(settings)
    found: list[tuple[dict[str, Any], Result]] = []
    seen: set[tuple[str, float, float]] = set()
    for line in lines:
        result = store.get(line["crystal"], settings) if crystal_key(line["crystal"]) in known else None
        if result is None:
            continue
        mark = (result.formula, result.energy_ev_per_atom, result.seconds)
        if mark not in seen:
            seen.add(mark)
            found.append((line, result))
    return found


def _references(symbols: Iterable[str], settings: Settings, archive: Any) -> tuple[dict[str, float], dict[str, str]]:
    """Return the energies of the elements in eV/atom, and why others have none."""
    from aldesign.dft.elements import reference_energy

    energies, missing = {}, {}
    for symbol in symbols:
        try:
            energies[symbol] = reference_energy(symbol, settings, archive)
        except CalculationError as error:
            missing[symbol] = error.message
    return energies, missing


def _computed(line: Mapping[str, Any], result: Result, energies: Mapping[str, float]) -> Computed:
    from aldesign.dft.elements import formation_energy_per_atom

    known = set(result.crystal.species) <= energies.keys()
    formation = formation_energy_per_atom(result, energies) if known else None
    if formation is not None and not abs(formation) < _STRANGE_EV:
        raise AldesignError(f"{line['id']}: a formation energy of {formation:.3g} eV/atom", "look at its calculation")
    if result.dos is None:
        raise AldesignError(f"{line['id']}: there is no density of states", "compute it anew")
    crystal = Crystal(line["id"], result.crystal.lattice, result.crystal.species, result.crystal.frac)
    return Computed(
        crystal=crystal,
        formula=result.formula,
        prototype=str(line.get("prototype", "")),
        space_group=str(line.get("space_group", "")),
        source=str(line.get("source", "")),
        gap_ev=result.gap_ev,
        direct_gap_ev=result.direct_gap_ev,
        energy_ev_per_atom=result.energy_ev_per_atom,
        formation_energy_ev_per_atom=formation,
        above_hull_ev_per_atom=None,
        magnetization=result.magnetization,
        seconds=result.seconds,
        _curves=on_grid(result.dos),
    )


def _with_hull(rows: list[Computed]) -> list[Computed]:
    """Return the rows with their distances from the hull of all of them and the elements."""
    from aldesign.structures.hull import Hull

    usable = [row for row in rows if row.formation_energy_ev_per_atom is not None]
    energies = [float(row.formation_energy_ev_per_atom or 0.0) for row in usable]
    if not usable:
        return rows
    # compared among themselves alone: the scale makes no difference
    hull = Hull([row.formula for row in usable], energies, scale="mp2020")
    distances = hull.distances([row.formula for row in usable], energies, scale="mp2020")
    above = {row.crystal.id: d.e_above_hull_ev_per_atom for row, d in zip(usable, distances, strict=True)}
    return [replace(row, above_hull_ev_per_atom=above.get(row.crystal.id)) for row in rows]


def _failures(folder: Path, lines: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    from aldesign.dft.batch import FAILURES

    path = folder / FAILURES
    planned = {line["id"] for line in lines}
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["id"] in planned]
    return [{key: row[key] for key in ("id", "formula", "kind", "error")} for row in rows]


def _card(
    settings: Settings,
    results: Sequence[Result],
    rows: Sequence[Computed],
    energies: Mapping[str, float],
    missing: Mapping[str, str],
    failures: Sequence[Mapping[str, str]],
) -> dict[str, Any]:
    software: dict[str, set[str]] = {}
    for result in results:
        for name, version in result.software.items():
            software.setdefault(name, set()).add(version)
    gaps = np.array([row.gap_ev for row in rows])
    return {
        "name": "Gaps, formation energies and densities of states of small crystals from first principles",
        "level": settings.level,
        "settings": settings.to_json(),
        "settings_digest": settings.digest,
        "energy_digest": settings.energy_digest,
        "software": {name: ", ".join(sorted(versions)) for name, versions in sorted(software.items())},
        "machine": f"{platform.machine()}, one core per calculation",
        "hours": round(sum(row.seconds for row in rows) / 3600, 2),
        "metals": int((gaps == 0).sum()),
        "textbook": sum(row.source == "textbook" for row in rows),
        "formulas": len({row.formula for row in rows}),
        "elements": sorted({symbol for row in rows for symbol in row.crystal.species}),
        "element_energies_ev_per_atom": {symbol: round(energy, 6) for symbol, energy in sorted(energies.items())},
        "elements_without_reference": dict(sorted(missing.items())),
        "dos_grid_ev": list(GRID_EV),
        "failures": list(failures),
        "structures": "prototypes of the AFLOW library (Mehl et al., 2017) with other elements, by CHGNet 0.3.0",
        "limits": list(LIMITS),
        "licence": "MIT, as the package",
    }
