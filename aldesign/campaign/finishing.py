"""At the end, turn the best formulas into crystals: templates, relaxation, two opinions on energy, known phases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aldesign.campaign.parts import Parts
from aldesign.campaign.ranking import best_first, considered, shortlist
from aldesign.campaign.spec import StructuresSpec
from aldesign.campaign.spec.crystals import RangeSpec
from aldesign.campaign.state import CampaignState
from aldesign.dft.results import crystal_from_json
from aldesign.records import Crystal, Trial
from aldesign.structures.assign import Assignment
from aldesign.structures.cif import overlap
from aldesign.structures.geometry import space_group, volume
from aldesign.structures.making import Job, Recipe, Result, facts, finish, job_of, plan


def waiting(state: CampaignState, parts: Parts) -> list[Trial]:
    """Return the next trials that need a crystal before the final table is complete; empty when it is."""
    spec = parts.spec
    missing = spec.shortlist.size - len(shortlist(state, spec).accepted)
    unknown = [t for t in best_first(state, spec)[: considered(spec)] if t.number not in state.structures]
    return unknown[:missing]


def recipe(section: StructuresSpec) -> Recipe:
    """Return how the campaign makes crystals."""
    relax = section.relax == "chgnet"
    return Recipe(section.max_emd, section.tries, section.candidates, relax=relax, steps=section.steps)


def prepare(parts: Parts, trial: Trial) -> list[Assignment]:
    """Return crystals for the trial's formula in the templates that fit best, or one entry that says why none does.

    A candidate keeps the crystal that it came with, or that its oracle computed: its gap belongs to that one.
    """
    held = held_crystal(trial)
    if held is None:
        return plan(trial.candidate.formula, parts.templates, recipe(parts.spec.structures))
    symbol, number = space_group(held)
    own = trial.candidate.crystal is not None
    told = trial.prediction.facts if trial.prediction is not None and not own else {}
    return [
        Assignment(
            trial.candidate.formula,
            held,
            template_id=told.get("template_id") or held.id,
            template_formula=told.get("template_formula") or trial.candidate.formula,
            emd=told.get("template_emd", 0.0),
            space_group=symbol,
            space_group_number=number,
            volume_per_atom=volume(held) / len(held),
            likelihood=told.get("template_likelihood"),
            warnings=(f"the crystal that was computed: {told['crystal_made']}",) if "crystal_made" in told else (),
        )
    ]


def held_crystal(trial: Trial) -> Crystal | None:
    """Return the crystal that a trial's answer is about, where it came with one or its oracle made one."""
    if trial.candidate.crystal is not None or trial.prediction is None or "crystal" not in trial.prediction.facts:
        return trial.candidate.crystal
    return crystal_from_json(trial.prediction.facts["crystal"])


def job(parts: Parts, trial: Trial, tried: Sequence[Assignment]) -> Job | None:
    """Return what workers are to compute for these crystals; None where there is none.

    A crystal that an answer was about stays as it is.
    """
    how = recipe(parts.spec.structures)
    return job_of(tried, how if held_crystal(trial) is None else replace(how, relax=False))


def record(parts: Parts, trial: Trial, tried: Sequence[Assignment], result: Result | None) -> dict[str, Any]:
    """Return the event that records a trial's crystal, and whether it may be exported."""
    made = finish(trial.candidate.formula, tried, result, parts.hull)
    found = facts(made)
    if trial.candidate.crystal is not None:
        found["given"] = True
    # what no CIF can be written of must not take a rank
    reason = made.chosen.reason if made.crystal is None else _objection(parts, found) or overlap(made.crystal)
    return {"trial": trial.number, "accepted": not reason, "reason": reason, "facts": found}


def lost(trial: Trial, tried: Sequence[Assignment], reason: str) -> dict[str, Any]:
    """Return the event that records that a trial's crystals could not be computed, their workers having died."""
    first = tried[0]
    found = {"template_id": first.template_id, "template_formula": first.template_formula, "emd": first.emd}
    return {"trial": trial.number, "accepted": False, "reason": f"no energy: {reason}", "facts": found}


def _objection(parts: Parts, found: dict[str, Any]) -> str:
    if error := found.get("energy_error"):
        return f"no energy: {error}"
    limits = parts.spec.shortlist
    energy = _outside("formation energy", found.get("formation_energy_ev_per_atom"), limits.formation_energy_per_atom)
    if energy or limits.e_above_hull is None:
        return energy
    height = found.get("e_above_hull_ev_per_atom")
    if height is None:
        return f"no energy above hull: {found.get('hull_reason') or 'no energy'}"
    return _outside("energy above hull", height, limits.e_above_hull)


def _outside(name: str, value: float | None, limits: RangeSpec | None) -> str:
    if limits is None or value is None:
        return ""
    if limits.max is not None and value > limits.max:
        return f"{name} {value:.3f} eV/atom is above {limits.max:g}"
    if limits.min is not None and value < limits.min:
        return f"{name} {value:.3f} eV/atom is below {limits.min:g}"
    return ""


def crystal_of(found: dict[str, Any]) -> Crystal:
    """Return the crystal that a structure event recorded."""
    import numpy as np

    stored = found["crystal"]
    a, b, c, alpha, beta, gamma = stored["lattice"]
    return Crystal(
        found["structure_id"], (a, b, c, alpha, beta, gamma), tuple(stored["species"]), np.array(stored["frac"])
    )
