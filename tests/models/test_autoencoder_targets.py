from __future__ import annotations

import re

import numpy as np
import pytest
from pymatgen.core import Composition, Element

from aldesign.chemistry.elements import ALPHABET
from aldesign.chemistry.formula import compositions
from aldesign.chemistry.onehot import indices
from aldesign.models.autoencoder_targets import N_STATISTICS, element_properties, statistics

KNOWN = ["NaCl", "SrTiO3", "LiFePO4", "Fe", "LaF3", "UO2", "H2O", "CaClF5", "Cs2AgBiBr6"]
# Elements whose ground states depart from the Madelung rule.
ODD = re.findall("[A-Z][a-z]?", "CrCuNbMoTcRuRhPdAgLaCeGdPtAuAcThPaUNpCmLr")


def test_periods_and_groups_are_those_of_pymatgen():
    table = element_properties()
    for row, symbol in zip(table, ALPHABET, strict=True):
        element = Element(symbol)
        assert row[2] == element.row
        assert row[3] == element.group
        if symbol not in ("He", "Ne", "Ar", "Kr", "Xe", "Rn") and not np.isnan(element.X):
            assert row[0] == pytest.approx(element.X, abs=0.31)
        assert row[1] == ALPHABET.index(symbol)


def test_shells_are_those_of_the_ground_state():
    for row, symbol in zip(element_properties(), ALPHABET, strict=True):
        if symbol in ODD:
            continue
        shells = dict.fromkeys("spdf", 0)
        core = max([z for z in (0, 2, 10, 18, 36, 54, 86) if z < Element(symbol).Z])
        inner = {(n, shell) for n, shell, _ in Element.from_Z(core).full_electronic_structure} if core else set()
        for n, shell, electrons in Element(symbol).full_electronic_structure:
            if (n, shell) not in inner:
                shells[shell] += electrons
        assert row[4:8].tolist() == list(shells.values()), symbol


def test_statistics_are_those_that_a_loop_finds():
    found = statistics(indices(compositions(KNOWN)))
    assert found.shape == (len(KNOWN), N_STATISTICS)
    assert found.dtype == np.float32
    properties = element_properties()
    for values, formula in zip(found, KNOWN, strict=True):
        shares = {
            ALPHABET.index(e): x for e, x in Composition(formula).fractional_composition.get_el_amt_dict().items()
        }
        places = list(shares)
        weights = np.array(list(shares.values()))
        for k in range(12):
            p = properties[places, k]
            mean = p @ weights
            wanted = (mean, np.abs(p - mean) @ weights, p.min(), p.max())
            assert values[[k, 12 + k, 24 + k, 36 + k]] == pytest.approx(wanted, rel=1e-5, abs=1e-5)
        assert values[48:69].sum() == pytest.approx(1)
        assert values[69] == len(shares)
        assert values[70] == pytest.approx(np.sqrt((weights**2).sum()))
        x = properties[places, 0]
        ionic = 1 - np.exp(-((x[:, None] - x) ** 2) / 4)
        assert values[71] == pytest.approx(weights @ ionic @ weights, abs=1e-6)


def test_families_tell_hydrogen_and_the_f_block_from_their_groups():
    families = statistics(indices(compositions(["H", "Na", "La", "U", "Sc", "Ti"])))[:, 48:69].argmax(axis=1)
    assert families.tolist() == [18, 0, 19, 20, 2, 3]
