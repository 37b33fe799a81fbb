"""Families of small crystals: prototypes whose sites have a role, cations A, B, C and anions X, Y, Z."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np

from aldesign.errors import StructureError
from aldesign.records import Crystal

CATIONS, ANIONS = "ABC", "XYZ"

# name: AFLOW prototype, and the role of each of its elements; ``Al.a`` is the aluminium on Wyckoff position a alone.
# Mehl et al., Comput. Mater. Sci. 136, S1 (2017).
_TABLE = {
    "rocksalt": ("AB_cF8_225_a_b", "Na:A Cl:X"),
    "caesium chloride": ("AB_cP2_221_b_a", "Cs:A Cl:X"),
    "zincblende": ("AB_cF8_216_c_a", "Zn:A S:X"),
    "wurtzite": ("AB_hP4_186_b_b", "Zn:A S:X"),
    "nickel arsenide": ("AB_hP4_194_c_a", "Ni:A As:X"),
    "litharge": ("AB_tP4_129_a_c", "O:X Pb:A"),
    "cooperite": ("AB_tP4_131_c_e", "Pt:A S:X"),
    "boron nitride": ("AB_hP4_194_c_d", "B:A N:X"),
    "cinnabar": ("AB_hP6_154_a_b", "Hg:A S:X"),
    "germanium sulfide": ("AB_oP8_62_c_c/B16", "Ge:A S:X"),
    "chromium boride": ("AB_oC8_63_c_c", "Cr:A B:X"),
    "millerite": ("AB_hR6_160_b_b", "Ni:A S:X"),
    "sodium thallide": ("AB_cF16_227_a_b", "Na:A Tl:X"),
    "fluorite": ("AB2_cF12_225_a_c", "Ca:A F:X"),
    "antifluorite": ("AB2_cF12_225_a_c", "Ca:X F:A"),
    "cadmium iodide": ("AB2_hP3_164_a_d", "Cd:A I:X"),
    "anti cadmium iodide": ("AB2_hP3_164_a_d", "Cd:X I:A"),
    "rutile": ("A2B_tP6_136_f_a", "O:X Ti:A"),
    "anatase": ("A2B_tI12_141_e_a", "O:X Ti:A"),
    "calcium chloride": ("AB2_oP6_58_a_g/C35", "Ca:A Cl:X"),
    "marcasite": ("AB2_oP6_58_a_g/C18", "Fe:A S:X"),
    "molybdenite": ("AB2_hP6_194_c_f", "Mo:A S:X"),
    "cristobalite": ("A2B_cF24_227_c_a", "O:X Si:A"),
    "silicon sulfide": ("A2B_oI12_72_j_a", "S:X Si:A"),
    "mercury bromide": ("A2B_oC12_36_2a_a", "Br:X Hg:A"),
    "cuprite": ("A2B_cP6_224_b_a", "Cu:A O:X"),
    "molybdenum silicide": ("AB2_tI6_139_a_e", "Mo:A Si:X"),
    "aluminium boride": ("AB2_hP3_191_a_d", "Al:A B:X"),
    "phosphorus iodide": ("A2B_aP6_2_2i_i", "I:X P:A"),
    "rhenium oxide": ("A3B_cP4_221_d_a", "O:X Re:A"),
    "copper nitride": ("A3B_cP4_221_d_a", "O:A Re:X"),
    "bismuth fluoride": ("AB3_cF16_225_a_bc", "Bi:X F:A"),
    "lithium nitride": ("A3B_hP4_191_bc_a", "Li:A N:X"),
    "sodium arsenide": ("AB3_hP8_194_c_bf", "As:X Na:A"),
    "aluminium fluoride": ("AB3_hR8_155_c_de", "Al:A F:X"),
    "bismuth iodide": ("AB3_hR8_148_c_f", "Bi:A I:X"),
    "aluminium chloride": ("AB3_mC16_12_g_ij", "Al:A Cl:X"),
    "lanthanum oxide": ("A3B2_hP5_164_ad_d", "Al:X Ni:A"),
    "magnesium bismuthide": ("A3B2_hP5_164_ad_d", "Al:A Ni:X"),
    "bismuth telluride": ("A2B3_hR5_166_c_ac", "Bi:A Te:X"),
    "tetradymite": ("A2B3_hR5_166_c_ac", "Bi:A Te.a:X Te.c:Y"),
    "silicon fluoride": ("A4B_cI10_217_c_a", "F:X Si:A"),
    "half-Heusler": ("ABC_cF12_216_b_c_a", "Ag:A As:X Mg:B"),
    "half-Heusler, cation in the centre": ("ABC_cF12_216_b_c_a", "Ag:A As:B Mg:X"),
    "lithium borocarbide": ("ABC_hP6_194_c_d_a", "B:B C:X Li:A"),
    "barium antimonide platinide": ("ABC_hP3_187_a_d_f", "Ba:A Pt:B Sb:X"),
    "matlockite": ("ABC_tP6_129_c_a_c", "Cl:X F:Y Pb:A"),
    "matlockite of two cations": ("ABC_tP6_129_c_a_c", "Cl:A F:B Pb:X"),
    "sodium chromium sulfide": ("ABC2_hR4_166_a_b_c", "Na:A Cr:B S:X"),
    "delafossite": ("ABC2_hR4_166_a_b_c", "Na:A Cr:B S:X"),
    "chalcopyrite": ("ABC2_tI16_122_a_b_d", "Cu:A Fe:B S:X"),
    "full Heusler": ("AB2C_cF16_225_a_c_b", "Al:X Cu:A Mn:B"),
    "perovskite": ("AB3C_cP5_221_a_c_b", "Ca:A Ti:B O:X"),
    "antiperovskite": ("AB3C_cP5_221_a_c_b", "Ca:Y Ti:X O:A"),
    "tetragonal perovskite": ("A3BC_tP5_99_bc_a_b", "O:X Pb:A Zr:B"),
    "lanthanum oxysulfide": ("A3B2_hP5_164_ad_d", "Al.a:X Al.d:Y Ni:A"),
    "calcium aluminium silicide": ("A3B2_hP5_164_ad_d", "Al.a:A Al.d:B Ni:X"),
    "boron phosphate": ("AB4C_tI12_82_c_g_a", "B:A O:X P:B"),
    "potassium nickel fluoride": ("AB2C4_tI14_139_a_e_ce", "Cu:B La:A O:X"),
    "thiogallate": ("A2BC4_tI14_82_bc_a_g", "Al:A Cd:B S:X"),
    "sulvanite": ("A3B4C_cP8_215_d_e_a", "Cu:A S:X V:B"),
    "zirconium copper silicide arsenide": ("ABCD_tP8_129_c_b_a_c", "As:X Cu:B Si:Y Zr:A"),
    "stannite": ("A2BC4D_tI16_121_d_a_i_b", "Cu:A Fe:B S:X Sn:C"),
    "calcium boride": ("A6B_cP7_221_f_a", "B:X Ca:A"),
    "tungsten carbide": ("AB_hP2_187_d_a", "C:X W:A"),
    "copper gold": ("AB3_cP4_221_a_c", "Au:A Cu:B"),
    "Laves phase": ("A2B_cF24_227_d_a", "Cu:A Mg:B"),
    "diamond": ("A_cF8_227_a", "C:A"),
    "face-centred cubic": ("A_cF4_225_a", "Cu:A"),
    "selenium": ("A_hP3_152_a", "Se:A"),
    "grey arsenic": ("A_hR2_166_c/A7", "As:A"),
    "black phosphorus": ("A_oC8_64_f/A17", "P:A"),
}
# Where the anions of a rhombohedral family lie on the long diagonal, if not as in the prototype: in CuAlO2, 0.11 from
# copper at 1/2, which has two neighbours. Ishiguro et al., J. Solid State Chem. 40, 170 (1981).
_DIAGONAL = {"delafossite": 0.39}


@dataclass(frozen=True, eq=False)
class Family:
    """A prototype with a role for each site.

    Attributes:
        name: Its usual name.
        prototype: Id of the AFLOW prototype.
        crystal: Its primitive cell.
        roles: The role of each site, one letter: cations A, B, C; anions X, Y, Z.
        counts: Sites of each role, in the order of the letters.
        operations: Of the point group, the roles told apart.

    """

    name: str
    prototype: str
    crystal: Crystal
    roles: str
    counts: Mapping[str, int]
    operations: int


@cache
def families() -> dict[str, Family]:
    """Return the families by name.

    Raises:
        StructureError: pymatgen's prototypes are not those that the table was written for.

    """
    from aldesign.structures.templates.sources import read_aflow

    known = {crystal.id: crystal for crystal in read_aflow()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of how spglib will tell of failures one day
        return {name: _family(name, known[f"aflow/{label}"], words) for name, (label, words) in _TABLE.items()}


def _family(name: str, crystal: Crystal, words: str) -> Family:
    from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

    from aldesign.structures.cif import from_pymatgen, to_pymatgen

    primitive = SpacegroupAnalyzer(to_pymatgen(crystal), 0.01).get_primitive_standard_structure()
    letters = SpacegroupAnalyzer(primitive, 0.01).get_symmetry_dataset().wyckoffs
    table = dict(word.split(":") for word in words.split())
    cell = from_pymatgen(primitive, crystal.id)
    if name in _DIAGONAL:
        cell.frac[[symbol == "S" for symbol in cell.species]] = np.outer([1.0, -1.0], [_DIAGONAL[name]] * 3) % 1.0
    roles = []
    for symbol, letter in zip(cell.species, letters, strict=True):
        role = table.get(symbol) or table.get(f"{symbol}.{letter}")
        if role is None:
            raise StructureError(f"the prototype {crystal.id} has {symbol} on position {letter}, which has no role")
        roles.append(role)
    counts = {role: roles.count(role) for role in sorted(set(roles))}
    dummies = dict(zip("ABCXYZ", ("Li", "Be", "B", "F", "Cl", "Br"), strict=True))
    coloured = Crystal(name, cell.lattice, tuple(dummies[role] for role in roles), cell.frac)
    operations = len(SpacegroupAnalyzer(to_pymatgen(coloured), 0.01).get_point_group_operations())
    return Family(name, crystal.id, cell, "".join(roles), counts, operations)
