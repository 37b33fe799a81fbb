"""Trainings and judgements that are killed with SIGKILL, by the command line, go on and end with the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from aldesign.cli.app import run
from aldesign.registry import oracle_entries
from aldesign.testing import example_rows

pytestmark = pytest.mark.slow

# Settings that give every oracle several steps to be killed between, each longer than a look takes.
UNTRAINED = ("dft", "external", "lookup")
SETTINGS = {
    "crystal_graph": ("epochs=12", "width=16", "message=8", "layers=1"),
    "crystal_graph_eform": ("epochs=12", "width=16", "message=8", "layers=1"),
    "dense": ("members=3", "epochs=20", "hidden=32"),
    "ensemble": ("members=[{kind: dense, members: 2, epochs: 20, hidden: 32}, {kind: random_forest, trees: 40}]",),
    "random_forest": ("trees=200",),
    "stoichiometry_graph": ("members=3", "epochs=12", "width=16", "hidden=16", "head=16", "start=nothing"),
    "stoichiometry_graph_eform": ("members=3", "epochs=12", "width=16", "hidden=16", "head=16", "start=nothing"),
}


@pytest.fixture
def table(tmp_path: Path) -> Callable[[str], Path]:
    """Return what writes a table of crystals with labels of a property."""

    def write(column: str) -> Path:
        lines = []
        for row in example_rows(column):
            crystal = row.crystal
            assert crystal is not None
            record = {"id": crystal.id, "lattice": crystal.lattice, "species": crystal.species}
            lines.append(json.dumps({**record, "frac": crystal.frac.tolist(), column: row.value}))
        (tmp_path / "table.jsonl").write_text("\n".join(lines))
        return tmp_path / "table.jsonl"

    return write


def start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "aldesign", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, text=True)


@pytest.fixture
def finish(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Return what runs a command to its end, in this process, and gives its standard output."""

    def ran(*words: str, code: int = 0) -> str:
        capsys.readouterr()
        assert run(words) == code
        shown = capsys.readouterr()
        return shown.err if code else shown.out

    return ran


def kill_when(process: subprocess.Popen[str], ready: Callable[[], bool]) -> bool:
    """Kill `process` as soon as `ready` says so; return whether that was before its end."""
    deadline = time.monotonic() + 200
    while process.poll() is None and not ready() and time.monotonic() < deadline:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    return process.returncode == -signal.SIGKILL


def states(folder: Path) -> int:
    """Return how many parts of a training are on disk."""
    return len(list(folder.rglob("*.safetensors")))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in sorted(oracle_entries()) if name not in UNTRAINED])
def test_a_killed_training_goes_on_to_the_same_weights(
    name: str, table: Callable[[str], Path], finish: Callable[..., str], tmp_path: Path
) -> None:
    column = "formation_energy_per_atom" if name.endswith("_eform") else "band_gap"
    options = [word for setting in SETTINGS[name] for word in ("--option", setting)]
    words = ["train", "--oracle", name, "--data", str(table(column)), *options, "--seed", "3"]
    finish(*words, "--out", str(tmp_path / "whole"))
    killed = tmp_path / "killed"
    assert kill_when(start(*words, "--out", str(killed)), lambda: states(killed / "checkpoint") > 0)
    assert not (killed / "card.json").exists()
    assert states(killed / "checkpoint") > 0
    finish(*words, "--out", str(killed))
    assert not (killed / "checkpoint").exists()
    # an ensemble's own file names the cards of its members, which tell how long they took: its members are compared
    pattern = "members/*/weights.safetensors" if name == "ensemble" else "weights.safetensors"
    weights = [sorted((tmp_path / part).glob(pattern)) for part in ("whole", "killed")]
    assert weights[0]
    assert [path.read_bytes() for path in weights[0]] == [path.read_bytes() for path in weights[1]]
    asked = ("predict", "--oracle", name, "--input", str(tmp_path / "table.jsonl"), "--model")
    assert finish(*asked, str(tmp_path / "whole")) == finish(*asked, str(killed))


@pytest.mark.timeout(600)
def test_a_killed_cross_validation_goes_on_and_another_is_refused(
    table: Callable[[str], Path], finish: Callable[..., str], tmp_path: Path
) -> None:
    data = str(table("band_gap"))
    words = ["evaluate", "--oracle", "random_forest", "--data", data, "--option", "trees=60", "--json"]
    whole = finish(*words, "--cv", "4", "--out", str(tmp_path / "whole"))
    killed = tmp_path / "killed"
    folds = killed / "folds"
    assert kill_when(start(*words, "--cv", "4", "--out", str(killed)), lambda: (folds / "fold_02.json").is_file())
    stamp = (folds / "fold_01.json").stat().st_mtime_ns
    refused = finish(*words, "--cv", "3", "--out", str(killed), code=2)
    assert "other data, settings, seed or folds" in refused
    assert finish(*words, "--cv", "4", "--out", str(killed)) == whole
    assert (folds / "fold_01.json").stat().st_mtime_ns == stamp
    assert (killed / "predictions.csv").read_bytes() == (tmp_path / "whole" / "predictions.csv").read_bytes()
    finish(*words, "--cv", "3", "--out", str(killed), "--force")
    assert not (folds / "fold_04.json").exists()
