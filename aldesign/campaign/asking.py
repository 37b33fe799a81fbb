"""Candidates for somebody else to measure, as rows and crystals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aldesign.campaign.campaign import Campaign
from aldesign.campaign.finishing import prepare
from aldesign.errors import StructureError
from aldesign.records import Trial
from aldesign.structures.cif import write_cif


def asked_rows(campaign: Campaign, trials: Sequence[Trial], cif_directory: Path | None = None) -> list[dict[str, Any]]:
    """Return a row per candidate: trial, formula, what the surrogate expects (eV), and its CIF.

    Args:
        campaign: The open campaign.
        trials: Pending trials.
        cif_directory: Where to write an unrelaxed template crystal of each; None writes none.
    """
    return [_row(campaign, trial, cif_directory) for trial in trials]


def _row(campaign: Campaign, trial: Trial, directory: Path | None) -> dict[str, Any]:
    expected = trial.expected or (None, None)
    row: dict[str, Any] = {
        "trial": trial.number,
        "formula": trial.candidate.formula,
        "expected_gap_ev": expected[0],
        "expected_std_ev": expected[1],
    }
    if directory is None:
        return row
    match = prepare(campaign.parts, trial)[0]
    if match.crystal is None:
        return {**row, "cif": "", "note": match.reason}
    path = directory / f"{trial.number:05d}_{trial.candidate.formula.replace('(', '_').replace(')', '_')}.cif"
    facts = {"campaign": campaign.spec.name, "trial": trial.number, "template_id": match.template_id, "relaxed": False}
    try:
        write_cif(match.crystal, path, facts)
    except StructureError as error:
        return {**row, "cif": "", "note": str(error)}
    return {**row, "cif": str(path), "note": f"template {match.template_id} ({match.template_formula}), not relaxed"}
