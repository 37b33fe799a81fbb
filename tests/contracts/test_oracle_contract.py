"""Every installed oracle keeps the contract, and the suite notices those that do not."""

from dataclasses import replace

import pytest
from dft_toys import ToyCode

from aldesign.records import Candidate, OracleCard, OracleIdentity, Prediction
from aldesign.registry import load_oracle, oracle_class, oracle_entries
from aldesign.testing import check_oracle, check_trainable, example_candidates

TOLD = ("dft", "external", "lookup")  # the installed oracles that do not learn
# Settings that make any oracle small; those that it has are taken.
SMALL = {
    "epochs": 3,
    "trees": 20,
    "layers": 1,
    "heads": 1,
    "batch_size": 8,
    "width": 16,
    "hidden": 16,
    "head": 16,
    "message": 8,
    "centres": 8,
    "start": "nothing",
}
PARTS = [
    {"kind": "random_forest", "trees": 20},
    {"kind": "dense", "members": 2, "epochs": 3, "hidden": 16},
]


def small(name):
    kind = oracle_class(name)
    found = {key: value for key, value in SMALL.items() if key in kind.defaults}
    members = kind.defaults.get("members")
    if isinstance(members, int):
        found["members"] = 2
    elif members is not None:
        found["members"] = PARTS
    return found


@pytest.mark.parametrize("name", [name for name in sorted(oracle_entries()) if name not in TOLD])
def test_trainable_oracle(name, tmp_path):
    check_trainable(name, tmp_path, small(name))


@pytest.mark.parametrize("name", sorted(oracle_entries()))
def test_installed_oracle(name, tmp_path, monkeypatch):
    options = {}
    if name == "dft":
        ToyCode(tmp_path, monkeypatch)
        options = {"store": str(tmp_path / "results.sqlite"), "relax": "none"}
    if name == "lookup":
        path = tmp_path / "gaps.csv"
        path.write_text("formula,band_gap\nNaCl,5.0\nMgO,4.5\nGaAs,0.2\nZnS,2.0\n", encoding="utf-8")
        options = {"path": str(path)}
    check_oracle(load_oracle(name, **options), name=name, options=options)


CARD = OracleCard(OracleIdentity("toy", "1"))


class Toy:
    """A well-behaved oracle: the gap is the length of the formula."""

    card = CARD

    def predict(self, candidates):
        return [self.one(c) for c in candidates]

    def one(self, candidate):
        formula = candidate.formula
        if not formula.isalnum() or "x" in formula or formula.islower() or len(formula) > 100:
            return Prediction.failed(self.card, "no formula")
        return Prediction(float(len(formula)), 0.1, "eV", self.card.identity, "PBE", "Og" not in formula)


class Short(Toy):
    def predict(self, candidates):
        return super().predict(candidates)[:-1]


class Brittle(Toy):
    def one(self, candidate):
        answer = super().one(candidate)
        if not answer.ok:
            raise ValueError(answer.error)
        return answer


class Forgiving(Toy):
    def one(self, candidate):
        return Prediction(0.0, None, "eV", self.card.identity, "PBE")


class Hartree(Toy):
    def one(self, candidate):
        return replace(super().one(candidate), unit="Ha")


class Stranger(Toy):
    def one(self, candidate):
        return replace(super().one(candidate), oracle=OracleIdentity("other", "1"))


class Negative(Toy):
    def one(self, candidate):
        answer = super().one(candidate)
        return replace(answer, std=-0.1) if answer.ok else answer


class Silent(Toy):
    def one(self, candidate):
        return replace(super().one(candidate), value=None, std=None, error="")


class Crowd(Toy):
    def predict(self, candidates):
        shift = 1e-3 * len(candidates)
        return [replace(a, value=a.value + shift) if a.ok else a for a in super().predict(candidates)]


class Moody(Toy):
    def __init__(self):
        self.calls = 0

    def predict(self, candidates):
        self.calls += 1
        shift = 0.01 * self.calls
        return [replace(a, value=a.value + shift) if a.ok else a for a in super().predict(candidates)]


class Sorted(Toy):
    def predict(self, candidates):
        return super().predict(sorted(candidates, key=lambda c: c.formula))


class Overreaching(Toy):
    card = replace(CARD, answers="tell")


class Unknown(Toy):
    card = replace(CARD, property="hardness")


class Greedy(Toy):
    def predict(self, candidates):
        import torch

        torch.set_num_threads(torch.get_num_threads() + 1)
        return super().predict(candidates)


def test_a_good_oracle_passes():
    check_oracle(Toy())


@pytest.mark.parametrize(
    ("oracle", "complaint"),
    [
        (Short, "6 candidates gave 5 predictions|must return"),
        (Brittle, "predict raised ValueError"),
        (Forgiving, "not answerable"),
        (Hartree, "unit 'Ha'"),
        (Stranger, "signed by"),
        (Negative, "std -0.1"),
        (Silent, "exactly one of value and error"),
        (Crowd, "asked alone"),
        (Moody, "asked twice"),
        (Sorted, "asked alone"),
        (Overreaching, "must not predict"),
        (Unknown, "card.property is 'hardness'"),
    ],
)
def test_the_suite_notices(oracle, complaint):
    with pytest.raises(AssertionError, match=complaint):
        check_oracle(oracle())


def test_the_suite_notices_changed_threads():
    import torch

    before = torch.get_num_threads()
    try:
        with pytest.raises(AssertionError, match="torch's threads"):
            check_oracle(Greedy())
    finally:
        torch.set_num_threads(before)


def test_example_crystals_are_the_compounds():
    from pymatgen.core import Lattice, Structure

    # nearest-neighbour distances in Å: half the rock-salt edge, sqrt(3)/4 of the diamond edge, sqrt(3)/2 of CsCl's
    distances = {"NaCl": 2.820, "MgO": 2.106, "GaAs": 2.448, "ZnS": 2.342, "Si": 2.352, "CsCl": 3.571}
    for candidate in example_candidates():
        crystal = candidate.crystal
        structure = Structure(Lattice.from_parameters(*crystal.lattice), crystal.species, crystal.frac)
        assert structure.composition.reduced_formula == candidate.formula
        assert structure.get_distance(0, 1) == pytest.approx(distances[candidate.formula], abs=2e-3)


def test_own_formulas_and_candidates():
    check_oracle(Toy(), ["NaCl", "KCl"])
    check_oracle(Toy(), candidates=[Candidate("NaCl")])
