"""The house stands on its floors: imports point downwards, and the front door opens at once."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FLOORS = {
    "aldesign.errors": 0,
    "aldesign.files": 0,
    "aldesign.records": 0,
    "aldesign.protocols": 0,
    "aldesign.seeds": 0,
    "aldesign.registry": 0,
    "aldesign.chemistry": 1,
    "aldesign.learning": 1,
    "aldesign.tables": 1,
    "aldesign.models": 2,
    "aldesign.structures": 2,
    "aldesign.datasets": 2,
    "aldesign.screens": 2,
    "aldesign.execution": 2,
    "aldesign.dft": 2,
    "aldesign.testing": 2,
    "aldesign.cards": 2,
    "aldesign.campaign": 3,
    "aldesign.replay": 3,
    "aldesign.predict": 3,
    "aldesign.judging": 3,
    "aldesign.fitting": 3,
    "aldesign.crossvalidation": 3,
    "aldesign.reproduce": 3,
    "aldesign.survey": 3,
    "aldesign.report": 4,
    "aldesign.cli": 4,
    "aldesign.__main__": 4,
}
FOR_ORACLES = (
    "aldesign.structures.environments",
    "aldesign.structures.graph_store",
    "aldesign.structures.graphs",
    "aldesign.dft",
)
FOR_DFT = ("aldesign.structures",)  # the dft oracle gives a bare formula its crystal


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    """Return every dotted name that a file imports, at any depth of its code."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def room(name: str) -> str | None:
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "aldesign" and len(parts) > 1 else None


def upward_arrows(name: str, imported: set[str]) -> list[str]:
    own = room(name)
    if own is None:
        return []
    above = [other for other in imported if room(other) in FLOORS and FLOORS[room(other)] > FLOORS[own]]
    return above + [other for other in imported if other.split(".")[0] == "oracles"]


@pytest.mark.parametrize("path", modules("aldesign"), ids=module_name)
def test_modules_import_only_from_lower_floors(path: Path) -> None:
    name = module_name(path)
    assert name == "aldesign" or room(name) in FLOORS, f"{name} stands on no floor"
    assert not upward_arrows(name, imports(path))


def test_an_upward_arrow_is_seen() -> None:
    assert upward_arrows("aldesign.chemistry.formula", {"aldesign.models.gan.FormulaGAN"})
    assert upward_arrows("aldesign.campaign.loop", {"oracles.dense"})
    assert not upward_arrows("aldesign.campaign.loop", {"aldesign.records.Trial", "aldesign.campaign.state.fold"})


@pytest.mark.parametrize("path", modules("oracles"), ids=module_name)
def test_oracles_use_floors_0_and_1_and_graphs_only(path: Path) -> None:
    for name in imports(path):
        if room(name) is not None and not name.startswith(FOR_ORACLES + FOR_DFT * (path.name == "dft.py")):
            assert FLOORS[room(name)] <= 1, name


@pytest.mark.parametrize("path", [*modules("aldesign"), *modules("oracles")], ids=module_name)
def test_modules_stay_readable(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("statement", ["import aldesign", "import aldesign.cli", "import aldesign.cli.app"])
def test_front_door_loads_nothing_heavy(statement: str) -> None:
    code = f"{statement}; import sys; print(' '.join(sorted({{m.split('.')[0] for m in sys.modules}})))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    heavy = {"torch", "pymatgen", "pandas", "matplotlib", "sklearn", "botorch", "gpytorch", "smact", "matminer"}
    heavy |= {"ase", "gpaw", "jobflow"}
    assert not heavy & set(loaded.split())
