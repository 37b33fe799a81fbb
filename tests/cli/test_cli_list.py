"""`aldesign list oracles` reads cards, not weights."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from aldesign import cards
from aldesign.cli.app import run
from aldesign.errors import CheckpointError
from aldesign.registry import oracle_entries


def listed(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    assert run(["list", "oracles", "--json"]) == 0
    found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
    return found


def test_every_installed_oracle_is_listed_as_its_card_says(capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys)
    assert {row["name"] for row in found} == set(oracle_entries())
    for row in found:
        if row["card"] is None:
            continue
        card = json.loads(Path(str(row["card"])).read_text())
        assert (row["property"], row["unit"], row["level"]) == (card["property"], card["unit"], card["level"])
        assert row["needs"] in ("formula", "structure")
        assert row["description"]
        part = card["metrics"]["test"]
        part = part.get(card["property"], part)
        assert row["mae"] == part["mae"]
        size = sum(path.stat().st_size for path in Path(str(row["card"])).parent.glob("*") if path.is_file())
        assert float(str(row["size_mb"])) >= round(size / 1e6, 1)


def test_no_weights_are_read_for_it(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from aldesign.learning import checkpoint

    def refuse(*_: object, **__: object) -> None:
        raise CheckpointError("weights were loaded")

    monkeypatch.setattr(checkpoint, "load_weights", refuse)
    forest = next(row for row in listed(capsys) if row["name"] == "random_forest")
    assert forest["state"] == "ready"


def test_a_lookup_and_an_external_oracle_say_what_they_wait_for(capsys: pytest.CaptureFixture[str]) -> None:
    found = {row["name"]: row for row in listed(capsys)}
    assert "no table" in str(found["lookup"]["state"])
    assert found["external"]["answers"] == "tell"


def test_in_a_pipe_it_is_a_table_of_plain_cells(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["list", "oracles"]) == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert {row["name"] for row in rows} == set(oracle_entries())
    assert next(row["levels"] for row in rows if row["name"] == "random_forest") == "PBE"


def test_on_a_terminal_it_is_for_people(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert run(["list", "oracles"]) == 0
    drawn = capsys.readouterr().out
    assert "random_forest" in drawn
    assert "MAE all / non-metals" in drawn


def test_names_alone_import_nothing_heavy() -> None:
    code = "import sys; from aldesign.cli.app import run; run(['list', 'oracles', '--brief'])"
    code += "; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_weights_of_other_levels_are_rows_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = {"property": "band_gap", "unit": "eV", "needs": "formula", "description": "A forest"}
    for level, place in (("PBE", tmp_path), ("experiment", tmp_path / "experiment")):
        place.mkdir(exist_ok=True)
        card = {**told, "level": level, "metrics": {"test": {"mae": 0.3, "coverage_68": 0.7, "coverage_95": 0.9}}}
        (place / "card.json").write_text(json.dumps(card))
        (place / "weights.safetensors").write_bytes(bytes(2_000_000))
    monkeypatch.setattr(cards, "shipped_folder", lambda name: tmp_path if name == "random_forest" else None)
    rows = [row for row in listed(capsys) if row["name"] == "random_forest"]
    assert [(row["level"], row["mae"], row["size_mb"]) for row in rows] == [("PBE", 0.3, 2.0), ("experiment", 0.3, 2.0)]
    (tmp_path / "card.json").write_text("{")
    assert "is damaged" in str(next(row["state"] for row in listed(capsys) if row["name"] == "random_forest"))


def test_a_folder_without_a_card_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no card"):
        cards.read_card(tmp_path)
    (tmp_path / "card.json").write_text("[]")
    with pytest.raises(CheckpointError, match="no model card"):
        cards.read_card(tmp_path)
    assert cards.learnt_formulas("random_forest", tmp_path, "PBE") is None
