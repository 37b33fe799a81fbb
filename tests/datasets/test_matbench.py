"""matminer's own loader, reading files in Matbench's format; only the download is replaced."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from aldesign.datasets.matbench import fetch_matbench
from aldesign.datasets.table import read_table
from aldesign.errors import AldesignError, InputError

pytestmark = pytest.mark.filterwarnings("ignore")
EXPERIMENT = {
    "columns": ["composition", "gap expt"],
    "index": [0, 1, 2],
    "data": [["Ag(AuS)2", 0.0], ["Ag(W3Br7)2", 0.0], ["Ag0.5Ge1Pb1.75S4", 1.83]],
}


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that makes matminer's download of a table give `content`."""
    from matminer.datasets import dataset_retrieval, utils

    home = tmp_path / "matminer"
    monkeypatch.setenv("MATMINER_DATA", str(home))

    def serve(name: str, content: bytes) -> None:
        known = {name: {"url": "https://ml.materialsproject.org/x", "file_type": "json.gz", "hash": None}}
        known[name]["hash"] = hashlib.sha256(content).hexdigest()
        monkeypatch.setattr(dataset_retrieval, "_dataset_dict", known)
        monkeypatch.setattr(utils, "_fetch_external_dataset", lambda _url, path: Path(path).write_bytes(content))

    return serve


def test_the_experimental_table(served: Any, tmp_path: Path) -> None:
    served("matbench_expt_gap", gzip.compress(json.dumps(EXPERIMENT).encode()))
    card = fetch_matbench(tmp_path / "out")
    with (tmp_path / "out" / "labels.csv").open() as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["id", "formula", "band_gap", "level"],
        ["mb-expt-gap-0001", "Ag(AuS)2", "0.0", "experiment"],
        ["mb-expt-gap-0002", "Ag(W3Br7)2", "0.0", "experiment"],
        ["mb-expt-gap-0003", "Ag0.5Ge1Pb1.75S4", "1.83", "experiment"],
    ]
    assert (card["rows"], card["level"]) == (3, "experiment")
    assert [row.level for row in read_table(tmp_path / "out" / "labels.csv").rows] == ["experiment"] * 3


def test_the_calculated_table_has_crystals(served: Any, tmp_path: Path) -> None:
    from pymatgen.core import Lattice, Structure

    salt = Structure(Lattice.cubic(3.4), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    frame = {"columns": ["structure", "gap pbe"], "index": [0], "data": [[salt.as_dict(), 5.0]]}
    served("matbench_mp_gap", gzip.compress(json.dumps(frame).encode()))
    fetch_matbench(tmp_path / "out", "matbench_mp_gap")
    out = tmp_path / "out"
    (row,) = read_table(out / "labels.csv", structures=out / "structures.jsonl.gz").rows
    assert (row.formula, row.value, row.level) == ("NaCl", 5.0, "PBE")
    assert row.crystal is not None


def test_a_failed_download_is_told(served: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matminer.datasets import utils

    def broken(*_: object) -> None:
        raise ConnectionError("no route to host")

    served("matbench_expt_gap", b"")
    monkeypatch.setattr(utils, "_fetch_external_dataset", broken)
    with pytest.raises(AldesignError, match="no route to host") as caught:
        fetch_matbench(tmp_path / "out")
    assert caught.value.exit_code == 1
    assert not (tmp_path / "out").exists()


def test_an_unknown_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="matbench_expt_gap"):
        fetch_matbench(tmp_path, "matbench_steels")
