"""``aldesign data plan`` and ``aldesign data pack``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aldesign.cli.app import run
from aldesign.datasets import plan as planning
from aldesign.datasets.computed import load_computed
from aldesign.datasets.textbook import textbook_solids
from aldesign.dft.results import Result
from aldesign.structures.cif import read_jsonl


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_plan_is_written_in_the_format_that_is_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from dft_toys import TINY

    from aldesign.dft.batch import JOURNAL, STORE
    from aldesign.dft.store import ResultStore

    few = [one for one in textbook_solids() if one.name in {"MgO/rocksalt", "CaO/rocksalt", "Si/diamond"}]
    monkeypatch.setattr(planning, "wishes", lambda _: few)
    out = tmp_path / "crystals.jsonl"
    assert run(["data", "plan", "--out", str(out), "-n", "2"]) == 0
    assert "2 crystals" in capsys.readouterr().err
    assert len((tmp_path / "crystals.relaxed.jsonl").read_text().split()) >= 3
    crystals = list(read_jsonl(out))
    assert len(crystals) == 2
    first = out.read_bytes()
    assert run(["data", "plan", "--out", str(out), "-n", "2", "--quiet"]) == 0
    assert out.read_bytes() == first

    folder = tmp_path / "dft"
    store = ResultStore(folder / STORE)
    for crystal, line in zip(crystals, out.read_text().splitlines(), strict=True):
        made = _result(crystal, json.loads(line)["formula"])
        store.put(crystal, made)
    (folder / JOURNAL).write_text(json.dumps({"settings": TINY.to_json()}) + "\n")
    capsys.readouterr()
    words = ["data", "pack", str(folder), "--plan", str(out), "--out", str(tmp_path / "packed"), "--json"]
    assert run(words) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["rows"], told["failed"], told["waiting"]) == (2, 0, 0)
    assert len(load_computed(tmp_path / "packed" / "builtin_pbe").rows) == 2
    assert run([*words[:3], "--plan", str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl cannot be read" in capsys.readouterr().err


def _result(crystal: object, formula: str) -> Result:
    import numpy as np
    from dft_toys import TINY

    from aldesign.dft.results import Dos
    from aldesign.records import Crystal

    assert isinstance(crystal, Crystal)
    energies = np.arange(-20.0, 5.0, 0.1)
    dos = Dos(energies, np.exp(-(energies**2)), {"s": 0 * energies})
    gamma = (0.0, 0.0, 0.0)
    return Result(formula, crystal, TINY, 1.0, 1.5, gamma, gamma, -9.0, 0.0, False, 8.0, 4, 9, dos)
