"""What a formula's elements cost, how risky their supply is, and which of them are hazardous.

Prices and supply risk are read from the tables that the installed pymatgen carries, so that nothing is copied here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from aldesign.chemistry.elements import CLASSES, NUMBER, SYMBOLS
from aldesign.chemistry.formula import compositions

PRICES_ORIGIN = (
    "prices of the pure elements, most as traded in laboratory amounts: Wolfram Alpha and Wikipedia, September 2013 "
    "(Ba 2019; H, noble gases and Tc 2020), in pymatgen's costdb_elements.csv"
)
SUPPLY_ORIGIN = (
    "Herfindahl-Hirschman indices of elemental production and reserves, weighted by mass: Gaultois et al., "
    "Chem. Mater. 25, 2911 (2013), in pymatgen's hhi_data.csv"
)
HAZARDS: tuple[str, ...] = ("radioactive", "toxic")
"""Classes of elements that count as hazards; `aldesign.chemistry.elements.CLASSES` says who is in them, and why."""

# The price that the table holds for neon is that of neptunium, as the source it names shows.
_WRONG = frozenset({"Ne"})
_YEAR = re.compile(r'year = "(\d{4})"')


@dataclass(frozen=True)
class Price:
    """The price of a pure element.

    Attributes:
        usd_per_kg: US dollars per kilogram.
        year: When it was looked up; None where the table does not say.

    """

    usd_per_kg: float
    year: int | None


@dataclass(frozen=True)
class Supply:
    """What a formula is made of, for those who would have to buy and handle it.

    Attributes:
        cost_usd_per_kg: Elements that make up a kilogram of the compound; None where a price is not known.
        cost_usd_per_mol_atoms: The same for a mole of atoms, i.e. of formula units over their number of atoms.
        cost_missing: Elements without a price.
        hhi_production: Supply risk by production, 0 to 10,000, mean over mass; None where an element has no index.
            Below 1,500 is low, above 2,500 high (U.S. Department of Justice, Horizontal Merger Guidelines, 2010).
        hhi_reserves: The same by known reserves.
        hhi_missing: Elements without an index.
        hazards: Hazardous elements of the formula by class; classes without one are left out.

    """

    cost_usd_per_kg: float | None
    cost_usd_per_mol_atoms: float | None
    cost_missing: tuple[str, ...]
    hhi_production: float | None
    hhi_reserves: float | None
    hhi_missing: tuple[str, ...]
    hazards: Mapping[str, tuple[str, ...]]


def supply_of(formula: str, hazards: tuple[str, ...] = HAZARDS) -> Supply:
    """Return cost, supply risk and hazards of a formula.

    Args:
        formula: Any formula.
        hazards: Names of `CLASSES` that count as hazards.

    Raises:
        FormulaError: The text is no formula.

    """
    parsed = compositions([formula])
    numbers, fractions = parsed.numbers[0].tolist(), parsed.fractions()[0].tolist()
    atomic = {SYMBOLS[z]: x for z, x in zip(numbers, fractions, strict=True) if z}
    masses = {symbol: x * _mass_g_per_mol(symbol) for symbol, x in atomic.items()}  # g in a mole of atoms
    total = sum(masses.values())
    unpriced = tuple(symbol for symbol in atomic if symbol not in prices())
    unlisted = tuple(symbol for symbol in atomic if symbol not in supply_risk())
    per_mol = None if unpriced else sum(prices()[s].usd_per_kg * mass / 1000.0 for s, mass in masses.items())
    production, reserves = (
        None if unlisted else sum(supply_risk()[s][which] * mass for s, mass in masses.items()) / total
        for which in (0, 1)
    )
    held = {name: tuple(symbol for symbol in atomic if symbol in CLASSES[name]) for name in hazards}
    return Supply(
        cost_usd_per_kg=None if per_mol is None else per_mol * 1000.0 / total,
        cost_usd_per_mol_atoms=per_mol,
        cost_missing=unpriced,
        hhi_production=production,
        hhi_reserves=reserves,
        hhi_missing=unlisted,
        hazards={name: symbols for name, symbols in held.items() if symbols},
    )


@cache
def prices() -> Mapping[str, Price]:
    """Return the price of each element that pymatgen's table holds; empty where it is not installed with one."""
    found = {}
    for line in _lines("costdb_elements.csv"):
        symbol, usd_per_kg, _, reference = line.split(",", 3)
        year = _YEAR.search(reference)
        if symbol in NUMBER and symbol not in _WRONG:
            found[symbol] = Price(float(usd_per_kg), int(year[1]) if year else None)
    return found


@cache
def supply_risk() -> Mapping[str, tuple[float, float]]:
    """Return the Herfindahl-Hirschman indices (production, reserves) of each element that pymatgen's table holds."""
    rows = (line.split(",") for line in _lines("hhi_data.csv"))
    return {symbol: (float(production), float(reserves)) for symbol, production, reserves in rows}


def _lines(name: str) -> list[str]:
    # The classes that read these tables load pymatgen's phase diagrams: seconds, for two small files.
    try:
        text = resources.files("pymatgen.analysis").joinpath(name).read_text(encoding="utf-8")
    except (ModuleNotFoundError, FileNotFoundError):
        return []
    return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


@cache
def _mass_g_per_mol(symbol: str) -> float:
    from pymatgen.core import Element

    return float(Element(symbol).atomic_mass)
