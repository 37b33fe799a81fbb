"""An oracle that computes: gaps and formation energies of crystals from first principles, each paid for once."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from aldesign.chemistry.formula import canonical
from aldesign.dft.jobs import Limits
from aldesign.dft.settings import Settings
from aldesign.dft.subjects import Subjects
from aldesign.dft.watching import usual_memory_gib
from aldesign.errors import AldesignError, CalculationError, FormulaError, InputError, StructureError
from aldesign.records import Candidate, OracleCard, OracleIdentity, Prediction
from oracles.settings import UNITS, checked

if TYPE_CHECKING:
    from aldesign.dft.laboratory import Answer, Laboratory

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
        self.subjects = Subjects(str(config["templates"]), config["relax"], config["steps"], config["max_sites"])
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
        # limits decide only whether there is an answer
        decisive = "|".join([self.settings.digest, config["property"], *self.subjects.decisive])
        self._digest = hashlib.sha256(decisive.encode()).hexdigest()[:16]
        if self.store.exists():
            _ = self._laboratory  # a damaged store is told before anything is paid

    @property
    def card(self) -> OracleCard:
        """Return what is computed and with what; `training` holds warnings where something is missing."""
        config, code = self.config, _installed(self.settings.code)
        return OracleCard(
            OracleIdentity(self.name, self.version, self._digest + (f"-{code}" if code else "")),
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
        missing = self._missing()
        found = [] if missing is None else [f"every calculation here will fail: {missing}"]
        folder = next(place for place in self.store.absolute().parents if place.exists())
        if not self.store.exists() and not os.access(folder, os.W_OK):
            found.append(f"results cannot be stored in {folder}: name another place with the option store")
        return found

    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        """Return one prediction per candidate, in order; what went wrong with one is its error."""
        return [self._predict(candidate) for candidate in candidates]

    def _predict(self, candidate: Candidate) -> Prediction:
        began, card, facts = time.monotonic(), self.card, dict[str, Any]()
        value, fault = None, ""
        try:
            formula = canonical(candidate.formula)
            if (missing := self._missing()) is not None:
                raise CalculationError("unavailable", missing)
            subject = self.subjects.of(formula, candidate.crystal)
            facts |= subject.facts
            value, found = self._value(self._laboratory.answer(subject.crystal, self.settings))
            facts |= found
        except AldesignError as error:
            fault = str(error)
            facts[FAILURE] = _kind(error)
        except Exception as error:  # one candidate must not sink the others
            fault = f"{type(error).__name__}: {error}"
            facts[FAILURE] = "crash"
        seconds = time.monotonic() - began
        return Prediction(value, None, card.unit, card.identity, card.level, None, seconds, fault, facts)

    def _missing(self) -> str | None:
        from aldesign.dft.codes import code

        return code(self.settings.code).missing()

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
        with suppress(AldesignError):  # told where every reference is at hand; none is computed for it
            archive = Archive(kept.store)
            found = formation_energy_per_atom(
                result, reference_energies(result.crystal.species, self.settings, archive)
            )
            facts["formation_energy_ev_per_atom"] = round(found, 4)
        return result.gap_ev, facts


def _kind(error: AldesignError) -> str:
    if isinstance(error, CalculationError):
        return error.kind
    return "structure" if isinstance(error, FormulaError | StructureError) else "crash"


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


def _installed(code: str) -> str:
    """Return a code with its version, e.g. ``gpaw-26.7.0``; empty where it is not installed or tells no version."""
    if code not in _DISTRIBUTIONS:
        return ""
    try:
        return f"{code}-{version(_DISTRIBUTIONS[code])}"
    except PackageNotFoundError:
        return ""
