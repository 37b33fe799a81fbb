"""The picture and the tables of a replay, against numbers made by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from aldesign.models.acquisition import Objective
from aldesign.replay.metrics import Course, measure
from aldesign.replay.pool import Hits, Pool
from aldesign.replay.rehearsal import Replayed
from aldesign.report import replay_figures
from aldesign.report.replay import checkpoints, summary, write_replay

FORMULAS = ("NaCl", "KCl", "LiF", "MgO", "CaO", "NaF", "KF", "BaO", "ZnO", "GaN")
GAPS = np.array([5.0, 5.1, 8.7, 4.4, 4.0, 6.1, 6.2, 2.1, 0.7, 1.7])


def replayed(**orders: list[list[int]]) -> Replayed:
    """Return a replay that began with ZnO and GaN, each strategy buying in the given orders."""
    everything, hits, goal = np.ones(10, dtype=bool), GAPS >= 6, Objective()
    courses = []
    for strategy, runs in orders.items():
        for seed, rows in enumerate(runs):
            mean = np.full(len(rows), np.nan if strategy == "random" else 3.0)
            seconds = {"surrogate": 1.0 + seed, "acquisition": 0.5}
            half = len(rows) // 2
            sizes = (half, len(rows) - half)
            courses.append(Course(strategy, seed, np.array([8, 9]), np.array(rows), mean, mean / 3, sizes, seconds))
    pool = Pool(FORMULAS, GAPS, everything, "known.csv")
    curves = tuple(measure(course, GAPS, hits, everything, goal) for course in courses)
    return Replayed("rehearsal", pool, Hits(hits, "gap >= 6 eV"), goal, tuple(courses), curves, 2, ("a note",))


@pytest.fixture
def found() -> Replayed:
    return replayed(campaign=[[2, 0, 5, 6], [2, 5, 6, 1]], random=[[7, 3, 2, 4], [0, 1, 3, 4]])


def test_the_summary_is_the_mean_over_seeds(found: Replayed) -> None:
    records = {record["strategy"]: record for record in summary(found)}
    campaign, chance = records["campaign"], records["chance"]
    assert (campaign["found"], campaign["share"], campaign["found_error"]) == (3.0, 1.0, 0.0)
    # 3 hits among 8 rows: chance finds 1.5 with four labels, and needs 9 / 4 labels a hit
    assert campaign["enhancement_factor"] == 2.0
    assert campaign["acceleration_10"] == 2.25
    assert campaign["acceleration_80"] == pytest.approx(6.75 / 3.5, abs=1e-6)
    # labels 4 and 3: their mean 3.5 has the error 0.5
    assert campaign["acceleration_80_error"] == pytest.approx(6.75 / 3.5 * 0.5 / 3.5, abs=1e-6)
    assert (campaign["labels_to_first_hit"], campaign["first_hit_batch_labels"]) == (1.0, 2.0)
    assert (campaign["seconds_surrogate"], campaign["best_gap_ev"]) == (1.5, 8.7)
    assert (chance["found"], chance["labels_to_first_hit"], chance["best_gap_ev"]) == (1.5, 2.25, None)
    assert records["random"]["labels_to_first_hit"] is None
    assert records["random"]["labels_to_first_hit_seeds"] == 1


def test_checkpoints_reach_the_end(found: Replayed) -> None:
    told = [record for record in checkpoints(found) if record["strategy"] == "campaign"]
    assert [record["labels"] for record in told] == [1, 2, 3, 4]
    assert [record["share"] for record in told] == pytest.approx([1 / 3, 0.5, 5 / 6, 1.0], abs=1e-6)
    assert told[1]["share_error"] == pytest.approx(1 / 6, abs=1e-6)


def test_every_number_is_written(found: Replayed, tmp_path: Path) -> None:
    names = write_replay(found, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    with (tmp_path / "replay.csv").open(newline="") as stream:
        curves = list(csv.DictReader(stream))
    assert len(curves) == 4 * 5
    assert curves[0] == {
        "strategy": "campaign",
        "seed": "0",
        "labels": "0",
        "found": "0",
        "share": "0.0",
        "best_gap_ev": "1.7",
        "found_by_chance": "0.0",
        "enhancement_factor": "",
    }
    with (tmp_path / "picks.csv").open(newline="") as stream:
        picks = list(csv.DictReader(stream))
    assert [row["formula"] for row in picks[:4]] == ["LiF", "NaCl", "NaF", "KF"]
    assert [row["hit"] for row in picks[:4]] == ["true", "false", "true", "true"]
    assert [row["batch"] for row in picks[:4]] == ["1", "1", "2", "2"]
    assert (picks[0]["expected_ev"], picks[0]["expected_std_ev"], picks[8]["expected_ev"]) == ("3.0", "1.0", "")
    told = json.loads((tmp_path / "summary.json").read_text())
    assert (told["hits_to_find"], told["rows_to_buy"], told["notes"]) == (3, 8, ["a note"])


@pytest.mark.parametrize(
    "orders",
    [
        {"campaign": [[2, 0, 5, 6], [2, 5, 6, 1]], "random": [[7, 3, 2, 4], [0, 1, 3, 4]], "best": [[2, 6, 5, 1]] * 2},
        {"campaign": [[2, 0, 5, 6]]},
        {"random": [[0, 1, 3], [4, 7, 0]]},
        {"best": [[2]]},
    ],
)
def test_pictures_of_all_kinds_are_drawn(orders: dict[str, list[list[int]]], tmp_path: Path) -> None:
    replay_figures.write_picture(replayed(**orders), tmp_path / "replay.png")
    pixels = imread(tmp_path / "replay.png")
    assert pixels.shape[1] > 1500
    assert pixels[..., :3].std() > 0.05


def test_lines_are_labelled_apart() -> None:
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    axes.set_ylim(0, 100)
    replay_figures._label_ends(axes, [("a", 50.0, "k"), ("b", 50.5, "k"), ("c", 90.0, "k"), ("d", 49.9, "k")])
    heights = sorted(text.xy[1] for text in axes.texts)
    assert all(np.diff(heights) > 4)
    assert heights[-1] == 90.0
