"""Everything that decides what a first-principles calculation gives, with presets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal

from aldesign.errors import InputError

Spin = Literal["auto", "none", "collinear"]
CODES = ("gpaw", "espresso", "vasp")
LEVELS = ("PBE", "GLLB-SC")
SPINS = ("auto", "none", "collinear")
_POSITIVE = ("cutoff_ev", "kpoint_density", "band_density", "smearing_ev", "energy_ev", "density", "eigenstates_ev2")


@dataclass(frozen=True)
class Settings:
    """The settings of a calculation; two calculations of one crystal with equal settings give one result.

    Attributes:
        code: Who computes: ``gpaw``, ``espresso`` or ``vasp``.
        level: ``PBE``, or ``GLLB-SC``: the potential of Kuisma et al., Phys. Rev. B 82, 115106 (2010), whose gap
            includes the derivative discontinuity.
        preset: Which preset the numbers come from; ``custom`` once one was changed.
        cutoff_ev: Kinetic-energy cutoff of the plane waves, eV.
        kpoint_density: k-points per Å⁻¹ along each reciprocal vector, 2π included, of the Γ-centred even mesh on
            which the density is made self-consistent.
        band_density: k-points per Å⁻¹ along the lines between special points, at which bands are looked at besides;
            beside the edges found it is looked more closely.
        smearing_ev: Width of the Fermi-Dirac occupations, eV.
        spin: ``auto`` polarises where elements ask for it, ``none`` never, ``collinear`` always.
        max_iterations: Iterations to self-consistency at most.
        energy_ev: Change of the energy at convergence, eV per valence electron.
        density: Change of the density at convergence, electrons per valence electron.
        eigenstates_ev2: Residual of the states at convergence, eV² per valence electron.
    """

    code: str = "gpaw"
    level: str = "PBE"
    preset: str = "production"
    cutoff_ev: float = 600.0
    kpoint_density: float = 2.5
    band_density: float = 3.0
    smearing_ev: float = 0.01
    spin: Spin = "auto"
    max_iterations: int = 80
    energy_ev: float = 0.0005
    density: float = 1e-3
    eigenstates_ev2: float = 1e-5

    def __post_init__(self) -> None:
        for name, allowed in (("code", CODES), ("level", LEVELS), ("spin", SPINS)):
            if getattr(self, name) not in allowed:
                got = getattr(self, name)
                raise InputError(f"a calculation has no {name} {got!r}", f"allowed: {', '.join(allowed)}")
        for name in _POSITIVE:
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e5:
                raise InputError(f"{name} of a calculation is {value!r}", "give a positive number")
            object.__setattr__(self, name, float(value))
        if not 50 <= self.cutoff_ev <= 3000:
            raise InputError(f"a plane-wave cutoff of {self.cutoff_ev:g} eV", "between 50 and 3000 eV; 600 is usual")
        if isinstance(self.max_iterations, bool) or not isinstance(self.max_iterations, int) or self.max_iterations < 1:
            raise InputError(f"max_iterations of a calculation is {self.max_iterations!r}", "give 1 or more")

    @classmethod
    def of(cls, preset: str = "production", level: str = "PBE", code: str = "gpaw", **changes: Any) -> Settings:
        """Return a preset's settings with `changes`.

        Raises:
            InputError: There is no such preset, setting, code or level, or a number is out of range.
        """
        if preset not in PRESETS:
            raise InputError(f"there is no preset {preset!r}", f"allowed: {', '.join(PRESETS)}")
        free = [field.name for field in fields(cls) if field.name not in {"code", "level", "preset"}]
        unknown = sorted(changes.keys() - set(free))
        if unknown:
            raise InputError(f"a calculation has no setting {unknown[0]!r}", f"allowed: {', '.join(free)}")
        chosen = replace(cls(code=code, level=level, preset=preset, **PRESETS[preset]), **changes)
        plain = cls(code=code, level=level, preset=preset, **PRESETS[preset])
        return chosen if chosen == plain else replace(chosen, preset="custom")

    @property
    def digest(self) -> str:
        """Return 16 hexadecimal digits that name the numbers; the preset's name is not among them."""
        return _digest({key: value for key, value in asdict(self).items() if key != "preset"})

    @property
    def energy_digest(self) -> str:
        """Return 16 hexadecimal digits that name what total energies depend on, so that differences make sense."""
        kept = ("code", "level", "cutoff_ev")
        return _digest({key: getattr(self, key) for key in kept})

    def to_json(self) -> dict[str, Any]:
        """Return the settings for JSON."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Settings:
        """Return settings written by `to_json`. Raises InputError for keys of another version."""
        names = {field.name for field in fields(cls)}
        if content.keys() != names:
            other = sorted(content.keys() ^ names)
            raise InputError(f"stored settings differ in {', '.join(other)}", "they were written by another version")
        return cls(**content)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {"cutoff_ev": 450.0, "kpoint_density": 1.5, "band_density": 3.0},
    "production": {"cutoff_ev": 600.0, "kpoint_density": 2.5, "band_density": 3.0},
    "tight": {
        "cutoff_ev": 900.0,
        "kpoint_density": 5.0,
        "band_density": 8.0,
        "density": 1e-4,
        "eigenstates_ev2": 1e-7,
    },
}
"""What each preset sets; the errors of the first two against ``tight`` are in the README."""
