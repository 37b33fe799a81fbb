"""Energy above the convex hull of known compounds, and the compounds that a formula would fall apart into.

At zero temperature a compound is stable when no mixture of others with the same composition is lower in energy. The
lowest mixture is a linear program over the entries of the chemical system and its subsystems: minimise the energy,
keep the amount of each element. Ong et al., Chem. Mater. 20, 1798 (2008).
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from pathlib import Path

import numpy as np

from aldesign.chemistry.elements import SYMBOLS
from aldesign.chemistry.formula import Compositions, canonical, canonical_many, compositions
from aldesign.errors import FormulaError, InputError
from aldesign.records import BadRow
from aldesign.structures.energy.references import SCALE, Scale, rescaled, scale_of
from aldesign.structures.formation_units import another_unit, another_zero, implausible

FILES = ("energies.csv.gz", "energies.csv", "labels.csv.gz", "labels.csv")
_LEAST = 1e-6  # share of atoms; less is rounding of the solver
System = tuple[int, ...]


@dataclass(frozen=True)
class HullDistance:
    """Where a compound lies against the hull, or why that is unknown.

    Attributes:
        e_above_hull_ev_per_atom: Its formation energy less that of the lowest mixture of known phases; negative
            where it would lower the hull; None with a reason.
        products: The phases of that mixture and their shares of the atoms, the largest first; shares add up to 1.
        reason: Why there is no distance; empty on success.
        competitors: Known compounds, elements apart, in the chemical system and its subsystems; with none the
            distance counts against the elements alone.

    """

    e_above_hull_ev_per_atom: float | None
    products: tuple[tuple[str, float], ...] = ()
    reason: str = ""
    competitors: int = 0


class Hull:
    """Formation energies of known compounds, the lowest of each formula; elements lie at zero by definition.

    Args:
        formulas: Any spelling; repeats are polymorphs.
        formation_energies_ev_per_atom: One per formula.
        scale: Of these energies, see `formation_energy`; guessed from well-known bromides and selenides where None,
            and ``mp2019`` where there are none. Energies that are asked about are brought to it.
        origin: Where they came from, for people.
        bad: Rows of the source that hold no formation energy.
        notes: What was understood of the source, for people.

    Raises:
        FormulaError: A formula cannot be read.
        InputError: There is no entry, an energy is not finite or beyond 10 eV/atom, or well-known compounds or elements
            show that the energies have another unit or another zero.

    """

    def __init__(
        self,
        formulas: Sequence[str],
        formation_energies_ev_per_atom: Sequence[float],
        *,
        scale: Scale | None = None,
        origin: str = "",
        bad: Sequence[BadRow] = (),
        notes: Sequence[str] = (),
    ) -> None:
        lowest: dict[str, float] = {}
        for text, formula, energy in zip(
            formulas, canonical_many(formulas), map(float, formation_energies_ev_per_atom), strict=True
        ):
            if isinstance(formula, FormulaError):
                raise formula
            if reason := implausible(energy):
                raise InputError(f"{text}: {reason}")
            lowest[formula] = min(energy, lowest.get(formula, math.inf))
        if not lowest:
            raise InputError(f"there is no formation energy in {origin or 'an empty list'}", "give one row at least")
        if reason := another_unit(lowest):
            raise InputError(
                f"{origin or 'the formation energies'}: {reason}", "give eV/atom, not eV per formula, kJ/mol or hartree"
            )
        if reason := another_zero(lowest):
            raise InputError(
                f"{origin or 'the formation energies'}: {reason}",
                "subtract the elements' energies from total ones, or leave rows of elements out",
            )
        self.scale: Scale = scale or scale_of(lowest) or SCALE
        self.origin = origin
        self.bad = tuple(bad)
        self.notes = tuple(notes)
        self.formulas: tuple[str, ...] = tuple(lowest)
        self.energies_ev_per_atom = np.array(list(lowest.values()))
        self._place = {formula: i for i, formula in enumerate(self.formulas)}
        parsed = compositions(self.formulas)
        self._fractions = parsed.fractions()
        self._numbers = parsed.numbers
        self._systems: dict[System, list[int]] = defaultdict(list)
        for i, system in enumerate(_systems(parsed)):
            if len(system) > 1:
                self._systems[system].append(i)
        self._known = set(np.unique(parsed.numbers).tolist()) - {0}

    def __len__(self) -> int:
        return len(self.formulas)

    @classmethod
    def from_path(
        cls,
        path: Path | str,
        *,
        formula_column: str | None = None,
        value_column: str | None = None,
        scale: Scale | None = None,
    ) -> Hull:
        """Return the hull of a user's own table; rows without a usable energy are listed in `bad`.

        Args:
            path: A table (CSV, JSON, JSON lines; plain or gzipped) of formulas and formation energies in eV/atom, or
                a folder that ``aldesign data mp`` wrote: its ``energies.csv``, or else its ``labels.csv``.
            formula_column: Column of the formulas; guessed by name where None.
            value_column: Column of the energies; guessed by name where None.
            scale: Of the energies; guessed where None.

        Raises:
            InputError: Nothing is there, a column is missing, no row is usable, or the energies are in another unit.

        """
        from aldesign.datasets.table import read_table

        path = Path(path)
        notes: list[str] = []
        if path.is_dir():
            found = next((path / name for name in FILES if (path / name).is_file()), None)
            if found is None:
                raise InputError(
                    f"no table of formation energies in {path}",
                    "a folder of `aldesign data mp` holds energies.csv or labels.csv; else name a CSV file",
                )
            path = found
            if path.name.startswith("labels"):
                notes.append(
                    "labels.csv leaves out phases without a band gap, so that distances may be too small; "
                    "`aldesign data mp --energies` adds all of them"
                )
        try:
            table = read_table(
                path,
                formula_column,
                value_column,
                negative="keep",
                target="formation_energy_per_atom",
                duplicates="keep",
            )
        except InputError as error:
            if "-column" not in error.hint:
                raise
            hint = "a table of known phases has the columns formula and formation_energy_per_atom, in eV/atom"
            raise InputError(error.message, hint) from error
        if table.bad:
            first = table.bad[0]
            notes.append(f"rows that hold no phase: {len(table.bad)}; the first, line {first.line}: {first.reason}")
        return cls(
            [row.formula for row in table.rows],
            [row.value for row in table.rows],
            scale=scale,
            origin=str(path),
            bad=table.bad,
            notes=(*table.notes, *notes),
        )

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of the sha256 over formulas and energies, whatever their order."""
        total = hashlib.sha256()
        for formula, energy in sorted(zip(self.formulas, self.energies_ev_per_atom.tolist(), strict=True)):
            total.update(f"{formula},{energy!r}\n".encode())
        return total.hexdigest()[:16]

    def distance(
        self,
        formula: str,
        formation_energy_ev_per_atom: float | None,
        *,
        without_own: bool = False,
        scale: Scale = SCALE,
    ) -> HullDistance:
        """Return where one compound lies against the hull; see `distances`."""
        return self.distances([formula], [formation_energy_ev_per_atom], without_own=without_own, scale=scale)[0]

    def distances(
        self,
        formulas: Sequence[str],
        formation_energies_ev_per_atom: Sequence[float | None],
        *,
        without_own: bool = False,
        scale: Scale = SCALE,
    ) -> list[HullDistance]:
        """Return where compounds lie against the hull, in order; what cannot be told carries its reason.

        Args:
            formulas: Any spelling.
            formation_energies_ev_per_atom: None where unknown.
            without_own: Whether to leave a formula's own entry out, so that the distance of a known stable
                compound says by how much it lies below all others.
            scale: Of these energies; `evaluate_many` and the crystal graph network give ``mp2019``.

        """
        answers: list[HullDistance] = []
        for formula, name, energy in zip(
            formulas, canonical_many(formulas), formation_energies_ev_per_atom, strict=True
        ):
            if isinstance(name, FormulaError):
                answers.append(HullDistance(None, reason=f"{formula!r} is no formula: {name}"))
            elif energy is None:
                answers.append(HullDistance(None, reason="there is no formation energy"))
            elif reason := implausible(energy):
                answers.append(HullDistance(None, reason=reason))
            else:
                answers.append(self._distance(name, float(energy), without_own, scale))
        return answers

    def _distance(self, formula: str, energy: float, without_own: bool, scale: Scale) -> HullDistance:
        composition = compositions([formula])
        numbers = composition.numbers[0]
        shares = composition.fractions()[0]
        amounts = {SYMBOLS[z]: float(share) for z, share in zip(numbers, shares, strict=True) if z}
        energy = rescaled(amounts, energy, scale, self.scale)
        unknown = [SYMBOLS[z] for z in numbers if z and int(z) not in self._known]
        if unknown:
            return HullDistance(None, reason=f"{self.origin or 'the hull'} has no entry with {', '.join(unknown)}")
        rows = self._rows(tuple(sorted(int(z) for z in numbers if z)))
        if without_own and (own := self._place.get(formula)) is not None:
            rows = rows[rows != own]
        elements = np.flatnonzero(numbers)
        found = self._lowest(rows, numbers[elements], shares[elements])
        if isinstance(found, str):
            return HullDistance(None, reason=found, competitors=len(rows))
        hull, mixture = found
        names = [self.formulas[row] for row in rows] + [canonical(SYMBOLS[z]) for z in numbers[elements]]
        kept = [(name, share) for name, share in zip(names, mixture.tolist(), strict=True) if share > _LEAST]
        total = math.fsum(share for _, share in kept)
        products = sorted(((name, share / total) for name, share in kept), key=lambda item: (-item[1], item[0]))
        return HullDistance(energy - hull, tuple(products), competitors=len(rows))

    def _rows(self, system: System) -> np.ndarray:
        """Return the entries of two and more elements, all of them in `system`."""
        parts = (part for size in range(2, len(system) + 1) for part in combinations(system, size))
        return np.array([row for part in parts for row in self._systems.get(part, ())], dtype=int)

    def _lowest(self, rows: np.ndarray, elements: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray] | str:
        """Return the energy of the lowest mixture in eV/atom and its shares: entries, then elements; or why not."""
        from scipy.optimize import linprog

        place = np.zeros(len(SYMBOLS), dtype=int)
        place[elements] = np.arange(len(elements))
        numbers = self._numbers[rows]
        entry, slot = np.nonzero(numbers)
        table = np.zeros((len(elements), len(rows)))
        table[place[numbers[entry, slot]], entry] = self._fractions[rows][entry, slot]
        table = np.hstack([table, np.eye(len(elements))])
        costs = np.append(self.energies_ev_per_atom[rows], np.zeros(len(elements)))
        found = linprog(costs, A_eq=table, b_eq=target, method="highs")
        return (float(found.fun), found.x) if found.success else f"no mixture was found: {found.message}"


def _systems(parsed: Compositions) -> list[System]:
    """Return the atomic numbers of each composition, ascending."""
    return [tuple(sorted(z for z in row if z)) for row in parsed.numbers.tolist()]
