"""The nearest known formula is what ElMD's definition says, among those known from elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from campaign_examples import measured

from aldesign.campaign.novelty import Known, in_sketch
from aldesign.records import Source

SEEDS = [measured(0, "NaCl", 5.0, 0, Source.SEED), measured(1, "CaF2", 7.0, 0, Source.SEED)]
PROPOSED = [measured(2, "KCl", 5.1, 1), measured(3, "MgF2", 7.2, 1), measured(4, "SrF2", 7.1, 1, Source.USER)]


def distance(a: dict[str, float], b: dict[str, float]) -> float:
    """Return the earth mover's distance of atomic fractions on the modified Pettifor scale, as a linear program."""
    import numpy as np
    from scipy.optimize import linprog

    from aldesign.chemistry.elements import ALPHABET

    cost = np.array([[abs(ALPHABET.index(x) - ALPHABET.index(y)) for y in b] for x in a], dtype=float)
    n, m = cost.shape
    rows = [np.kron(np.eye(n), np.ones(m)), np.kron(np.ones(n), np.eye(m))]
    found = linprog(cost.ravel(), A_eq=np.vstack(rows), b_eq=[*a.values(), *b.values()])
    return float(found.fun)


def test_the_nearest_among_seeds_and_told_ones(make_spec, make_state) -> None:
    known = Known.of(make_state([SEEDS, PROPOSED]), make_spec())
    assert set(known.formulas) == {"NaCl", "CaF2", "SrF2"}  # what the campaign proposed by itself is no knowledge
    potassium, magnesium, told, seed = known.nearest(["KCl", "MgF2", "SrF2", "NaCl"])
    assert potassium is not None
    assert (potassium.formula, potassium.origin) == ("NaCl", "seed rows")
    assert potassium.emd == pytest.approx(distance({"K": 0.5, "Cl": 0.5}, {"Na": 0.5, "Cl": 0.5}), abs=1e-4)
    assert magnesium is not None
    assert magnesium.emd == pytest.approx(
        min(distance({"Mg": 1 / 3, "F": 2 / 3}, {s: 1 / 3, "F": 2 / 3}) for s in ("Ca", "Sr")), abs=1e-4
    )
    assert told is not None
    assert told.formula == "CaF2"  # a told material is not its own neighbour
    assert seed is not None
    assert (seed.formula, seed.emd) == ("NaCl", 0.0)


def test_files_of_the_novelty_screen_count_and_a_lost_one_is_noted(make_spec, make_state, tmp_path: Path) -> None:
    (tmp_path / "known.txt").write_text("KCl\nXx2\nSrF2\n")
    spec = make_spec(
        f"screens=[duplicate, {{novelty: {{known: [builtin, {tmp_path}/known.txt, {tmp_path}/lost.txt]}}}}]"
    )
    known = Known.of(make_state([SEEDS, PROPOSED]), spec)
    first, second = known.nearest(["KCl", "SrF2"])
    assert first is not None
    assert (first.formula, first.emd, first.origin) == ("KCl", 0.0, "known.txt")
    assert second is not None
    assert (second.formula, second.origin) == ("SrF2", "known.txt")
    (note,) = known.notes
    assert "lost.txt" in note


def test_nothing_known_and_elements_off_the_scale(make_spec, make_state) -> None:
    known = Known.of(make_state([[], PROPOSED[:2]]), make_spec())
    assert known.nearest(["KCl"]) == [None]


def test_elements_off_the_scale_have_no_neighbour(make_spec, make_state) -> None:
    assert Known.of(make_state([SEEDS]), make_spec()).nearest(["NhCl", "KCl"])[0] is None


@pytest.mark.parametrize(("formula", "expected"), [("NaCl", True), ("Al2O3", True), ("U3Np2Cs7", False)])
def test_the_sketch_knows_what_is_common(formula: str, expected: bool) -> None:
    assert in_sketch([formula]) == [expected]
    assert in_sketch([]) == []
