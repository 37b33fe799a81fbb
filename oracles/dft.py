"""An oracle that computes: gaps and formation energies of crystals from first principles, each paid for once."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from aldesign.chemistry.formula import canonical
from aldesign.dft.jobs import Limits, usual_memory_gib
from aldesign.dft.settings import Settings
from aldesign.errors import AldesignError, CalculationError, InputError
from aldesign.records import Candidate, Crystal, OracleCard, OracleIdentity, Prediction
from oracles.settings import UNITS, checked

if TYPE_CHECKING:
    from aldesign.dft.laboratory import Answer, Laboratory
    from aldesign.structures.making import Made, Recipe
    from aldesign.structures.templates import TemplateLibrary

RELAX = ("chgnet", "none")
FAILURE = "failure"
"""Where the facts of a failed answer keep the kind of its `CalculationError`."""
_DISTRIBUTIONS = {"gpaw": "gpaw"}  # codes that are Python packages; of the others only a result tells the version


class DFTOracle:
    """Computes a candidate's crystal; a bare formula is given one by templates, relaxed by CHGNet.

    Args:
        options: Any of `defaults`.

    Raises:
        InputError: An option is unknown or not allowed, or the store cannot be used.

    """

    name: ClassVar[str] = "dft"
    version: ClassVar[str] = "1"
    defaults: ClassVar[Mapping[str, Any]] = {
        "property": "band_gap",
        "code": "gpaw",
        "level": "PBE",
        "preset": "production",
        "spin": "auto",
        "settings": None,
        "templates": "aflow",
        "relax": "chgnet",
        "steps": 100,
        "max_sites": 40,
        "time_limit_s": 3600.0,
        "memory_gib": None,
        "store": None,
    }

    def __init__(self, **options: Any) -> None:
        self.config = checked(self.name, self.defaults, options)
        config = self.config
        if config["property"] not in UNITS:
            raise InputError(f"dft knows no property {config['property']!r}", f"allowed: {', '.join(UNITS)}")
        if config["relax"] not in RELAX:
            raise InputError(f"dft got relax={config['relax']!r}", f"allowed: {', '.join(RELAX)}")
        changes = config["settings"] or {}
        if not isinstance(changes, Mapping):
            raise InputError(f"dft got settings={changes!r}", "a mapping is wanted, e.g. {cutoff_ev: 500}")
        named = {"spin": config["spin"]} if config["spin"] != self.defaults["spin"] else {}
        self.settings = Settings.of(config["preset"], config["level"], config["code"], **{**named, **changes})
        if config["property"] != "band_gap" and config["level"] != "PBE":
            raise InputError(f"dft gives no formation energies at {config['level']}", "allowed: PBE")
        _refuse_unoffered(self.settings)
        self.limits = Limits(
            config["time_limit_s"], usual_memory_gib() if config["memory_gib"] is None else config["memory_gib"]
        )
        self.store = _store_path(config["store"])
        self._recipe_digest = _digest(self.settings.digest, config, _templates_digest(config["templates"]))
        if self.store.exists():
            _ = self._laboratory  # a damaged store is told before anything is paid

    @property
    def card(self) -> OracleCard:
        """Return what is computed and with what; `training` holds warnings where something is missing."""
        config, code = self.config, _installed(self.settings.code)
        return OracleCard(
            OracleIdentity(self.name, self.version, self._recipe_digest + (f"-{code}" if code else "")),
            config["property"],
            UNITS[config["property"]],
            self.settings.level,
            description=f"Computed by {code or self.settings.code}, preset {self.settings.preset}",
            training={"warnings": self.warnings(), "settings": self.settings.to_json(), "store": str(self.store)},
        )

    @classmethod
    def load(cls, directory: Path | None = None, **options: Any) -> DFTOracle:
        """Return the oracle; options as in the class.

        Raises:
            InputError: A folder of weights was named, or an option is not allowed.

        """
        if directory is not None:
            raise InputError(f"dft has no weights, got the folder {directory}", "leave it out")
        return cls(**options)

    def warnings(self) -> list[str]:
        """Return what stands in the way of every calculation on this machine; empty where nothing does."""
        from aldesign.dft.codes import code

        missing = code(self.settings.code).missing()
        found = [] if missing is None else [f"every calculation here will fail: {missing}"]
        folder = next(place for place in self.store.absolute().parents if place.exists())
        if not self.store.exists() and not os.access(folder, os.W_OK):
            found.append(f"results cannot be stored in {folder}: name another place with the option store")
        return found

    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        """Return one prediction per candidate, in order; what went wrong with one is its error."""
        return [self._predict(candidate) for candidate in candidates]

    def _predict(self, candidate: Candidate) -> Prediction:
        began = time.monotonic()
        card = self.card
        try:
            subject = self._subject(candidate)
            answer = self._laboratory.answer(subject.crystal, self.settings)
            value, facts = self._value(answer)
        except AldesignError as error:
            kind = error.kind if isinstance(error, CalculationError) else "crash"
            failed = Prediction.failed(card, str(error), time.monotonic() - began)
            return replace(failed, facts={FAILURE: kind})
        seconds = time.monotonic() - began
        facts = {**subject.facts, **facts}
        return Prediction(value, None, card.unit, card.identity, card.level, None, seconds, facts=facts)

    def _subject(self, candidate: Candidate) -> _Subject:
        """Return the crystal to compute: the candidate's own, or one made for its formula."""
        formula = canonical(candidate.formula)
        if (missing := self._missing()) is not None:
            raise CalculationError("unavailable", missing)
        own = candidate.crystal
        subject = self._made(formula) if own is None else _Subject(_checked_crystal(formula, own))
        from aldesign.dft.cells import primitive

        sites, most = len(primitive(subject.crystal)), self.config["max_sites"]
        if sites > most:
            raise CalculationError(
                "structure", f"{formula}: {sites} sites in the primitive cell, {most} allowed", "raise max_sites"
            )
        return subject

    def _missing(self) -> str | None:
        from aldesign.dft.codes import code

        return code(self.settings.code).missing()

    def _made(self, formula: str) -> _Subject:
        """Return the crystal that templates and CHGNet give a formula. Raises CalculationError where there is none."""
        from aldesign.structures.making import finish, job_of, plan, work

        recipe = self._recipe
        tried = plan(formula, self._templates, recipe)
        job = job_of(tried, recipe)
        made = finish(formula, tried, None if job is None else work(job), None)
        if made.crystal is None:
            raise CalculationError("structure", f"{formula} was given no crystal: {made.chosen.reason}")
        return _Subject(made.crystal, _provenance(made))

    @cached_property
    def _recipe(self) -> Recipe:
        from aldesign.structures.making import Recipe

        relaxed = self.config["relax"] == "chgnet"
        return Recipe(energy=relaxed, relax=relaxed, steps=self.config["steps"])

    @cached_property
    def _templates(self) -> TemplateLibrary:
        from aldesign.structures.templates import TemplateLibrary

        source, most = self.config["templates"], self.config["max_sites"]
        return TemplateLibrary.of(source, max_sites=most)

    @cached_property
    def _laboratory(self) -> Laboratory:
        from aldesign.dft.laboratory import Laboratory
        from aldesign.dft.store import ResultStore

        return Laboratory(ResultStore(self.store), self.limits)

    def _value(self, answer: Answer) -> tuple[float, dict[str, Any]]:
        """Return the property and what else was found."""
        from aldesign.dft.elements import formation_energy_per_atom, reference_energies
        from aldesign.dft.laboratory import Archive

        result, kept = answer.result, self._laboratory
        facts: dict[str, Any] = {
            "direct": result.is_direct,
            "gap_ev": round(result.gap_ev, 4),
            "direct_gap_ev": round(result.direct_gap_ev, 4),
            "energy_ev_per_atom": round(result.energy_ev_per_atom, 5),
            "magnetization": round(result.magnetization, 3),
            "from_store": answer.from_store,
            "computed_seconds": round(result.seconds, 1),
            "software": dict(result.software),
            "notes": list(result.notes),
        }
        if self.config["property"] != "band_gap":
            value = formation_energy_per_atom(result, reference_energies(result.crystal.species, self.settings, kept))
            return value, {**facts, "formation_energy_ev_per_atom": round(value, 4)}
        with suppress(
            AldesignError, FileNotFoundError
        ):  # told where every reference is at hand; none is computed for it
            archive = Archive(kept.store)
            found = formation_energy_per_atom(
                result, reference_energies(result.crystal.species, self.settings, archive)
            )
            facts["formation_energy_ev_per_atom"] = round(found, 4)
        return result.gap_ev, facts


@dataclass(frozen=True, eq=False)
class _Subject:
    crystal: Crystal
    facts: Mapping[str, Any] = field(default_factory=dict)


def _provenance(made: Made) -> dict[str, Any]:
    """Return where a formula's crystal came from, for the facts of its prediction."""
    from aldesign.dft.results import crystal_to_json

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
    from aldesign.dft.results import crystal_to_json
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


def _refuse_unoffered(settings: Settings) -> None:
    from aldesign.dft.codes import refuse_unoffered

    refuse_unoffered(settings)


def _store_path(option: Any) -> Path:
    if option is None:
        cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        return Path(cache) / "aldesign" / "dft.sqlite"
    if not isinstance(option, str) or not option:
        raise InputError(f"dft got store={option!r}", "the path of a file is wanted, on a disk of this machine")
    path = Path(option).expanduser()
    if path.is_dir():
        raise InputError(f"the store of dft, {path}, is a folder", "name a file")
    return path


def _digest(settings: str, config: Mapping[str, Any], templates: str) -> str:
    """Return 16 hexadecimal digits of all that decides an answer; limits decide only whether there is one."""
    decisive = [
        settings,
        config["property"],
        config["relax"],
        str(config["steps"]),
        str(config["max_sites"]),
        templates,
    ]
    return hashlib.sha256("|".join(decisive).encode()).hexdigest()[:16]


def _templates_digest(source: Any) -> str:
    if source == "aflow":
        return f"aflow of pymatgen {version('pymatgen')}"
    if source == "builtin":
        from aldesign.structures.templates import TemplateLibrary

        return f"builtin {TemplateLibrary.of(source).digest}"
    path = Path(str(source))
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


def _installed(code: str) -> str:
    """Return a code with its version, e.g. ``gpaw-26.7.0``; empty where it is not installed or tells no version."""
    if code not in _DISTRIBUTIONS:
        return ""
    try:
        return f"{code}-{version(_DISTRIBUTIONS[code])}"
    except PackageNotFoundError:
        return ""
