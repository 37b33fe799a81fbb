"""Formation energies and relaxations by CHGNet against experiment, and failures told as text."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from importlib import resources

import numpy as np
import pytest

from aldesign.records import Crystal
from aldesign.structures import energy as module
from aldesign.structures.energy import CHGNetEnergy, evaluate_one, references


def face_centred(a, first, second, shift):
    frac = np.array([[0, 0, 0], [shift] * 3], dtype=float)
    return Crystal(f"{first}{second}", (a / 2**0.5,) * 3 + (60.0,) * 3, (first, second), frac)


NACL = face_centred(5.64, "Na", "Cl", 0.5)


@pytest.mark.parametrize(
    ("crystal", "experiment"),
    [
        # enthalpies of formation at 298 K in eV/atom, NIST-JANAF tables: -411.1, -601.2, -201.3 kJ/mol
        (NACL, -2.130),
        (face_centred(4.212, "Mg", "O", 0.5), -3.115),
        (face_centred(5.409, "Zn", "S", 0.25), -1.043),
    ],
)
def test_formation_energies_are_near_experiment(crystal, experiment):
    found = evaluate_one(crystal, relax=False)
    assert not found.error
    assert found.formation_energy_ev_per_atom == pytest.approx(experiment, abs=0.20)
    assert not found.relaxed
    assert found.crystal is crystal


def test_relaxation_finds_the_lattice_constant():
    squeezed = face_centred(5.2, "Na", "Cl", 0.5)
    found = evaluate_one(squeezed)
    assert found.relaxed
    assert found.converged
    assert found.steps > 0
    constant = found.crystal.lattice[0] * 2**0.5
    assert constant == pytest.approx(5.69, abs=0.1)  # Å, PBE
    assert found.volume_ratio == pytest.approx((constant / 5.2) ** 3, rel=1e-3)
    assert found.crystal.species == squeezed.species
    assert found.energy_ev_per_atom < evaluate_one(squeezed, relax=False).energy_ev_per_atom


def test_one_bad_crystal_does_not_sink_the_rest():
    lone = Crystal("lone", (30.0, 30.0, 30.0, 90.0, 90.0, 90.0), ("Na",), np.zeros((1, 3)))
    heavy = face_centred(5.0, "Og", "F", 0.5)
    large = Crystal("large", (30.0,) * 3 + (90.0,) * 3, ("Na",) * 201, np.random.default_rng(0).random((201, 3)))
    done: list[tuple[int, int]] = []
    found = CHGNetEnergy().evaluate(
        [lone, heavy, large, NACL], relax=False, progress=lambda n, total: done.append((n, total))
    )
    assert [bool(energy.error) for energy in found] == [True, True, True, False]
    assert "isolated" in found[0].error
    assert "201 sites" in found[2].error
    assert all(energy.formation_energy_ev_per_atom is None for energy in found[:3])
    assert done == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_a_cell_that_runs_away_is_an_error():
    blown = face_centred(9.2, "Na", "Cl", 0.5)
    found = evaluate_one(blown)
    assert found.formation_energy_ev_per_atom is None
    assert "the cell did not hold" in found.error


def test_answers_do_not_depend_on_order_or_process():
    crystals = [NACL, face_centred(4.3, "Mg", "O", 0.5)]
    here = CHGNetEnergy().evaluate(crystals, steps=5)
    backwards = CHGNetEnergy().evaluate(crystals[::-1], steps=5)[::-1]
    with ProcessPoolExecutor(1, mp_context=__import__("multiprocessing").get_context("spawn")) as pool:
        there = list(pool.map(evaluate_one, crystals, [True, True], [5, 5]))
    for energies in zip(here, backwards, there, strict=True):
        assert len({energy.energy_ev_per_atom for energy in energies}) == 1
        assert len({energy.crystal.lattice for energy in energies}) == 1


def test_the_network_is_silent_and_is_the_one_the_package_loads(capsys):
    from chgnet.model import CHGNet

    from aldesign.structures.cif import to_pymatgen

    module._model.cache_clear()
    ours = evaluate_one(NACL, relax=False).energy_ev_per_atom
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    theirs = CHGNet.load(use_device="cpu", verbose=False).predict_structure(to_pymatgen(NACL), task="e")["e"]
    assert ours == pytest.approx(float(theirs), abs=1e-5)


def test_references_cover_the_elements_and_say_where_they_came_from():
    table = json.loads(
        resources.files("aldesign.structures").joinpath("chgnet_elements.json").read_text(encoding="utf-8")
    )
    assert table["model"] == module.MODEL
    assert set(references()) == set(table["elements"])
    assert len(references()) >= 80
    for entry in table["elements"].values():
        assert entry["source"]
        assert entry["n_sites"] >= 1


@pytest.mark.parametrize("structure", ["Si", "Cu"])
def test_elements_have_no_formation_energy(structure):
    shift = 0.25 if structure == "Si" else 0.5
    if structure == "Si":
        crystal = face_centred(5.46, "Si", "Si", shift)
    else:
        crystal = Crystal("Cu", (3.62 / 2**0.5,) * 3 + (60.0,) * 3, ("Cu",), np.zeros((1, 3)))
    assert evaluate_one(crystal).formation_energy_ev_per_atom == pytest.approx(0.0, abs=0.03)
