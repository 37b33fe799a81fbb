"""At the end, turn the best formulas into crystals: template, relaxation, two opinions on the formation energy."""

from __future__ import annotations

from functools import cache
from typing import Any

from aldesign.campaign.parts import Parts
from aldesign.campaign.ranking import best_first, considered, shortlist
from aldesign.campaign.spec import StructuresSpec
from aldesign.campaign.state import CampaignState
from aldesign.protocols import Oracle
from aldesign.records import Candidate, Crystal, Prediction, Trial
from aldesign.registry import load_oracle
from aldesign.structures.assign import Assignment, assign
from aldesign.structures.cif import formula_of


def waiting(state: CampaignState, parts: Parts) -> list[Trial]:
    """Return the next trials that need a crystal before the final table is complete; empty when it is."""
    spec = parts.spec
    missing = spec.shortlist.size - len(shortlist(state, spec).accepted)
    unknown = [t for t in best_first(state, spec)[: considered(spec)] if t.number not in state.structures]
    return unknown[:missing]


def prepare(parts: Parts, trial: Trial) -> Assignment:
    """Return the crystal that the nearest fitting template gives the trial's formula, or why there is none."""
    section = parts.spec.structures
    return assign(trial.candidate.formula, parts.templates, section.max_emd, tries=section.tries)


def set_aside(trial: Trial, match: Assignment) -> dict[str, Any]:
    """Return the event that says why a trial has no crystal."""
    facts = {"template_id": match.template_id, "template_formula": match.template_formula, "emd": _rounded(match.emd)}
    return {"trial": trial.number, "accepted": False, "reason": match.reason, "facts": facts}


def energy_job(job: tuple[Crystal, StructuresSpec]) -> dict[str, Any]:
    """Relax one crystal and return its energies as JSON values; runs in a worker process."""
    from aldesign.structures.energy import evaluate_one

    crystal, section = job
    result = evaluate_one(crystal, relax=section.relax == "chgnet", steps=section.steps)
    final = crystal if result.error else result.crystal
    second = second_opinion(final)
    return {
        "formation_energy_ev_per_atom": _rounded(result.formation_energy_ev_per_atom),
        "energy_method": "CHGNet",
        "formation_energy_graph_ev_per_atom": _rounded(second.value),
        "formation_energy_graph_std_ev_per_atom": _rounded(second.std),
        "relaxed": result.relaxed,
        "converged": result.converged,
        "energy_error": result.error,
        "crystal": {
            "lattice": [round(float(x), 6) for x in final.lattice],
            "species": list(final.species),
            "frac": [[round(float(x), 6) for x in row] for row in final.frac],
        },
    }


def second_opinion(crystal: Crystal) -> Prediction:
    """Return the formation energy (eV/atom) that the shipped crystal graph network gives the same crystal."""
    (prediction,) = _graph_oracle().predict([Candidate(formula_of(crystal), crystal=crystal)])
    return prediction


@cache
def _graph_oracle() -> Oracle:
    return load_oracle("crystal_graph_eform")


def accept(parts: Parts, trial: Trial, match: Assignment, energy: dict[str, Any]) -> dict[str, Any]:
    """Return the event that records a trial's crystal and whether it may be exported."""
    facts = {
        "structure_id": f"{trial.candidate.formula}-{match.template_id}",
        "template_id": match.template_id,
        "template_formula": match.template_formula,
        "emd": _rounded(match.emd),
        "space_group": match.space_group,
        "mapping": dict(match.mapping),
        "warnings": list(match.warnings),
        **energy,
    }
    reason = _objection(parts, energy)
    return {"trial": trial.number, "accepted": not reason, "reason": reason, "facts": facts}


def _objection(parts: Parts, energy: dict[str, Any]) -> str:
    limits = parts.spec.shortlist.formation_energy_per_atom
    value = energy["formation_energy_ev_per_atom"]
    if energy["energy_error"]:
        return f"no energy: {energy['energy_error']}"
    if limits is None or value is None:
        return ""
    if limits.max is not None and value > limits.max:
        return f"formation energy {value:.3f} eV/atom is above {limits.max:g}"
    if limits.min is not None and value < limits.min:
        return f"formation energy {value:.3f} eV/atom is below {limits.min:g}"
    return ""


def crystal_of(facts: dict[str, Any]) -> Crystal:
    """Return the crystal that a structure event recorded."""
    import numpy as np

    stored = facts["crystal"]
    a, b, c, alpha, beta, gamma = stored["lattice"]
    return Crystal(
        facts["structure_id"], (a, b, c, alpha, beta, gamma), tuple(stored["species"]), np.array(stored["frac"])
    )


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(float(value), digits)
