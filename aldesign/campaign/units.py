"""Gaps as people write them, in whatever unit, turned into eV; what is in no known unit is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

from scipy import constants

# What 1 eV is in each unit of energy (CODATA values as scipy has them)
_PER_EV = {
    "eV": 1.0,
    "meV": 1e3,
    "cm-1": constants.e / (100 * constants.h * constants.c),
    "kJ/mol": constants.e * constants.N_A / 1e3,
    "kcal/mol": constants.e * constants.N_A / constants.calorie / 1e3,
    "Ha": constants.e / constants.physical_constants["Hartree energy"][0],
    "Ry": 2 * constants.e / constants.physical_constants["Hartree energy"][0],
}
WAVELENGTH_NM_EV = constants.h * constants.c / constants.e * 1e9
"""Product of a photon's wavelength in nm and its energy in eV: 1239.84."""
_ALIASES = {
    "ev": "eV",
    "electronvolt": "eV",
    "electronvolts": "eV",
    "mev": "meV",
    "cm-1": "cm-1",
    "cm^-1": "cm-1",
    "1/cm": "cm-1",
    "cm1": "cm-1",
    "kj/mol": "kJ/mol",
    "kjmol-1": "kJ/mol",
    "kcal/mol": "kcal/mol",
    "ha": "Ha",
    "hartree": "Ha",
    "ry": "Ry",
    "rydberg": "Ry",
    "nm": "nm",
}
UNITS = (*_PER_EV, "nm")
_BRACKETED = re.compile(r"^(.*?)\s*[(\[{]\s*([^)\]}]*?)\s*[)\]}]\s*$")
_NUMBER = r"[-+]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][-+]?\d+)?"
_CELL = re.compile(rf"^({_NUMBER})(?:\s*(?:±|\+/-|\+-)\s*({_NUMBER}))?\s*([A-Za-z][\w/^⁻¹-]*)?$")
_TRAILING = re.compile(r"^(.*?\w)(?:_|\s*/\s*|,\s*|\s+in\s+|\s+)([A-Za-z][\w/^-]*)$")


@dataclass(frozen=True)
class Energy:
    """A gap and its standard deviation in eV; None where none is stated."""

    value: float
    std: float | None = None


def unit_of(text: str) -> str:
    """Return the usual spelling of a unit.

    Raises:
        ValueError: The unit is unknown, or MeV, a million eV.

    """
    plain = "".join(text.split()).replace("−", "-").replace("⁻¹", "-1")
    if plain == "MeV":
        raise ValueError("the unit is MeV, a million eV; write meV for a thousandth")
    if plain.lower() not in _ALIASES:
        raise ValueError(f"the unit is {text!r}; allowed: {', '.join(UNITS)}")
    return _ALIASES[plain.lower()]


def split_name(name: str) -> tuple[str, str]:
    """Return a column's name without its unit, and the unit, empty where the name has none.

    ``Gap (meV)``, ``gap_meV``, ``gap / meV`` and ``gap, meV`` are ``gap`` in meV.

    Raises:
        ValueError: What stands in brackets at its end is no unit of a gap.

    """
    if found := _BRACKETED.match(name):
        return found[1], unit_of(found[2])
    if (found := _TRAILING.match(name)) and found[2].lower() in _ALIASES:
        return found[1], unit_of(found[2])
    return name, ""


def to_ev(value: float, unit: str, std: float | None = None, std_unit: str = "") -> Energy:
    """Return a gap in eV with its standard deviation.

    Args:
        value: In `unit`; a wavelength in nm is that of a photon with the gap's energy, e.g. an absorption edge.
        unit: One of `UNITS`.
        std: In `std_unit`; that of a wavelength is carried over by the slope at `value`.
        std_unit: The unit of `value` where empty.

    Raises:
        ValueError: A wavelength that is not above zero, or a std in nm of a value that is not.

    """
    std_unit = std_unit or unit
    if unit == "nm":
        if not value > 0:
            raise ValueError(f"a wavelength of {value:g} nm has no energy; it must be above zero")
        energy = WAVELENGTH_NM_EV / value
        if std is None:
            return Energy(energy)
        return Energy(energy, energy * std / value if std_unit == "nm" else std / _PER_EV[std_unit])
    if std is not None and std_unit == "nm":
        raise ValueError(f"the std is in nm and the value in {unit}; give both in one unit")
    return Energy(value / _PER_EV[unit], None if std is None else std / _PER_EV[std_unit])


def parse(text: str, delimiter: str = ",", name: str = "value") -> tuple[float, float | None, str]:
    """Return number, uncertainty and unit of a cell: ``4.5``, ``4,5``, ``4.5 ± 0.1``, ``1100 meV``.

    Args:
        text: The cell.
        delimiter: The table's separator. Where that is the comma, ``1,100`` may be 1.1 or 1100 and is refused.
        name: What the number is, for messages.

    Raises:
        ValueError: The cell holds something else.

    """
    found = _CELL.match(text.strip().replace("−", "-"))
    if found is None:
        raise ValueError(f"{name} is {text!r}, not a number in eV")
    value, std = (None if part is None else _number(part, delimiter, name) for part in found.group(1, 2))
    if value is None:
        raise ValueError(f"{name} is {text!r}, not a number in eV")
    return value, std, unit_of(found[3]) if found[3] else ""


def _number(text: str, delimiter: str, name: str) -> float:
    if "," in text:
        if delimiter == "," and re.search(r",\d{3}$", text):
            raise ValueError(f"{name} is {text!r}: is the comma a decimal one? Write a point")
        text = text.replace(",", ".")
    return float(text)


def is_number(text: str) -> bool:
    """Return whether a cell holds a number, with uncertainty and unit or without."""
    return _CELL.match(text.strip()) is not None
