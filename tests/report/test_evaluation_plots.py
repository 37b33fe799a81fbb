"""Plots of an oracle's errors are drawn for whatever rows there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aldesign.judging import Evaluation
from aldesign.records import LabelledRow
from aldesign.report.evaluation import MANY, PLOTS, write_plots


def evaluation(n: int, unit: str = "eV", *, std: float = 0.3, failed: int = 0, metals: float = 0.4) -> Evaluation:
    rng = np.random.default_rng(1)
    truth = np.where(rng.random(n) < metals, 0.0, rng.gamma(2.0, 1.2, n))
    mean = np.maximum(truth + rng.normal(0.0, 0.3, n), 0.0)
    mean[:failed] = np.nan
    rows = tuple(LabelledRow(f"Na{i + 1}Cl", value) for i, value in enumerate(truth.tolist()))
    errors = ("no",) * failed + ("",) * (n - failed)
    return Evaluation(rows, mean, np.full(n, std), np.full(n, np.nan), np.zeros(n, dtype=int), errors, unit)


CASES = {
    "few": evaluation(60),
    "many": evaluation(MANY + 500),
    "one": evaluation(1),
    "no metals": evaluation(40, metals=0.0),
    "formation energies": evaluation(40, "eV/atom"),
    "no std": evaluation(40, std=float("nan")),
    "certain": evaluation(40, std=0.0),
    "some failed": evaluation(40, failed=10),
    "all failed": evaluation(5, failed=5),
}


@pytest.mark.parametrize("found", CASES.values(), ids=CASES)
def test_every_plot_is_drawn(tmp_path: Path, found: Evaluation) -> None:
    from matplotlib.image import imread

    assert write_plots(found, tmp_path, "an oracle") == list(PLOTS)
    for name in PLOTS:
        picture = imread(tmp_path / name)[..., :3]
        assert min(picture.shape[:2]) > 500
        assert picture[0, 0] == pytest.approx(1.0)  # on white, also where a viewer is dark
        assert 0.02 < (picture.min(axis=2) < 0.9).mean() < 0.9


def test_equal_evaluations_give_equal_pictures(tmp_path: Path) -> None:
    for part in ("a", "b"):
        (tmp_path / part).mkdir()
        write_plots(CASES["few"], tmp_path / part)
    for name in PLOTS:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
