"""Give a formula the crystals of near templates that accept it, or say why none does."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from aldesign.errors import StructureError
from aldesign.records import Crystal
from aldesign.structures.bond_valence import deviation
from aldesign.structures.geometry import space_group
from aldesign.structures.relatives import Relative, relatives
from aldesign.structures.substitution import Substitution, substitute
from aldesign.structures.templates import TemplateLibrary, amounts_of

SYMPREC = 0.01  # Å
CONSIDERED = 5  # structure types that are made at least, so that their bond valences can be compared
# How much a valence unit of the global instability index counts against the logarithm of a likelihood: chosen on 220
# stable crystals of the Materials Project, where it mattered little (76.8 % right without, 77.3 to 77.7 % with 1 to 4)
UNREST = 3.0
# How much of an energy weighs as much as a factor of e in likelihood: of the size of CHGNet's mean absolute error
# (0.030 eV/atom: Deng et al., Nature Machine Intelligence 5, 1031 (2023)). On 82 development crystals anything from
# 0.02 to 0.05 does as well
TRUST_EV_PER_ATOM = 0.03
LEAST_LIKELIHOOD = 1e-4


@dataclass(frozen=True)
class Assignment:
    """The crystal given to a formula, or the reason why there is none.

    Attributes:
        formula: The formula as asked.
        crystal: Its crystal, or None.
        template_id: Id of the template, empty without a crystal.
        template_formula: Canonical formula of the template.
        emd: Distance to the template's formula on the modified Pettifor scale; None without a crystal.
        space_group: International symbol, empty without a crystal.
        space_group_number: 1 to 230; 0 without a crystal.
        mapping: Template element to new element.
        volume_per_atom: Å³ per atom; None without a crystal.
        min_distance: Shortest distance of two sites in Å; None without a crystal.
        reason: Why there is no crystal; empty with one.
        warnings: What a careful reader would want to know, e.g. likelier templates that were refused.
        likelihood: The share of votes for this structure type among crystals of kin (see `relatives`), 0 to 1: the
            greater the likelier the type is right (on 1,000 crystals that were left out 51 % of those from 0.4 to 0.6
            were, 93 % from 0.9 to 0.97); 1 for a crystal of the formula itself, None without a crystal.
        support: How many formulas among the voters have this structure type; 0 without a crystal.
        bond_valence_deviation: Global instability index in valence units; None where it cannot be told.

    """

    formula: str
    crystal: Crystal | None = None
    template_id: str = ""
    template_formula: str = ""
    emd: float | None = None
    space_group: str = ""
    space_group_number: int = 0
    mapping: Mapping[str, str] = field(default_factory=dict)
    volume_per_atom: float | None = None
    min_distance: float | None = None
    reason: str = ""
    warnings: tuple[str, ...] = ()
    likelihood: float | None = None
    support: int = 0
    bond_valence_deviation: float | None = None


def assign(
    formula: str, library: TemplateLibrary, max_emd: float = 10.0, tries: int = 20, exclude: Collection[str] = ()
) -> Assignment:
    """Return the likeliest crystal of a formula: the first of `candidates`."""
    return candidates(formula, library, max_emd, tries, keep=1, exclude=exclude)[0]


def candidates(
    formula: str,
    library: TemplateLibrary,
    max_emd: float = 10.0,
    tries: int = 20,
    keep: int = 3,
    exclude: Collection[str] = (),
) -> list[Assignment]:
    """Return crystals that near templates give a formula, the likeliest first, each of another structure type.

    Where the bond valences of all can be told, a crystal that strains them is held back (`UNREST`).

    Args:
        formula: Any formula.
        library: Where templates come from; its crystals of the formula itself come first, as they stand.
        max_emd: Largest distance of the two formulas on the modified Pettifor scale.
        tries: How many templates to try.
        keep: How many crystals at most.
        exclude: Canonical formulas whose crystals are not to be templates.

    Returns:
        At least one assignment; where there is no crystal the only one says in its `reason` which amounts found no
        template, how far the nearest one is, or what overlapped.

    Raises:
        FormulaError: The text is no formula.
        CheckpointError: The weights that rank templates cannot be read.

    """
    amounts = amounts_of(formula)
    if not amounts:
        return [Assignment(formula, reason="fractional amounts: a crystal needs whole atoms")]
    near = relatives(formula, library, amounts, max_emd, exclude)
    if not near:
        return [Assignment(formula, reason=_why_none(formula, library, amounts, max_emd, exclude))]
    found: dict[int, _Made] = {}
    refused: list[str] = []
    tried = 0
    for relative in near:
        if relative.kind in found:
            continue
        if tried == tries or len(found) == max(keep, CONSIDERED):
            break
        tried += 1
        try:
            made = substitute(relative.template, formula, relative.template_formula, relative.mapping)
        except StructureError as error:
            refused.append(error.message)
            continue
        unrest = deviation(made.crystal, made.charges)
        found[relative.kind] = _Made(relative, made, unrest, tuple(dict.fromkeys(refused)))
    if found:
        return [_assignment(formula, made) for made in _ranked(list(found.values()))[:keep]]
    every = "the only near template was" if tried == 1 else f"all {tried} near templates tried were"
    likeliest = "" if tried == 1 else "likeliest: "
    every_refusal = tuple(f"refused: {text}" for text in dict.fromkeys(refused))
    return [Assignment(formula, reason=f"{every} refused; {likeliest}{refused[0]}", warnings=every_refusal)]


def preferred(
    energies_ev_per_atom: Sequence[float | None],
    likelihoods: Sequence[float | None],
    trust_ev_per_atom: float = TRUST_EV_PER_ATOM,
) -> int | None:
    """Return the position of the crystal that energy and likelihood together speak for; None where none has an energy.

    The energy alone finds the right structure less often than the likelihood alone: types of one formula often differ
    by less than the error of a potential.

    Args:
        energies_ev_per_atom: Energies of crystals of one formula, None where that failed.
        likelihoods: Of `Assignment`, in the same order.
        trust_ev_per_atom: The energy that weighs as much as a factor of e in likelihood.

    """
    ranked = [
        (round(energy / trust_ev_per_atom - math.log(max(likelihood or 0.0, LEAST_LIKELIHOOD)), 4), place)
        for place, (energy, likelihood) in enumerate(zip(energies_ev_per_atom, likelihoods, strict=True))
        if energy is not None
    ]
    return min(ranked)[1] if ranked else None


@dataclass(frozen=True, eq=False)
class _Made:
    relative: Relative
    made: Substitution
    deviation: float | None  # valence units
    refused: tuple[str, ...]  # why likelier templates were


def _ranked(found: Sequence[_Made]) -> list[_Made]:
    """Return the crystals of the formula itself as they come, then the others by likelihood and bond valences."""
    own = [one for one in found if one.relative.own]
    others = [one for one in found if not one.relative.own]
    if all(one.deviation is not None for one in others):
        others.sort(key=lambda one: UNREST * (one.deviation or 0.0) - math.log(max(one.relative.likelihood, 1e-300)))
    return own + others


def _assignment(formula: str, found: _Made) -> Assignment:
    relative, made = found.relative, found.made
    symbol, number = space_group(made.crystal, SYMPREC)
    notes = (f"a likelier template was refused: {text}" for text in found.refused)
    return Assignment(
        formula,
        made.crystal,
        relative.template.id,
        relative.template_formula,
        relative.emd,
        symbol,
        number,
        made.mapping,
        made.volume_per_atom,
        made.min_distance,
        warnings=(*made.warnings, *notes),
        likelihood=relative.likelihood,
        support=relative.support,
        bond_valence_deviation=found.deviation,
    )


def _why_none(
    formula: str, library: TemplateLibrary, amounts: tuple[int, ...], max_emd: float, exclude: Collection[str]
) -> str:
    """Return why a formula has no template within reach."""
    left_out = set(exclude)
    matches = library.nearest(formula, k=1 + len(left_out), polymorphs=1)
    others = [match for match in matches if match.template_formula not in left_out]
    if not others:
        return f"no template with amounts {':'.join(map(str, amounts))}"
    name = f"{others[0].template.id} ({others[0].template_formula})"
    return f"nearest template {name} is EMD {others[0].emd:.1f} > {max_emd:g}"
