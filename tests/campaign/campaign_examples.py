"""Trials made by hand."""

from __future__ import annotations

from typing import Any

from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState, StructureRecord
from aldesign.records import Candidate, OracleIdentity, Prediction, Source, Trial, TrialState


def measured(number: int, formula: str, gap_ev: float, iteration: int, source: Source = Source.LATENT) -> Trial:
    prediction = Prediction(gap_ev, 0.1, "eV", OracleIdentity("made", "1"), "PBE")
    state = TrialState.MEASURED
    return Trial(number, iteration, Candidate(formula, source), state, prediction=prediction, expected=(1.0, 0.5))


def pending(number: int, formula: str, iteration: int) -> Trial:
    return Trial(number, iteration, Candidate(formula, Source.GAN), TrialState.PENDING, expected=(1.0, 0.5), score=2.0)


def rock_salt(formula: str, cation: str, anion: str, side_angstrom: float) -> dict[str, Any]:
    """Return what every run records of a crystal, earlier versions included."""
    corners = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    centres = [[x + 0.5, y + 0.5, z + 0.5] for x, y, z in corners]
    return {
        "structure_id": f"{formula}-AB",
        "template_id": "AB_cF8_225_a_b",
        "template_formula": "NaCl",
        "emd": 3.25,
        "space_group": "Fm-3m",
        "mapping": {"Na": cation, "Cl": anion},
        "formation_energy_ev_per_atom": -1.9,
        "energy_method": "CHGNet",
        "formation_energy_graph_ev_per_atom": -1.8,
        "formation_energy_graph_std_ev_per_atom": 0.03,
        "relaxed": True,
        "crystal": {
            "lattice": [side_angstrom] * 3 + [90.0] * 3,
            "species": [cation] * 4 + [anion] * 4,
            "frac": [[x % 1 for x in row] for row in (*corners, *centres)],
        },
    }


NEW_FACTS: dict[str, Any] = {
    "likelihood": 0.25,
    "support": 12,
    "bond_valence_deviation": 0.08,
    "energies_disagree": True,
    "e_above_hull_ev_per_atom": 0.02,
    "decomposition": [["KF", 0.4], ["NaF", 0.6]],
    "hull_reason": "",
    "alternatives": [
        {
            "template_id": "AB_cP2_221_b_a",
            "template_formula": "CsCl",
            "emd": 2.5,
            "space_group": "Pm-3m",
            "formation_energy_ev_per_atom": -1.7,
            "reason": "0.200 eV/atom above the crystal kept",
        }
    ],
    "space_group_relaxed": "Fm-3m",
    "volume_per_atom": 20.5,
    "converged": True,
    "warnings": ["a far template"],
}


def state_of(spec: CampaignSpec, trials: list[Trial], records: dict[int, StructureRecord]) -> CampaignState:
    """Return a state without a journal."""
    created = {
        "spec": spec.model_dump(mode="json"),
        "spec_digest": spec.digest(),
        "version": "0",
        "oracle": {"name": "made"},
        "digests": {},
        "seed": {},
        "bad_rows": [],
    }
    return CampaignState(created, {t.number: t for t in trials}, structures=records)
