"""From formulas to rows of a table with crystals, energies and CIF files: every formula gets a row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import aldesign
from aldesign.chemistry.formula import canonical
from aldesign.errors import FormulaError, StructureError
from aldesign.records import Crystal
from aldesign.structures.assign import Assignment, assign
from aldesign.structures.cif import write_cif
from aldesign.structures.energy import STEPS, CHGNetEnergy, Energy, evaluate_one
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
        e_above_hull: eV/atom; None as long as no hull is known.
        relaxed: Whether the crystal was relaxed.
        reason: Why there is no crystal, no energy or no file; empty where all went well.
        assignment: How the crystal came about; None for a text that is no formula.
        energy: What the potential said; None where it was not asked.

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
    assignment: Assignment | None = field(default=None, compare=False, repr=False)
    energy: Energy | None = field(default=None, compare=False, repr=False)

    @property
    def crystal(self) -> Crystal | None:
        """The final crystal: relaxed where that succeeded, else as substituted."""
        if self.energy is not None and not self.energy.error:
            return self.energy.crystal
        return self.assignment.crystal if self.assignment else None

    def as_record(self) -> dict[str, object]:
        """Return the row's cells by column name; None is an empty cell."""
        return {column: getattr(self, column) for column in COLUMNS}


def build(
    formulas: Sequence[str],
    library: TemplateLibrary,
    *,
    max_emd: float = 10.0,
    tries: int = 5,
    energy: bool = True,
    relax: bool = True,
    steps: int = STEPS,
    out: Path | str | None = None,
    provenance: Mapping[str, object] | None = None,
    executor: Executor | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[StructureRow]:
    """Return one row per formula, in order, and write a CIF of each crystal into `out`.

    Args:
        formulas: Any texts; one that is no formula gets a row that says so.
        library: Where templates come from.
        max_emd: Largest distance to a template.
        tries: Templates to try per formula.
        energy: Whether to ask CHGNet for formation energies.
        relax: Whether to relax crystals first; without `energy` nothing is relaxed.
        steps: Relaxation steps at most.
        out: Folder for the CIFs; None writes nothing.
        provenance: Facts for the comment lines of every CIF, beside the row's own.
        executor: Runs the relaxations; None runs them here. The results do not depend on it.
        progress: Called with the number of energies done and their total.

    """
    spelled: list[str] = []
    assigned: list[Assignment | None] = []
    faults: dict[int, str] = {}
    for i, text in enumerate(formulas):
        try:
            formula = canonical(text)
            assigned.append(assign(formula, library, max_emd, tries))
            spelled.append(formula)
        except FormulaError as error:
            faults[i] = str(error)
            assigned.append(None)
            spelled.append(text)
    crystals = [made.crystal for made in assigned if made is not None and made.crystal is not None]
    energies = iter(_energies(crystals, relax, steps, executor, progress) if energy else ())
    rows: list[StructureRow] = []
    names: set[str] = set()
    for i, (formula, made) in enumerate(zip(spelled, assigned, strict=True)):
        if made is None or made.crystal is None:
            rows.append(StructureRow(formula, reason=faults.get(i) or (made.reason if made else ""), assignment=made))
            continue
        found = next(energies, None)
        reason = f"CHGNet: {found.error}" if found is not None and found.error else ""
        row = StructureRow(
            formula,
            made.template_id,
            made.template_formula,
            made.emd,
            formation_energy_per_atom=found.formation_energy_ev_per_atom if found else None,
            relaxed=bool(found and found.relaxed),
            reason=reason,
            assignment=made,
            energy=found,
        )
        rows.append(row if out is None else _write(row, Path(out), names, provenance or {}))
    return rows


def _energies(
    crystals: Sequence[Crystal],
    relax: bool,
    steps: int,
    executor: Executor | None,
    progress: Callable[[int, int], None] | None,
) -> list[Energy]:
    task = partial(evaluate_one, relax=relax, steps=steps)
    energies: list[Energy] = []
    for found in map(task, crystals) if executor is None else executor.map(task, crystals):
        energies.append(found)
        if progress is not None:
            progress(len(energies), len(crystals))
    return energies


def _write(row: StructureRow, folder: Path, names: set[str], provenance: Mapping[str, object]) -> StructureRow:
    """Return the row with the name of its CIF, or with the reason why there is none."""
    made, crystal = row.assignment, row.crystal
    if made is None or crystal is None:
        return row
    stem = re.sub(r"[^A-Za-z0-9.]+", "_", row.formula).strip("_")
    name, number = f"{stem}.cif", 1
    while name in names:
        number += 1
        name = f"{stem}-{number}.cif"
    names.add(name)
    facts: dict[str, object] = {
        "formula": row.formula,
        "template": f"{row.template_id} ({row.template_formula}), EMD {row.emd:.3f}",
        "elements": ", ".join(f"{old} -> {new}" for old, new in made.mapping.items()),
        "software": f"aldesign {aldesign.__version__}",
    }
    if row.energy is not None and not row.energy.error:
        state = "relaxed" if row.energy.converged else "relaxed, not converged"
        facts["geometry"] = f"{state if row.relaxed else 'as substituted'}, {CHGNetEnergy.identity}"
        facts["formation_energy_per_atom"] = f"{row.formation_energy_per_atom:.4f} eV, {CHGNetEnergy.identity}"
    else:
        facts["geometry"] = "as substituted"
    if made.warnings:
        facts["note"] = "; ".join(made.warnings)
    try:
        write_cif(crystal, folder / name, {**facts, **provenance})
    except StructureError as error:
        return replace(row, reason="; ".join(filter(None, (row.reason, error.message))))
    return replace(row, cif=name)
