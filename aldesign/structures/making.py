"""Give a formula its crystal: several near templates, relaxed together; energy and likelihood choose one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from aldesign.errors import StructureError
from aldesign.protocols import Oracle
from aldesign.records import Candidate, Crystal, Prediction
from aldesign.registry import load_oracle
from aldesign.structures.assign import Assignment, candidates, preferred
from aldesign.structures.cif import formula_of
from aldesign.structures.energy import POTENTIAL, STEPS, Energy, evaluate_many
from aldesign.structures.energy.references import disagreement
from aldesign.structures.geometry import space_group, volume
from aldesign.structures.radii import reference_volume

if TYPE_CHECKING:
    from aldesign.structures.hull import Hull, HullDistance
    from aldesign.structures.templates import TemplateLibrary

SECOND = "crystal_graph_eform"
"""The oracle whose formation energy stands beside CHGNet's."""
FAR = 10.0
"""Distance of formula and template, in places of the modified Pettifor scale, beyond which a crystal is a guess."""
USUAL = (0.6, 2.0)
"""Volume over that of `reference_volume`; of 5,064 crystals of the Materials Project 12 are beyond."""
DEEP = -0.1
"""Energy above hull in eV/atom below which a phase missing from the table is likelier than so stable a new one."""
SYMPREC_RELAXED = 0.1  # Å; relaxed positions scatter about the symmetric ones by less

_REFUSED = "template was refused: "


@dataclass(frozen=True)
class Recipe:
    """How crystals are made.

    Attributes:
        max_emd: Largest distance to a template.
        tries: Near templates looked at.
        candidates: Crystals made of a formula, in different structure types.
        energy: Whether energies are asked for; without, the most plausible crystal is kept.
        relax: Whether positions and cells are relaxed first.
        steps: Relaxation steps at most.

    """

    max_emd: float = 30.0
    tries: int = 20
    candidates: int = 3
    energy: bool = True
    relax: bool = True
    steps: int = STEPS


DEFAULT = Recipe()


@dataclass(frozen=True)
class Job:
    """The crystals of one formula, to be relaxed together wherever there is a worker."""

    crystals: tuple[Crystal, ...]
    likelihoods: tuple[float | None, ...]
    relax: bool
    steps: int


@dataclass(frozen=True)
class Result:
    """What a job found.

    Attributes:
        energies: One of each crystal, in order.
        best: Position of the crystal that energy and likelihood speak for; None where all failed.
        second: What `SECOND` says of that crystal; of the first one where all failed.

    """

    energies: tuple[Energy, ...]
    best: int | None
    second: Prediction


@dataclass(frozen=True)
class Made:
    """The crystal given to a formula, and how it came about.

    Attributes:
        formula: Canonical formula.
        tried: The crystals that were made, the most plausible template first; or one entry that says why none was.
        best: Position of the one kept; None without a crystal.
        result: Energies, where they were asked for.
        hull: Where its energy lies among known phases, where these are known.

    """

    formula: str
    tried: tuple[Assignment, ...]
    best: int | None
    result: Result | None = None
    hull: HullDistance | None = None

    @property
    def chosen(self) -> Assignment:
        """The template kept; without a crystal the entry with the reason."""
        return self.tried[self.best or 0]

    @property
    def energy(self) -> Energy | None:
        """The energy of the crystal kept."""
        return None if self.result is None or self.best is None else self.result.energies[self.best]

    @property
    def crystal(self) -> Crystal | None:
        """The final crystal: relaxed where that succeeded, else as substituted."""
        energy = self.energy
        return energy.crystal if energy is not None and not energy.error else self.chosen.crystal

    @property
    def disagree(self) -> bool | None:
        """Whether the two formation energies contradict each other; None where one is missing."""
        energy, second = self.energy, self.result.second if self.result else None
        if energy is None or energy.formation_energy_ev_per_atom is None or second is None or second.value is None:
            return None
        return disagreement(energy.formation_energy_ev_per_atom, second.value, second.std)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a careful reader would want to know of the crystal and its energy."""
        refused = [text for text in self.chosen.warnings if _REFUSED in text]
        found = [text for text in self.chosen.warnings if _REFUSED not in text] + refused[:1]
        if len(refused) > 1:
            found.append(f"{len(refused) - 1} more templates were refused")
        if self.chosen.emd is not None and self.chosen.emd > FAR:
            found.insert(0, f"no near template: EMD {self.chosen.emd:.1f}, so that the structure is a guess")
        energy = self.energy
        if energy is not None and energy.relaxed and not energy.converged:
            found.append(f"relaxation did not converge in {energy.steps} steps")
        if self.disagree and self.result is not None and energy is not None:
            found.append(
                f"formation energies disagree: {energy.formation_energy_ev_per_atom:.3f} eV/atom by "
                f"{POTENTIAL}, {self.result.second.value:.3f} by {SECOND}"
            )
        return (*found, *self._of_volume(), *self._of_hull())

    def _of_volume(self) -> Iterator[str]:
        if (crystal := self.crystal) is None:
            return
        with suppress(StructureError):  # an element without a usual volume
            ratio = volume(crystal) / reference_volume(Counter(crystal.species))
            if not USUAL[0] < ratio < USUAL[1]:
                yield f"the volume is {ratio:.2g} times what these elements usually have"

    def _of_hull(self) -> Iterator[str]:
        if self.hull is None:
            return
        height = self.hull.e_above_hull_ev_per_atom
        if self.hull.reason:
            yield self.hull.reason
        elif not self.hull.competitors:
            yield "no compound of these elements is among the known phases: the hull is that of the elements"
        elif height is not None and height < DEEP:
            yield f"{-height:.3f} eV/atom below the hull: are all known phases of these elements in its table?"


def plan(formula: str, library: TemplateLibrary, recipe: Recipe) -> list[Assignment]:
    """Return crystals for a formula in near templates; one entry with the reason where there is none.

    Raises:
        FormulaError: The text is no formula.

    """
    return candidates(
        formula, library, recipe.max_emd, tries=recipe.tries, keep=recipe.candidates if recipe.energy else 1
    )


def job_of(tried: Sequence[Assignment], recipe: Recipe) -> Job | None:
    """Return what is left to compute; None where there is no crystal or no energy is wanted."""
    fitted = [made for made in tried if made.crystal is not None]
    if not fitted or not recipe.energy:
        return None
    crystals = tuple(made.crystal for made in fitted if made.crystal is not None)
    return Job(crystals, tuple(made.likelihood for made in fitted), recipe.relax, recipe.steps)


def work(job: Job) -> Result:
    """Relax the crystals of one formula and return their energies; runs in any worker."""
    energies = tuple(evaluate_many(job.crystals, relax=job.relax, steps=job.steps))
    best = preferred([energy.formation_energy_ev_per_atom for energy in energies], job.likelihoods)
    return Result(energies, best, second_opinion(energies[best or 0].crystal))


def finish(formula: str, tried: Sequence[Assignment], result: Result | None, hull: Hull | None) -> Made:
    """Return the crystal kept among those tried, with its place among the known phases of `hull`."""
    if tried[0].crystal is None:
        return Made(formula, tuple(tried), None)
    if result is None:
        return Made(formula, tuple(tried), 0)
    best = result.best or 0
    energy = result.energies[best].formation_energy_ev_per_atom
    distance = hull.distance(formula, energy) if hull is not None and energy is not None else None
    return Made(formula, tuple(tried), best, result, distance)


def second_opinion(crystal: Crystal) -> Prediction:
    """Return the formation energy (eV/atom) that the shipped crystal graph network gives a crystal."""
    (prediction,) = _graph_oracle().predict([Candidate(formula_of(crystal), crystal=crystal)])
    return prediction


@cache
def _graph_oracle() -> Oracle:
    return load_oracle(SECOND)


def facts(made: Made) -> dict[str, Any]:
    """Return all of this as JSON values: template, mapping, energies, hull and the crystal itself."""
    chosen, crystal = made.chosen, made.crystal
    found: dict[str, Any] = {
        "template_id": chosen.template_id,
        "template_formula": chosen.template_formula,
        "emd": _rounded(chosen.emd),
        "likelihood": None if chosen.likelihood is None else float(f"{chosen.likelihood:.4g}"),
        "support": chosen.support,
        "bond_valence_deviation": _rounded(chosen.bond_valence_deviation),
    }
    if crystal is None:
        return found
    found |= {
        "structure_id": f"{made.formula}-{chosen.template_id}",
        "space_group": chosen.space_group,
        "mapping": dict(chosen.mapping),
        "volume_per_atom": _rounded(volume(crystal) / len(crystal)),
        "warnings": list(made.remarks),
        "alternatives": [_alternative(made, i) for i in range(len(made.tried)) if i != made.best],
        "crystal": _stored(crystal),
    }
    return found | _energies(made)


def _energies(made: Made) -> dict[str, Any]:
    energy, hull, crystal = made.energy, made.hull, made.crystal
    if energy is None or made.result is None or crystal is None:
        return {}
    second = made.result.second
    return {
        "formation_energy_ev_per_atom": _rounded(energy.formation_energy_ev_per_atom),
        "energy_method": POTENTIAL,
        "formation_energy_graph_ev_per_atom": _rounded(second.value),
        "formation_energy_graph_std_ev_per_atom": _rounded(second.std),
        "energies_disagree": made.disagree,
        "relaxed": energy.relaxed,
        "converged": energy.converged,
        "relaxation_steps": energy.steps,
        "space_group_relaxed": space_group(crystal, SYMPREC_RELAXED)[0] if energy.relaxed else "",
        "energy_error": energy.error,
        "e_above_hull_ev_per_atom": None if hull is None else _rounded(hull.e_above_hull_ev_per_atom),
        "decomposition": [] if hull is None else [[name, _rounded(share)] for name, share in hull.products],
        "hull_reason": "" if hull is None else hull.reason,
    }


def _alternative(made: Made, i: int) -> dict[str, Any]:
    other = made.tried[i]
    value, reason = None, "not the most plausible template"
    if made.result is not None:
        energy, best = made.result.energies[i], made.energy
        value, reason = energy.formation_energy_ev_per_atom, energy.error
        if value is not None and best is not None and best.formation_energy_ev_per_atom is not None:
            higher = value - best.formation_energy_ev_per_atom
            reason = f"{higher:.3f} eV/atom above the crystal kept"
            if higher < 0:
                reason = f"{-higher:.3f} eV/atom below the crystal kept, which is likelier"
    return {
        "template_id": other.template_id,
        "template_formula": other.template_formula,
        "emd": _rounded(other.emd),
        "space_group": other.space_group,
        "formation_energy_ev_per_atom": _rounded(value),
        "reason": reason,
    }


def _stored(crystal: Crystal) -> Mapping[str, Any]:
    return {
        "lattice": [round(float(x), 6) for x in crystal.lattice],
        "species": list(crystal.species),
        "frac": [[round(float(x), 6) for x in row] for row in crystal.frac],
    }


def _rounded(value: float | None, digits: int = 4) -> float | None:
    return None if value is None else round(float(value), digits)
