import gzip

import pytest

from oracles.pretraining import parts_by_formula, pretrain, split_rows

CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn")
ANIONS = ("F", "Cl", "Br", "I", "O", "S", "Se", "Te")  # KO, for one, is the peroxide K2O2


@pytest.fixture
def folder(tmp_path):
    """A table of the reference's shape: each formula as a stable and as a metastable entry."""
    lines = ["id,formula,band_gap,formation_energy_per_atom,e_form_basis,e_above_hull"]
    for i, cation in enumerate(CATIONS):
        for j, anion in enumerate(ANIONS):
            lines += [
                f"m{i}{j},{cation}{anion},9.0,-1.0,composition+spg unique,0.1",
                f"s{i}{j},{anion}{cation},{(i + j) / 4},-2.0,{'rejected' if i == 0 else 'composition+spg unique'},0.0",
            ]
    with gzip.open(tmp_path / "labels.csv.gz", "wt") as file:
        file.write("\n".join(lines))
    return tmp_path


def test_ground_states_are_split_by_formula(folder):
    parts = split_rows(folder, "band_gap")
    assert [len(part) for part in parts] == [64, 8, 8]
    formulas = [row.formula for part in parts for row in part]
    assert len(set(formulas)) == 80
    assert max(row.value for part in parts for row in part) <= 4.0  # the metastable ones have 9 eV
    assert {"LiF", "K2O2"} & set(formulas) == {"LiF", "K2O2"}  # canonical names, peroxides as they are


def test_doubtful_formation_energies_are_left_out_and_the_parts_stay(folder):
    gaps, energies = split_rows(folder, "band_gap"), split_rows(folder, "formation_energy_per_atom")
    for ours, theirs in zip(energies, gaps, strict=True):
        kept = {row.formula for row in theirs if not row.formula.startswith("Li")}
        assert {row.formula for row in ours} == kept
        assert all(row.value == -2.0 for row in ours)


def test_the_split_does_not_depend_on_the_order():
    names = [f"{c}{a}" for c in CATIONS for a in ANIONS]
    assert parts_by_formula(names) == parts_by_formula(names[::-1])


def test_the_card_says_how_the_weights_were_made(folder, tmp_path):
    oracle = pretrain("dense", folder, tmp_path / "out", epochs=2, members=2, hidden=8)
    training = oracle.card.training
    assert training["data"]["rows"] == 80 == sum(training["split"][k] for k in ("train", "validation", "test"))
    assert len(training["metrics"]["test_of_each_network"]) == 2
    assert {"origin", "licence", "training_seconds", "peak_memory_gib"} <= training.keys()
    assert (tmp_path / "out" / "card.json").exists()
