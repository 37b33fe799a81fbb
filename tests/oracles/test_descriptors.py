"""The shipped descriptors: contract, columns, and an embedding that knows energies and no gaps."""

import json

import numpy as np
import pytest

from aldesign.chemistry.formula import compositions
from aldesign.errors import CheckpointError, FormulaError, InputError
from aldesign.protocols import Descriptor
from aldesign.records import Candidate
from aldesign.registry import descriptor_entries, load_descriptor
from oracles.descriptors import FURTHEST, Composition, FormationEnergy, pooled
from oracles.features.magpie import MAGPIE_NAMES, descriptor
from oracles.features.matminer_set import matminer_features
from oracles.stoichiometry_graph import FormationEnergyGraphOracle

FORMULAS = ["NaCl", "MgO", "LiFePO4", "Fe", "Ba3Y2(BO3)4", "CsPbI3", "H2O", "Si"]
SHIPPED = ("composition", "formation_energy", "magpie")


def test_all_are_installed():
    assert set(SHIPPED) <= set(descriptor_entries())
    with pytest.raises(InputError, match=r"no descriptor is called 'magpy'.*did you mean 'magpie'"):
        load_descriptor("magpy")


@pytest.mark.parametrize("name", SHIPPED)
def test_a_descriptor_keeps_the_contract(name):
    found = load_descriptor(name)
    assert isinstance(found, Descriptor)
    assert found.name == name
    assert len(found.digest) == 16
    table = found.describe(FORMULAS)
    assert table.dtype == np.float64
    assert len(table) == len(FORMULAS)
    assert np.isfinite(table).all()
    assert np.array_equal(found.describe(FORMULAS[::-1]), table[::-1])
    assert found.describe([]).shape == (0, table.shape[1])
    assert load_descriptor(name).digest == found.digest
    with pytest.raises(FormulaError):
        found.describe(["NaCl", "Na("])


def test_tables_are_those_of_the_feature_modules_on_the_scale_of_known_formulas():
    found, inputs = load_descriptor("composition"), compositions(FORMULAS)
    raw = np.column_stack([matminer_features(inputs), descriptor(inputs)[:, -1]])
    table = found.describe(FORMULAS)
    np.testing.assert_allclose(table, ((raw - found.mean) / found.scale).clip(-FURTHEST, FURTHEST))
    assert np.array_equal(load_descriptor("magpie").describe(FORMULAS), table[:, : len(MAGPIE_NAMES)])
    assert (np.abs(table) < 5).mean() > 0.9


def test_scales_are_those_of_the_formulas_learnt_from(tmp_path):
    found = Composition.learn(FORMULAS, tmp_path, origin="these")
    table = found.describe(FORMULAS)
    np.testing.assert_allclose(table.mean(axis=0), 0, atol=1e-9)
    spread = table.std(axis=0)
    np.testing.assert_allclose(spread[spread > 1e-6], 1)
    assert json.loads((tmp_path / "card.json").read_text())["data"]["rows"] == len(FORMULAS)


def test_pooled_vectors_are_what_the_networks_answer_from():
    oracle = FormationEnergyGraphOracle.load()
    vectors = pooled(oracle, compositions(FORMULAS))
    answers = np.array([p.value for p in oracle.predict([Candidate(f) for f in FORMULAS])])
    import torch
    from torch.nn.functional import silu

    said = []
    for network, part in zip(oracle.members, np.split(vectors, len(oracle.members), axis=1), strict=True):
        with torch.no_grad():
            h = network.first(network.norm(torch.from_numpy(part)))
            for norm, residual in zip(network.norms, network.residuals, strict=True):
                h = h + residual(silu(norm(h)))
            said.append(network.last(silu(h))[:, 0].numpy())
    centre, spread = oracle.scaling["target"].astype(float)
    np.testing.assert_allclose(np.mean(said, axis=0) * spread + centre, answers, atol=2e-3)


def test_a_projection_keeps_the_directions_of_greatest_variance(tmp_path):
    some = ["NaCl", "KCl", "MgO", "CaO", "SiO2", "TiO2", "Al2O3", "GaAs", "InP", "ZnS", "CdTe", "LiF"]
    found = FormationEnergy.learn(some, 3, tmp_path, origin="these")
    table = found.describe(some)
    assert table.shape == (12, 3)
    np.testing.assert_allclose(table.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(table.T), np.eye(3), atol=1e-4)
    card = json.loads((tmp_path / "card.json").read_text())
    assert card["data"]["rows"] == 12
    singular = np.linalg.svd(pooled(found.oracle, compositions(some)) - found.mean, compute_uv=False) ** 2
    assert card["metrics"]["share_of_variance"] == pytest.approx(singular[:3].sum() / singular.sum(), abs=1e-3)


def test_a_projection_of_other_networks_is_refused(tmp_path, monkeypatch):
    for name in ("card.json", "weights.safetensors"):
        (tmp_path / name).write_bytes((FormationEnergy.folder / name).read_bytes())
    card = json.loads((tmp_path / "card.json").read_text())
    (tmp_path / "card.json").write_text(json.dumps({**card, "networks": "0" * 16}))
    monkeypatch.setattr(FormationEnergy, "folder", tmp_path)
    with pytest.raises(CheckpointError, match="belongs to networks"):
        FormationEnergy.load()
