import math

import numpy as np
import pytest
import torch

from aldesign.errors import CheckpointError
from aldesign.records import Candidate, LabelledRow
from oracles.dense import DenseOracle
from oracles.networks import location_scale_loss
from oracles.stoichiometry_graph import StoichiometryGraphOracle

SMALL = {
    DenseOracle: {"hidden": 32, "members": 2, "epochs": 20, "batch_size": 32, "learning_rate": 3e-3},
    StoichiometryGraphOracle: {
        "width": 24,
        "hidden": 24,
        "head": 32,
        "members": 2,
        "epochs": 20,
        "batch_size": 32,
        "learning_rate": 3e-3,
    },
}


def rows() -> list[LabelledRow]:
    """Halides, oxides and more with a label that only the anion and the cation's group decide."""
    anions = {"F": 8.0, "Cl": 6.0, "Br": 5.0, "I": 4.0, "O": 3.5, "S": 2.5, "Se": 2.0, "Te": 1.0}
    cations = {"Li": 0.5, "Na": 0.4, "K": 0.3, "Rb": 0.2, "Cs": 0.1, "Mg": 0.0, "Ca": 0.1, "Sr": 0.2, "Ba": 0.3}
    pairs = [LabelledRow(f"{c}{a}", x + y) for c, y in cations.items() for a, x in anions.items()]
    mixed = [LabelledRow(f"{c}CaF3Cl", 6.5 + y) for c, y in cations.items() if c != "Ca"]
    return [*pairs, *mixed]


@pytest.fixture(scope="module", params=[DenseOracle, StoichiometryGraphOracle], ids=["dense", "graph"])
def trained(request):
    data = rows()
    order = np.random.default_rng(0).permutation(len(data))
    train, held = [data[i] for i in order[:60]], [data[i] for i in order[60:]]
    return request.param, request.param(**SMALL[request.param]).fit(train, held, seed=1), train, held


def test_learns(trained):
    _, oracle, train, held = trained
    metrics = oracle.evaluate(train, "train")
    assert metrics["mae"] < 0.8
    assert oracle.training["metrics"]["validation"]["mae"] < np.std([r.value for r in held])


def test_storage_changes_no_digit(trained, tmp_path):
    cls, oracle, train, _ = trained
    oracle.save(tmp_path)
    loaded = cls.load(tmp_path)
    asked = [Candidate(r.formula) for r in train]
    for a, b in zip(oracle.predict(asked), loaded.predict(asked), strict=True):
        assert (a.value, a.std, a.in_domain) == (b.value, b.std, b.in_domain)
    assert loaded.card == oracle.card
    assert loaded.card.identity.digest


def test_answers_do_not_depend_on_the_batch(trained):
    _, oracle, train, _ = trained
    asked = [Candidate(f) for f in ("NaCl", "KLiMgCaSrBaFClBrIO", "Cs2Te3", "H")] + [
        Candidate(r.formula) for r in train
    ]
    for candidate, together in zip(asked, oracle.predict(asked), strict=True):
        alone = oracle.predict([candidate])[0]
        assert alone.value == pytest.approx(together.value, abs=1e-9)
        assert alone.std == pytest.approx(together.std, abs=1e-9)


def test_equal_seeds_give_equal_weights(trained):
    cls, oracle, train, held = trained
    again = cls(**SMALL[cls]).fit(train, held, seed=1)
    other = cls(**SMALL[cls]).fit(train, held, seed=2)
    ours, same, different = (o.predict([Candidate("NaCl")])[0].value for o in (oracle, again, other))
    assert ours == same != different


def test_checkpoint_is_taken_up_and_guarded(trained, tmp_path):
    cls, oracle, train, held = trained
    first = cls(**SMALL[cls]).fit(train, held, seed=1, checkpoint=tmp_path)
    lines = []
    second = cls(**SMALL[cls]).fit(train, held, seed=1, checkpoint=tmp_path, progress=lines.append)
    assert lines == []  # finished already
    values = [o.predict([Candidate("NaCl")])[0].value for o in (oracle, first, second)]
    assert values[0] == values[1] == values[2]
    with pytest.raises(CheckpointError, match="other data or settings"):
        cls(**SMALL[cls]).fit(train[1:], held, seed=1, checkpoint=tmp_path)


def test_another_class_is_refused(trained, tmp_path):
    cls, oracle, _, _ = trained
    oracle.save(tmp_path)
    other = DenseOracle if cls is StoichiometryGraphOracle else StoichiometryGraphOracle
    with pytest.raises(CheckpointError, match=cls.__name__):
        other.load(tmp_path)


def test_domain_flags_what_was_never_seen(trained):
    _, oracle, train, _ = trained
    known = oracle.predict([Candidate(r.formula) for r in train])
    assert np.mean([a.in_domain for a in known]) > 0.9
    strange = oracle.predict([Candidate(f) for f in ("UO2", "NaCl2000", "LiNaKRbCsMgCaSrBaF")])
    assert [a.in_domain for a in strange] == [False, False, False]


def test_loss_is_the_absolute_error_and_a_laplace_likelihood_of_the_scale():
    output = torch.tensor([[1.0, 0.3], [-2.0, -1.0]], dtype=torch.float64, requires_grad=True)
    target = torch.tensor([1.5, 0.0], dtype=torch.float64)
    # Laplace with standard deviation s has scale s / sqrt(2)
    laplace = torch.distributions.Laplace(output[:, 0].detach(), output[:, 1].exp() / math.sqrt(2))
    likelihood = -laplace.log_prob(target).mean() - math.log(math.sqrt(2))
    expected = likelihood + (output[:, 0] - target).abs().mean()
    found = location_scale_loss(output, target)
    assert found.item() == pytest.approx(expected.item())
    gradients = [torch.autograd.grad(f, output)[0] for f in (found, expected)]
    torch.testing.assert_close(*gradients)
