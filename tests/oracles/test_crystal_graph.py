import csv
import dataclasses
import gzip
import json

import numpy as np
import pytest
import torch

from aldesign.errors import CheckpointError, InputError
from aldesign.records import Candidate, Crystal, LabelledRow
from aldesign.structures.graphs import GraphStore, build_graph, pack
from aldesign.testing import CRYSTALS, check_oracle
from oracles.common import SHIPPED
from oracles.crystal_graph import CrystalGraphOracle
from oracles.crystal_network import CrystalNetwork, GatedMessages, NetworkSize, joint_loss, tensors
from oracles.crystal_pretraining import pretrain, split_by_formula
from oracles.spread import fit_spread, observed

TINY = {"layers": 2, "width": 16, "message": 8, "centres": 12, "epochs": 60, "batch_size": 8, "learning_rate": 5e-3}
CATIONS, ANIONS = ("Li", "Na", "K", "Rb", "Cs", "Ag"), ("F", "Cl", "Br", "I", "H")


def rock_salt(cation, anion, a):
    edge = a / np.sqrt(2)
    frac = np.array([[0.0, 0, 0], [0.5, 0.5, 0.5]])
    return Crystal(f"{cation}{anion}", (edge, edge, edge, 60.0, 60.0, 60.0), (cation, anion), frac)


def toy_rows():
    """Rock salts whose "gap" falls with the lattice constant; silver makes metals."""
    rows = []
    for i, cation in enumerate(CATIONS):
        for j, anion in enumerate(ANIONS):
            a = 4.0 + 0.3 * i + 0.4 * j
            gap = 0.0 if cation == "Ag" else 9.0 - a
            crystal = rock_salt(cation, anion, a)
            rows.append(LabelledRow(Candidate(f"{cation}{anion}").formula, gap, crystal=crystal))
    return rows


@pytest.fixture(scope="module")
def trained():
    return CrystalGraphOracle(**TINY).fit(toy_rows(), seed=1)


def candidate(crystal, formula):
    return Candidate(formula, crystal=crystal)


def gap(oracle, crystal, formula):
    (answer,) = oracle.predict([candidate(crystal, formula)])
    assert answer.ok, answer.error
    return answer.value


def batch_of(crystals, **options):
    return tensors(pack([build_graph(c) for c in crystals]), torch.float64, **options)


def test_messages_are_the_formula_and_their_gradient_is_right():
    batch = batch_of([CRYSTALS["NaCl"], CRYSTALS["GaAs"]], knot=0.5)
    generator = torch.Generator().manual_seed(0)
    k, n, f = len(batch.distance), len(batch.numbers), 3
    parts = [torch.randn(rows, 2 * f, dtype=torch.float64, generator=generator) for rows in (k, n, n)]
    row, target, source = batch.parts.unbind(1)
    joined = parts[0][row] + parts[1][target - k] + parts[2][source - k - n]
    message = torch.sigmoid(joined[:, :f]) * torch.nn.functional.silu(joined[:, f:])
    wanted = torch.zeros(n, f, dtype=torch.float64).index_add(0, batch.target, message)
    torch.testing.assert_close(GatedMessages.apply(*parts, batch), wanted)
    parts = [part.requires_grad_() for part in parts]
    assert torch.autograd.gradcheck(lambda *p: GatedMessages.apply(*p, batch), parts)


def test_rounded_distances_change_little():
    network = CrystalNetwork(NetworkSize(targets=("band_gap",))).double()
    crystals = list(CRYSTALS.values())
    with torch.no_grad():
        exact, rounded = network(batch_of(crystals)), network(batch_of(crystals, knot=0.01))
    torch.testing.assert_close(rounded, exact, atol=0.02, rtol=0.02)


def test_loss_leaves_out_missing_labels_and_forgives_metals_below_zero():
    floor = torch.tensor([-1.0, -torch.inf])
    output = torch.zeros(2, 2, 2)
    output[0, 0, 0] = -3.0  # below the floor
    truth = torch.tensor([[-1.0, torch.nan], [torch.nan, 0.5]])
    assert joint_loss(output, truth, floor).item() == pytest.approx(0.5 + 0.3 * 0.5)
    truth = torch.tensor([[0.0, torch.nan], [torch.nan, 0.0]])
    # a gap that is there is missed by 3; its scale sees the answer, which is cut at the floor
    assert joint_loss(output, truth, floor).item() == pytest.approx(3.0 + 0.3 * 1.0)


def test_fitting_learns(trained):
    rows = toy_rows()
    answers = trained.predict([candidate(r.crystal, r.formula) for r in rows])
    truth = np.array([r.value for r in rows])
    error = np.abs(np.array([a.value for a in answers]) - truth).mean()
    assert error < 0.5 * np.abs(truth - np.median(truth)).mean()
    assert all(a.std > 0 and a.value >= 0 for a in answers)
    assert trained.training["split"]["validation"] == 3  # a tenth of the formulas, held back


def test_the_same_seed_gives_the_same_network_and_another_another():
    short = {**TINY, "epochs": 2}
    one, two, other = (CrystalGraphOracle(**short).fit(toy_rows(), seed=s) for s in (0, 0, 1))
    crystal = CRYSTALS["NaCl"]
    assert gap(one, crystal, "NaCl") == gap(two, crystal, "NaCl")
    assert gap(one, crystal, "NaCl") != gap(other, crystal, "NaCl")


@pytest.mark.parametrize("formula", ["NaCl", "CsCl"])
def test_prediction_hangs_neither_on_cell_nor_on_order_nor_on_origin(trained, formula):
    crystal = CRYSTALS[formula]
    value = gap(trained, crystal, formula)
    a, b, c, *angles = crystal.lattice
    cell = np.array([1.0, 2.0, 1.0])
    doubled = np.concatenate([crystal.frac / cell, (crystal.frac + np.eye(3)[1]) / cell])
    others = [
        Crystal("supercell", (a, 2 * b, c, *angles), crystal.species * 2, doubled),
        Crystal("order", crystal.lattice, crystal.species[::-1], crystal.frac[::-1].copy()),
        dataclasses.replace(crystal, frac=crystal.frac + 0.321),
        # the same lattice turned in space: b and c change places
        Crystal("turned", (a, c, b, angles[0], angles[2], angles[1]), crystal.species, crystal.frac[:, [0, 2, 1]]),
    ]
    for other in others:
        assert gap(trained, other, formula) == pytest.approx(value, abs=1e-5)


def test_conventional_and_primitive_cell_agree(trained):
    fcc = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    conventional = Crystal(
        "cube", (5.64, 5.64, 5.64, 90.0, 90.0, 90.0), ("Na",) * 4 + ("Cl",) * 4, np.concatenate([fcc, fcc + 0.5])
    )
    value = gap(trained, rock_salt("Na", "Cl", 5.64), "NaCl")
    assert gap(trained, conventional, "NaCl") == pytest.approx(value, abs=1e-5)


def test_contract(trained):
    check_oracle(trained)


def test_answer_does_not_hang_on_company(trained):
    asked = [candidate(r.crystal, r.formula) for r in toy_rows()]
    together = [a.value for a in trained.predict(asked)]
    alone = [trained.predict([c])[0].value for c in asked]
    np.testing.assert_allclose(together, alone, atol=1e-9)


def test_unusable_candidates_say_why(trained):
    gas = Crystal("gas", (9.0, 9.0, 9.0, 90.0, 90.0, 90.0), ("Na",), np.zeros((1, 3)))
    answers = trained.predict(
        [
            Candidate("NaCl"),
            candidate(gas, "Na"),
            candidate(CRYSTALS["NaCl"], "KCl"),
            candidate(CRYSTALS["NaCl"], "NaCl"),
        ]
    )
    assert "aldesign structures" in answers[0].error
    assert "no neighbour within" in answers[1].error
    assert "composition NaCl, not KCl" in answers[2].error
    assert answers[3].ok


def test_domain_is_elements_size_and_distance(trained):
    zinc = trained.predict([candidate(CRYSTALS["ZnS"], "ZnS")])[0]
    close = trained.predict([candidate(rock_salt("Na", "Cl", 3.0), "NaCl")])[0]
    inside = trained.predict([candidate(rock_salt("Na", "Cl", 5.0), "NaCl")])[0]
    assert (zinc.in_domain, close.in_domain, inside.in_domain) == (False, False, True)


def test_saved_oracle_answers_the_same(trained, tmp_path):
    trained.save(tmp_path)
    loaded = CrystalGraphOracle.load(tmp_path)
    crystal = CRYSTALS["NaCl"]
    assert loaded.predict([candidate(crystal, "NaCl")])[0].std == trained.predict([candidate(crystal, "NaCl")])[0].std
    assert gap(loaded, crystal, "NaCl") == gap(trained, crystal, "NaCl")
    assert loaded.card == trained.card
    with pytest.raises(InputError, match="allowed: band_gap"):
        CrystalGraphOracle.load(tmp_path, property="formation_energy_per_atom")
    with pytest.raises(InputError, match="no option 'colour'"):
        CrystalGraphOracle.load(tmp_path, colour=1)
    (tmp_path / "weights.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError):
        CrystalGraphOracle.load(tmp_path)


def test_loaded_oracle_is_tuned_from_its_weights(trained, tmp_path):
    trained.save(tmp_path)
    tuned = CrystalGraphOracle.load(tmp_path)
    tuned.config["epochs"] = 1
    tuned.config["learning_rate"] = 1e-6
    tuned.fit(toy_rows(), seed=1)
    assert gap(tuned, CRYSTALS["NaCl"], "NaCl") == pytest.approx(gap(trained, CRYSTALS["NaCl"], "NaCl"), abs=0.01)


def test_rows_without_crystals_are_left_out_or_refused():
    said = []
    rows = [*toy_rows(), LabelledRow("BN", 6.0)]
    CrystalGraphOracle(**{**TINY, "epochs": 1}).fit(rows, progress=said.append)
    assert said[0].startswith("1 rows without a usable crystal")
    with pytest.raises(InputError, match="none of the 1 training rows"):
        CrystalGraphOracle(**TINY).fit([LabelledRow("BN", 6.0)])


def test_spread_becomes_that_of_the_errors():
    rng = np.random.default_rng(0)
    stated = rng.choice([0.004, *np.geomspace(0.05, 1.0, 30)], 20_000)
    true = 0.3 + 0.8 * stated
    knots = fit_spread(rng.normal(0.0, true), stated)
    np.testing.assert_allclose(observed(stated, knots), true, rtol=0.12)
    beyond = observed(np.array([10.0]), knots)
    assert beyond == pytest.approx(10.0 * knots[1, -1] / knots[0, -1])
    few = fit_spread(np.array([0.2, -0.2]), np.array([0.1, 0.1]))
    np.testing.assert_allclose(observed(np.array([0.05, 0.1, 0.2]), few), [0.2, 0.2, 0.4])


def test_split_keeps_polymorphs_together():
    formulas = [f"Na{i % 50}Cl" for i in range(200)]
    parts = split_by_formula(formulas, 0)
    names = [{formulas[i] for i in part} for part in parts]
    assert sorted(np.concatenate(parts)) == list(range(200))
    assert not names[0] & names[1]
    assert not (names[0] | names[1]) & names[2]
    assert [len(n) for n in names] == [40, 5, 5]


def test_pretraining_learns_both_properties(tmp_path):
    rows = toy_rows()
    with gzip.open(tmp_path / "structures.jsonl.gz", "wt") as file:
        for row in rows:
            c = row.crystal
            file.write(json.dumps({"id": c.id, "lattice": c.lattice, "species": c.species, "frac": c.frac.tolist()}))
            file.write("\n")
    with gzip.open(tmp_path / "labels.csv.gz", "wt", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "formula", "band_gap", "formation_energy_per_atom", "e_form_basis"])
        for i, row in enumerate(rows):
            known = ["-2.0", "composition+spg unique"] if i % 4 else ["", "unresolved"]
            table.writerow([row.crystal.id, row.formula, row.value, *known])
    settings = {**TINY, "epochs": 2}
    pretrain(tmp_path, tmp_path / "out", checkpoint=tmp_path / "state", **settings)
    energy = CrystalGraphOracle.load(tmp_path / "out", property="formation_energy_per_atom")
    assert energy.card.unit == "eV/atom"
    assert energy.card.training["split"]["by"] == "formula"
    answer = energy.predict_crystals([CRYSTALS["NaCl"]])[0]
    assert answer.ok
    assert answer.unit == "eV/atom"
    # the state on disk is the finished run's: training again returns it
    again = pretrain(tmp_path, tmp_path / "again", checkpoint=tmp_path / "state", **settings)
    assert gap(again, CRYSTALS["NaCl"], "NaCl") == gap(
        CrystalGraphOracle.load(tmp_path / "out"), CRYSTALS["NaCl"], "NaCl"
    )


def test_graphs_of_another_cutoff_are_refused():
    store = GraphStore.build([CRYSTALS["NaCl"]], cutoff=5.0)
    with pytest.raises(InputError, match="cutoff"):
        CrystalGraphOracle(**TINY).fit_joint(store, np.ones((1, 1)), np.array([0]), np.array([], dtype=int))


def test_shipped_weights_keep_the_contract():
    check_oracle(CrystalGraphOracle.load(), name="crystal_graph")
    options = {"property": "formation_energy_per_atom"}
    check_oracle(CrystalGraphOracle.load(**options), name="crystal_graph", options=options)


# PBE gaps: textbook values of plane-wave calculations. Formation energies: NIST-JANAF enthalpies at
# 298 K (MgO -601.6, NaCl -411.1, CsCl -442.3 kJ/mol), which the Materials Project's corrections are fitted to.
@pytest.mark.parametrize(
    ("formula", "pbe_gap", "energy"),
    [
        ("MgO", 4.6, -601.6 / 96.485 / 2),
        ("NaCl", 5.1, -411.1 / 96.485 / 2),
        ("CsCl", 5.2, -442.3 / 96.485 / 2),
        ("Si", 0.6, 0.0),
    ],
)
def test_shipped_weights_know_textbook_crystals(formula, pbe_gap, energy):
    asked = [candidate(CRYSTALS[formula], formula)]
    (found,) = CrystalGraphOracle.load().predict(asked)
    assert found.value == pytest.approx(pbe_gap, abs=0.8)
    assert found.in_domain
    (found,) = CrystalGraphOracle.load(property="formation_energy_per_atom").predict(asked)
    assert found.value == pytest.approx(energy, abs=0.2)


def test_shipped_card_states_data_split_metrics_and_licence():
    card = CrystalGraphOracle.load().card
    test = card.training["metrics"]["test"]
    assert test["band_gap"]["mae"] < 0.36
    assert test["formation_energy_per_atom"]["mae"] < 0.08
    assert "CC BY 4.0" in card.training["licence"]
    assert card.training["split"]["by"] == "formula"
    assert (SHIPPED / "crystal_graph" / "weights.safetensors").stat().st_size < 4e6
