"""The codes that can compute a crystal, behind one seam, and what the result of any of them must hold.

A code is a module beside this one with ``missing``, ``lacking``, ``data_sets`` and ``run``. What it says in
`Result.software`:

========  ===================================================  =====================================================
code      versions                                             data sets
========  ===================================================  =====================================================
gpaw      ``gpaw``, ``ase``, ``libxc``                         ``data set Si``: fingerprint of the PAW data set
espresso  ``espresso`` of pw.x, ``ase``                        ``data set Si``: name and digest of the UPF file
vasp      ``vasp``, ``pymatgen``                               ``data set Si``: title of the POTCAR, with its date
========  ===================================================  =====================================================

Energies of different codes, or of different data sets, have different zeros: only differences within one code make
sense, which is why the code is part of `Settings.digest`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np

from aldesign.chemistry.formula import canonical
from aldesign.dft.results import Result
from aldesign.dft.settings import CODES, LEVELS, Settings
from aldesign.errors import CalculationError, InputError
from aldesign.records import Crystal

OFFERED: dict[str, tuple[str, ...]] = {"gpaw": LEVELS, "espresso": ("PBE",), "vasp": ("PBE",)}
"""The levels of theory that each code offers here."""
_MEV = 1e-3


class Code(Protocol):
    """Who computes a crystal."""

    @property
    def name(self) -> str:
        """Return its name, as in `Settings.code`."""

    def missing(self) -> str | None:
        """Return what is not installed and how to install it or point to it, or None."""

    def lacking(self, symbols: list[str]) -> list[str]:
        """Return the elements without a data set, in alphabetical order."""

    def data_sets(self, symbols: list[str], settings: Settings) -> dict[str, str]:
        """Return what `Result.software` would say of elements' data sets; those that are at hand alone."""

    def run(self, crystal: Crystal, settings: Settings, folder: Path) -> Result:
        """Compute a crystal's primitive cell in a folder.

        Raises:
            InputError: The settings are for another code, or ask for a level that this one does not offer.
            CalculationError: There is no result, and why.

        """


@dataclass(frozen=True)
class _Module:
    name: str
    missing: Callable[[], str | None]
    lacking: Callable[[list[str]], list[str]]
    data_sets: Callable[[list[str], Settings], dict[str, str]]
    compute: Callable[[Crystal, Settings, Path], Result]

    def run(self, crystal: Crystal, settings: Settings, folder: Path) -> Result:
        if settings.code != self.name:
            raise InputError(f"settings for {settings.code} were given to {self.name}", f"code={self.name!r} is wanted")
        refuse_unoffered(settings)
        if lack := self.missing():
            raise CalculationError("unavailable", f"{self.name} cannot run: {lack}")
        result = self.compute(crystal, settings, folder)
        if wrong := faults(result):
            raise CalculationError("crash", f"{crystal.id}: {self.name} gave no sound result: {'; '.join(wrong)}")
        return result


def code(name: str) -> Code:
    """Return a code by its name.

    Raises:
        InputError: There is none of that name.

    """
    if name not in CODES:
        raise InputError(f"there is no code {name!r}", f"allowed: {', '.join(CODES)}")
    module = import_module(f"aldesign.dft.{name}")
    return _Module(name, module.missing, module.lacking, module.data_sets, module.run)


def refuse_unoffered(settings: Settings) -> None:
    """Raise InputError where the settings ask for a level that their code does not offer."""
    offered = OFFERED[settings.code]
    if settings.level not in offered:
        who = ", ".join(name for name, levels in OFFERED.items() if settings.level in levels)
        raise InputError(
            f"{settings.code} does not offer the level {settings.level}",
            f"it offers {', '.join(offered)}; {settings.level} is offered by {who}",
        )


def faults(result: Result) -> list[str]:
    """Return what is wrong with a result, whoever computed it; nothing where it is sound.

    Looked at: numbers are finite; the gap is not below 0 nor above the direct gap; a gap has its two k-points and a
    metal has none; electrons, k-points and iterations are there; the formula is the crystal's; without spin there is
    no moment; the density of states is on one grid and nowhere negative.
    """
    wrong = []
    numbers = ("gap_ev", "direct_gap_ev", "energy_ev", "magnetization", "n_electrons", "seconds", "peak_gib")
    wrong += [f"{name} is {getattr(result, name)}" for name in numbers if not math.isfinite(getattr(result, name))]
    if not 0 <= result.gap_ev <= result.direct_gap_ev + _MEV:
        wrong.append(f"a gap of {result.gap_ev} eV with a direct gap of {result.direct_gap_ev} eV")
    for point in (result.vbm_kpoint, result.cbm_kpoint):
        if (result.gap_ev > 0) != (point is not None):
            wrong.append(f"a gap of {result.gap_ev} eV with a band's edge at {point}")
    if result.n_electrons <= 0 or result.n_kpoints < 1 or result.iterations < 1:
        wrong.append(f"{result.n_electrons} electrons, {result.n_kpoints} k-points, {result.iterations} iterations")
    if result.formula != canonical("".join(result.crystal.species)):
        wrong.append(f"the formula {result.formula} of a crystal of {' '.join(result.crystal.species)}")
    if not result.spin_polarized and result.magnetization != 0:
        wrong.append(f"{result.magnetization} μB without spin")
    if not result.software:
        wrong.append("no version of the software")
    return wrong + _faults_of_dos(result)


def _faults_of_dos(result: Result) -> list[str]:
    if result.dos is None:
        return []
    grid, total = result.dos.energies_ev, result.dos.total
    curves = {"total": total, **result.dos.projected}
    wrong = [f"the density of states {name} has another grid" for name, y in curves.items() if y.shape != grid.shape]
    wrong += [f"the density of states {name} is not finite" for name, y in curves.items() if not np.isfinite(y).all()]
    if wrong:
        return wrong
    return [f"the density of states {name} is negative" for name, y in curves.items() if y.min() < -_MEV]
