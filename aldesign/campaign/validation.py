"""What a run claimed of its candidates beside what another oracle found, row by row, and how good the claims were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from aldesign.campaign.finishing import held_crystal
from aldesign.campaign.rows import cif_name, computed_cells, shown
from aldesign.campaign.state import CampaignState
from aldesign.records import Crystal, Trial, TrialState

HELD = 2.0
"""Standard deviations within which a predicted gap is said to have held."""
COLUMNS = (
    "rank",
    "formula",
    "trial",
    "state",
    "predicted_gap_ev",
    "predicted_std_ev",
    "predicted_by",
    "predicted_level",
    "computed_gap_ev",
    "computed_by",
    "computed_level",
    "direct",
    "direct_gap_ev",
    "error_ev",
    "within_2_std",
    "formation_energy_ev_per_atom",
    "energy_method",
    "formation_energy_graph_ev_per_atom",
    "formation_energy_computed_ev_per_atom",
    "magnetization_mub_per_cell",
    "sites",
    "crystal",
    "seconds",
    "cif",
    "reason",
)
"""Columns of validation.csv."""


@dataclass(frozen=True)
class Check:
    """One candidate: what was claimed, and the trial that asked what is true.

    Attributes:
        trial: The trial, with its answer once there is one.
        claim: What the run said, as `earlier.Claim` is written in the journal.

    """

    trial: Trial
    claim: Mapping[str, Any]

    @property
    def computed_ev(self) -> float | None:
        """The gap that was found, eV."""
        return self.trial.prediction.value if self.trial.prediction else None

    @property
    def facts(self) -> Mapping[str, Any]:
        """What else was found."""
        return self.trial.prediction.facts if self.trial.prediction else {}

    @property
    def error_ev(self) -> float | None:
        """Predicted less computed gap, eV."""
        return None if self.computed_ev is None else float(self.claim["gap_ev"]) - self.computed_ev

    @property
    def held(self) -> bool | None:
        """Whether the computed gap lies within two standard deviations of the predicted one."""
        std, error = self.claim.get("std_ev"), self.error_ev
        return None if std is None or error is None else abs(error) <= HELD * std

    @property
    def crystal(self) -> Crystal | None:
        """The crystal that was asked about, or that was made for the formula."""
        return held_crystal(self.trial)

    @property
    def crystal_text(self) -> str:
        """Where that crystal came from."""
        if self.trial.candidate.crystal is not None:
            return "the run's, relaxed" if self.claim.get("relaxed") else "the run's, not relaxed"
        return str(self.facts.get("crystal_made") or "")

    @property
    def reason(self) -> str:
        """Why there is no computed gap; empty where there is one."""
        if self.computed_ev is not None:
            return ""
        return self.trial.prediction.error if self.trial.prediction else "waits for an answer"


@dataclass(frozen=True)
class Validation:
    """All candidates that were checked, in the order of the run's table, and the figures of merit of the claims."""

    checks: tuple[Check, ...]

    @property
    def answered(self) -> tuple[Check, ...]:
        """Those with a computed gap."""
        return tuple(check for check in self.checks if check.computed_ev is not None)

    @property
    def levels(self) -> tuple[set[str], set[str]]:
        """Levels of theory of the predicted and of the computed gaps."""
        computed = {c.trial.prediction.level for c in self.answered if c.trial.prediction}
        return {str(c.claim["level"]) for c in self.checks}, computed

    def figures(self) -> dict[str, Any]:
        """Return how good the claims were, as JSON values; None where too few answers tell."""
        errors = np.array([c.error_ev for c in self.answered], dtype=np.float64)
        held = [c.held for c in self.answered if c.held is not None]
        return {
            "checked": len(self.checks),
            "computed": len(self.answered),
            "failed": sum(c.trial.state in (TrialState.FAILED, TrialState.ABANDONED) for c in self.checks),
            "mae_ev": round(float(np.abs(errors).mean()), 4) if len(errors) else None,
            "bias_ev": round(float(errors.mean()), 4) if len(errors) else None,
            "spearman": self._spearman(),
            "within_2_std": sum(held),
            "with_std": len(held),
        }

    def _spearman(self) -> float | None:
        """Return the rank correlation of predicted and computed gaps; None for fewer than three, or equal ones."""
        from scipy.stats import spearmanr

        pairs = np.array([(c.claim["gap_ev"], c.computed_ev) for c in self.answered], dtype=np.float64).reshape(-1, 2)
        if len(pairs) < 3 or (pairs.min(axis=0) == pairs.max(axis=0)).any():
            return None
        return round(float(spearmanr(pairs[:, 0], pairs[:, 1]).statistic), 4)


def validation(state: CampaignState) -> Validation | None:
    """Return what became of the claims that a campaign began with; None where it began with none."""
    claims = (state.created.get("seed") or {}).get("claims") or ()
    if not claims:
        return None
    return Validation(tuple(Check(state.trials[claim["trial"]], claim) for claim in claims))


def validation_row(check: Check, cif: str = "") -> dict[str, Any]:
    """Return the cells of one row of validation.csv, numbers with fixed decimals, empty where unknown."""
    claim, facts, answer = check.claim, check.facts, check.trial.prediction
    return {
        "rank": claim["rank"],
        "formula": claim["formula"],
        "trial": check.trial.number,
        "state": check.trial.state.value,
        "predicted_gap_ev": shown(claim["gap_ev"]),
        "predicted_std_ev": shown(claim.get("std_ev")),
        "predicted_by": claim["oracle"],
        "predicted_level": claim["level"],
        "computed_gap_ev": shown(check.computed_ev),
        "computed_by": f"{answer.oracle.name} {answer.oracle.version}".strip() if answer else "",
        "computed_level": answer.level if answer else "",
        **computed_cells(answer),
        "error_ev": shown(check.error_ev),
        "within_2_std": check.held,
        "formation_energy_ev_per_atom": shown(claim.get("formation_energy_ev_per_atom")),
        "energy_method": claim.get("energy_method"),
        "formation_energy_graph_ev_per_atom": shown(claim.get("formation_energy_graph_ev_per_atom")),
        "sites": len(check.crystal) if check.crystal is not None else None,
        "crystal": check.crystal_text,
        "seconds": shown(facts.get("computed_seconds", answer.seconds if answer else None), 1),
        "cif": cif,
        "reason": check.reason,
    }


def validation_cif(check: Check) -> str:
    """Return the name of the CIF of a checked crystal."""
    return cif_name(int(check.claim["rank"]), check.trial.candidate.formula)
