"""What is exported of a candidate, column by column; units are part of the names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from aldesign.campaign.assessment import Assessed
from aldesign.campaign.scoring import DIGITS
from aldesign.campaign.spec.scores import TERMS
from aldesign.records import Prediction

_FIRST = (
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
_FINDINGS = (
    "score",
    "pareto",
    "formation_energy_difference_ev_per_atom",
    "energies_disagree",
    "e_above_hull_ev_per_atom",
    "decomposition",
    "hull_reason",
    "nearest_known",
    "nearest_known_emd",
    "nearest_known_from",
    "known_to_sketch",
    "cost_usd_per_kg",
    "cost_usd_per_mol_atoms",
    "cost_missing",
    "hazards",
    "hhi_production",
    "hhi_reserves",
    "likelihood",
    "support",
    "bond_valence_deviation_vu",
    "space_group_relaxed",
    "volume_per_atom_angstrom3",
    "converged",
    "alternatives",
    "warnings",
)
_COMPUTED = ("direct", "direct_gap_ev", "formation_energy_computed_ev_per_atom", "magnetization_mub_per_cell")
COLUMNS: tuple[str, ...] = (*_FIRST, *_FINDINGS, *(f"score_{name}" for name in TERMS), "score_missing", *_COMPUTED)
"""Columns of candidates.csv and set_aside.csv; those of earlier versions come first, in their order."""


def row_of(assessed: Assessed, cif: str = "") -> dict[str, Any]:
    """Return the cells of one candidate by column, numbers as texts of fixed decimals, empty where unknown."""
    item = assessed.item
    trial, facts, prediction = item.trial, item.record.facts, item.trial.prediction
    if prediction is None:
        raise ValueError(f"trial {trial.number} has no prediction")
    states = next((v.evidence.get("oxidation_states") for v in trial.verdicts if v.screen == "neutrality"), None)
    expected = trial.expected or (None, None)
    first = {
        "rank": item.rank,
        "formula": trial.candidate.formula,
        "gap_ev": shown(prediction.value),
        "gap_std_ev": shown(prediction.std),
        "oracle": prediction.oracle.name,
        "level": prediction.level,
        "in_domain": prediction.in_domain,
        "source": trial.candidate.source.value,
        "iteration": trial.iteration,
        "trial": trial.number,
        "expected_gap_ev": shown(expected[0]),
        "expected_std_ev": shown(expected[1]),
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
    return {**first, **_found(assessed), **_score_cells(assessed), **computed_cells(prediction)}


def computed_cells(prediction: Prediction | None) -> dict[str, Any]:
    """Return what an oracle that computes found besides the gap, by column; empty where it did not."""
    facts = prediction.facts if prediction is not None else {}
    return {
        "direct": facts.get("direct"),
        "direct_gap_ev": shown(facts.get("direct_gap_ev")),
        "formation_energy_computed_ev_per_atom": shown(facts.get("formation_energy_ev_per_atom")),
        "magnetization_mub_per_cell": shown(facts.get("magnetization"), 3),
    }


def _found(assessed: Assessed) -> dict[str, Any]:
    facts, supply, near = assessed.item.record.facts, assessed.supply, assessed.nearest
    return {
        "pareto": assessed.front,
        "formation_energy_difference_ev_per_atom": shown(difference(facts)),
        "energies_disagree": facts.get("energies_disagree"),
        "e_above_hull_ev_per_atom": shown(facts.get("e_above_hull_ev_per_atom")),
        "decomposition": " ".join(f"{formula}:{shown(share)}" for formula, share in facts.get("decomposition") or ()),
        "hull_reason": facts.get("hull_reason"),
        "nearest_known": near.formula if near else None,
        "nearest_known_emd": shown(near.emd) if near else None,
        "nearest_known_from": near.origin if near else None,
        "known_to_sketch": assessed.sketched,
        "cost_usd_per_kg": shown(supply.cost_usd_per_kg),
        "cost_usd_per_mol_atoms": shown(supply.cost_usd_per_mol_atoms),
        "cost_missing": " ".join(supply.cost_missing),
        "hazards": " ".join(f"{name}:{'+'.join(symbols)}" for name, symbols in supply.hazards.items()),
        "hhi_production": shown(supply.hhi_production, 1),
        "hhi_reserves": shown(supply.hhi_reserves, 1),
        "likelihood": facts.get("likelihood"),
        "support": facts.get("support"),
        "bond_valence_deviation_vu": shown(facts.get("bond_valence_deviation")),
        "space_group_relaxed": facts.get("space_group_relaxed"),
        "volume_per_atom_angstrom3": shown(facts.get("volume_per_atom")),
        "converged": facts.get("converged"),
        "alternatives": "; ".join(alternative_text(other) for other in facts.get("alternatives") or ()),
        "warnings": "; ".join(map(str, facts.get("warnings") or ())),
    }


def _score_cells(assessed: Assessed) -> dict[str, Any]:
    if assessed.score is None:
        return {}
    cells: dict[str, Any] = {f"score_{term.name}": shown(term.desirability) for term in assessed.score.terms}
    cells["score"] = shown(assessed.score.value)
    cells["score_missing"] = "; ".join(f"{term.name}: {term.note}" for term in assessed.score.terms if term.note)
    return cells


def cif_name(rank: int, formula: str) -> str:
    """Return the name of a candidate's CIF."""
    return f"{rank:03d}_{re.sub(r'[^A-Za-z0-9.]', '_', formula)}.cif"


def difference(facts: Mapping[str, Any]) -> float | None:
    """Return CHGNet's formation energy less the crystal graph's, in eV/atom; None where one is not known."""
    first, second = (facts.get(f"formation_energy{kind}_ev_per_atom") for kind in ("", "_graph"))
    return None if first is None or second is None else float(first) - float(second)


def alternative_text(other: Mapping[str, Any]) -> str:
    """Return one structure that was tried in its stead, on one line."""
    parts = [f"{other.get('template_id') or 'no template'} ({other.get('template_formula') or 'no formula'})"]
    if other.get("emd") is not None:
        parts.append(f"EMD {other['emd']:.2f}")
    if other.get("space_group"):
        parts.append(str(other["space_group"]))
    if other.get("formation_energy_ev_per_atom") is not None:
        parts.append(f"{other['formation_energy_ev_per_atom']:.3f} eV/atom")
    if other.get("reason"):
        parts.append(str(other["reason"]))
    return ", ".join(parts)


def shown(value: float | None, digits: int = DIGITS) -> str:
    """Return a number with a fixed number of decimals, or nothing."""
    return "" if value is None else f"{value:.{digits}f}"


def _pairs(mapping: Mapping[str, Any] | Sequence[Any] | None) -> str:
    if isinstance(mapping, Mapping):
        return " ".join(f"{key}:{value}" for key, value in mapping.items())
    return " ".join(map(str, mapping or ()))
