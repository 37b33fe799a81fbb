"""Charge-neutral substitutions of families of small crystals, by ions that exist, known formulas first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

from aldesign.chemistry.elements import ELECTRONEGATIVITY, NUMBER
from aldesign.chemistry.formula import canonical
from aldesign.datasets.families import CATIONS, Family, families
from aldesign.records import Crystal

# Ions of closed shells, and a few d shells that pair their electrons. Radicals and magnetic ions are left out: a
# calculation with spin costs twice as much.
_IONS = """
+1: Li Na K Rb Cs Cu Ag Au Tl In
+2: Be Mg Ca Sr Ba Zn Cd Hg Ge Sn Pb Pd Pt
+3: B Al Ga In Tl Sc Y La P As Sb Bi Rh Ir Co Au
+4: C Si Ge Sn Pb Ti Zr Hf S Se Te Mo W Pd Pt
+5: N P As Sb Bi V Nb Ta I
+6: S Se Te Mo W
-1: H F Cl Br I
-2: O S Se Te
-3: N P As Sb Bi
-4: C Si Ge
"""
TOLERANCE = (0.78, 1.14)  # Goldschmidt's factor of the perovskites that are known
_ANY_ORDER = ("full Heusler", "thiogallate", "sulvanite", "stannite", "delafossite")  # of the sizes of A and B
_SMALL_X = ("tetradymite", "antiperovskite")  # the smaller anion is X, elsewhere the larger
# Where only some ions form a family, those; a family without any is for the textbook solids alone.
_TETRAHEDRAL = "Be Mg Zn Cd Hg B Al Ga In Cu Ag Au Si Ge C"
_PNICTIDES = "N P As Sb Bi C Si Ge"
_LIMITS: dict[str, dict[str, str]] = {
    "caesium chloride": {"A": "Cs Rb K Tl Ba Sr La Y Ag Hg"},
    "zincblende": {"A": _TETRAHEDRAL},
    "fluorite": {"A": "Mg Ca Sr Ba Zn Cd Hg Sn Pb Zr Hf Ti", "X": "H O F Cl"},
    "rhenium oxide": {"X": "O F"},
    "wurtzite": {"A": _TETRAHEDRAL, "X": "N P As O S Se Te H F Cl Br I"},
    "nickel arsenide": {"A": "Bi Sb Sc La", "X": _PNICTIDES},
    "litharge": {"A": "Ge Sn Pb Pd Pt", "X": "O S Se"},
    "cooperite": {"A": "Pd Pt"},
    "cinnabar": {"A": "Hg"},
    "germanium sulfide": {"A": "Ge Sn Pb", "X": "S Se"},
    "chromium boride": {"A": "Tl In"},
    "rutile": {"A": "Mg Zn Cd Ca Si Ge Sn Pb Ti Zr Te Mo W Pt Pd", "X": "O F H"},
    "calcium chloride": {"A": "Mg Ca Sr Zn Cd Pb", "X": "Cl Br H"},
    "molybdenite": {"A": "Mo W Ti Zr Hf", "X": "S Se Te"},
    "cristobalite": {"A": "Be Si Ge", "X": "O F S Se"},
    "silicon sulfide": {"A": "Be Si Ge Pd Pt", "X": "S Se Cl Br I"},
    "mercury bromide": {"A": "Hg"},
    "aluminium fluoride": {"A": "Al Ga In Sc Y Bi Sb", "X": "F"},
    "bismuth iodide": {"A": "Al Ga In Sc Y Bi Sb As", "X": "Cl Br I"},
    "aluminium chloride": {"A": "Al Y In Rh Ir", "X": "Cl Br"},
    "bismuth telluride": {"A": "Al Ga In As Sb Bi", "X": "S Se Te"},
    "tetradymite": {"A": "As Sb Bi"},
    "lithium borocarbide": {"X": _PNICTIDES, "A": "Li Na K Ca Sr Ba Mg", "B": "Be Zn Cd Hg Cu Ag Au B Al"},
    "matlockite of two cations": {"A": "Li Na K Rb Mg Ca Sr Ba"},
    "barium antimonide platinide": {"X": _PNICTIDES, "B": "Cu Ag Au Zn Cd B Al Be"},
    "half-Heusler": {"X": _PNICTIDES},
    "half-Heusler, cation in the centre": {"X": _PNICTIDES},
    "chalcopyrite": {"A": "Cu Ag Li Na Zn Cd Be Mg", "X": "S Se Te P As Sb N"},
    "delafossite": {"A": "Cu Ag Au Pd Pt", "B": "Al Ga In Sc Y La Rh Co Bi", "X": "O"},
    "tetragonal perovskite": {"A": "Ba Pb Sn Ge Bi K Na La", "X": "O"},
    "calcium aluminium silicide": {"A": "Mg Ca Sr Ba Li Na La Y", "B": "Mg Zn Cd Al", "X": _PNICTIDES},
    "boron phosphate": {"A": "B Al Ga", "B": "P As"},
    "thiogallate": {"A": "Al Ga In Cu Ag", "B": "Zn Cd Hg Ge Sn", "X": "S Se Te I"},
    "sulvanite": {"A": "Cu Ag Tl", "B": "V Nb Ta P As Sb", "X": "S Se Te"},
    "stannite": {"A": "Cu Ag Li", "B": "Zn Cd Hg", "C": "Si Ge Sn", "X": "S Se Te O"},
    "zirconium copper silicide arsenide": {"A": "La Y Bi Sr Ba", "B": "Cu Ag Zn Cd"},
    "copper nitride": {"A": "Li Na Cu Ag Tl", "X": "N P"},
    "cuprite": {"A": "Cu Ag Au Pb"},
}
_TEXTBOOK_ONLY = frozenset(
    (
        "boron nitride",
        "millerite",
        "sodium thallide",
        "anatase",
        "marcasite",
        "molybdenum silicide",
        "aluminium boride",
        "phosphorus iodide",
        "calcium boride",
        "tungsten carbide",
    )
)
_OXIDISED = frozenset(("N", "C", "S", "Se", "Te", "I"))  # cations beside oxygen and fluorine alone


@cache
def ions() -> Mapping[str, tuple[tuple[str, int], ...]]:
    """Return the ions by the sign of their charge, ``"+"`` and ``"-"``: pairs of symbol and charge."""
    found: dict[str, list[tuple[str, int]]] = {"+": [], "-": []}
    for line in _IONS.split("\n"):
        if line:
            charge, symbols = line.split(":")
            found[line[0]] += [(symbol, int(charge)) for symbol in symbols.split()]
    return {sign: tuple(pairs) for sign, pairs in found.items()}


_MAGNETIC = frozenset(("Cr", "Mn", "Fe", "Co", "Ni"))


def magnetic(elements: frozenset[str]) -> bool:
    """Return whether an element is among those whose compounds often are magnetic, so that spin must be computed."""
    return bool(elements & _MAGNETIC)


@dataclass(frozen=True)
class Idea:
    """A composition in a family, not yet a crystal at rest.

    Attributes:
        formula: Canonical reduced formula.
        family: Name of the family.
        elements: The element of each role.

    """

    formula: str
    family: str
    elements: Mapping[str, str]

    @property
    def name(self) -> str:
        """Formula and family in one text, which no two ideas share within a plan."""
        return f"{self.formula}/{self.family}"


def ideas(elements: frozenset[str]) -> list[Idea]:
    """Return every charge-neutral substitution of every family by the ions of these elements, sorted.

    Every cation is less electronegative than every anion. Of two cations A and B the larger takes the site A, and of
    two anions one size takes X, so that a formula has one crystal in a family; perovskites keep Goldschmidt's factor.
    """
    found: list[Idea] = []
    for family in families().values():
        roles = list(family.counts)
        if set(roles) <= set(CATIONS) or family.name in _TEXTBOOK_ONLY:
            continue
        every = _balanced(family, elements)
        kept = (chosen for chosen in every if _plausible(family, dict(zip(roles, chosen, strict=True))))
        found.extend(idea(family, [symbol for symbol, _ in chosen]) for chosen in kept)
    distinct = {one.name: one for one in found}
    return [distinct[name] for name in sorted(distinct)]


def idea(family: Family, symbols: Sequence[str]) -> Idea:
    """Return the idea that has these elements in the roles of a family, in the order of its `counts`."""
    elements = dict(zip(family.counts, symbols, strict=True))
    counts = Counter({elements[role]: 0 for role in family.counts})
    for role, number in family.counts.items():
        counts[elements[role]] += number
    formula = canonical("".join(f"{symbol}{number}" for symbol, number in counts.items()))
    return Idea(formula, family.name, elements)


def crystal_of(one: Idea) -> Crystal:
    """Return the idea's crystal: the prototype with its elements, at the volume that they usually have.

    Raises:
        StructureError: An element has no usual volume.

    """
    from aldesign.structures.geometry import volume
    from aldesign.structures.radii import reference_volume

    family = families()[one.family]
    species = tuple(one.elements[role] for role in family.roles)
    scale = (reference_volume(Counter(species)) / volume(family.crystal)) ** (1 / 3)
    a, b, c, *angles = family.crystal.lattice
    lattice = (a * scale, b * scale, c * scale, angles[0], angles[1], angles[2])
    return Crystal(one.name, lattice, species, family.crystal.frac)


def _balanced(family: Family, elements: frozenset[str]) -> Iterator[tuple[tuple[str, int], ...]]:
    """Yield the ions of each role whose charges add up to zero, elements being distinct."""
    limits = {role: frozenset(symbols.split()) for role, symbols in _LIMITS.get(family.name, {}).items()}
    choices = [
        [
            (symbol, charge)
            for symbol, charge in ions()["+" if role in CATIONS else "-"]
            if symbol in elements and symbol in limits.get(role, elements)
        ]
        for role in family.counts
    ]
    sites = list(family.counts.values())
    by_charge: dict[int, list[tuple[str, int]]] = {}
    for ion in choices[-1]:
        by_charge.setdefault(ion[1] * sites[-1], []).append(ion)
    for head in product(*choices[:-1]):
        missing = -sum(charge * n for (_, charge), n in zip(head, sites[:-1], strict=True))
        for last in by_charge.get(missing, ()):
            chosen = (*head, last)
            if len({symbol for symbol, _ in chosen}) == len(chosen):
                yield chosen


def _plausible(family: Family, chosen: Mapping[str, tuple[str, int]]) -> bool:
    """Return whether the order of electronegativities and of sizes allows it."""
    pull = {role: float(ELECTRONEGATIVITY[NUMBER[symbol]]) for role, (symbol, _) in chosen.items()}
    cations = [role for role in chosen if role in CATIONS]
    anions = [role for role in chosen if role not in CATIONS]
    if max(pull[role] for role in cations) >= min(pull[role] for role in anions):
        return False
    if _OXIDISED & {chosen[role][0] for role in cations} and not {"O", "F"} & {chosen[role][0] for role in anions}:
        return False
    if len(anions) == 2:
        x, y = (_radius(*chosen[role]) for role in anions)
        if (x > y) == (family.name in _SMALL_X):
            return False
    if len(cations) < 2:
        return True
    a, b = (_radius(*chosen[role]) for role in cations[:2])
    if "perovskite" in family.name:
        x = _radius(*chosen["X"])
        return TOLERANCE[0] <= (a + x) / (math.sqrt(2) * (b + x)) <= TOLERANCE[1]
    return family.name in _ANY_ORDER or a >= b


def _radius(symbol: str, charge: int) -> float:
    """Return Shannon's radius in Å, or the covalent one where he has none for the charge."""
    from aldesign.structures.radii import covalent_radius, ionic_radius

    return ionic_radius(symbol, charge) or covalent_radius(symbol)
