"""The paper's values are those of the document that this project compares itself with."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aldesign.reproduce.paper import TABLE, stated

ANCHORS = Path(__file__).resolve().parents[3] / "shared" / "design" / "ANCHORS.md"
LINE = re.compile(r"\| (Exp\d)(?: (oracle|BS|AL))? \|(.*)\|")


def test_they_are_the_published_ones() -> None:
    # rows, R2 hold-out, R2 test, MAE and RMSE in eV, candidates, recovery: Xin et al. 2021, Table 1
    assert tuple(vars(TABLE["exp2-al"]).values()) == (1741, 0.611, 0.414, 0.539, 0.869, 171, 0.7843)
    assert tuple(vars(TABLE["exp3-bs"]).values()) == (300, -0.243, 0.227, 1.202, 1.633, 33, 0.0294)
    assert stated("exp3-ours") == TABLE["exp3-al"]
    assert stated("exp4") is None


def test_every_line_agrees_with_the_written_anchors() -> None:
    if not ANCHORS.is_file():
        pytest.skip(f"no anchors at {ANCHORS}")
    found = {}
    for experiment, kind, rest in LINE.findall(ANCHORS.read_text(encoding="utf-8")):
        cells = [re.match(r"\s*(-?[\d.,]+)", cell) for cell in rest.split("|")]
        name = experiment.lower() + (f"-{kind.lower()}" if kind in ("BS", "AL") else "")
        found[name] = [float(cell[1].rstrip(",").replace(",", "")) if cell else None for cell in cells]
    assert found.keys() >= TABLE.keys()
    for name, line in TABLE.items():
        rows, r2, test, mae, rmse, candidates, percent = found[name]
        assert (line.rows, line.r2, line.test_r2, line.mae, line.rmse) == (rows, r2, test, mae, rmse)
        assert line.candidates == candidates
        assert 100 * line.recovery == pytest.approx(percent)
