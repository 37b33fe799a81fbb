"""The ranked list with its crystals, as files that match row for row."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aldesign import __version__
from aldesign.campaign.assessment import STABILITY, Assessed, Assessment, assess
from aldesign.campaign.finishing import crystal_of
from aldesign.campaign.ranking import objective, shortlist
from aldesign.campaign.recipe import NEAREST_TEXT, pareto_text, recipe_text
from aldesign.campaign.rows import COLUMNS, cif_name, row_of
from aldesign.campaign.scoring import UNITS
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState
from aldesign.campaign.validation import COLUMNS as CHECKED
from aldesign.campaign.validation import Check, validation, validation_cif, validation_row
from aldesign.chemistry.elements import CLASSES
from aldesign.chemistry.supply import PRICES_ORIGIN, SUPPLY_ORIGIN
from aldesign.errors import InputError, StructureError
from aldesign.files import atomic_path
from aldesign.structures.cif import write_cif

CANDIDATES = "candidates.csv"
SET_ASIDE = "set_aside.csv"
PROVENANCE = "provenance.json"
VALIDATION = "validation.csv"
HEADER = (
    "gap_ev",
    "gap_std_ev",
    "level",
    "in_domain",
    "template_id",
    "template_formula",
    "emd",
    "space_group",
    "space_group_relaxed",
    "mapping",
    "oxidation_states",
    "relaxed",
    "converged",
    "formation_energy_ev_per_atom",
    "energy_method",
    "formation_energy_graph_ev_per_atom",
    "formation_energy_graph_std_ev_per_atom",
    "energies_disagree",
    "e_above_hull_ev_per_atom",
    "decomposition",
    "hull_reason",
    "bond_valence_deviation_vu",
    "nearest_known",
    "nearest_known_emd",
    "score",
    "pareto",
    "warnings",
)
"""Columns that a CIF's header repeats."""
# Of the crystal as made, not of the relaxed one that the file holds; and shares of what
_SAID = {
    "space_group": "space_group_as_made",
    "bond_valence_deviation_vu": "bond_valence_deviation_vu_as_made",
    "decomposition": "decomposition_by_share_of_atoms",
}


@dataclass(frozen=True)
class Exported:
    """What an export wrote: its folder, the number of crystals, the number set aside, and of candidates checked."""

    directory: Path
    candidates: int
    set_aside: int
    checked: int = 0


def export(state: CampaignState, spec: CampaignSpec, directory: Path, top: int | None = None) -> Exported:
    """Write candidates.csv, a CIF for each of its rows, set_aside.csv and provenance.json.

    A campaign that checks the candidates of a run also writes validation.csv, with the CIFs that were computed.

    A CIF that cannot be read back is not delivered: its row moves to set_aside.csv with the reason. CIFs that an
    earlier export of the campaign left in the same folder are removed.

    Args:
        state: The campaign so far.
        spec: Its definition.
        directory: Where to write; made if need be.
        top: At most so many candidates.
    """
    make_folder(directory)
    assessment = assess(shortlist(state, spec), state, spec)
    rows: list[dict[str, Any]] = []
    aside = [row_of(assessed) for assessed in assessment.set_aside]
    for assessed in assessment.accepted[:top]:
        item = assessed.item
        name = cif_name(len(rows) + 1, item.trial.candidate.formula)
        try:
            write_cif(crystal_of(dict(item.record.facts)), directory / name, cif_header(state, assessed))
        except StructureError as error:
            aside.append({**row_of(assessed), "reason": str(error)})
            continue
        rows.append({**row_of(assessed, name), "rank": len(rows) + 1})
    for number, row in enumerate(aside, start=1):
        row["rank"] = number
    checks = _write_checks(directory, state)
    for stale in _own_crystals(directory, state) - {row["cif"] for row in [*rows, *checks]}:
        (directory / stale).unlink(missing_ok=True)
    _write_csv(directory / CANDIDATES, rows)
    _write_csv(directory / SET_ASIDE, aside)
    with atomic_path(directory / PROVENANCE) as path:
        text = json.dumps(provenance(state, spec, assessment), indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")
    return Exported(directory, len(rows), len(aside), len(checks))


def _write_checks(directory: Path, state: CampaignState) -> list[dict[str, Any]]:
    """Write validation.csv and its CIFs, where the campaign began with the candidates of a run; return the rows."""
    found = validation(state)
    if found is None:
        return []
    rows = [validation_row(check, _checked_crystal(directory, state, check)) for check in found.checks]
    _write_csv(directory / VALIDATION, rows, CHECKED)
    return rows


def _checked_crystal(directory: Path, state: CampaignState, check: Check) -> str:
    """Write the CIF of a checked crystal and return its name; nothing where there is none that holds."""
    if check.crystal is None:
        return ""
    row = validation_row(check)
    created = state.created
    head = {"campaign": created["spec"]["name"], "spec digest": created["spec_digest"], "aldesign": created["version"]}
    told = {name: value for name, value in row.items() if name not in ("rank", "formula", "cif", "state")}
    header = {name: str(value) for name, value in {**head, **told}.items() if value not in (None, "")}
    try:
        write_cif(check.crystal, directory / validation_cif(check), header)
    except StructureError:
        return ""
    return validation_cif(check)


def make_folder(directory: Path) -> None:
    """Make an output folder. Raises InputError where there can be none."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError, PermissionError, FileNotFoundError) as error:
        raise InputError(f"{directory} cannot be a folder: {error.strerror}", "give another --out") from error


def _own_crystals(directory: Path, state: CampaignState) -> set[str]:
    """Return the CIFs in a folder that this campaign wrote; other files are not ours to remove."""
    mark = f"# spec digest: {state.created['spec_digest']}"
    found = set()
    for path in directory.glob("[0-9][0-9][0-9]*_*.cif"):
        with path.open(encoding="utf-8", errors="replace") as handle:
            if mark in handle.read(1000):
                found.add(path.name)
    return found


def cif_header(state: CampaignState, assessed: Assessed) -> dict[str, str]:
    """Return the facts that stand at the top of a candidate's CIF; what is not known is left out."""
    row = row_of(assessed)
    created = state.created
    prediction = assessed.item.trial.prediction
    version = prediction.oracle.version if prediction else ""
    facts: dict[str, object] = {
        "campaign": created["spec"]["name"],
        "spec digest": created["spec_digest"],
        "aldesign": created["version"],
        "trial": row["trial"],
        "oracle": f"{row['oracle']} {version}".strip(),
        **{_SAID.get(name, name): row[name] for name in HEADER if name in row},
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def provenance(state: CampaignState, spec: CampaignSpec, assessment: Assessment) -> dict[str, Any]:
    """Return what provenance.json holds: the campaign's beginning, and how the columns of this export were made."""
    axes = [STABILITY[assessment.stability] if name == "stability" else name for name in spec.shortlist.pareto]
    return {
        **dict(state.created),
        "export": {
            "aldesign": __version__,
            "columns": list(COLUMNS),
            "order": spec.shortlist.order,
            "score": {
                "recipe": spec.shortlist.score.model_dump(mode="json"),
                "target": objective(spec).describe(),
                "units": dict(UNITS),
                "in_words": recipe_text(spec),
            },
            "pareto": {"goals": axes, "in_words": pareto_text(spec, assessment.stability)},
            "sources": {
                "cost": PRICES_ORIGIN,
                "supply_risk": SUPPLY_ORIGIN,
                "hazards": {name: sorted(CLASSES[name]) for name in spec.shortlist.score.hazard.classes},
                "nearest_known": NEAREST_TEXT,
                "decomposition": "known phases of the hull at this composition, each with its share of the atoms",
            },
            "notes": list(assessment.notes),
        },
    }


def _write_csv(target: Path, rows: Sequence[dict[str, Any]], columns: Sequence[str] = COLUMNS) -> None:
    with atomic_path(target) as path, path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
