"""What was found out about a formula's crystal, in plain sentences; facts that a run did not record are left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aldesign.campaign.rows import alternative_text, difference
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import StructureRecord
from aldesign.report.facts import number_text

STRAINED = 0.2
"""Global instability index above which a crystal is strained, in valence units.

Salinas-Sanchez et al., J. Solid State Chem. 100, 201 (1992).
"""

POTENTIAL_ERROR_EV_PER_ATOM = 0.02
"""Mean absolute error of CHGNet's energies above hull on 500 crystals of the Materials Project, of the kind that it has
learnt from. A new compound may be farther off."""


def structure_sentences(record: StructureRecord) -> Iterable[str]:
    """Return which template lent its structure, what became of it, and what else was tried."""
    facts = record.facts
    if facts.get("given"):
        yield f"The crystal came with the candidate ({facts['template_id']}); it was not changed."
    elif facts.get("template_id"):
        emd = facts.get("emd")
        distance = "" if emd is None else f", at EMD {emd:.2f}"
        yield f"The structure is that of {facts['template_id']} ({facts.get('template_formula')}){distance}."
    if facts.get("mapping"):
        swaps = ", ".join(f"{old} → {new}" for old, new in facts["mapping"].items())
        yield f"Elements were replaced: {swaps}."
    if facts.get("likelihood") is not None:
        support = facts.get("support")
        formulas = "formula" if support == 1 else "formulas"
        seen = "" if support is None else f", {_number(support)} near {formulas} having it"
        share = f"Share of the votes of kin for this structure type: {_number(facts['likelihood'])}{seen}"
        yield f"{share}; where templates are many, that is nearly its chance of being right."
    if facts.get("space_group"):
        relaxed = facts.get("space_group_relaxed")
        after = f"; as relaxed {relaxed}" if relaxed else ""
        volume = facts.get("volume_per_atom")
        size = "" if volume is None else f"; {volume:.2f} Å³ per atom"
        yield f"Space group as made {facts['space_group']}{after}{size}."
    strain = facts.get("bond_valence_deviation")
    if strain is not None:
        judged = "strained" if strain > STRAINED else "as in known crystals" if strain < STRAINED / 2 else "acceptable"
        yield f"Bond valences of the crystal as made deviate by {strain:.2f} v.u.: {judged}."
    others = facts.get("alternatives") or ()
    if others and all(other.get("formation_energy_ev_per_atom") is not None for other in others):
        yield f"Of {len(others) + 1} crystals tried, it has the least formation energy."
    for other in others:
        yield f"Tried as well: {alternative_text(other)}.".replace(" -", " −")
    for warning in facts.get("warnings") or ():
        yield f"Note: {warning}."
    yield "The crystal was accepted." if record.accepted else f"It was set aside: {record.reason}."


def energy_sentences(facts: Mapping[str, Any]) -> Iterable[str]:
    """Return the two formation energies and whether they agree."""
    method = facts.get("energy_method", "unknown method")
    if facts.get("energy_error"):
        yield f"No energy by {method}: {facts['energy_error']}."
    first = facts.get("formation_energy_ev_per_atom")
    if first is None:
        return
    how = "after relaxation" if facts.get("relaxed") else "of the crystal as made"
    if facts.get("relaxed") and facts.get("converged") is False:
        how += " that did not converge"
    yield f"Formation energy {number_text(first, 3)} eV/atom {how}, predicted by {method}, not DFT."
    second = facts.get("formation_energy_graph_ev_per_atom")
    apart = difference(facts)
    if second is None or apart is None:
        return
    std = facts.get("formation_energy_graph_std_ev_per_atom")
    doubt = "" if std is None else f" ± {std:.3f}"
    flag = facts.get("energies_disagree")
    judged = {True: ": they disagree", False: ": they agree"}.get(flag, "") if isinstance(flag, bool) else ""
    yield (
        f"The crystal graph says {number_text(second, 3)}{doubt} eV/atom; the two are {abs(apart):.3f} eV/atom apart"
        f"{judged}."
    )


def hull_sentences(facts: Mapping[str, Any], spec: CampaignSpec) -> Iterable[str]:
    """Return the energy above hull and what the compound would fall apart into, or why neither is known."""
    distance = facts.get("e_above_hull_ev_per_atom")
    products: Sequence[Sequence[Any]] = facts.get("decomposition") or []
    named = " + ".join(f"{share:.3g} {formula}" for formula, share in products)
    if distance is not None:
        where = f"{number_text(distance, 3)} eV/atom above" if distance >= 0 else f"{-distance:.3f} eV/atom below"
        against = f": {named} (shares of the atoms)" if named else ""
        fate = "It would fall apart into" if distance > 0 else "It holds against"
        yield f"Energy {where} the hull of known phases (mean error {POTENTIAL_ERROR_EV_PER_ATOM:g})."
        if len(products) == 1 and distance > 0:  # no mixture, then, but the same formula
            yield (
                f"The known phase {products[0][0]} is so much lower: it has another structure, or this energy is off, "
                "for the two come of different methods."
            )
        elif named:
            yield f"{fate}{against.removeprefix(':')}."
    elif facts.get("hull_reason"):
        yield f"No energy above hull: {facts['hull_reason']}."
    elif facts.get("formation_energy_ev_per_atom") is not None and spec.structures.hull is None:
        yield "No energy above hull: the campaign names no source of known phases (structures.hull)."


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
