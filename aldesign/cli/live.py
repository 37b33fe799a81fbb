"""How far a training is and how long it will take: a live line on a terminal, plain lines anywhere else.

An oracle reports by lines of text. Of a line, everything that reads ``fold 2 of 5``, ``network 1/4`` or ``epoch 3/40``
says how far it is, the coarsest first; what follows the last of them is shown beside the bar. Any other line is
printed as it is.
"""

from __future__ import annotations

import re
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from aldesign.cli.output import note

if TYPE_CHECKING:
    from rich.progress import Progress

_STEP = re.compile(r"(?:([A-Za-z]+) )?(\d+)(?:/| of )(\d+)(?: ([A-Za-z]+))?")
_OUTER = "fold"
T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """How far something is: `done` of `total` things called `what`."""

    what: str
    done: int
    total: int

    def __str__(self) -> str:
        return f"{self.what} {self.done}/{self.total}".strip()


def steps(line: str) -> tuple[list[Step], str]:
    """Return how far a line says that the work is, coarsest first, and the rest of the line."""
    found: list[Step] = []
    end = 0
    for match in _STEP.finditer(line):
        between = line[end : match.start()].strip(" :,;")
        # "member 1/3, dense: network 2/4": a name may stand in between
        if (
            not (between.isidentifier() if found and between else not between)
            or int(match[3]) < 1
            or int(match[2]) > int(match[3])
        ):
            break
        # "fold 2 of 5", but "10 of 100 trees"
        found.append(Step(match[1] or match[4] or "", int(match[2]), int(match[3])))
        end = match.end(3) if match[1] else match.end()
    return found, line[end:].strip(" :,;")


class Clock:
    """The share that is done, and the time that the rest will take at the pace of the last steps.

    Args:
        now: Where the time comes from, in seconds.

    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._outer = now, Step("", 1, 1)
        self._start = now()
        self._seen: deque[tuple[float, float]] = deque(maxlen=8)

    def take(self, line: str) -> tuple[list[Step], str]:
        """Enter a line; return where the work is, folds included, and the rest of the line."""
        found, rest = steps(line)
        if found and found[0].what == _OUTER and len(found) == 1:
            self._outer, self._start = found[0], self._now()
            return [], line
        if not found:
            return [], line
        if self._outer.total > 1:
            found = [self._outer, *found]
        share, size = 0.0, 1.0
        for step in found:
            size /= step.total
            share += (step.done - (step is not found[-1])) * size
        if not self._seen:
            self._seen.append((self._start, share - size))
        self._seen.append((self._now(), share))
        return found, rest

    @property
    def share(self) -> float:
        """The share that is done, between 0 and 1."""
        return self._seen[-1][1] if self._seen else 0.0

    @property
    def seconds_left(self) -> float | None:
        """What the rest takes, at most; None as long as nothing tells."""
        if len(self._seen) < 2:
            return None
        (begun, first), (ended, last) = self._seen[0], self._seen[-1]
        return None if last <= first else (1.0 - last) * (ended - begun) / (last - first)


def spoken(seconds: float) -> str:
    """Return a time for people: ``12 s``, ``3 min``, ``2 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def training_progress(quiet: bool) -> Iterator[Callable[[str], None] | None]:
    """Yield what takes an oracle's lines while it learns; None where nothing is to be shown."""
    if quiet:
        yield None
        return
    if not sys.stderr.isatty():
        yield _plain(Clock())
        return
    from rich.console import Console, Group
    from rich.live import Live
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("[bold]{task.description}"), BarColumn(), TextColumn("{task.percentage:.0f} %"))
    bar = Progress(*columns, console=console)
    # The figures have a line of their own: beside the bar they would not fit into a narrow terminal.
    below = Progress(TextColumn("  {task.description}", markup=False), console=console)
    with Live(Group(bar, below), console=console):
        yield _Live(bar, below, Clock())


@contextmanager
def counting(rows: Iterator[T]) -> Iterator[Iterator[T]]:
    """Yield `rows`, counted on a terminal while they pass; silent anywhere else."""
    if not sys.stderr.isatty():
        yield rows
        return
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.completed:,.0f} rows"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task("", total=None)

        def passing() -> Iterator[T]:
            for row in rows:
                yield row
                drawn.advance(task)

        yield passing()


def _plain(clock: Clock) -> Callable[[str], None]:
    def tell(line: str) -> None:
        found, _ = clock.take(line)
        left = clock.seconds_left if found else None
        note(f"{line}  at most {spoken(left)} left" if left and left >= 1 else line)

    return tell


class _Live:
    """Draws a bar, and below it the figures of the last step and the time."""

    def __init__(self, bar: Progress, below: Progress, clock: Clock) -> None:
        self._bar, self._below, self._clock = bar, below, clock
        self._task = bar.add_task("learning", total=1.0)
        self._figures = below.add_task("")
        self._started = time.monotonic()

    def __call__(self, line: str) -> None:
        """Show a line of an oracle."""
        found, rest = self._clock.take(line)
        if not found:
            self._bar.console.print(line, markup=False, highlight=False)
            return
        spent, left = spoken(time.monotonic() - self._started), self._clock.seconds_left
        times = f"{spent} so far, at most {spoken(left)} left" if left and left >= 1 else f"{spent} so far"
        self._below.update(self._figures, description=f"{rest}; {times}" if rest else times)
        self._bar.update(self._task, description=", ".join(map(str, found)), completed=self._clock.share)
