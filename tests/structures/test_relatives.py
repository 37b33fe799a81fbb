"""Votes of crystals of kin: arrangements of elements, exclusions, small libraries, and the learnt distances."""

from __future__ import annotations

import math
from itertools import permutations

import numpy as np
import pytest

from aldesign.chemistry.elements import NUMBER
from aldesign.records import Crystal
from aldesign.structures import hosts as hosts_module
from aldesign.structures.assign import assign, candidates, preferred
from aldesign.structures.cif import formula_of
from aldesign.structures.hosts import bucket_of, find_hosts, sorted_numbers, unlikeness
from aldesign.structures.kinship import facts_of, kinship
from aldesign.structures.relatives import relatives
from aldesign.structures.templates import TemplateLibrary, amounts_of


def perovskite(a, first, second, anion, name=""):
    frac = np.array([[0.5] * 3, [0, 0, 0], [0.5, 0, 0], [0, 0.5, 0], [0, 0, 0.5]])
    species = (first, second, anion, anion, anion)
    return Crystal(name or f"{first}{second}{anion}3", (a,) * 3 + (90.0,) * 3, species, frac)


def binary(a, first, second, shift, name=""):
    """Rock salt (1/2) or zinc blende (1/4), primitive."""
    frac = np.array([[0, 0, 0], [shift] * 3], dtype=float)
    return Crystal(name or f"{first}{second}", (a / 2**0.5,) * 3 + (60.0,) * 3, (first, second), frac)


@pytest.fixture(scope="module")
def binaries():
    # cubic constants in Å, Wyckoff, Crystal Structures, vol. 1 (1963)
    rock_salt = [("Na", "Cl", 5.64), ("K", "Br", 6.60), ("Rb", "Cl", 6.58), ("Mg", "O", 4.21), ("Ca", "O", 4.81)]
    zinc_blende = [("Zn", "S", 5.41), ("Zn", "Se", 5.67), ("Cd", "Te", 6.48), ("Ga", "As", 5.65), ("In", "P", 5.87)]
    crystals = [binary(a, x, y, 0.5) for x, y, a in rock_salt] + [binary(a, x, y, 0.25) for x, y, a in zinc_blende]
    return TemplateLibrary(crystals, stability={crystal.id: 0.0 for crystal in crystals})


@pytest.mark.parametrize(
    ("formula", "group"), [("KCl", 225), ("SrO", 225), ("NaBr", 225), ("CdSe", 216), ("GaP", 216), ("InAs", 216)]
)
def test_near_relatives_agree_on_the_type(binaries, formula, group):
    first, second = candidates(formula, binaries, max_emd=math.inf)
    assert first.space_group_number == group  # as observed
    assert second.space_group_number == 225 + 216 - group
    assert first.support == 5
    assert 1 >= first.likelihood > second.likelihood >= 0
    assert first.likelihood + second.likelihood <= 1 + 1e-9
    assert formula_of(first.crystal) == formula


def test_a_crystal_of_the_formula_itself_comes_first_and_as_it_stands(binaries):
    first, second = candidates("ZnS", binaries, max_emd=math.inf)
    assert (first.template_formula, first.emd, first.likelihood) == ("ZnS", 0.0, 1.0)
    assert first.crystal.lattice == binaries.crystals[5].lattice
    assert second.space_group_number == 225


def test_formulas_that_are_left_out_are_no_templates(binaries):
    found = candidates("ZnS", binaries, max_emd=math.inf, exclude=("ZnS",))
    assert all(made.template_formula != "ZnS" for made in found)
    assert found[0].space_group_number == 216
    only = TemplateLibrary(binaries.crystals[5:6])
    assert assign("ZnS", only, exclude=("ZnS",)).reason == "no template with amounts 1:1"


def test_the_bound_on_the_distance_holds(binaries):
    found = candidates("KCl", binaries, max_emd=2.0)
    assert all(made.emd <= 2.0 for made in found)
    far = assign("KCl", binaries, max_emd=0.01)
    assert far.crystal is None
    assert "> 0.01" in far.reason


def test_elements_of_equal_amounts_are_tried_in_each_order():
    # calcium is too large for the octahedron of the other five amounts of one, whatever the spelling
    library = TemplateLibrary([perovskite(3.905, "Sr", "Ti", "O"), perovskite(4.0, "Ba", "Ti", "O")])
    for formula in ("CaSnO3", "KMgF3", "BaZrO3", "LaAlO3"):
        made = assign(formula, library, max_emd=math.inf)
        large = {"CaSnO3": "Ca", "KMgF3": "K", "BaZrO3": "Ba", "LaAlO3": "La"}[formula]
        assert made.crystal.species[0] == large
        assert made.space_group == "Pm-3m"


def test_arrangements_respect_amounts(binaries):
    library = TemplateLibrary([perovskite(3.905, "Sr", "Ti", "O")])
    bucket = bucket_of(library, (1, 1, 3))
    found = find_hosts("KMgF3", library, bucket, math.inf)
    assert len(found) == 1 or len({tuple(row) for row in found.numbers.tolist()}) == 2
    assert all(row[2] == NUMBER["O"] for row in found.numbers.tolist())
    assert found.guest.tolist() == [NUMBER["Mg"], NUMBER["K"], NUMBER["F"]]
    assert hosts_module._arrangements((1, 1, 3)).tolist() == [[0, 1, 2], [1, 0, 2]]
    assert len(hosts_module._arrangements((1,) * 8)) == 1  # too many to try


def test_elements_stand_by_amount_then_number():
    formulas = ["SrTiO3", "Al2O3", "K2PtCl6"]
    three = sorted_numbers(["SrTiO3", "K2PtCl6"], 3).tolist()
    assert three == [[22, 38, 8], [78, 19, 17]]
    assert sorted_numbers(formulas[1:2], 2).tolist() == [[13, 8]]


def test_a_crystal_with_coincident_atoms_votes_for_itself_alone(binaries):
    broken = binary(5.0, "Li", "F", 0.0, "broken")
    library = TemplateLibrary([*binaries.crystals, broken])
    found = relatives("LiCl", library, amounts_of("LiCl"))
    (own,) = [relative for relative in found if relative.template.id == "broken"]
    assert own.support == 1
    assert assign("LiCl", library, max_emd=math.inf).crystal is not None


def test_learnt_distances_do_not_depend_on_the_order_of_elements():
    # a formula is a set: each element's point stays when the others change places
    model = kinship()
    numbers, shares = np.array([38, 22, 8]), np.array([0.2, 0.2, 0.6])
    reference = model.points(numbers[None], shares)[0][0]
    for order in map(list, permutations(range(3))):
        np.testing.assert_allclose(model.points(numbers[order][None], shares[order])[0][0], reference[order], atol=1e-4)


def test_energy_and_likelihood_are_weighed():
    assert preferred([-1.0, -1.001], [0.9, 0.1]) == 0  # a millielectronvolt says nothing
    assert preferred([-1.0, -1.2], [0.9, 0.1]) == 1  # 0.2 eV do
    assert preferred([-1.0, -1.001], [0.9, 0.1], 1e-6) == 1
    assert preferred([None, -0.5], [1.0, None]) == 1
    assert preferred([-1.0, -1.0], [0.5, 0.5]) == 0
    assert preferred([None], [0.5]) is None


def test_hosts_come_by_unlikeness(binaries):
    found = find_hosts("KCl", binaries, bucket_of(binaries, (1, 1)), math.inf)
    apart = unlikeness(found.guest, found.numbers, np.array([0.5, 0.5]))
    assert (np.diff(apart) >= -1e-9).all()
    assert unlikeness(found.guest, found.guest[None], np.array([0.5, 0.5])).tolist() == [0.0]


def test_the_nearer_and_the_stabler_has_the_greater_say():
    shares = np.array([0.5, 0.5])
    facts = facts_of(np.zeros(3), np.full(3, 2), 2)
    hosts = np.array([[NUMBER[a], NUMBER[b]] for a, b in (("Rb", "Cl"), ("K", "Br"), ("Ga", "As"))])
    score, _ = kinship().scores(np.array([NUMBER["K"], NUMBER["Cl"]]), hosts, shares, facts)
    assert score[:2].min() > score[2]
    unstable = facts_of(np.full(3, 0.12), np.full(3, 2), 2)
    assert (kinship().scores(np.array([NUMBER["K"], NUMBER["Cl"]]), hosts, shares, unstable)[0] < score).all()


def test_the_card_says_what_the_weights_are():
    card = kinship().card
    assert {"what", "training", "left_out", "figures", "sha256", "format"} <= set(card)


def test_results_do_not_depend_on_what_was_asked_before(binaries):
    fresh = TemplateLibrary(binaries.crystals, stability={crystal.id: 0.0 for crystal in binaries.crystals})
    first = assign("CdSe", fresh, max_emd=math.inf)
    again = assign("CdSe", binaries, max_emd=math.inf)
    assert (first.template_id, first.likelihood) == (again.template_id, again.likelihood)
