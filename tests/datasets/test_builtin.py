"""The built-in compounds against pymatgen and SMACT."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from aldesign.datasets.builtin import builtin_crystals, builtin_formulas


@pytest.mark.filterwarnings("ignore")
def test_they_are_the_prototypes_that_smact_accepts() -> None:
    import pymatgen.analysis.prototypes as prototypes
    from pymatgen.core import Composition
    from smact.screening import smact_validity

    path = Path(prototypes.__file__).parent / "aflow_prototypes.json.gz"
    expected = set()
    for entry in json.loads(gzip.decompress(path.read_bytes())):
        sites = entry["snl"]["sites"]
        composition = Composition("".join(site["species"][0]["element"] for site in sites))
        if len(composition) > 1 and smact_validity(composition, include_alloys=False):
            expected.add(composition.reduced_formula)
    assert {Composition(formula).reduced_formula for formula in builtin_formulas()} == expected


def test_every_formula_has_its_crystal() -> None:
    from collections import Counter

    from pymatgen.core import Composition

    formulas, crystals = builtin_formulas(), builtin_crystals()
    assert formulas == sorted(set(formulas)) == list(crystals)
    assert {"NaCl", "CaF2", "CaTiO3"} <= set(formulas)
    for formula, crystal in crystals.items():
        assert Composition(Counter(crystal.species)).reduced_composition == Composition(formula).reduced_composition
