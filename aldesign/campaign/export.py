"""The ranked list with its crystals, as files that match row for row."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aldesign.campaign.finishing import crystal_of
from aldesign.campaign.ranking import Ranked, shortlist
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState
from aldesign.errors import InputError, StructureError
from aldesign.files import atomic_path
from aldesign.structures.cif import write_cif

CANDIDATES = "candidates.csv"
SET_ASIDE = "set_aside.csv"
PROVENANCE = "provenance.json"

COLUMNS = (
    "rank",
    "formula",
    "gap_ev",
    "gap_std_ev",
    "oracle",
    "level",
    "in_domain",
    "source",
    "iteration",
    "trial",
    "expected_gap_ev",
    "expected_std_ev",
    "oxidation_states",
    "template_id",
    "template_formula",
    "emd",
    "space_group",
    "mapping",
    "formation_energy_ev_per_atom",
    "energy_method",
    "formation_energy_graph_ev_per_atom",
    "formation_energy_graph_std_ev_per_atom",
    "relaxed",
    "cif",
    "reason",
)


@dataclass(frozen=True)
class Exported:
    """What an export wrote: its folder, the number of crystals, and the number set aside."""

    directory: Path
    candidates: int
    set_aside: int


def export(state: CampaignState, spec: CampaignSpec, directory: Path, top: int | None = None) -> Exported:
    """Write candidates.csv, a CIF for each of its rows, set_aside.csv and provenance.json.

    A CIF that cannot be read back is not delivered: its row moves to set_aside.csv with the reason. CIFs that an
    earlier export of the campaign left in the same folder are removed.

    Args:
        state: The campaign so far.
        spec: Its definition.
        directory: Where to write; made if need be.
        top: At most so many candidates.
    """
    make_folder(directory)
    listed = shortlist(state, spec)
    rows: list[dict[str, Any]] = []
    aside = [_row(item, "") for item in listed.set_aside]
    for item in listed.accepted[:top]:
        name = f"{len(rows) + 1:03d}_{re.sub(r'[^A-Za-z0-9.]', '_', item.trial.candidate.formula)}.cif"
        try:
            write_cif(crystal_of(dict(item.record.facts)), directory / name, _provenance(state, item))
        except StructureError as error:
            aside.append({**_row(item, ""), "reason": str(error)})
            continue
        rows.append({**_row(item, name), "rank": len(rows) + 1})
    for number, row in enumerate(aside, start=1):
        row["rank"] = number
    for stale in _own_crystals(directory, state) - {row["cif"] for row in rows}:
        (directory / stale).unlink(missing_ok=True)
    _write_csv(directory / CANDIDATES, rows)
    _write_csv(directory / SET_ASIDE, aside)
    with atomic_path(directory / PROVENANCE) as path:
        path.write_text(json.dumps(dict(state.created), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return Exported(directory, len(rows), len(aside))


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
    for path in directory.glob("[0-9][0-9][0-9]_*.cif"):
        with path.open(encoding="utf-8", errors="replace") as handle:
            if mark in handle.read(1000):
                found.add(path.name)
    return found


def _row(item: Ranked, cif: str) -> dict[str, Any]:
    trial, facts = item.trial, item.record.facts
    prediction = trial.prediction
    if prediction is None:
        raise ValueError(f"trial {trial.number} has no prediction")
    states = next((v.evidence.get("oxidation_states") for v in trial.verdicts if v.screen == "neutrality"), None)
    expected = trial.expected or (None, None)
    return {
        "formula": trial.candidate.formula,
        "gap_ev": _shown(prediction.value),
        "gap_std_ev": _shown(prediction.std),
        "oracle": prediction.oracle.name,
        "level": prediction.level,
        "in_domain": prediction.in_domain,
        "source": trial.candidate.source.value,
        "iteration": trial.iteration,
        "trial": trial.number,
        "expected_gap_ev": _shown(expected[0]),
        "expected_std_ev": _shown(expected[1]),
        "oxidation_states": _pairs(states),
        "template_id": facts.get("template_id"),
        "template_formula": facts.get("template_formula"),
        "emd": facts.get("emd"),
        "space_group": facts.get("space_group"),
        "mapping": _pairs(facts.get("mapping")),
        "formation_energy_ev_per_atom": facts.get("formation_energy_ev_per_atom"),
        "energy_method": facts.get("energy_method"),
        "formation_energy_graph_ev_per_atom": facts.get("formation_energy_graph_ev_per_atom"),
        "formation_energy_graph_std_ev_per_atom": facts.get("formation_energy_graph_std_ev_per_atom"),
        "relaxed": facts.get("relaxed"),
        "cif": cif,
        "reason": item.record.reason,
    }


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _pairs(mapping: Any) -> str:
    return " ".join(f"{key}:{value}" for key, value in (mapping or {}).items())


def _provenance(state: CampaignState, item: Ranked) -> dict[str, str]:
    row = _row(item, "")
    kept = ("gap_ev", "gap_std_ev", "oracle", "level", "template_id", "emd", "formation_energy_ev_per_atom", "relaxed")
    return {
        "campaign": str(state.created["spec"]["name"]),
        "spec digest": str(state.created["spec_digest"]),
        "aldesign": str(state.created["version"]),
        "trial": str(item.trial.number),
        **{key: str(row[key]) for key in kept},
    }


def _write_csv(target: Path, rows: Sequence[dict[str, Any]]) -> None:
    with atomic_path(target) as path, path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
