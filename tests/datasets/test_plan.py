"""A plan of crystals: relaxed once, symmetrised, chosen by energy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from aldesign.datasets import plan as planning
from aldesign.datasets.families import families
from aldesign.datasets.plan import chosen, plan, read_relaxed, relax_into, settle, wishes
from aldesign.datasets.substitutions import Idea, crystal_of, idea
from aldesign.datasets.textbook import textbook_solids
from aldesign.structures.cif import from_pymatgen, from_record, to_pymatgen

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # spglib, through pymatgen

SOLIDS = {one.name: one for one in textbook_solids()}
EDGES = {"Si/diamond": 5.431, "MgO/rocksalt": 4.212, "CsCl/caesium chloride": 4.123}  # Å, measured


def relaxed(one: Idea, energy: float, **other: Any) -> dict[str, Any]:
    crystal = crystal_of(one)
    record = {
        "id": one.name,
        "lattice": list(crystal.lattice),
        "species": list(crystal.species),
        "frac": crystal.frac.tolist(),
        "formation_energy": energy,
        "converged": True,
        "volume_ratio": 1.0,
        "error": "",
    }
    return {**record, **other}


def made(name: str, *symbols: str) -> Idea:
    return idea(families()[name], symbols)


def test_cells_are_near_those_measured_and_are_not_relaxed_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "wishes", lambda _: [SOLIDS[name] for name in EDGES])
    told: list[tuple[int, int]] = []
    path = tmp_path / "deep" / "relaxed.jsonl"
    first = plan(("Si", "Mg", "O", "Cs", "Cl"), path, progress=lambda done, total: told.append((done, total)))
    assert told == [(0, 3), (3, 3)]
    for item in first:
        standard = SpacegroupAnalyzer(to_pymatgen(item.crystal)).get_conventional_standard_structure()
        assert standard.lattice.a == pytest.approx(EDGES[item.crystal.id], rel=0.03)  # PBE makes CsCl large
        again = SpacegroupAnalyzer(to_pymatgen(item.crystal), 1e-5)  # the symmetry is exact
        assert again.get_space_group_symbol() == item.space_group
        assert len(again.get_point_group_operations()) == item.operations
        assert from_record(json.loads(json.dumps(item.to_json()))).species == item.crystal.species
    monkeypatch.setattr(planning, "relax_into", None)
    path.write_text(path.read_text() + '{"id": "MgO/rocksalt", "latt')  # cut short by a kill
    again = plan(("Si", "Mg", "O", "Cs", "Cl"), path, 2)
    assert [item.crystal.id for item in again] == [item.crystal.id for item in first[:2]]


def test_what_cannot_be_relaxed_is_kept_with_its_reason(tmp_path: Path) -> None:
    noble = made("caesium chloride", "Cs", "Cl")
    path = tmp_path / "relaxed.jsonl"
    relax_into([replace(noble, elements={"A": "Cs", "X": "F"}, formula="CsF")], path)
    (record,) = read_relaxed(path).values()
    assert record["error"] == ""
    assert set(record["species"]) == {"Cs", "F"}
    assert read_relaxed(tmp_path / "nothing.jsonl") == {}


def test_a_plan_leaves_out_what_is_high_broken_or_a_repeat() -> None:
    salt, other, third = (made(name, "Na", "Cl") for name in ("rocksalt", "caesium chloride", "wurtzite"))
    mixed = made("perovskite", "K", "Mg", "F")
    records = {
        salt.name: relaxed(salt, -2.0),
        other.name: relaxed(other, -1.98),
        third.name: relaxed(third, -1.5),
        mixed.name: relaxed(mixed, -2.8),
    }
    wanted = [salt, other, third, mixed]
    assert {item.crystal.id for item in chosen(wanted, records)} == {salt.name, other.name, mixed.name}
    for spoilt in ({"converged": False}, {"volume_ratio": 2.5}, {"error": "the cell did not hold"}):
        records[other.name] = relaxed(other, -1.98, **spoilt)
        assert other.name not in {item.crystal.id for item in chosen(wanted, records)}
    # CaO and MgO make a ternary that falls apart into them no part of the plan
    parts = [made("rocksalt", "Ca", "O"), made("rocksalt", "Mg", "O")]
    loose = made("sodium chromium sulfide", "Ca", "Mg", "O")
    energies = {parts[0].name: relaxed(parts[0], -3.0), parts[1].name: relaxed(parts[1], -3.0)}
    energies[loose.name] = relaxed(loose, -2.8)
    assert loose.name not in {item.crystal.id for item in chosen([*parts, loose], energies)}
    energies[loose.name] = relaxed(loose, -2.99)
    assert {item.crystal.id: round(item.above_hull, 6) for item in chosen([*parts, loose], energies)}[
        loose.name
    ] == 0.01


def test_symmetry_is_found_through_the_noise_of_a_relaxation() -> None:
    rng = np.random.default_rng(7)
    cell = Structure(Lattice.cubic(5.64), ["Na"] * 4 + ["Cl"] * 4, _rocksalt())
    cell.perturb(0.0)
    noisy = from_pymatgen(Structure(cell.lattice, cell.species, cell.frac_coords + rng.normal(0, 2e-3, (8, 3))), "x")
    record = {"id": "x", "lattice": noisy.lattice, "species": noisy.species, "frac": noisy.frac.tolist()}
    strict = settle(record)
    assert strict is not None
    assert strict[1] < 48
    found = settle(record, operations=48)
    assert found is not None
    group, operations, crystal = found
    assert (group, operations, len(crystal)) == ("Fm-3m", 48, 2)
    assert to_pymatgen(crystal).volume == pytest.approx(5.64**3 / 4, rel=1e-6)


def test_wishes_begin_with_the_textbook_and_go_on_with_known_formulas() -> None:
    from aldesign.chemistry.sketch import known

    elements = frozenset({"Mg", "Ca", "O", "S", "Si", "K", "F"})
    found = wishes(elements)
    names = [one.name for one in found]
    assert len(set(names)) == len(names)
    first = [one for one in found if one.name in SOLIDS]
    assert found[: len(first)] == first
    assert {"Si/diamond", "MgO/rocksalt", "KMgF3/perovskite"} <= set(names)
    assert known().contains([one.formula for one in found[len(first) :]]).all()


def _rocksalt() -> list[list[float]]:
    sodium = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return sodium + [[(x + 0.5) % 1, y, z] for x, y, z in sodium]
