"""A whole replay on a small table with a known answer: what it buys, and that nothing is lost by interruptions."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from aldesign.campaign.spec import CampaignSpec
from aldesign.errors import InputError, InterruptedRunError, RunDirectoryError, SpecError
from aldesign.replay.pool import read_pool_table
from aldesign.replay.rehearsal import Replay, Replayed, ReplayPlan
from aldesign.replay.start import Start
from aldesign.replay.strategies import Ground, Request, buy
from aldesign.report.replay import write_replay

SpecMaker = Callable[..., CampaignSpec]
CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Mg", "Ca", "Sr", "Ba", "Zn", "Cd", "Al", "Ga", "In", "Sc", "Y", "La", "Ti")
ANIONS = {"F": 9.0, "Cl": 6.0, "Br": 4.5, "I": 3.0, "O": 5.0, "S": 2.5}


def known_gap(cation: str, anion: str, count: int) -> float:
    return round(max(0.1, ANIONS[anion] - 0.11 * CATIONS.index(cation) + 0.1 * count), 3)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Write 216 compounds with a gap that their elements decide."""
    lines = [f"{c}{a}{n},{known_gap(c, a, n)}" for c in CATIONS for a in ANIONS for n in (1, 3)]
    path = tmp_path / "known.csv"
    path.write_text("\n".join(["formula,band_gap", *lines, "not a formula,3"]))
    return path


@pytest.fixture
def ready(make_spec: SpecMaker, table: Path) -> Callable[..., Replay]:
    def make(*assignments: str, **plan: object) -> Replay:
        spec = make_spec("acquisition.kappa=1", *assignments)
        wanted = {"seeds": 2, "labels": 24, "batch": 8, "start": Start(20, below_ev=4.0), "threshold_ev": 6.0}
        return Replay(spec, read_pool_table(spec, table), ReplayPlan(**{**wanted, **plan}))

    return make


def content(found: Replayed, folder: Path) -> tuple[bytes, bytes]:
    write_replay(found, folder)
    return (folder / "replay.csv").read_bytes(), (folder / "picks.csv").read_bytes()


def stop_after(count: int) -> Callable[[str], None]:
    """Return a listener that presses Ctrl-C after so many batches."""
    seen: list[str] = []

    def tell(line: str) -> None:
        seen.extend([line] if line.startswith("batch") else [])
        if len(seen) == count:
            raise KeyboardInterrupt

    return tell


def test_every_label_is_paid_once_and_known_from_the_table(ready: Callable[..., Replay], tmp_path: Path) -> None:
    replay = ready("surrogate.features=composition", strategies="campaign,greedy,random,best", labels=20)
    found = replay.run(tmp_path / "run")
    assert [(c.strategy, c.seed) for c in found.courses[:3]] == [("campaign", 0), ("campaign", 1), ("greedy", 0)]
    for course, curve in zip(found.courses, found.curves, strict=True):
        assert course.batches == (8, 8, 4)
        assert len({*course.rows.tolist(), *course.start.tolist()}) == 40
        assert (found.pool.gaps[course.start] < 4).all()
        assert curve.rows == 196
        assert curve.found[-1] == sum(found.pool.gaps[row] >= 6 for row in course.rows)
    assert not np.isnan(found.courses[0].mean).any()
    assert (found.courses[0].std > 0).all()
    assert np.isnan(found.by_strategy["random"][0][0].mean).all()
    ends = {name: np.mean([c.found[-1] for c in curves]) for name, (_, curves) in found.by_strategy.items()}
    assert ends["best"] == min(20, found.curves[0].hits)
    assert ends["best"] >= ends["campaign"] > 2 * ends["random"]
    assert [bad.text for bad in replay.pool.bad] == ["not a formula,3"]


def test_a_batch_is_spread_over_sets_of_elements(ready: Callable[..., Replay], tmp_path: Path) -> None:
    def alike(most: int) -> int:
        """Return how often a formula of the first batch has the elements of one before it."""
        found = ready(f"acquisition.per_system={most}", strategies="campaign", seeds=1, labels=16, batch=16).run(
            tmp_path / str(most)
        )
        bought = [found.pool.formulas[row] for row in found.courses[0].rows]
        return len(bought) - len({frozenset(re.findall("[A-Z][a-z]?", formula)) for formula in bought})

    assert alike(1) == 0
    assert alike(16) > 0


def test_the_order_of_the_table_changes_nothing(ready: Callable[..., Replay], table: Path, tmp_path: Path) -> None:
    plan = {"seeds": 1, "strategies": "campaign,greedy,random", "labels": 8}
    first = content(ready("surrogate.features=composition", **plan).run(tmp_path / "a"), tmp_path / "a")
    head, *lines = table.read_text().splitlines()
    table.write_text("\n".join([head, *lines[::-1]]))
    assert content(ready("surrogate.features=composition", **plan).run(tmp_path / "b"), tmp_path / "b") == first


@pytest.mark.parametrize("strategy", ["campaign", "greedy"])
def test_rows_that_look_alike_are_bought_by_chance(strategy: str, make_spec: SpecMaker) -> None:
    # sorted by gap, and nothing to learn: whoever takes the first of equals finds every hit
    gaps = np.linspace(9, 1, 60)
    ground = Ground(
        gaps, np.ones((60, 2)), (2,), tuple(f"{c}{a}{n}" for c in CATIONS[:10] for a in ANIONS for n in "2")
    )
    gaps[50:] = 1.0
    found = []
    for seed in range(30):
        request = Request(strategy, make_spec(f"seed={seed}"), np.arange(50, 60), np.arange(50), 10, 1)
        found.append(sum(row < 10 for row in buy(request, ground).rows))
    # 10 hits among 50 rows: 10 labels find 2 on average, with a standard deviation of 1.14
    assert abs(np.mean(found) - 2) < 4.5 * 1.14 / math.sqrt(30)


def test_greed_takes_the_highest_expectation(ready: Callable[..., Replay], tmp_path: Path) -> None:
    found = ready(strategies="greedy", seeds=1, labels=8).run(tmp_path / "run")
    mean = found.courses[0].mean
    assert (np.diff(mean) <= 0).all()


@pytest.mark.parametrize("features", ["latent", "composition"])
def test_an_interrupted_replay_goes_on_to_the_same_bytes(
    features: str, ready: Callable[..., Replay], tmp_path: Path
) -> None:
    settings = f"surrogate.features={features}"
    whole = content(ready(settings).run(tmp_path / "whole"), tmp_path / "whole")
    folder = tmp_path / "cut"
    for batches in (1, 2, 5):
        with pytest.raises(InterruptedRunError) as raised:
            ready(settings).run(folder, stop_after(batches))
        assert raised.value.exit_code == 130
        # a kill may cut the last line short
        with max((folder / "batches").iterdir(), key=lambda path: path.stat().st_mtime_ns).open("ab") as stream:
            stream.write(b'{"rows": [1, 2')
    lines: list[str] = []
    assert content(ready(settings).run(folder, lines.append), folder) == whole
    assert sum(line.startswith("batch") for line in lines) == 12 - 8
    assert lines[-1].startswith("batch 12/12: greedy, seed 1, 24 labels, ")


@pytest.mark.parametrize(
    "settings",
    [
        ("surrogate.kind=committee",),
        pytest.param(("surrogate.kind=deep_kernel",), marks=pytest.mark.slow),
        ("acquisition.kind=ei",),
        ("acquisition.kind=thompson",),
        ("acquisition.kind=probability", "acquisition.threshold=6"),
        ("target={window: [4, 6]}", "acquisition.kind=ei"),
        ("target={minimize: true}",),
    ],
    ids=lambda settings: settings[0],
)
def test_every_learner_goes_on_where_it_was(
    settings: tuple[str, ...], ready: Callable[..., Replay], tmp_path: Path
) -> None:
    window = any("window" in word for word in settings)
    plan = {"seeds": 1, "labels": 12, "batch": 4, "strategies": "campaign", "threshold_ev": None if window else 4.0}
    replay = ready(*settings, "surrogate.features=composition", **plan)
    with pytest.raises(InterruptedRunError):
        replay.run(tmp_path / "cut", stop_after(2))
    cut, whole = replay.run(tmp_path / "cut"), replay.run(tmp_path / "whole")
    assert content(cut, tmp_path / "cut") == content(whole, tmp_path / "whole")
    assert len(set(whole.courses[0].rows.tolist())) == 12


def test_workers_change_nothing(ready: Callable[..., Replay], tmp_path: Path) -> None:
    settings = "surrogate.features=composition"
    one = ready(settings, labels=16).run(tmp_path / "one")
    lines: list[str] = []
    two = ready(settings, labels=16, workers=2).run(tmp_path / "two", lines.append)
    assert content(two, tmp_path / "two") == content(one, tmp_path / "one")
    assert lines[-1].startswith("batch 8/8: ")


def test_seeds_and_strategies_are_added_to_what_is_there(ready: Callable[..., Replay], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    ready(seeds=1, strategies="campaign").run(folder)
    lines: list[str] = []
    more = ready(threshold_ev=5.0).run(folder, lines.append)
    assert lines[1].startswith("batch 4/12: campaign, seed 1")
    assert content(more, folder) == content(ready(threshold_ev=5.0).run(tmp_path / "new"), tmp_path / "new")


@pytest.mark.parametrize(
    ("assignments", "plan", "words"),
    [
        ((), {"labels": 30}, "another number of labels"),
        ((), {"batch": 4}, "another batch size"),
        ((), {"start": Start(21, below_ev=4.0)}, "another start"),
        (("acquisition.kappa=2",), {}, "another kind of campaign"),
        (("space.exclude=[Li]",), {}, "another start, table"),
    ],
)
def test_a_folder_of_another_replay_is_refused(
    assignments: tuple[str, ...],
    plan: dict[str, object],
    words: str,
    ready: Callable[..., Replay],
    tmp_path: Path,
) -> None:
    ready(strategies="random").run(tmp_path / "run")
    with pytest.raises(RunDirectoryError, match=words):
        ready(*assignments, **{"strategies": "random", **plan}).run(tmp_path / "run")


def test_folders_of_something_else_and_busy_ones_are_refused(ready: Callable[..., Replay], tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("dear")
    replay = ready(strategies="random")
    with pytest.raises(RunDirectoryError, match="is not empty and holds no replay"):
        replay.run(tmp_path / "full")
    with pytest.raises(RunDirectoryError, match="is not empty and holds no replay"):
        replay.run(tmp_path / "full" / "thesis.tex")

    def meanwhile(_: str) -> None:
        with pytest.raises(RunDirectoryError, match="being written by another process"):
            ready().run(tmp_path / "busy")

    ready(seeds=1, strategies="campaign", labels=8).run(tmp_path / "busy", meanwhile)


def test_a_folder_that_was_hardly_begun_is_taken_up(ready: Callable[..., Replay], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "replay.lock").touch()
    (folder / ".replay.0a1b2c3d.json").write_text('{"version')
    ready(strategies="random").run(folder)
    assert {path.name for path in folder.iterdir()} == {"replay.lock", "replay.json", "batches"}


def test_damaged_batches_are_named(ready: Callable[..., Replay], tmp_path: Path) -> None:
    ready(strategies="random").run(tmp_path / "run")
    path = tmp_path / "run" / "batches" / "random-seed0.jsonl"
    path.write_text("no json\n")
    with pytest.raises(RunDirectoryError, match=r"random-seed0\.jsonl is damaged"):
        ready(strategies="random").run(tmp_path / "run")


def test_the_campaign_decides_what_is_not_said(ready: Callable[..., Replay], tmp_path: Path) -> None:
    replay = ready("batch_size=5", "seed=40", "stop={iterations: 4}", labels=None, batch=None, strategies="random")
    assert (replay.batch, replay.labels, list(replay.seeds)) == (5, 20, [40, 41])
    assert ready("stop={budget: 17}", labels=None).labels == 17
    assert ready("stop={hours: 1}", labels=None).labels == 196  # 1000, but that is all there is


def test_what_cannot_be_replayed_is_refused(ready: Callable[..., Replay]) -> None:
    with pytest.raises(InputError, match="no replay strategy is called 'luck'"):
        ready(strategies="campaign,luck")
    with pytest.raises(InputError, match="--strategies names none"):
        ready(strategies=" ,")
    with pytest.raises(InputError, match="is known at the start: nothing is left to find"):
        ready(start=Start(215), threshold_ev=9.0)
    with pytest.raises(SpecError, match="a replay looks up gaps alone"):
        ready("acquisition.kind=ehvi", "target={maximize: true, also: {}}")


def test_seeds_that_change_nothing_are_told(ready: Callable[..., Replay], tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("formula,band_gap\n" + "".join(f"{c}Br,{known_gap(c, 'Br', 1)}\n" for c in CATIONS))
    data = ("data.source=table", f"data.path={own}")
    plan = {"start": Start(), "labels": 8, "strategies": "campaign,random"}
    notes = ready(*data, **plan).run(tmp_path / "same").notes
    assert [note.split(":")[0] for note in notes if "bought the same" in note] == [
        "campaign bought the same with each of 2 seeds"
    ]
    other = ready(*data, "data.limit=9", **plan).run(tmp_path / "other")
    assert not any("bought the same" in note for note in other.notes)
    assert [len(course.start) for course in other.courses] == [9] * 4


def test_questions_too_large_or_too_easy_are_told(ready: Callable[..., Replay]) -> None:
    assert not any("labels are paid" in note or "any choice" in note for note in ready().notes)
    assert "196 labels are paid, not 5000: no more rows can be bought" in ready(labels=5000).notes
    assert any("every row that can be bought has a gap >= 0.1 eV" in note for note in ready(threshold_ev=0.1).notes)


def test_the_start_is_told(ready: Callable[..., Replay], tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("formula,band_gap\nLiF,1.0\nNaF,8.99\nKF,8.88\nCuF,2\n")
    replay = ready("data.source=table", f"data.path={own}", start=Start(), threshold_ev=8.0)
    told = "; ".join(replay.notes)
    assert "start: 3 of the campaign's 4 data rows" in told
    assert "1 data rows left out, not in the table: CuF" in told
    assert "1 data rows have another gap in the table, which counts: LiF" in told
    kept = ready("data.source=table", f"data.path={own}", start=Start(keep_foreign=True), threshold_ev=8.0)
    assert "1 start rows are known for free" in "; ".join(kept.notes)
