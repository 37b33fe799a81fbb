import warnings

import numpy as np
import pytest

from aldesign.chemistry.elements import (
    ALPHABET,
    CLASSES,
    ELECTRONEGATIVITY,
    NUMBER,
    PETTIFOR,
    SYMBOLS,
    resolve,
)
from aldesign.errors import InputError


def test_symbols_and_electronegativities_are_those_of_pymatgen():
    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen says that some electronegativities are unknown
        expected = [(Element.from_Z(z).symbol, float(Element.from_Z(z).X)) for z in range(1, 119)]
    assert SYMBOLS[1:] == tuple(symbol for symbol, _ in expected)
    np.testing.assert_array_equal(ELECTRONEGATIVITY[1:], [x for _, x in expected])


def test_pettifor_scale_is_a_permutation_of_the_first_103_elements():
    assert sorted(NUMBER[s] for s in ALPHABET) == list(range(1, 104))
    assert [SYMBOLS[z] for z in np.argsort(PETTIFOR)[-103:]] == list(ALPHABET)
    assert (PETTIFOR[[0, *range(104, 119)]] == -1).all()
    # Neighbours named in Glawe et al., New J. Phys. 18, 093011 (2016): the scale ends with the halogens and hydrogen.
    assert ALPHABET[0] == "He"
    assert ALPHABET[-6:] == ("At", "I", "Br", "Cl", "F", "H")


def test_classes_agree_with_pymatgen_where_it_has_them():
    from pymatgen.core import Element

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        elements = [Element.from_Z(z) for z in range(1, 104)]
    for name, of in {
        "alkali": "is_alkali",
        "alkaline_earth": "is_alkaline",
        "lanthanide": "is_lanthanoid",
        "actinide": "is_actinoid",
        "noble_gas": "is_noble_gas",
        "metalloid": "is_metalloid",
        "rare_earth": "is_rare_earth",
        "chalcogen": "is_chalcogen",
        "halogen": "is_halogen",
    }.items():
        expected = {element.symbol for element in elements if getattr(element, of)}
        ours = {symbol for symbol in CLASSES[name] if NUMBER[symbol] < 104}
        # pymatgen counts the actinides among the rare earths, and polonium among the metalloids.
        expected -= {"rare_earth": CLASSES["actinide"], "metalloid": {"Po"}}.get(name, set())
        assert ours == expected, name


def test_rare_elements_are_those_of_low_crustal_abundance():
    import smact

    abundance = {s: smact.Element(s).crustal_abundance for s in SYMBOLS[1:104]}
    for symbol, mg_per_kg in abundance.items():
        if mg_per_kg:  # not a gap in the table
            assert (symbol in CLASSES["rare"]) == (mg_per_kg < 0.02), symbol


def test_every_class_is_made_of_elements():
    for symbols in CLASSES.values():
        assert symbols <= NUMBER.keys()
    assert not CLASSES["metal"] & (CLASSES["nonmetal"] | CLASSES["metalloid"])
    assert {"Tc", "Pm", "U", "Ra"} <= CLASSES["radioactive"]
    assert not {"Bi", "Pb", "La"} & CLASSES["radioactive"]
    assert {"Pb", "Cd", "Hg", "As", "Tl", "Be"} <= CLASSES["toxic"]


def test_resolve_reads_symbols_classes_and_their_plurals():
    assert resolve(["Tc", "halogens", "Noble gases"]) == {"Tc"} | CLASSES["halogen"] | CLASSES["noble_gas"]
    assert resolve("toxic") == CLASSES["toxic"]
    assert resolve([]) == frozenset()


@pytest.mark.parametrize(
    ("name", "nearest"), [("radoactive", "radioactive"), ("halogenes", "halogen"), ("fe", "Fe"), ("toxics metals", "")]
)
def test_resolve_offers_the_nearest_name(name, nearest):
    with pytest.raises(InputError) as caught:
        resolve([name])
    assert repr(name) in caught.value.message
    assert f"did you mean {nearest!r}" in caught.value.hint or not nearest


def test_resolve_explains_what_yaml_does_to_no():
    with pytest.raises(InputError, match="quote"):
        resolve([False])
