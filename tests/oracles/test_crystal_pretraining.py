import csv
import gzip
import json
from dataclasses import replace

import numpy as np
import pytest
from crystal_toys import SIZES, toy_rows, value

from aldesign.errors import CheckpointError, InputError
from aldesign.learning.training import TrainingPlan
from aldesign.structures.graph_store import GraphStore
from aldesign.testing import CRYSTALS
from oracles.crystal_data import LEVELS, PARTS, read_labelled
from oracles.crystal_graph import CrystalFormationOracle, CrystalGraphOracle
from oracles.crystal_network import NetworkSize
from oracles.crystal_pretraining import assemble, train_member
from oracles.pretraining import parts_by_formula

PLAN = TrainingPlan(epochs=2, batch_size=8, learning_rate=5e-3, patience=None)
SIZE = NetworkSize(**SIZES)
COLUMNS = ("id", "formula", "band_gap", "formation_energy_per_atom", "e_form_basis", "e_above_hull", "mp_id_basis")
OTHERS = ("gap_hse", "gap_gllbsc", "gap_scan")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder like the reference data, of thirty rock salts and two polymorphs of each."""
    folder = tmp_path_factory.mktemp("reference")
    (folder / "mp").mkdir()
    (folder / "expt_gap").mkdir()
    rows = toy_rows()
    squeezed = [replace(row.crystal, id=f"{row.crystal.id}-2") for row in rows]
    with gzip.open(folder / "mp" / "structures.jsonl.gz", "wt") as file:
        for c in [*(row.crystal for row in rows), *squeezed]:
            file.write(json.dumps({"id": c.id, "lattice": c.lattice, "species": c.species, "frac": c.frac.tolist()}))
            file.write("\n")
    with gzip.open(folder / "mp" / "labels.csv.gz", "wt", newline="") as file:
        table = csv.writer(file)
        table.writerow([*COLUMNS, *OTHERS])
        for copy, hull in (("", 0.0), ("-2", 0.1)):
            for i, row in enumerate(rows):
                sure = "composition+spg unique" if i % 4 else "unresolved (ambiguous key)"
                basis = "formula+spg unique, gap agrees" if i % 3 else "formula+spg unique, gap differs"
                known = [-2.0, sure, hull, basis]
                others = [row.value + 1.5, row.value + 2.0 if i % 2 else "", ""]
                table.writerow([row.crystal.id + copy, row.formula, row.value, *known, *others])
    with (folder / "expt_gap" / "all.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["formula", "target"])
        table.writerows([[row.formula, row.value + 0.5] for row in rows[::2]] + [["ClNa", 8.5], ["BN", 6.0]])
    return folder


def test_examples_are_divided_by_formula_at_every_level(data):
    from oracles.crystal_data import read_crystals

    store = GraphStore.build(read_crystals(data / "mp" / "structures.jsonl.gz"))
    labelled = read_labelled(data, store, "band_gap")
    assert labelled.levels == LEVELS
    found = {name: set(labelled.crystals.formulas[labelled.parts[name].crystal]) for name in PARTS}
    assert found["train"].isdisjoint(found["test"])
    assert found["train"].isdisjoint(found["validation"])
    rule = parts_by_formula(sorted({row.formula for row in toy_rows()}))
    assert all(rule[formula] == k for k, name in enumerate(PARTS) for formula in found[name])
    every = [labelled.parts[name] for name in PARTS]
    count = [sum(int((part.level == k).sum()) for part in every) for k in range(len(LEVELS))]
    # both polymorphs; those whose entry is certain, half of them with a second functional; one crystal a formula
    assert count == [60, 40, 20, 0, 15]
    ids = np.array(store.ids)
    for part in every:
        measured = part.level == LEVELS.index("experiment")
        assert not any(name.endswith("-2") for name in ids[part.crystal[measured]])
        salt = measured & (labelled.crystals.formulas[part.crystal] == "NaCl")
        # two measurements of one formula count as their mean
        assert part.label[salt] == pytest.approx([(4.8 + 8.5) / 2] * int(salt.sum()))
    energies = read_labelled(data, store, "formation_energy_per_atom")
    assert sum(len(energies.parts[name]) for name in PARTS) == 44
    assert energies.levels == ("PBE",)


def test_networks_are_trained_one_by_one_and_assembled(data, tmp_path):
    with pytest.raises(CheckpointError, match=r"card\.json"):
        train_member("crystal_graph", data, tmp_path, 0, plan=PLAN, size=SIZE, processes=1)
    for name in ("crystal_graph_eform", "crystal_graph"):
        for number in (0, 1):
            train_member(name, data, tmp_path, number, plan=PLAN, size=SIZE, processes=1)
        assemble(name, data, tmp_path, tmp_path / "out" / name)
    energy = CrystalFormationOracle.load(tmp_path / "out" / "crystal_graph_eform")
    assert energy.card.unit == "eV/atom"
    assert len(energy.networks) == 2
    assert len(energy.card.training["metrics"]["test"]["single_networks"]) == 2
    crystal = CRYSTALS["NaCl"]
    folder = tmp_path / "out" / "crystal_graph"
    answers = {level: value(CrystalGraphOracle.load(folder, level=level), crystal, "NaCl") for level in LEVELS}
    assert len(set(answers.values())) == len(LEVELS)
    assert value(CrystalGraphOracle.load(folder), crystal, "NaCl") == answers["PBE"]
    assert CrystalGraphOracle.load(folder, level="HSE").card.level == "HSE"
    with pytest.raises(InputError, match=r"no level of theory 'B3LYP'.*PBE, HSE, GLLB-SC, SCAN, experiment"):
        CrystalGraphOracle.load(folder, level="B3LYP")
    card = CrystalGraphOracle.load(folder).card.training
    assert {"HSE", "GLLB-SC"} <= card["metrics"]["validation"]["levels"].keys() | card["metrics"]["test"][
        "levels"
    ].keys()
    assert card["metrics"]["test"]["by_atoms_in_cell"]["1-10"]["count"] == card["metrics"]["test"]["count"]
    # finished networks are not trained again
    before = (tmp_path / "crystal_graph" / "0" / "weights.safetensors").read_bytes()
    train_member("crystal_graph", data, tmp_path, 0, plan=PLAN, size=SIZE, processes=1)
    assert (tmp_path / "crystal_graph" / "0" / "weights.safetensors").read_bytes() == before
