"""Families of small crystals against what chemistry books say of coordination, charges and structures."""

from __future__ import annotations

from collections import Counter

import pytest
from pymatgen.core import Composition, Element

from aldesign.datasets.families import ANIONS, CATIONS, families
from aldesign.datasets.substitutions import TOLERANCE, Idea, crystal_of, ideas, ions, magnetic
from aldesign.datasets.textbook import textbook_metals, textbook_solids
from aldesign.structures.cif import formula_of, to_pymatgen
from aldesign.structures.geometry import space_group
from aldesign.structures.radii import ionic_radius

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # spglib, through pymatgen

EVERY = frozenset(symbol for pairs in ions().values() for symbol, _ in pairs)
SOLIDS = {one.name: one for one in textbook_solids()}


@pytest.fixture(scope="module")
def every() -> list[Idea]:
    return ideas(EVERY)


@pytest.mark.parametrize(
    ("name", "around"),
    [
        ("MgO/rocksalt", {"Mg": 6, "O": 6}),
        ("ZnS/zincblende", {"Zn": 4, "S": 4}),
        ("ZnO/wurtzite", {"Zn": 4, "O": 4}),
        ("CsCl/caesium chloride", {"Cs": 8, "Cl": 8}),
        ("CaF2/fluorite", {"Ca": 8, "F": 4}),
        ("Li2O/antifluorite", {"Li": 4, "O": 8}),
        ("SnO2/rutile", {"Sn": 6, "O": 3}),
        ("Cu2O/cuprite", {"Cu": 2, "O": 4}),
        ("SrTiO3/perovskite", {"Sr": 12, "Ti": 6, "O": 2}),
        ("AlCuO2/delafossite", {"Cu": 2, "Al": 6}),
        ("MoS2/molybdenite", {"Mo": 6, "S": 3}),
        ("GaCuS2/chalcopyrite", {"Ga": 4, "Cu": 4, "S": 4}),
    ],
)
def test_coordination_is_that_of_the_structure(name: str, around: dict[str, int]) -> None:
    one = SOLIDS[name]
    structure = to_pymatgen(crystal_of(one))
    anion = one.elements["X"]
    for symbol, number in around.items():
        site = next(site for site in structure if site.specie.symbol == symbol)
        found = [n for n in structure.get_neighbors(site, 6.0) if (n.specie.symbol == anion) != (symbol == anion)]
        nearest = min(n.nn_distance for n in found)
        assert sum(n.nn_distance < 1.25 * nearest for n in found) == number


def test_every_family_has_roles_for_all_sites_of_a_small_cell() -> None:
    for family in families().values():
        assert len(family.roles) == len(family.crystal) <= 8
        assert dict(Counter(family.roles)) == family.counts
        assert set(family.roles) <= set(CATIONS + ANIONS)
        assert family.operations in (2, 4, 6, 8, 12, 16, 24, 48)


def test_charges_balance_and_cations_are_the_less_electronegative(every: list[Idea]) -> None:
    assert len(every) > 5000
    states = {sign: {} for sign in "+-"}  # type: dict[str, dict[str, set[int]]]
    for sign, pairs in ions().items():
        for symbol, charge in pairs:
            states[sign].setdefault(symbol, set()).add(charge)
    for one in every[::7]:
        counts = families()[one.family].counts
        sums = {0}
        for role, symbol in one.elements.items():
            allowed = states["+" if role in CATIONS else "-"][symbol]
            sums = {total + counts[role] * charge for total in sums for charge in allowed}
        assert 0 in sums, one
        pull = {role: Element(symbol).X for role, symbol in one.elements.items()}
        cations = [pull[role] for role in pull if role in CATIONS]
        assert max(cations) < min(pull[role] for role in pull if role not in CATIONS), one
        assert Composition(one.formula).reduced_formula == Composition(formula_of(crystal_of(one))).reduced_formula


def test_names_are_distinct_and_sorted(every: list[Idea]) -> None:
    names = [one.name for one in every]
    assert names == sorted(set(names))


def test_perovskites_keep_goldschmidt_s_factor(every: list[Idea]) -> None:
    checked = 0
    for one in every:
        if one.family != "perovskite" or one.elements["X"] != "F":
            continue
        a, b = (ionic_radius(one.elements[role], charge) for role, charge in (("A", 1), ("B", 2)))
        x = ionic_radius("F", -1)
        if a is not None and b is not None and x is not None:
            assert TOLERANCE[0] <= (a + x) / (2**0.5 * (b + x)) <= TOLERANCE[1], one
            checked += 1
    assert checked > 10
    assert {"KMgF3", "KZnF3", "CsCaF3"} <= {one.formula for one in every if one.family == "perovskite"}


def test_fewer_elements_give_fewer_ideas_of_these_alone() -> None:
    found = ideas(frozenset({"Mg", "O", "Na", "Cl"}))
    assert {"MgO", "NaCl"} <= {one.formula for one in found}
    assert all(set(one.elements.values()) <= {"Mg", "O", "Na", "Cl"} for one in found)


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("Si/diamond", 227),
        ("GaAs/zincblende", 216),
        ("AlN/wurtzite", 186),
        ("NaCl/rocksalt", 225),
        ("CsI/caesium chloride", 221),
        ("ZrO2/fluorite", 225),
        ("TiO2/rutile", 136),
        ("TiO2/anatase", 141),
        ("BaTiO3/tetragonal perovskite", 99),
        ("LiZnP/half-Heusler", 216),
        ("AlVFe2/full Heusler", 225),
        ("PbClF/matlockite", 129),
        ("Bi2Te3/bismuth telluride", 166),
        ("La2O3/lanthanum oxide", 164),
        ("MgB2/aluminium boride", 191),
        ("Cu3N/copper nitride", 221),
        ("Li3N/lithium nitride", 191),
        ("Se/selenium", 152),
    ],
)
def test_textbook_solids_have_their_space_groups(name: str, number: int) -> None:
    assert space_group(crystal_of(SOLIDS[name]))[1] == number


def test_the_large_anion_of_matlockite_and_the_small_one_of_antiperovskite_have_their_sites() -> None:
    matlockite = to_pymatgen(crystal_of(SOLIDS["PbClF/matlockite"]))
    fluorine = next(i for i, one in enumerate(matlockite) if one.specie.symbol == "F")
    assert (
        len({round(site.frac_coords[2] % 1.0, 3) for site in matlockite if site.specie.symbol == "F"}) == 1
    )  # a plane
    assert {n.specie.symbol for n in matlockite.get_neighbors(matlockite[fluorine], 2.75)} <= {"Pb", "F"}
    salt = to_pymatgen(crystal_of(SOLIDS["Li3ClO/antiperovskite"]))
    oxygen = next(i for i, one in enumerate(salt) if one.specie.symbol == "O")
    near = salt.get_neighbors(salt[oxygen], salt.lattice.a * 0.51)
    assert [n.specie.symbol for n in near] == ["Li"] * 6


def test_textbook_solids_are_distinct_and_some_are_metals() -> None:
    assert len(SOLIDS) == len(textbook_solids()) > 400
    assert {"Cu/face-centred cubic", "TiN/rocksalt", "MgB2/aluminium boride"} <= textbook_metals() <= SOLIDS.keys()
    assert "NaCl/rocksalt" not in textbook_metals()
    assert magnetic(frozenset({"Mn", "O"}))
    assert not magnetic(frozenset({"Zn", "O"}))
