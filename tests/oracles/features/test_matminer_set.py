import csv
import math
import warnings
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Composition, Element

from aldesign.chemistry.elements import SYMBOLS
from aldesign.chemistry.formula import Compositions, compositions
from oracles.features.magpie import FEATURE_NAMES, descriptor
from oracles.features.matminer_set import MATMINER_NAMES, matminer_features

POSSIBLE = MATMINER_NAMES.index("compound possible")
AWKWARD = [
    "NaN",
    "He",
    "O2",
    "HeNe",
    "XeF2",
    "RnF2",
    "Fe3O4",
    "Fe4O5",
    "Hg3Cl2",
    "NaCl2",
    "Na2Cl4",
    "C60",
    "Mn3Tc",
    "Lr2O3",
    "DbO2",
    "OgF4",
    "Al2(SO4)3",
    "Rb3Na(TiO3)4",
    "H8C4N2O7",
    "Co14Nb3W7O50",
]
# Pymatgen lists the states of all atoms in every combination; more than these take a tenth of a second and longer.
AFFORDABLE = 10_000


def charges(element: Element, atoms: int) -> set[int]:
    """Every total charge of so many atoms of an element, by adding one atom after the other."""
    reached = {0}
    for _ in range(atoms):
        reached = {total + state for total in reached for state in element.common_oxidation_states}
    return reached


def balances(composition: Composition) -> bool:
    """Whether charges can add up to zero, by set arithmetic."""
    if len(composition) == 1:
        return True
    if any(amount != int(amount) for amount in composition.values()):
        low = sum(min(e.common_oxidation_states, default=math.nan) * a for e, a in composition.items())
        high = sum(max(e.common_oxidation_states, default=math.nan) * a for e, a in composition.items())
        return low <= 1e-9 and high >= -1e-9
    reached = {0}
    for element, atoms in composition.items():
        reached = {a + b for a, b in product(reached, charges(element, int(atoms)))}
    return 0 in reached


def cost(composition: Composition) -> float:
    """Number of states that pymatgen would look up, about 8 µs each; infinite where it would refuse."""
    if any(amount != int(amount) for amount in composition.values()):
        return math.inf
    looked_up, totals = 0, 1
    for element, amount in composition.items():
        atoms, states = int(amount), len(element.common_oxidation_states)
        looked_up += atoms * math.comb(states + atoms - 1, atoms) if states else 0
        totals *= len(charges(element, atoms)) if looked_up < AFFORDABLE else AFFORDABLE
    return looked_up + totals / 10


@pytest.fixture(scope="module")
def matminer():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from matminer.featurizers.composition import ElementProperty, IonProperty, Stoichiometry, ValenceOrbital

        general = [ElementProperty.from_preset("magpie"), Stoichiometry(), ValenceOrbital()]
        exact, quick = IonProperty(), IonProperty(fast=True)

    def features(formulas: Sequence[str], limit: float) -> tuple[np.ndarray, int]:
        """Matminer's features, and how many answers about the charges are its own rather than `balances`'."""
        rows, own = [], 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for composition in map(Composition, formulas):
                row = [value for part in general for value in part.featurize(composition)]
                if cost(composition) < limit:
                    row += exact.featurize(composition)
                    own += 1
                else:
                    # the two characters are the same for both settings, and only this one takes decimal amounts
                    row += [balances(composition), *quick.featurize(composition)[1:]]
                rows.append(row)
        return np.array(rows, dtype=float), own

    features.labels = [label for part in (*general, exact) for label in part.feature_labels()]
    return features


def read(folder: Path, known: int, measured: int) -> list[str]:
    """So many formulas, evenly spread, of known compounds and of measured ones, many of these with decimals."""
    compounds = (folder / "mp" / "formulas.txt").read_text(encoding="utf-8").split()
    with (folder / "expt_gap" / "all.csv").open(encoding="utf-8") as stream:
        rows = [row["formula"] for row in csv.DictReader(stream)]
    decimal = [formula for formula in rows if "." in formula]
    whole = [formula for formula in rows if "." not in formula]
    picked = [(compounds, known), (decimal, measured // 2), (whole, measured - measured // 2)]
    return [formulas[i * len(formulas) // n] for formulas, n in picked for i in range(n)]


def check(formulas: list[str], matminer, share: float, limit: float = AFFORDABLE) -> None:
    ours = matminer_features(compositions(formulas))
    theirs, own = matminer(formulas, limit)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    assert own >= share * len(formulas)
    assert 0.1 < ours[:, POSSIBLE].mean() < 0.9


def test_names_are_matminers(matminer):
    assert list(MATMINER_NAMES) == matminer.labels


def test_equals_matminer_on_awkward_formulas(matminer):
    check(AWKWARD, matminer, share=0.8)


@pytest.mark.data
def test_equals_matminer_on_real_formulas(matminer, reference_data):
    check(read(reference_data, 200, 100), matminer, share=0.6, limit=1000)


@pytest.mark.data
@pytest.mark.slow
def test_equals_matminer_on_five_thousand_formulas(matminer, reference_data):
    check(read(reference_data, 4000, 1000), matminer, share=0.8)


def test_rock_salt_by_hand():
    value = dict(zip(MATMINER_NAMES, matminer_features(compositions(["NaCl"]))[0], strict=True))
    # Na is 3s1, Cl 3s2 3p5
    assert [value[f"avg {shell} valence electrons"] for shell in "spdf"] == [1.5, 2.5, 0, 0]
    assert [value[f"frac {shell} valence electrons"] for shell in "spdf"] == [0.375, 0.625, 0, 0]
    assert [value[f"{p}-norm"] for p in (0, 2, 3)] == pytest.approx([2, 2**-0.5, 2 ** (-2 / 3)])
    character = 1 - math.exp(-((3.16 - 0.93) ** 2) / 4)
    assert value["max ionic char"] == pytest.approx(character)
    assert value["avg ionic char"] == pytest.approx(character / 4)
    assert value["MagpieData minimum Number"] == value["MagpieData mode Number"] == 11
    assert value["MagpieData mean Number"] == 14
    assert value["MagpieData avg_dev Number"] == value["MagpieData range Number"] / 2 == 3


@pytest.mark.parametrize(
    ("formula", "possible"),
    [
        ("Fe3O4", 1),  # two Fe3+ and one Fe2+
        ("Fe2O", 0),
        ("NaCl2", 0),  # one Cl-, and no neutral Cl
        ("Na2Cl4", 1),  # three Cl- and one Cl+: the amounts as written count
        ("Na0.5Cl", 1),  # a multiple of it is Na2Cl4
        ("Ga0.3Al0.7As", 1),
        ("Fe0.9Mg0.1", 0),
        ("Xe", 1),
        ("HeO", 0),  # helium has no oxidation state
        ("He0.5O0.5", 0),
    ],
)
def test_charges_balance(formula, possible):
    assert matminer_features(compositions([formula]))[0, POSSIBLE] == possible


def test_the_shipped_descriptor_is_a_selection():
    formulas = [*AWKWARD, "Ba0.5Sr0.5TiO3"]
    small, full = descriptor(compositions(formulas)), matminer_features(compositions(formulas))
    np.testing.assert_array_equal(small[:, :138], full[:, :138])
    np.testing.assert_array_equal(small[:, 138:142], full[:, 142:146])
    assert [name.removeprefix("MagpieData ") for name in MATMINER_NAMES[:138]] == list(FEATURE_NAMES[:138])


@st.composite
def recipes(draw, most=40):
    """Distinct atomic numbers of up to six elements, H to Og, and how many atoms of each."""
    numbers = draw(st.lists(st.integers(1, 118), min_size=1, max_size=6, unique=True))
    return numbers, draw(st.lists(st.integers(1, most), min_size=len(numbers), max_size=len(numbers)))


def spelled(numbers: Sequence[int], amounts: Sequence[float]) -> str:
    return "".join(f"{SYMBOLS[z]}{a:.10g}" for z, a in zip(numbers, amounts, strict=True))


@settings(max_examples=100, deadline=None)
@given(recipes(), st.integers(2, 9))
def test_a_multiple_of_a_formula_has_its_features(recipe, factor):
    numbers, amounts = recipe
    formulas = [spelled(numbers, amounts), spelled(numbers, [factor * a for a in amounts])]
    one, many = matminer_features(compositions(formulas))
    kept = np.arange(len(MATMINER_NAMES)) != POSSIBLE
    np.testing.assert_allclose(many[kept], one[kept], rtol=1e-12, atol=1e-12)
    assert many[POSSIBLE] >= one[POSSIBLE]  # more atoms, more ways to balance


@settings(max_examples=100, deadline=None)
@given(recipes(), st.randoms(use_true_random=False))
def test_the_order_of_elements_and_the_padding_do_not_matter(recipe, random):
    numbers, amounts = recipe
    places = random.sample(range(8), len(numbers))
    table = Compositions(np.zeros((1, 8), dtype=np.int16), np.zeros((1, 8)))
    table.numbers[0, places], table.amounts[0, places] = numbers, amounts
    expected = matminer_features(compositions([spelled(numbers, amounts)]))
    np.testing.assert_allclose(matminer_features(table), expected, rtol=1e-12, atol=1e-12)


@settings(max_examples=150, deadline=None)
@given(st.lists(recipes(), min_size=1, max_size=5))
def test_charges_balance_as_by_set_arithmetic(batch):
    formulas = [spelled(*recipe) for recipe in batch]
    ours = matminer_features(compositions(formulas))[:, POSSIBLE]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert ours.tolist() == [balances(Composition(formula)) for formula in formulas]


@pytest.mark.parametrize("atoms", [1, 2, 3, 5, 8, 13, 21, 34])
def test_every_element_reaches_the_charges_of_its_states(atoms):
    # a counter-charge of every size: n atoms of H (+1 or -1) and O (-2) tell which totals are reached
    rows = [(z, h) for z in range(2, 119) if z != 8 for h in (1, 2, 7, 40, 41, 133)]
    formulas = [spelled([z, 1], [atoms, h]) for z, h in rows]
    ours = matminer_features(compositions(formulas))[:, POSSIBLE].astype(bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reached = {z: charges(Element.from_Z(z), atoms) for z, _ in rows}
    hydrogen = {h: set(range(-h, h + 1, 2)) for _, h in rows}
    expected = [any(-total in hydrogen[h] for total in reached[z]) for z, h in rows]
    assert ours.tolist() == expected


def test_empty_and_unreadable_rows():
    nothing = Compositions(np.zeros((2, 3), dtype=np.int16), np.zeros((2, 3)))
    assert np.isnan(matminer_features(nothing)).all()
    assert matminer_features(nothing[:0]).shape == (0, 149)


def test_a_million_atoms_take_no_time():
    assert matminer_features(compositions(["S1000000Cl1000000C999999"]))[0, POSSIBLE] == 1
    assert matminer_features(compositions(["Mn1000000O999999F"]))[0, POSSIBLE] == 0
