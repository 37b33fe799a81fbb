"""What an oracle's lines say about how far it is, and how long the rest takes."""

from __future__ import annotations

import pytest

from aldesign.cli.live import Clock, counting, spoken, steps, training_progress


@pytest.mark.parametrize(
    ("line", "where", "rest"),
    [
        (
            "epoch 3/40  train 0.1  validation 0.2 (best)  3.1 s",
            ["epoch 3/40"],
            "train 0.1  validation 0.2 (best)  3.1 s",
        ),
        ("network 1/4: epoch 3/40  train 0.1", ["network 1/4", "epoch 3/40"], "train 0.1"),
        ("member 2/3, dense: network 1/4: epoch 3/40  x", ["member 2/3", "network 1/4", "epoch 3/40"], "x"),
        ("10 of 100 trees", ["trees 10/100"], ""),
        ("member 2/3, random_forest: 10 of 100 trees", ["member 2/3", "trees 10/100"], ""),
        ("fold 2 of 5: 100 rows to learn from, 25 to predict", ["fold 2/5"], "100 rows to learn from, 25 to predict"),
        ("reading 3 of 7 files", ["reading 3/7"], "files"),
        ("12 rows without a crystal are left out", [], "12 rows without a crystal are left out"),
        ("9 of 3 is no progress", [], "9 of 3 is no progress"),
        ("epoch 0 of 0", [], "epoch 0 of 0"),
        ("", [], ""),
    ],
)
def test_lines_are_understood(line: str, where: list[str], rest: str) -> None:
    found, other = steps(line)
    assert [str(step) for step in found] == where
    assert other == rest


def clock(*lines: str, each: float) -> Clock:
    """Return a clock that was told `lines`, `each` seconds apart."""
    time = 0.0
    told = Clock(lambda: time)
    for line in lines:
        time += each
        told.take(line)
    return told


def test_the_rest_takes_as_long_as_the_part_done() -> None:
    found = clock("epoch 1/4", "epoch 2/4", each=10.0)
    assert found.share == pytest.approx(0.5)
    assert found.seconds_left == pytest.approx(20.0)


def test_parts_within_parts_are_added_up() -> None:
    found = clock("member 2/2, dense: network 1/5: epoch 5/10", each=1.0)
    assert found.share == pytest.approx(0.5 + 0.5 * (0.0 + 0.2 * 0.5))


def test_a_resumed_training_is_not_taken_for_a_fast_one() -> None:
    found = clock("epoch 31/40", "epoch 32/40", each=10.0)
    assert found.seconds_left == pytest.approx(80.0)


def test_folds_hold_what_follows_them() -> None:
    found = clock("fold 2 of 4: 9 rows to learn from, 3 to predict", "epoch 5/10", each=1.0)
    assert found.share == pytest.approx(0.25 + 0.25 * 0.5)


def test_nothing_is_said_before_anything_is_known() -> None:
    assert clock("reading", each=1.0).seconds_left is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0 s"), (89, "89 s"), (150, "2 min"), (5400, "1 h 30 min"), (7500, "2 h 05 min")]
)
def test_times_are_for_people(seconds: float, words: str) -> None:
    assert spoken(seconds) == words


def test_in_a_pipe_the_lines_stay_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with training_progress(False) as tell:
        assert tell is not None
        tell("12 rows are left out")
        tell("epoch 1/1  train 0.1")
    assert capsys.readouterr().err.splitlines() == ["12 rows are left out", "epoch 1/1  train 0.1"]
    with training_progress(True) as tell:
        assert tell is None


def test_on_a_terminal_it_is_drawn(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with training_progress(False) as tell:
        assert tell is not None
        tell("[bold] is no markup here")
        tell("network 1/1: epoch 2/2  train [0.1]")
    drawn = capsys.readouterr().err
    assert "[bold] is no markup here" in drawn
    assert "network 1/1, epoch 2/2" in drawn
    assert "train [0.1]" in drawn


def test_rows_are_counted_on_a_terminal_and_pass_unchanged(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for terminal in (False, True):
        monkeypatch.setattr("sys.stderr.isatty", lambda terminal=terminal: terminal)
        with counting(iter(range(1234))) as rows:
            assert list(rows) == list(range(1234))
        assert ("1,234 rows" in capsys.readouterr().err) == terminal
