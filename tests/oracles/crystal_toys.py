"""Rock salts with made-up labels, for the tests of the crystal-graph oracles."""

import numpy as np

from aldesign.records import Candidate, Crystal, LabelledRow

SIZES = {"layers": 2, "width": 16, "message": 8, "centres": 12}
TINY = {**SIZES, "epochs": 60, "batch_size": 8, "learning_rate": 5e-3}
CATIONS, ANIONS = ("Li", "Na", "K", "Rb", "Cs", "Ag"), ("F", "Cl", "Br", "I", "H")


def rock_salt(cation, anion, a):
    edge = a / np.sqrt(2)
    frac = np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]])
    return Crystal(f"{cation}{anion}", (edge, edge, edge, 60.0, 60.0, 60.0), (cation, anion), frac)


def toy_rows(level="PBE", shift=0.0):
    """Rock salts whose "gap" falls with the lattice constant; silver makes metals."""
    rows = []
    for i, cation in enumerate(CATIONS):
        for j, anion in enumerate(ANIONS):
            a = 4.0 + 0.3 * i + 0.4 * j
            gap = 0.0 if cation == "Ag" else 9.0 - a + shift
            crystal = rock_salt(cation, anion, a)
            rows.append(LabelledRow(Candidate(f"{cation}{anion}").formula, gap, level=level, crystal=crystal))
    return rows


def candidate(crystal, formula):
    return Candidate(formula, crystal=crystal)


def value(oracle, crystal, formula):
    (answer,) = oracle.predict([candidate(crystal, formula)])
    assert answer.ok, answer.error
    return answer.value
