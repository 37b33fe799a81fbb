"""Polymorphs of binary compounds: their volumes at rest, and what is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from aldesign.datasets.polymorphs import ABOVE, polymorphs
from aldesign.errors import InputError
from aldesign.structures.geometry import lattice_vectors


def line(formula: str, prototype: str, edge: float, species: tuple[str, str], energy: float) -> dict[str, Any]:
    angle = 90.0 if prototype == "caesium chloride" else 60.0
    second = 0.25 if prototype == "zincblende" else 0.5
    return {
        "id": f"{formula}/{prototype}",
        "formula": formula,
        "prototype": prototype,
        "lattice": [edge] * 3 + [angle] * 3,
        "species": list(species),
        "frac": [[0.0] * 3, [second] * 3],
        "chgnet_formation_energy": energy,
    }


PLAN = [
    line("LiF", "rocksalt", 2.88, ("Li", "F"), -3.0),
    line("GaAs", "zincblende", 4.04, ("Ga", "As"), -0.4),
    line("MnO", "rocksalt", 3.14, ("Mn", "O"), -2.0),
    line("AgMg", "caesium chloride", 3.32, ("Mg", "Ag"), -0.3),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    path = tmp_path_factory.mktemp("plan") / "plan.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in PLAN))
    return polymorphs(path)


def test_only_closed_shells_with_a_nonmetal_get_polymorphs(found: list[dict[str, Any]]) -> None:
    assert {row["formula"] for row in found} <= {"LiF", "GaAs"}
    assert "LiF/zincblende" in {row["id"] for row in found}
    assert not {row["id"] for row in found} & {row["id"] for row in PLAN}
    assert all(row["chgnet_above_hull"] <= ABOVE for row in found)


@pytest.mark.filterwarnings("ignore:Set OLD_ERROR_HANDLING:DeprecationWarning")  # pymatgen's call of spglib
def test_each_has_the_symmetry_of_its_name(found: list[dict[str, Any]]) -> None:
    for row in found:
        crystal = Structure(lattice_vectors(tuple(row["lattice"])), row["species"], row["frac"])
        assert SpacegroupAnalyzer(crystal).get_space_group_symbol() == row["space_group"]


def test_lithium_fluoride_is_at_rest_where_a_finer_search_finds_it(found: list[dict[str, Any]]) -> None:
    from aldesign.dft.results import crystal_from_json
    from aldesign.structures.energy import evaluate_many

    row = next(row for row in found if row["id"] == "LiF/zincblende")
    crystal = crystal_from_json(row)
    edges = [crystal.lattice[0] * factor for factor in (0.98, 0.99, 1.0, 1.01, 1.02)]
    trials = [type(crystal)(crystal.id, (e, e, e, 60.0, 60.0, 60.0), crystal.species, crystal.frac) for e in edges]
    energies = [energy.energy_ev_per_atom or 0.0 for energy in evaluate_many(trials, relax=False)]
    assert min(energies) == pytest.approx(energies[2], abs=0.002)
    assert energies[0] > energies[2] < energies[4]


@pytest.mark.parametrize("text", ["", "not JSON\n", '{"id": "x"}\n'], ids=["empty", "text", "other"])
def test_what_is_no_plan_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match="no plan"):
        polymorphs(path)


def test_a_missing_plan_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no plan"):
        polymorphs(tmp_path / "nowhere.jsonl")
