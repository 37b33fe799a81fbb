"""A progress line with best-so-far and time left, on terminals only."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from aldesign.records import Trial, TrialState

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from aldesign.campaign.campaign import Listener
    from aldesign.campaign.spec import CampaignSpec
    from aldesign.campaign.state import CampaignState


@contextmanager
def display(spec: CampaignSpec, quiet: bool, state: CampaignState | None = None) -> Iterator[Listener]:
    """Yield a listener that draws a campaign's progress on standard error; silent in a pipe."""
    if quiet or not sys.stderr.isatty():
        from aldesign.campaign.campaign import silent

        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield _Display(spec, progress, state)


class _Display:
    """Turns a campaign's announcements into one bar: iterations first, crystals at the end."""

    def __init__(self, spec: CampaignSpec, progress: Progress, state: CampaignState | None) -> None:
        from aldesign.campaign.ranking import objective

        self._goal = objective(spec)
        self._progress = progress
        self._best: tuple[float, str] | None = None
        done = state.iterations if state is not None else 0
        self._bar: TaskID = progress.add_task("loading models", total=spec.stop.iterations, completed=done)
        for trial in state.measured if state is not None else ():
            self._note(trial)

    def __call__(self, kind: str, facts: Mapping[str, Any]) -> None:
        """Draw what was announced."""
        if kind == "answered":
            self._note(facts["trial"])
        if kind == "learning":
            self._describe(f"iteration {facts['iteration']}")
        elif kind == "closed" and facts["iteration"] > 0:
            self._progress.advance(self._bar)
        elif kind == "structures":
            self._describe("crystals for the best")
        elif kind in {"exporting", "finished"}:
            self._describe(kind)

    def _note(self, trial: Trial) -> None:
        if trial.state is not TrialState.MEASURED or trial.prediction is None or trial.prediction.value is None:
            return
        if self._best is None or self._goal.better(trial.prediction.value, self._best[0]):
            self._best = (trial.prediction.value, trial.candidate.formula)

    def _describe(self, text: str) -> None:
        best = f", best {self._best[0]:.2f} eV {self._best[1]}" if self._best else ""
        self._progress.update(self._bar, description=text + best)
