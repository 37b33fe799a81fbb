"""Training a generator by the command line, and drawing from it."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pytest
from pymatgen.core import Composition

from aldesign.cli.app import run
from aldesign.models import train_gan


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a generator trained for one epoch on salts: enough to draw something from."""
    folder = tmp_path_factory.mktemp("gan")
    cations, anions = ("Li", "Na", "K", "Rb", "Cs", "Ag", "Tl", "Cu"), ("F", "Cl", "Br", "I", "OH", "CN")
    formulas = [f"{a}{b}" for a in cations for b in anions] + [f"{a}2{b}" for a in cations for b in ("O", "S", "Se")]
    (folder / "f.txt").write_text("\n".join([*formulas, "Xx2O"]))
    out = folder / "weights"
    with pytest.MonkeyPatch.context() as patch:
        # The quality of 500 samples is enough of a judgement here.
        patch.setattr(train_gan, "sample_quality", partial(train_gan.sample_quality, n=500))
        assert (
            run(["train", "--oracle", "gan", "--data", str(folder / "f.txt"), "--out", str(out), "--epochs", "1"]) == 0
        )
    return out


def test_training_wrote_a_card_that_says_from_what(weights: Path) -> None:
    card = json.loads((weights / "card.json").read_text())
    assert card["data"]["origin"] == "f.txt"
    assert card["data"]["formulas"] == 72


def test_formulas_are_distinct_and_seeded(weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["generate", "-n", "50", "--model", str(weights), "--seed", "4"]
    assert run([*arguments, "--output", str(tmp_path / "a.csv")]) == 0
    assert "50 formulas out of" in capsys.readouterr().err
    assert run(arguments) == 0
    shown = capsys.readouterr().out
    assert shown == (tmp_path / "a.csv").read_text()
    header, *rows = shown.splitlines()
    assert header == "formula"
    assert len(set(rows)) == 50


def test_rules_hold_for_every_formula(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from smact.screening import smact_validity

    rules = ["--max-elements", "3", "--exclude", "radioactive,Tl", "--require", "O", "--no-alloys", "--json"]
    assert run(["generate", "-n", "20", "--model", str(weights), *rules, "--max-atoms", "9"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(set(found)) == 20
    for formula in found:
        present = set(re.findall("[A-Z][a-z]?", formula))
        assert "O" in present
        assert len(present) <= 3
        assert not present & {"Tl", "U", "Ra", "Tc"}
        assert Composition(formula).num_atoms <= 9
        assert smact_validity(formula, include_alloys=False)


def test_raw_draws_and_repeats_are_kept_when_asked_for(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from smact.screening import smact_validity

    rules = ["--raw", "--repeats", "--elements", "Na,Cl,O,S", "--json"]
    assert run(["generate", "-n", "300", "--model", str(weights), *rules]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(set(found)) < 300
    assert not all(smact_validity(formula) for formula in set(found))


def test_wishes_that_cannot_be_met_are_told(weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["generate", "-n", "500", "--model", str(weights)]
    assert run([*arguments, "--elements", "He,Ne"]) == 1
    assert "gave only 0" in capsys.readouterr().err
    assert run([*arguments, "--elements", "Na,Cl", "--max-atoms", "2"]) == 1
    assert "gave only" in capsys.readouterr().err
    assert run([*arguments, "--elements", "Xx"]) == 2
    assert run([*arguments, "--elements", "Na", "--exclude", "Na"]) == 2
