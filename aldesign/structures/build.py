"""From formulas to rows of a table with crystals, energies and CIF files: every formula gets a row."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aldesign
from aldesign.chemistry.formula import canonical
from aldesign.errors import FormulaError, StructureError
from aldesign.execution import LostWorker, Workers
from aldesign.structures.assign import Assignment
from aldesign.structures.cif import write_cif
from aldesign.structures.making import DEFAULT, Made, Recipe, facts, finish, job_of, plan, work

if TYPE_CHECKING:
    from aldesign.structures.hull import Hull
    from aldesign.structures.templates import TemplateLibrary

COLUMNS = (
    "formula",
    "template_id",
    "template_formula",
    "emd",
    "cif",
    "formation_energy_per_atom",
    "e_above_hull",
    "relaxed",
    "reason",
)
"""Columns of ``structures.csv``, in order."""

DETAILS = (
    "formula",
    "space_group",
    "space_group_relaxed",
    "likelihood",
    "support",
    "bond_valence_deviation",
    "mapping",
    "volume_per_atom",
    "formation_energy_ev_per_atom",
    "formation_energy_graph_ev_per_atom",
    "formation_energy_graph_std_ev_per_atom",
    "energies_disagree",
    "converged",
    "e_above_hull_ev_per_atom",
    "decomposition",
    "alternatives",
    "warnings",
)
"""Columns of ``details.csv``, in order; the last three and ``mapping`` are JSON."""


@dataclass(frozen=True)
class StructureRow:
    """One formula's line in ``structures.csv``.

    Attributes:
        formula: Canonical formula; the text as given where it is none.
        template_id: Id of the template, empty without a crystal.
        template_formula: Its canonical formula.
        emd: Its distance on the modified Pettifor scale.
        cif: Name of the file within the output folder, empty without one.
        formation_energy_per_atom: eV/atom by CHGNet; None where it was not asked for or failed.
        e_above_hull: eV/atom above the known phases, below zero where they would fall apart into this one; None
            where no phases were given, or none are known of an element.
        relaxed: Whether the crystal was relaxed.
        reason: Why there is no crystal, no energy or no file; empty where all went well.
        details: What else is known, by the columns of ``details.csv``.
        made: How the crystal came about; None for a text that is no formula, or where a worker died.

    """

    formula: str
    template_id: str = ""
    template_formula: str = ""
    emd: float | None = None
    cif: str = ""
    formation_energy_per_atom: float | None = None
    e_above_hull: float | None = None
    relaxed: bool = False
    reason: str = ""
    details: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    made: Made | None = field(default=None, compare=False, repr=False)

    def as_record(self) -> dict[str, object]:
        """Return the row's cells by column name; None is an empty cell."""
        return {column: getattr(self, column) for column in COLUMNS}


def build(
    formulas: Sequence[str],
    library: TemplateLibrary,
    recipe: Recipe = DEFAULT,
    *,
    hull: Hull | None = None,
    out: Path | str | None = None,
    provenance: Mapping[str, object] | None = None,
    workers: Workers | None = None,
) -> Iterator[StructureRow]:
    """Yield one row per formula, in order, and write a CIF of each crystal into `out`.

    Args:
        formulas: Any texts; one that is no formula gets a row that says so.
        library: Where templates come from.
        recipe: How crystals are made.
        hull: Known phases to count energies from.
        out: Folder for the CIFs; None writes nothing. Equal formulas share one file.
        provenance: Facts for the comment lines of every CIF, beside the row's own.
        workers: Where relaxations run; None runs them here. The results do not depend on it.

    """
    planned: list[tuple[str, list[Assignment]] | StructureRow] = []
    for text in formulas:
        try:
            formula = canonical(text)
            planned.append((formula, plan(formula, library, recipe)))
        except FormulaError as error:
            planned.append(StructureRow(text, reason=str(error)))
    jobs = {
        i: job
        for i, entry in enumerate(planned)
        if not isinstance(entry, StructureRow) and (job := job_of(entry[1], recipe)) is not None
    }
    places = list(jobs)
    landing = (
        ((i, work(job)) for i, job in jobs.items())
        if workers is None
        else ((places[k], result) for k, result in workers.run(work, list(jobs.values())))
    )
    results: dict[int, Any] = {}
    for i, entry in enumerate(planned):
        if isinstance(entry, StructureRow):
            yield entry
            continue
        while i in jobs and i not in results:
            place, result = next(landing)
            results[place] = result
        yield _row(entry, results.pop(i, None), hull, out, provenance or {})


def _row(
    entry: tuple[str, list[Assignment]],
    result: Any,
    hull: Hull | None,
    out: Path | str | None,
    provenance: Mapping[str, object],
) -> StructureRow:
    formula, tried = entry
    if isinstance(result, LostWorker):
        first = tried[0]
        return StructureRow(
            formula, first.template_id, first.template_formula, first.emd, reason=f"no energy: {result.reason}"
        )
    made = finish(formula, tried, result, hull)
    chosen = made.chosen
    if made.crystal is None:
        return StructureRow(formula, reason=chosen.reason, made=made)
    found, energy = facts(made), made.energy
    reasons = [f"CHGNet: {energy.error}"] if energy is not None and energy.error else list(made.remarks)
    row = StructureRow(
        formula,
        chosen.template_id,
        chosen.template_formula,
        chosen.emd,
        formation_energy_per_atom=energy.formation_energy_ev_per_atom if energy else None,
        e_above_hull=made.hull.e_above_hull_ev_per_atom if made.hull else None,
        relaxed=bool(energy and energy.relaxed),
        reason="; ".join(reasons),
        details={column: found.get(column) for column in DETAILS} | {"formula": formula},
        made=made,
    )
    return row if out is None else _write(row, found, Path(out), provenance)


def _write(row: StructureRow, found: Mapping[str, Any], folder: Path, provenance: Mapping[str, object]) -> StructureRow:
    """Return the row with the name of its CIF, or with the reason why there is none."""
    if row.made is None or row.made.crystal is None:
        return row
    name = f"{re.sub(r'[^A-Za-z0-9.]+', '_', row.formula).strip('_')}.cif"
    try:
        write_cif(row.made.crystal, folder / name, {**_header(row, found), **provenance})
    except StructureError as error:
        return replace(row, reason="; ".join(filter(None, (row.reason, error.message))))
    return replace(row, cif=name)


def _header(row: StructureRow, found: Mapping[str, Any]) -> dict[str, object]:
    """Return what the comment lines of a CIF say of its origin."""
    said: dict[str, object] = {
        "formula": row.formula,
        "template": f"{row.template_id} ({row.template_formula}), EMD {row.emd:.3f}",
        "elements": ", ".join(f"{old} -> {new}" for old, new in found["mapping"].items()),
        "space_group_of_template": found["space_group"],
        "software": f"aldesign {aldesign.__version__}",
    }
    if found["bond_valence_deviation"] is not None:
        said["bond_valence_deviation"] = f"{found['bond_valence_deviation']:.3f} valence units, as substituted"
    if "energy_method" in found and not found["energy_error"]:
        state = "relaxed" if found["converged"] else "relaxed, not converged"
        method = found["energy_method"]
        said["geometry"] = f"{state if row.relaxed else 'as substituted'}, {method}"
        said["formation_energy_per_atom"] = f"{found['formation_energy_ev_per_atom']:.4f} eV, {method}"
        if (second := found["formation_energy_graph_ev_per_atom"]) is not None:
            said["formation_energy_per_atom_second"] = f"{second:.4f} eV, crystal_graph_eform"
        if (height := found["e_above_hull_ev_per_atom"]) is not None:
            products = " + ".join(f"{share:.3g} {name}" for name, share in found["decomposition"])
            said["e_above_hull"] = f"{height:.4f} eV/atom, against {products} (shares of the atoms)"
    else:
        said["geometry"] = "as substituted"
    if found["warnings"]:
        said["note"] = "; ".join(found["warnings"])
    return said
