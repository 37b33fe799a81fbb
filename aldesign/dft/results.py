"""What a calculation gives, and how it is written down."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from aldesign.dft.settings import Settings
from aldesign.records import Crystal

Point = tuple[float, float, float]
SHELLS = ("s", "p", "d", "f")


@dataclass(frozen=True, eq=False)
class Dos:
    """Density of states, both spins together, in states per eV and cell.

    Attributes:
        energies_ev: Energies (n,) from the top of the valence band, or from the Fermi level of a metal, evenly spaced.
        total: All states, (n,).
        projected: The part of ``s``, ``p``, ``d`` and ``f`` character about the atoms, (n,) each; what is between
            the atoms is in none of them.
    """

    energies_ev: np.ndarray
    total: np.ndarray
    projected: Mapping[str, np.ndarray]

    def to_json(self) -> dict[str, Any]:
        """Return the grid's ends and float32 values in base 64."""
        ends = [float(self.energies_ev[0]), float(self.energies_ev[-1]), len(self.energies_ev)]
        return {"grid": ends, "total": _packed(self.total), **{k: _packed(v) for k, v in self.projected.items()}}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Dos:
        """Return what `to_json` wrote."""
        low, high, n = content["grid"]
        shells = {name: _unpacked(content[name]) for name in SHELLS if name in content}
        return cls(np.linspace(low, high, n), _unpacked(content["total"]), shells)


@dataclass(frozen=True, eq=False)
class Result:
    """A finished calculation.

    Attributes:
        formula: Canonical reduced formula.
        crystal: The primitive cell that was computed.
        settings: All that decided the numbers.
        gap_ev: Fundamental gap, eV; 0 for a metal.
        direct_gap_ev: Least difference of the bands' edges at one k-point, eV; 0 for a metal.
        vbm_kpoint: Where the valence band has its top, in reciprocal vectors; None for a metal.
        cbm_kpoint: Where the conduction band has its bottom.
        energy_ev: Energy of the cell at zero smearing, eV, on the scale of the code and its data sets.
        magnetization: Magnetic moment of the cell, μB.
        spin_polarized: Whether both spins were computed.
        n_electrons: Valence electrons of the cell.
        n_kpoints: Irreducible k-points of the self-consistent mesh.
        iterations: To self-consistency.
        dos: Density of states, if it was made.
        seconds: Wall time.
        peak_gib: Largest memory of the process, GiB.
        software: Versions and digests of code, functional library and data sets.
        extra: Further numbers in eV, by name, such as a Kohn-Sham gap and a derivative discontinuity.
        notes: What a reader should know.
    """

    formula: str
    crystal: Crystal
    settings: Settings
    gap_ev: float
    direct_gap_ev: float
    vbm_kpoint: Point | None
    cbm_kpoint: Point | None
    energy_ev: float
    magnetization: float
    spin_polarized: bool
    n_electrons: float
    n_kpoints: int
    iterations: int
    dos: Dos | None = None
    seconds: float = 0.0
    peak_gib: float = 0.0
    software: Mapping[str, str] = field(default_factory=dict)
    extra: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def energy_ev_per_atom(self) -> float:
        """Return the energy per atom, eV."""
        return self.energy_ev / len(self.crystal)

    @property
    def is_direct(self) -> bool:
        """Return whether the smallest gap is at one k-point."""
        return self.gap_ev > 0 and self.direct_gap_ev - self.gap_ev < 1e-3

    def to_json(self) -> dict[str, Any]:
        """Return the result for JSON."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        return {
            **plain,
            "crystal": crystal_to_json(self.crystal),
            "settings": self.settings.to_json(),
            "dos": None if self.dos is None else self.dos.to_json(),
            "software": dict(self.software),
            "extra": dict(self.extra),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Result:
        """Return what `to_json` wrote. Raises InputError for settings of another version."""
        plain = {name: content[name] for name in _PLAIN}
        for name in ("vbm_kpoint", "cbm_kpoint"):
            plain[name] = _point(plain[name])
        return cls(
            **plain,
            crystal=crystal_from_json(content["crystal"]),
            settings=Settings.from_json(content["settings"]),
            dos=None if content["dos"] is None else Dos.from_json(content["dos"]),
            software=content["software"],
            extra=content["extra"],
            notes=tuple(content["notes"]),
        )


_PLAIN = (
    *("formula", "gap_ev", "direct_gap_ev", "vbm_kpoint", "cbm_kpoint", "energy_ev", "magnetization"),
    *("spin_polarized", "n_electrons", "n_kpoints", "iterations", "seconds", "peak_gib"),
)


def crystal_to_json(crystal: Crystal) -> dict[str, Any]:
    """Return a crystal as it stands in a line of JSON."""
    return {
        "id": crystal.id,
        "lattice": list(crystal.lattice),
        "species": list(crystal.species),
        "frac": crystal.frac.tolist(),
    }


def crystal_from_json(content: Mapping[str, Any]) -> Crystal:
    """Return what `crystal_to_json` wrote."""
    a, b, c, alpha, beta, gamma = content["lattice"]
    frac = np.array(content["frac"], dtype=np.float64).reshape(-1, 3)
    return Crystal(content["id"], (a, b, c, alpha, beta, gamma), tuple(content["species"]), frac)


def _packed(values: np.ndarray) -> str:
    return base64.b64encode(np.asarray(values, dtype="<f4").tobytes()).decode("ascii")


def _unpacked(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), dtype="<f4").astype(np.float64)


def _point(values: Sequence[float] | None) -> Point | None:
    return None if values is None else (float(values[0]), float(values[1]), float(values[2]))
