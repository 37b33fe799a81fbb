"""The elements: symbols, the modified Pettifor order, electronegativities, and named classes for rules."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

import numpy as np

from aldesign.errors import InputError

_PERIODS = """
H He
Li Be B C N O F Ne
Na Mg Al Si P S Cl Ar
K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr
Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe
Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn
Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og
"""

_PETTIFOR_ORDER = """
He Ne Ar Kr Xe Rn Fr Cs Rb K Na Li Ra Ba Sr Ca Eu Yb Lu Tm Y Er Ho Dy Tb Gd Sm Pm Nd Pr Ce La
Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Sc Zr Hf Ti Ta Nb V Cr Mo W Re Tc Os Ru Ir Rh Pt Pd Au Ag Cu
Ni Co Fe Mn Mg Zn Cd Hg Be Al Ga In Tl Pb Sn Ge Si B C N P As Sb Bi Po Te Se S O At I Br Cl F H
"""

SYMBOLS: tuple[str, ...] = ("", *_PERIODS.split())
"""Symbol by atomic number; ``SYMBOLS[0]`` is empty."""

NUMBER: dict[str, int] = {symbol: z for z, symbol in enumerate(SYMBOLS) if symbol}
"""Atomic number by symbol."""

HYDROGEN_ISOTOPES: dict[str, int] = {"D": 1, "T": 1}
"""Symbols read as hydrogen, the chemistry being the same."""

ALPHABET: tuple[str, ...] = tuple(_PETTIFOR_ORDER.split())
"""The 103 elements H to Lr along the modified Pettifor scale.

Glawe et al., New J. Phys. 18, 093011 (2016).
"""

PETTIFOR: np.ndarray = np.full(len(SYMBOLS), -1, dtype=np.int16)
"""Position 0 to 102 on the modified Pettifor scale by atomic number, int16 (119,); -1 where there is none."""
for _position, _symbol in enumerate(ALPHABET):
    PETTIFOR[NUMBER[_symbol]] = _position
PETTIFOR.flags.writeable = False

_UNKNOWN = float("nan")
ELECTRONEGATIVITY: np.ndarray = np.array(
    [
        *(_UNKNOWN, 2.20, _UNKNOWN, 0.98, 1.57, 2.04, 2.55, 3.04, 3.44, 3.98, _UNKNOWN),  # 0, H to Ne
        *(0.93, 1.31, 1.61, 1.90, 2.19, 2.58, 3.16, _UNKNOWN),  # Na to Ar
        *(0.82, 1.00, 1.36, 1.54, 1.63, 1.66, 1.55, 1.83, 1.88, 1.91, 1.90, 1.65),  # K to Zn
        *(1.81, 2.01, 2.18, 2.55, 2.96, 3.00),  # Ga to Kr
        *(0.82, 0.95, 1.22, 1.33, 1.60, 2.16, 1.90, 2.20, 2.28, 2.20, 1.93, 1.69),  # Rb to Cd
        *(1.78, 1.96, 2.05, 2.10, 2.66, 2.60),  # In to Xe
        *(
            0.79,
            0.89,
            1.10,
            1.12,
            1.13,
            1.14,
            1.13,
            1.17,
            1.20,
            1.20,
            1.10,
            1.22,
            1.23,
            1.24,
            1.25,
            1.10,
        ),  # to Yb
        *(1.27, 1.30, 1.50, 2.36, 1.90, 2.20, 2.20, 2.28, 2.54, 2.00),  # Lu to Hg
        *(1.62, 2.33, 2.02, 2.00, 2.20, 2.20),  # Tl to Rn
        *(
            0.70,
            0.90,
            1.10,
            1.30,
            1.50,
            1.38,
            1.36,
            1.28,
            1.30,
            1.30,
            1.30,
            1.30,
            1.30,
            1.30,
            1.30,
            1.30,
            1.30,
        ),
        *([_UNKNOWN] * 15),  # Rf to Og
    ],
    dtype=np.float64,
)
"""Pauling electronegativity by atomic number, dimensionless (119,); NaN where unknown.

Allred, J. Inorg. Nucl. Chem. 17, 215 (1961) with the later values that pymatgen's periodic table holds.
"""
ELECTRONEGATIVITY.flags.writeable = False


def _span(first: str, last: str) -> frozenset[str]:
    return frozenset(SYMBOLS[NUMBER[first] : NUMBER[last] + 1])


def _named(symbols: str) -> frozenset[str]:
    return frozenset(symbols.split())


def _classes() -> dict[str, frozenset[str]]:
    noble_gas = _named("He Ne Ar Kr Xe Rn Og")
    halogen = _named("F Cl Br I At Ts")
    metalloid = _named("B Si Ge As Sb Te")
    nonmetal = _named("H C N O P S Se") | halogen | noble_gas
    lanthanide, actinide = _span("La", "Lu"), _span("Ac", "Lr")
    transition = _span("Sc", "Zn") | _span("Y", "Cd") | _span("Hf", "Hg") | _span("Rf", "Cn")
    return {
        "alkali": _named("Li Na K Rb Cs Fr"),
        "alkaline_earth": _named("Be Mg Ca Sr Ba Ra"),
        "transition_metal": transition,
        "lanthanide": lanthanide,
        "actinide": actinide,
        "rare_earth": _named("Sc Y") | lanthanide,
        "post_transition_metal": _named("Al Ga In Sn Tl Pb Bi Po Nh Fl Mc Lv"),
        "metalloid": metalloid,
        "nonmetal": nonmetal,
        "metal": frozenset(SYMBOLS[1:]) - nonmetal - metalloid,
        "pnictogen": _named("N P As Sb Bi Mc"),
        "chalcogen": _named("O S Se Te Po Lv"),
        "halogen": halogen,
        "noble_gas": noble_gas,
        "precious": _named("Ru Rh Pd Ag Os Ir Pt Au"),
        "radioactive": _named("Tc Pm") | _span("Po", "Og"),
        "toxic": _named("Be As Cd Hg Tl Pb U"),
        "rare": _named("He Ne Kr Xe Ru Rh Pd Te Re Os Ir Pt Au Bi Tc Pm Po At Rn Fr Ra Ac Pa") | _span("Np", "Og"),
    }


CLASSES: dict[str, frozenset[str]] = _classes()
"""Element symbols by class name.

Groups follow the IUPAC Red Book (2005), IR-3.5: transition metals are groups 3 to 12 without the lanthanides
(La to Lu) and actinides (Ac to Lr); metalloids are B, Si, Ge, As, Sb and Te.

- ``radioactive``: no stable isotope and a half-life below 1e18 years (so not Bi), NUBASE2020.
- ``toxic``: As, Cd, Hg and Pb of the WHO's ten chemicals of major public health concern, and the elements whose
  compounds as a group are acutely toxic of category 1 or 2, or carcinogenic of 1A or 1B, in Annex VI of Regulation
  (EC) 1272/2008 (Be, Tl, U).
- ``rare``: below 0.02 mg/kg of the Earth's crust (CRC Handbook, abundance of elements in the Earth's crust and in
  the sea), or found only as a decay product or made by people.
- ``precious``: the platinum group with silver and gold.
"""


def _class_name(text: str) -> str:
    name = text.strip().lower().replace("-", "_").replace(" ", "_")
    singular = name[:-2] if name.endswith("gases") else name.removesuffix("s")
    return singular if singular in CLASSES else name


def resolve(names: str | Iterable[str]) -> frozenset[str]:
    """Return the element symbols that `names` stand for.

    Args:
        names: Element symbols and names of `CLASSES`; plural, hyphen and case of a class name do not matter.

    Raises:
        InputError: A name is neither an element nor a class; the message offers the nearest one.

    """
    found: set[str] = set()
    for name in [names] if isinstance(names, str) else names:
        if not isinstance(name, str):
            raise InputError(
                f"{name!r} is not the name of an element",
                "quote symbols that YAML reads otherwise: 'No', 'Y', 'N'",
            )
        if name.strip() in NUMBER:
            found.add(name.strip())
        elif _class_name(name) in CLASSES:
            found |= CLASSES[_class_name(name)]
        else:
            near = get_close_matches(_class_name(name), CLASSES, n=1) or get_close_matches(
                name.strip().capitalize(), NUMBER, n=1
            )
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise InputError(
                f"{name!r} is neither an element nor a class of elements",
                f"{meant}classes: {', '.join(CLASSES)}",
            )
    return frozenset(found)
