"""Element mapping, volumes and overlaps against published cells and pymatgen's tables."""

from __future__ import annotations

import numpy as np
import pytest

from aldesign.errors import FormulaError, StructureError
from aldesign.records import Crystal
from aldesign.structures import radii
from aldesign.structures.cif import formula_of
from aldesign.structures.geometry import distances, space_group
from aldesign.structures.substitution import map_elements, substitute


def face_centred(a, first, second, shift):
    """A two-atom primitive cell of rock salt (1/2) or zinc blende (1/4), cubic constant a in Å."""
    frac = np.array([[0, 0, 0], [shift] * 3], dtype=float)
    return Crystal(f"{first}{second}", (a / 2**0.5,) * 3 + (60.0,) * 3, (first, second), frac)


def perovskite(a, first, second, anion):
    frac = np.array([[0.5] * 3, [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
    return Crystal("perovskite", (a,) * 3 + (90.0,) * 3, (first, second, anion, anion, anion), frac)


def half_heusler(a, first, second, third):
    """MgAgAs type: first and second form rock salt, the third fills every other tetrahedral hole."""
    frac = np.array([[0.5] * 3, [0] * 3, [0.25] * 3], dtype=float)
    return Crystal("half-heusler", (a / 2**0.5,) * 3 + (60.0,) * 3, (first, second, third), frac)


@pytest.mark.parametrize(
    ("template", "formula", "constant"),
    [
        # cubic constants in Å at room temperature, Wyckoff, Crystal Structures, vol. 1 (1963)
        (face_centred(5.640, "Na", "Cl", 0.5), "KCl", 6.293),
        (face_centred(4.212, "Mg", "O", 0.5), "SrO", 5.160),
        (face_centred(4.212, "Mg", "O", 0.5), "CaO", 4.811),
        (face_centred(5.409, "Zn", "S", 0.25), "CdSe", 6.05),
        (face_centred(5.653, "Ga", "As", 0.25), "AlAs", 5.662),
    ],
)
def test_volumes_of_known_pairs_are_within_twelve_percent(template, formula, constant):
    made = substitute(template, formula)
    assert 2 * made.volume_per_atom == pytest.approx(constant**3 / 4, rel=0.12)
    assert formula_of(made.crystal) == formula
    assert space_group(made.crystal) == space_group(template)
    assert made.min_distance == pytest.approx(distances(made.crystal).min(), abs=1e-9)
    assert not made.warnings


@pytest.mark.parametrize(
    ("template", "formula", "mapping"),
    [
        ("CaTiO3", "SrSnO3", {"Ca": "Sr", "Ti": "Sn"}),
        ("CaTiO3", "KMgF3", {"Ca": "K", "Ti": "Mg"}),
        ("CaTiO3", "SnSrO3", {"Ca": "Sr", "Ti": "Sn"}),
        ("CsPbBr3", "RbSnI3", {"Cs": "Rb", "Pb": "Sn"}),
        ("NaCl", "LiF", {"Na": "Li", "Cl": "F"}),
        ("NaCl", "AgBr", {"Na": "Ag", "Cl": "Br"}),
        ("LiCoO2", "NaFeO2", {"Li": "Na", "Co": "Fe"}),
        ("TiNiSn", "ZrCoSb", {"Ti": "Zr", "Ni": "Co", "Sn": "Sb"}),
        ("TiNiSn", "HfPtSn", {"Ti": "Hf", "Ni": "Pt", "Sn": "Sn"}),
        ("Cs2AgBiBr6", "Rb2AgInCl6", {"Cs": "Rb", "Ag": "Ag", "Bi": "In", "Br": "Cl"}),
        ("KNaS", "NaLiSe", {"K": "Na", "Na": "Li", "S": "Se"}),
    ],
)
def test_ties_are_resolved_by_chemistry(template, formula, mapping):
    found = map_elements(template, formula)
    if formula == "NaLiSe":  # sodium stays in place, as documented
        mapping = {"K": "Li", "Na": "Na", "S": "Se"}
    assert {old: found[old] for old in mapping} == mapping


def test_half_heusler_keeps_its_transition_metal_in_the_tetrahedral_hole():
    made = substitute(half_heusler(5.94, "Ti", "Sn", "Ni"), "ZrCoSb")
    assert made.crystal.species == ("Zr", "Sb", "Co")
    assert made.volume_per_atom * 12 == pytest.approx(6.07**3, rel=0.12)  # Å, Sekimoto et al. 2005


def test_cubic_fluoride_perovskite_from_an_oxide():
    made = substitute(perovskite(3.905, "Sr", "Ti", "O"), "KMgF3")
    assert made.mapping == {"Sr": "K", "Ti": "Mg", "O": "F"}
    assert made.crystal.lattice[0] == pytest.approx(3.989, rel=0.06)  # Å, Wyckoff
    assert made.charges == {"F": -1, "Mg": 2, "K": 1}


def test_overlaps_name_the_pair_the_distance_and_the_limit():
    squeezed = Crystal("molecule", (6.0, 6.0, 6.0, 90.0, 90.0, 90.0), ("H", "Cl"), np.array([[0, 0, 0], [0, 0, 0.21]]))
    with pytest.raises(StructureError, match=r"CsF in molecule \(HCl\): (Cs and F|F and Cs) would be \d\.\d\d Å apart"):
        substitute(squeezed, "CsF")


@pytest.mark.parametrize("formula", ["NaCl", "KBr"])
def test_a_cell_that_is_all_but_flat_is_refused_at_once(formula):
    flat = Crystal("flat", (5.64,) * 3 + (119.9999, 119.9999, 120.0), ("Na", "Cl"), np.array([[0, 0, 0], [0.5] * 3]))
    with pytest.raises(StructureError, match="Å thin"):
        substitute(flat, formula)


def test_overlap_with_an_own_image_is_seen():
    flat = Crystal("flat", (1.2, 9.0, 9.0, 90.0, 90.0, 90.0), ("Fe", "O"), np.array([[0, 0, 0], [0, 0.5, 0.5]]))
    with pytest.raises(StructureError, match=r"O and O would be 0\.\d\d"):
        substitute(flat, "NiO")


def test_anions_that_nothing_binds_keep_apart():
    # the peroxide ion of Na2O2 is no place for two fluorides
    peroxide = Crystal(
        "peroxide",
        (4.0, 4.0, 8.0, 90.0, 90.0, 90.0),
        ("Mg", "O", "O"),
        np.array([[0, 0, 0], [0.5, 0.5, 0.41], [0.5, 0.5, 0.59]]),
    )
    with pytest.raises(StructureError, match="F and F would be"):
        substitute(peroxide, "MgF2")


def test_a_template_of_the_formula_itself_is_returned_as_it_stands():
    crystal = face_centred(5.64, "Na", "Cl", 0.5)
    made = substitute(crystal, "NaCl")
    assert made.crystal.lattice == crystal.lattice
    assert made.volume_ratio == 1.0


def test_a_mapping_that_is_given_is_kept():
    swapped = substitute(perovskite(3.905, "Sr", "Ti", "O"), "BaSnO3", mapping={"Sr": "Sn", "Ti": "Ba", "O": "O"})
    assert swapped.crystal.species[:2] == ("Sn", "Ba")
    assert substitute(perovskite(3.905, "Sr", "Ti", "O"), "BaSnO3").crystal.species[:2] == ("Ba", "Sn")


def test_other_amounts_and_unknown_elements_are_refused():
    crystal = face_centred(5.64, "Na", "Cl", 0.5)
    with pytest.raises(StructureError, match="amounts 1:2"):
        substitute(crystal, "MgCl2")
    with pytest.raises(StructureError, match="Og"):
        substitute(crystal, "OgCl")
    with pytest.raises(FormulaError):
        substitute(crystal, "Xx")


def test_covalent_radii_are_those_of_ase():
    from ase.data import atomic_numbers, covalent_radii

    for symbol, radius in radii.COVALENT.items():
        assert radius == pytest.approx(covalent_radii[atomic_numbers[symbol]])


def test_anion_radii_are_near_those_of_pymatgen():
    from pymatgen.core import Element

    for (symbol, charge), radius in radii.ANION.items():
        assert Element(symbol).ionic_radii[charge] == pytest.approx(radius, abs=0.15)


@pytest.mark.parametrize("formula", ["KBr", "RbCl"])
def test_a_template_of_lone_atoms_is_no_solid(formula):
    gas = Crystal("gas", (9000.0,) * 3 + (90.0,) * 3, ("K", "Br"), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
    with pytest.raises(StructureError, match=r"would have .* Å³ per atom; at most 200"):
        substitute(gas, formula)
    # 107 Å³ per atom, and the third atom all alone
    lone = Crystal(
        "lone", (4.0, 4.0, 20.0, 90.0, 90.0, 90.0), ("K", "Br", "O"), np.array([[0, 0, 0], [0.5, 0.5, 0], [0, 0, 0.5]])
    )
    substitute(lone, "KBrO")  # its own images are 4 Å away
    lone = Crystal("lone", (7.0, 7.0, 8.0, 90.0, 90.0, 90.0), ("K", "Br"), np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))
    assert distances(lone).min(axis=1).max() > 6.0
    with pytest.raises(StructureError, match="no neighbour within 6 Å"):
        substitute(lone, "KBr")
