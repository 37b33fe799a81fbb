"""The crystal that is computed for a candidate: its own, or one that templates and CHGNet give its formula."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aldesign.dft.cells import primitive
from aldesign.dft.results import crystal_to_json
from aldesign.errors import AldesignError, CalculationError, InputError
from aldesign.records import Crystal

if TYPE_CHECKING:
    from aldesign.structures.making import Made
    from aldesign.structures.templates import TemplateLibrary

RELAX = ("chgnet", "none")


@dataclass(frozen=True, eq=False)
class Subject:
    """What is computed, and where it came from: facts for people and programs, as JSON values."""

    crystal: Crystal
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Subjects:
    """How candidates get their crystals.

    Attributes:
        templates: ``aflow``, ``builtin``, or the path of a file or folder of crystals.
        relax: ``chgnet`` relaxes what templates gave, ``none`` leaves it as substituted.
        steps: Of a relaxation, at most.
        max_sites: Sites of a primitive cell at most.

    Raises:
        InputError: There is no such way to relax.

    """

    templates: str
    relax: str
    steps: int
    max_sites: int

    def __post_init__(self) -> None:
        if self.relax not in RELAX:
            raise InputError(f"crystals cannot be relaxed by relax={self.relax!r}", f"allowed: {', '.join(RELAX)}")

    @cached_property
    def decisive(self) -> tuple[str, ...]:
        """Return all that decides a crystal, as texts. Raises InputError where the templates are missing."""
        return self.relax, str(self.steps), str(self.max_sites), _templates_digest(self.templates)

    def of(self, formula: str, own: Crystal | None) -> Subject:
        """Return what is computed for a canonical formula whose own crystal may be known.

        Raises:
            CalculationError: Kind ``structure``: there is no such crystal, or its primitive cell is too large.
            AldesignError: The templates cannot be read, or the formula has no place among them.

        """
        subject = self._made(formula) if own is None else Subject(_checked_crystal(formula, own))
        sites = len(primitive(subject.crystal))
        if sites > self.max_sites:
            raise CalculationError(
                "structure",
                f"{formula}: {sites} sites in the primitive cell, {self.max_sites} allowed",
                "raise max_sites",
            )
        return subject

    def _made(self, formula: str) -> Subject:
        from aldesign.structures.making import Recipe, finish, job_of, plan, work

        relaxed = self.relax == "chgnet"
        recipe = Recipe(energy=relaxed, relax=relaxed, steps=self.steps)
        tried = plan(formula, self._library, recipe)
        job = job_of(tried, recipe)
        made = finish(formula, tried, None if job is None else work(job), None)
        if made.crystal is None:
            raise CalculationError("structure", f"{formula} was given no crystal: {made.chosen.reason}")
        return Subject(made.crystal, _provenance(made))

    @cached_property
    def _library(self) -> TemplateLibrary:
        from aldesign.structures.templates import TemplateLibrary

        return TemplateLibrary.of(self.templates, max_sites=self.max_sites)


def _provenance(made: Made) -> dict[str, Any]:
    """Return where a formula's crystal came from, for the facts of its prediction."""
    chosen, energy, crystal = made.chosen, made.energy, made.crystal
    how = "as substituted"
    if energy is not None and energy.relaxed:
        how = f"relaxed by CHGNet in {energy.steps} steps{'' if energy.converged else ', which did not suffice'}"
    told = {
        "template_id": chosen.template_id,
        "template_formula": chosen.template_formula,
        "template_emd": None if chosen.emd is None else round(chosen.emd, 2),
        "template_likelihood": None if chosen.likelihood is None else round(chosen.likelihood, 4),
        "crystal_made": f"from {chosen.template_id} ({chosen.template_formula}), {how}",
        "crystal_remarks": list(made.remarks),
    }
    return told if crystal is None else {**told, "crystal": crystal_to_json(crystal)}


def _checked_crystal(formula: str, crystal: Crystal) -> Crystal:
    """Return a candidate's crystal. Raises CalculationError where it is no crystal, or not of the formula."""
    from aldesign.structures.cif import formula_of
    from aldesign.structures.cif.records import from_record

    try:
        checked_one = from_record(crystal_to_json(crystal))
        own = formula_of(checked_one)
    except AldesignError as error:
        raise CalculationError("structure", f"the crystal of {formula} is none: {error.message}", error.hint) from error
    if own != formula:
        raise CalculationError("structure", f"the crystal given for {formula} is {own}", "give its own crystal")
    return checked_one


def _templates_digest(source: str) -> str:
    if source == "aflow":
        return f"aflow of pymatgen {version('pymatgen')}"
    if source == "builtin":
        from aldesign.structures.templates import TemplateLibrary

        return f"builtin {TemplateLibrary.of(source).digest}"
    path = Path(source)
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    total = hashlib.sha256()
    try:
        for file in files:
            total.update(file.name.encode())
            with file.open("rb") as stream:
                while block := stream.read(1 << 20):
                    total.update(block)
    except OSError as error:
        raise InputError(
            f"the templates {path} cannot be read: {error.strerror}", "aflow, builtin, a file or a folder"
        ) from error
    return total.hexdigest()
