import numpy as np
import pytest
import torch

from aldesign.chemistry.formula import compositions
from aldesign.errors import InputError
from aldesign.records import Candidate, LabelledRow
from oracles.networks import NetworkOracle
from oracles.stoichiometry_graph import FormationEnergyGraphOracle, StoichiometryGraphOracle
from oracles.stoichiometry_network import GAP, METAL, StoichiometryNetwork

SIZE = {"width": 16, "layers": 2, "heads": 2, "hidden": 16, "head": 16, "epochs": 3, "batch_size": 32}
ANIONS = {"F": 7.0, "Cl": 5.0, "Br": 4.0, "I": 3.0, "O": 3.5, "S": 2.5}
CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba")


def insulators() -> list[LabelledRow]:
    return [LabelledRow(f"{c}{a}", gap) for c in CATIONS for a, gap in ANIONS.items()]


def metals() -> list[LabelledRow]:
    names = ("Fe", "Co", "Ni", "Cu", "Ag", "Au", "Pd", "Pt", "Rh")
    return [LabelledRow(f"{a}{b}", 0.0) for i, a in enumerate(names) for b in names[i + 1 :]]


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return StoichiometryNetwork(5, width=16, layers=3, heads=2, hidden=8, head=16, dropout=0.0).double().eval()


def tensors(formula: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    inputs = compositions([formula])
    numbers = torch.from_numpy(inputs.numbers.astype(np.int64))
    return numbers, torch.from_numpy(inputs.amounts), torch.zeros(1, 5, dtype=torch.float64)


def test_the_order_of_the_elements_does_not_matter(network):
    numbers, amounts, whole = tensors("Ba2YCu3O7")
    torch.testing.assert_close(network(numbers.flip(1), amounts.flip(1), whole), network(numbers, amounts, whole))


def test_padding_does_not_matter(network):
    numbers, amounts, whole = tensors("Ba2YCu3O7")
    longer = [torch.cat([t, torch.zeros(1, 3, dtype=t.dtype)], 1) for t in (numbers, amounts)]
    torch.testing.assert_close(network(*longer, whole), network(numbers, amounts, whole))


def test_amounts_matter(network):
    assert not torch.allclose(network(*tensors("FeO")), network(*tensors("Fe2O3")))


def test_a_metal_pulls_no_location_that_lies_below_zero():
    oracle = StoichiometryGraphOracle(**SIZE)
    oracle.scaling = {"target": np.array([1.0, 2.0], dtype=np.float32)}  # zero eV is at -0.5
    output = torch.tensor([[-0.9, 0.0, 0.0, 0.0], [0.4, 0.0, 0.0, 0.0]], requires_grad=True)
    oracle._loss(output, torch.tensor([-0.5, -0.5])).backward()
    pull = output.grad
    assert pull[0, 0] == 0
    assert pull[1, 0] > 0
    assert (pull[:, GAP] == 0).all()  # the gap of a non-metal is learnt from non-metals
    assert (pull[:, METAL] < 0).all()


def test_the_blend_lies_between_median_and_expectation():
    oracle = StoichiometryGraphOracle(**SIZE)
    outputs = np.array([[0.5, 0.0, 0.0, 2.0], [-3.0, 0.0, 30.0, 2.0]])
    found = {}
    for share in (0.0, 0.5, 1.0):
        oracle.scaling = {"target": np.array([1.0, 2.0]), "blend": np.array([share])}
        found[share] = oracle._values(outputs)
    # an even chance of a 5 eV insulator, then a sure metal
    assert found[0.0] == pytest.approx([2.5, 0.0], abs=1e-9)
    assert found[1.0] == pytest.approx([2.0, 0.0], abs=1e-9)
    assert found[0.5] == pytest.approx([2.25, 0.0], abs=1e-9)


def test_metals_and_insulators_are_told_apart():
    rows = [*insulators(), *metals()]
    oracle = StoichiometryGraphOracle(**{**SIZE, "epochs": 40, "learning_rate": 3e-3}).fit(rows, rows[::3], seed=0)
    salt, alloy = oracle.predict([Candidate("NaF"), Candidate("CuAu")])
    assert salt.value > 4.0
    assert 0.0 <= alloy.value < 0.5


def test_training_starts_from_the_weights_it_is_told(tmp_path):
    energies = [LabelledRow(r.formula, -r.value / 2) for r in insulators()]
    first = FormationEnergyGraphOracle(**SIZE, members=2).fit(energies, seed=0)
    assert first.card.unit == "eV/atom"
    assert {a.value < 0 for a in first.predict([Candidate("NaF"), Candidate("KCl")])} == {True}
    first.save(tmp_path / "energy")
    slow = {**SIZE, "epochs": 1, "learning_rate": 1e-12, "members": 3, "start": str(tmp_path / "energy")}
    second = StoichiometryGraphOracle(**slow).fit(insulators(), seed=1)
    for number, network in enumerate(second.members):
        theirs = first.members[number % 2].state_dict()
        for name, weight in network.state_dict().items():
            same = torch.allclose(weight, theirs[name], atol=2e-3)
            assert same != name.startswith("last."), name
    assert (second.scaling["mean"] == first.scaling["mean"]).all()
    assert second.scaling["target"][0] == pytest.approx(np.mean([r.value for r in insulators()]))


def test_a_start_of_another_size_is_refused(tmp_path):
    FormationEnergyGraphOracle(**SIZE).fit([LabelledRow(r.formula, -1.0) for r in insulators()]).save(tmp_path)
    with pytest.raises(InputError, match="differ in size"):
        StoichiometryGraphOracle(**{**SIZE, "width": 32, "start": str(tmp_path)}).fit(insulators())


def test_a_start_that_is_nowhere_is_refused():
    with pytest.raises(InputError, match="nothing to start from called 'roost'"):
        StoichiometryGraphOracle(**SIZE, start="roost").fit(insulators())


def test_single_precision_changes_next_to_nothing_and_no_neighbour_changes_anything(monkeypatch):
    oracle = StoichiometryGraphOracle.load()
    texts = ["NaCl", "SrTiO3", "Fe", "LiFePO4", "Cs2AgBiBr6", "NaCl7", "U3Si2", "Xe2F20", "CuInGaSe2", "KMgF3"] * 2
    texts += [f"{c}{n}{a}" for c in CATIONS for a in ANIONS for n in (1, 2, 3)]
    inputs = compositions(texts)
    location, std = oracle._infer(inputs)
    for rows in (slice(0, 1), slice(3, 8), slice(40, 57), np.arange(len(texts))[::-1]):
        others = oracle._infer(inputs[rows])
        np.testing.assert_array_equal(others, (location[rows], std[rows]))
    monkeypatch.setattr(StoichiometryGraphOracle, "_outputs", NetworkOracle._outputs)
    exact, exact_std = oracle._infer(inputs)
    np.testing.assert_allclose(oracle.calibration.answer(location), oracle.calibration.answer(exact), atol=1e-5, rtol=0)
    np.testing.assert_allclose(
        oracle.calibration.std(location, std), oracle.calibration.std(exact, exact_std), atol=1e-5, rtol=0
    )
