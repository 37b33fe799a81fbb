"""Formation energies and relaxations by CHGNet against experiment, and failures told as text."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from importlib import resources

import numpy as np
import pytest

from aldesign.records import Crystal
from aldesign.structures import energy as module
from aldesign.structures.energy import (
    disagreement,
    evaluate_many,
    evaluate_one,
    formation_energy,
    references,
    relaxation,
)
from aldesign.structures.energy.potential import Cell, evaluate, network
from aldesign.structures.energy.references import shifts, terms
from aldesign.structures.geometry import volume


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
    lone = Crystal("lone", (9.0, 9.0, 9.0, 90.0, 90.0, 90.0), ("Na",), np.zeros((1, 3)))
    heavy = face_centred(5.0, "Og", "F", 0.5)
    large = Crystal("large", (30.0,) * 3 + (90.0,) * 3, ("Na",) * 201, np.random.default_rng(0).random((201, 3)))
    done: list[tuple[int, int]] = []
    found = evaluate_many([lone, heavy, large, NACL], relax=False, progress=lambda n, total: done.append((n, total)))
    assert [bool(energy.error) for energy in found] == [True, True, True, False]
    assert "isolated" in found[0].error
    assert "201 sites" in found[2].error
    assert all(energy.formation_energy_ev_per_atom is None for energy in found[:3])
    assert done[-1] == (4, 4)
    assert done == sorted(done)


@pytest.mark.parametrize(
    ("lattice", "species", "frac", "reason"),
    [
        ((0.5, 0.5, 0.5, 90.0, 90.0, 90.0), ("Na", "Cl"), [[0, 0, 0], [0.5] * 3], "are no crystal"),
        ((4e3, 4e3, 4e3, 90.0, 90.0, 90.0), ("Na", "Cl"), [[0, 0, 0], [0.5] * 3], "are no crystal"),
        ((4.0, 4.0, 4.0, 60.0, 60.0, 120.0), ("Na", "Cl"), [[0, 0, 0], [0.5] * 3], "spans no volume"),
        ((-4.0, 4.0, 4.0, 90.0, 90.0, 90.0), ("Na", "Cl"), [[0, 0, 0], [0.5] * 3], "spans no volume"),
        ((4.0, 4.0, 4.0, 90.0, 90.0, 90.0), ("Na", "Cl"), [[0, 0, 0], [np.nan] * 3], "not finite"),
        ((4.0, 4.0, 4.0, 90.0, 90.0, 90.0), ("Na", "Cl"), [[0, 0, 0], [0, 0, 0]], "not finite"),
        ((8.0, 8.0, 8.0, 90.0, 90.0, 90.0), ("H",) * 150, np.random.default_rng(0).random((150, 3)), "too dense"),
        ((4.0, 4.0, 4.0, 90.0, 90.0, 90.0), (), np.zeros((0, 3)), "no atoms"),
        ((4.0, 4.0, 4.0, 90.0, 90.0, 90.0), ("Na", "Cl"), np.zeros((2, 2)), "ValueError"),
    ],
)
def test_what_is_no_crystal_is_refused_and_harms_nobody(lattice, species, frac, reason):
    bad, good = evaluate_many([Crystal("odd", lattice, species, np.array(frac, dtype=float)), NACL], relax=False)
    assert reason in bad.error
    assert bad.energy_ev_per_atom is None
    assert not good.error


def test_a_cell_that_runs_away_is_an_error():
    blown = face_centred(9.2, "Na", "Cl", 0.5)
    found = evaluate_one(blown)
    assert found.formation_energy_ev_per_atom is None
    assert "the cell did not hold" in found.error


def test_answers_do_not_depend_on_the_process_and_hardly_on_the_company():
    crystals = [NACL, face_centred(4.3, "Mg", "O", 0.5)]
    here = evaluate_many(crystals, steps=5)
    again = evaluate_many(crystals, steps=5)
    backwards = evaluate_many(crystals[::-1], steps=5)[::-1]
    with ProcessPoolExecutor(1, mp_context=__import__("multiprocessing").get_context("spawn")) as pool:
        there = pool.submit(evaluate_many, crystals, True, 5).result()
    for same in zip(here, again, there, strict=True):
        assert len({energy.energy_ev_per_atom for energy in same}) == 1
        assert len({energy.crystal.lattice for energy in same}) == 1
    alone = [evaluate_one(crystal, steps=5) for crystal in crystals]
    for ours, other, single in zip(here, backwards, alone, strict=True):
        assert ours.energy_ev_per_atom == pytest.approx(other.energy_ev_per_atom, abs=1e-5)
        assert ours.energy_ev_per_atom == pytest.approx(single.energy_ev_per_atom, abs=1e-5)


def test_the_network_is_silent_and_is_the_one_the_package_loads(capsys):
    network.cache_clear()
    evaluate_one(NACL, relax=False)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def strained(seed: int, species: tuple[str, ...], a: float) -> Crystal:
    """Return a skew cell of atoms that stand on no symmetry."""
    random = np.random.default_rng(seed)
    grid = np.array(list(np.ndindex(2, 2, 2)), dtype=float)[: len(species)] / 2
    frac = grid + random.normal(0, 0.02, grid.shape)
    lattice = (a, 1.05 * a, 0.97 * a, 88.0, 93.0, 96.0)
    return Crystal(f"strained{seed}", lattice, species, frac)


MIXED = [
    strained(1, ("K", "Mg", "F", "F", "F"), 4.3),
    strained(2, ("Si", "Si", "O", "O", "O", "O"), 4.6),
    strained(3, ("Ti", "Ni"), 3.0),
    NACL,
]


def cells(crystals):
    return [module._cell(crystal) for crystal in crystals]


@pytest.mark.filterwarnings("ignore:Converting a tensor")  # the package's own
def test_energies_and_forces_are_those_of_the_package():
    from chgnet.model import CHGNet
    from pymatgen.core import Lattice, Structure

    theirs = CHGNet.load(use_device="cpu", verbose=False)
    made = cells(MIXED)
    for crystal, cell, answer in zip(MIXED, made, evaluate(made), strict=True):
        structure = Structure(Lattice(cell.cell), crystal.species, crystal.frac)
        found = theirs.predict_structure(structure, task="efs")
        assert answer.energy_ev / len(crystal) == pytest.approx(float(found["e"]), abs=2e-5)
        np.testing.assert_allclose(answer.forces, found["f"], atol=2e-4)
        stress = -answer.cell_force / abs(np.linalg.det(cell.cell)) * 160.21766208
        np.testing.assert_allclose(stress, found["s"], atol=2e-2)  # GPa


def test_forces_are_the_slope_of_the_energy_in_a_deformed_cell():
    cell = cells(MIXED[:1])[0]
    random = np.random.default_rng(7)
    cell.log_deformation = random.normal(0, 0.02, (3, 3))
    answer = evaluate([cell])[0]
    for name, slope in (("positions", answer.forces), ("log_deformation", answer.cell_force)):
        start = getattr(cell, name)
        way = random.normal(size=start.shape)
        way /= np.linalg.norm(way)
        energies = []
        for sign in (1, -1):
            setattr(cell, name, start + sign * 5e-3 * way)
            energies.append(evaluate([cell])[0].energy_ev)
        setattr(cell, name, start)
        assert -(energies[0] - energies[1]) / 1e-2 == pytest.approx(float(np.vdot(slope, way)), abs=0.02, rel=0.01)


def test_pairs_last_until_an_atom_could_have_come_near():
    cell = cells([strained(4, ("Na", "Cl", "Na", "Cl"), 5.0)])[0]
    first = cell.pairs()
    cell.positions = cell.positions + 0.1
    assert cell.pairs() is first  # all atoms together
    random = np.random.default_rng(0)
    for _ in range(20):
        cell.positions = cell.positions + random.normal(0, 0.05, cell.positions.shape)
        cell.log_deformation = cell.log_deformation + random.normal(0, 0.01, (3, 3))
        kept = evaluate([cell])[0]
        fresh = Cell(cell.numbers, cell.cell, cell.positions, cell.log_deformation)
        assert kept.energy_ev == pytest.approx(evaluate([fresh])[0].energy_ev, abs=1e-5)
    assert cell.pairs() is not first


@pytest.mark.filterwarnings("ignore:Converting a tensor")
def test_relaxation_goes_the_way_of_ase():
    from ase import Atoms
    from ase.calculators.calculator import Calculator, all_changes
    from ase.filters import FrechetCellFilter
    from ase.optimize import FIRE
    from chgnet.model import CHGNet
    from pymatgen.core import Lattice, Structure

    theirs = CHGNet.load(use_device="cpu", verbose=False)

    class Potential(Calculator):
        implemented_properties = ("energy", "free_energy", "forces", "stress")

        def calculate(self, atoms=None, properties=(), system_changes=tuple(all_changes)):
            super().calculate(atoms, properties, system_changes)
            own = self.atoms
            structure = Structure(Lattice(own.cell.array), own.get_chemical_symbols(), own.get_scaled_positions())
            found = theirs.predict_structure(structure, task="efs")
            energy = float(found["e"]) * len(own)
            stress = np.asarray(found["s"], dtype=float)[[0, 1, 2, 1, 0, 0], [0, 1, 2, 2, 2, 1]] / 160.21766208
            forces = np.asarray(found["f"], dtype=float)
            self.results = {"energy": energy, "free_energy": energy, "forces": forces, "stress": stress}

    crystals = [face_centred(5.4, "Na", "Cl", 0.48), MIXED[0]]
    for crystal, ours in zip(crystals, evaluate_many(crystals, steps=15), strict=True):
        atoms = Atoms(crystal.species, scaled_positions=crystal.frac, cell=crystal.lattice, pbc=True)
        atoms.calc = Potential()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            optimiser = FIRE(FrechetCellFilter(atoms), logfile=None)
            converged = optimiser.run(fmax=0.1, steps=15)
        assert ours.energy_ev_per_atom == pytest.approx(atoms.get_potential_energy() / len(atoms), abs=1e-3)
        assert ours.volume_ratio * volume(crystal) == pytest.approx(atoms.get_volume(), rel=1e-2)
        assert (ours.converged, ours.steps) == (converged, optimiser.nsteps)


def test_a_time_limit_keeps_what_is_under_way_and_tells_the_rest(monkeypatch):
    monkeypatch.setattr(relaxation, "POOL", 1)
    under_way, waiting = evaluate_many([MIXED[0], NACL], limit_s=0.0)
    assert not under_way.error
    assert not under_way.converged
    assert under_way.steps == 0
    given = evaluate_one(MIXED[0], relax=False)
    assert under_way.energy_ev_per_atom == pytest.approx(given.energy_ev_per_atom, abs=1e-6)
    assert "its turn did not come" in waiting.error


def test_a_pass_that_fails_is_repeated_crystal_by_crystal(monkeypatch):
    def refuse(group):
        if len(group) > 1 or group[0].numbers[0] == 22:
            raise RuntimeError("out of memory")
        return evaluate(group)

    monkeypatch.setattr(relaxation, "evaluate", refuse)
    found = evaluate_many(MIXED, relax=False)
    assert [energy.error for energy in found] == ["", "", "RuntimeError: out of memory", ""]


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


def test_the_scales_differ_where_the_schemes_correct_and_not_for_elements():
    # formation energies of KBr in eV/atom: enthalpy at 298 K -2.041 (NIST-JANAF); Materials Project 2019 -1.766
    bromide = evaluate_one(face_centred(6.67, "K", "Br", 0.5), relax=False)
    assert bromide.formation_energy_ev_per_atom == pytest.approx(-1.766, abs=0.03)
    own = formation_energy(bromide.crystal, bromide.energy_ev_per_atom, "mp2020")
    assert own == pytest.approx(-2.041, abs=0.05)
    assert terms(Counter(("K", "Br"))) == {"K": 0.5, "Br": 0.5, "Br anion": 0.5}
    assert set(terms(Counter(("Na", "Br", "O", "O", "O")))) == {"Na", "Br", "O", "O anion"}
    assert set(terms(Counter(("Xe", "F", "F")))) == {"Xe", "F", "F anion"}
    assert terms(Counter(("Fe", "Fe", "O", "O", "O")))["Fe oxide or fluoride"] == pytest.approx(0.4)
    assert "Fe oxide or fluoride" not in terms(Counter(("Fe", "S")))
    assert terms(Counter(("Br", "Br"))) == {}


def test_every_fitted_term_is_one_that_a_compound_can_have():
    symbols = set(references())
    for name, value in shifts().items():
        symbol, _, role = name.partition(" ")
        assert symbol in symbols
        assert role in ("", "anion", "oxide or fluoride")
        assert abs(value) < 0.6  # eV; the corrections of the schemes are no larger


@pytest.mark.parametrize(
    ("first", "second", "std", "contradict"),
    [(-1.0, -1.09, 0.03, False), (-1.0, -1.12, 0.03, True), (-1.0, -1.12, 0.2, False), (-1.0, -1.12, None, True)],
)
def test_two_opinions_contradict_each_other_beyond_a_tenth(first, second, std, contradict):
    assert disagreement(first, second, std) is contradict
    assert disagreement(second, first, std) is contradict


@pytest.mark.parametrize("structure", ["Si", "Cu"])
def test_elements_have_no_formation_energy(structure):
    shift = 0.25 if structure == "Si" else 0.5
    if structure == "Si":
        crystal = face_centred(5.46, "Si", "Si", shift)
    else:
        crystal = Crystal("Cu", (3.62 / 2**0.5,) * 3 + (60.0,) * 3, ("Cu",), np.zeros((1, 3)))
    assert evaluate_one(crystal).formation_energy_ev_per_atom == pytest.approx(0.0, abs=0.03)
