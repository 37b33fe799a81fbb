"""Rehearse a campaign on known gaps: every label that it pays for is a row of a table."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from aldesign import __version__
from aldesign.campaign.parts import Parts
from aldesign.campaign.ranking import objective
from aldesign.campaign.spec import CampaignSpec
from aldesign.errors import InputError, InterruptedRunError
from aldesign.models.acquisition import Objective
from aldesign.records import Table
from aldesign.replay.features import describe
from aldesign.replay.journal import ReplayFolder
from aldesign.replay.metrics import STAGES, Course, Curve, measure
from aldesign.replay.pool import Hits, Pool, find_hits, make_pool
from aldesign.replay.runs import Run, work_off
from aldesign.replay.start import Start, own_data, start_notes, start_rows
from aldesign.replay.strategies import LEARNING, Ground, learner_facts, refuse_unlearnable, strategy_names

if TYPE_CHECKING:
    from aldesign.models.surrogates.features import FeatureSpace

LABELS = 1000
"""Labels paid where neither the command nor the campaign's own stop rule says how many."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class ReplayPlan:
    """What is asked of a replay.

    Attributes:
        seeds: How many; they count up from the campaign's own.
        labels: Bought by each run; None for the campaign's budget.
        batch: Labels at once; None for the campaign's batch size.
        strategies: Who buys; see `replay_strategies.STRATEGIES`.
        start: What is known before.
        threshold_ev: From which gap on a row counts as found.
        top: Or the share of the best rows that do.
        workers: Processes that buy; what they buy does not depend on their number.
    """

    seeds: int = 5
    labels: int | None = None
    batch: int | None = None
    strategies: str = "campaign,greedy,random"
    start: Start = field(default_factory=Start)
    threshold_ev: float | None = None
    top: float | None = None
    workers: int = 1


@dataclass(frozen=True)
class Replayed:
    """A finished replay.

    Attributes:
        name: Of the campaign.
        pool: The table.
        hits: What counts as found.
        goal: What is wanted.
        courses: Every run, by strategy and then seed.
        curves: The same, measured.
        batch: Labels at once.
        notes: What people should know.
    """

    name: str
    pool: Pool
    hits: Hits
    goal: Objective
    courses: tuple[Course, ...]
    curves: tuple[Curve, ...]
    batch: int
    notes: tuple[str, ...]

    @cached_property
    def by_strategy(self) -> dict[str, tuple[list[Course], list[Curve]]]:
        """Courses and curves of each strategy, in the order asked for."""
        found: dict[str, tuple[list[Course], list[Curve]]] = {}
        for course, curve in zip(self.courses, self.curves, strict=True):
            courses, curves = found.setdefault(course.strategy, ([], []))
            courses.append(course)
            curves.append(curve)
        return found

    @property
    def labels(self) -> int:
        """Labels that each run paid."""
        return len(self.courses[0].rows)


class Replay:
    """A replay made ready: the table read, the start rows chosen, nothing bought yet.

    Args:
        spec: The campaign.
        table: Known gaps.
        plan: What is asked.

    Raises:
        InputError: Anything that cannot be used; the message says what and where.
    """

    def __init__(self, spec: CampaignSpec, table: Table, plan: ReplayPlan) -> None:
        refuse_unlearnable(spec)
        self.spec, self.plan = spec, plan
        self.strategies = strategy_names(plan.strategies)
        self.goal = objective(spec)
        self.seeds = range(spec.seed, spec.seed + plan.seeds)
        self.batch = plan.batch or spec.batch_size
        own = own_data(spec, self.seeds, plan.start)
        self.pool = make_pool(spec, table, own.rows if plan.start.keep_foreign else ())
        self.hits = find_hits(spec, self.pool, plan.threshold_ev, plan.top)
        self.starts = {seed: start_rows(plan.start, self.pool, own.formulas[seed], seed) for seed in self.seeds}
        self.bad = (*self.pool.bad, *own.bad)
        self.labels = self._labels()
        first = self.starts[spec.seed]
        told = start_notes(plan.start, self.pool, own, spec.seed, first)
        self.notes = (*self.pool.notes, *told, *self._limits_told())

    @cached_property
    def space(self) -> FeatureSpace:
        """What the campaign's surrogate sees of a formula."""
        from aldesign.models.surrogates.features import LATENT, FeatureSpace

        names = self.spec.surrogate.features
        return FeatureSpace(names, Parts(self.spec).encoder if LATENT in names else None)

    def run(self, folder: Path, progress: Progress | None = None) -> Replayed:
        """Buy, or go on buying, and return all that was bought.

        Args:
            folder: Where every batch is recorded.
            progress: Takes a line for each batch.

        Raises:
            RunDirectoryError: The folder belongs to another replay or another process.
            InterruptedRunError: Ctrl-C; finished batches are in the folder.
        """
        try:
            with ReplayFolder(folder, self._facts()).opened() as kept:
                courses = tuple(self._course(run) for run in self._runs(kept, progress))
        except KeyboardInterrupt:
            raise InterruptedRunError(
                f"interrupted: every finished batch is in {folder}", "give the same command again to go on"
            ) from None
        pool, mask = self.pool, self.hits.mask
        curves = tuple(measure(course, pool.gaps, mask, pool.buyable, self.goal) for course in courses)
        notes = (*self.notes, *_said(courses))
        return Replayed(self.spec.name, pool, self.hits, self.goal, courses, curves, self.batch, notes)

    def _runs(self, kept: ReplayFolder, progress: Progress | None) -> list[Run]:
        """Return every run, finished."""
        runs = []
        for name in self.strategies:
            for seed in self.seeds:
                spec = self.spec.model_copy(update={"seed": seed})
                run = Run(name, spec, self.starts[seed], self.labels, self.batch)
                run.batches += kept.bought(run.name)
                runs.append(run)
        slow = [run for run in runs if run.strategy in LEARNING]
        total = len(slow) * -(-self.labels // self.batch)

        def told(run: Run) -> None:
            if progress is not None:
                progress(f"batch {sum(len(r.batches) for r in slow)}/{total}: {self._told(run)}")

        def ground() -> Ground:
            x = describe(self.space, self.pool.formulas, kept, progress, store=self.plan.workers > 1)
            return Ground(self.pool.gaps, x, self.space.blocks, self.pool.formulas)

        work_off(runs, self.pool.buyable, self.pool.gaps, ground, kept, self.plan.workers, told)
        kept.drop_features()
        return runs

    def _course(self, run: Run) -> Course:
        mean, std = (
            np.array([value for batch in run.batches for value in (getattr(batch, part) or [np.nan] * len(batch.rows))])
            for part in ("mean", "std")
        )
        sizes = tuple(len(batch.rows) for batch in run.batches)
        rows, last = np.array(run.rows, dtype=np.int64), run.batches[-1]
        seconds = {stage: sum(batch.seconds.get(stage, 0.0) for batch in run.batches) for stage in STAGES}
        return Course(run.strategy, run.spec.seed, run.start, rows, mean, std, sizes, seconds, last.notes)

    def _told(self, run: Run) -> str:
        offered = self.hits.mask.copy()
        offered[run.start] = False
        rows, spent = run.rows, sum(run.batches[-1].seconds.values())
        return (
            f"{run.strategy}, seed {run.spec.seed}, {len(rows)} labels, "
            f"{int(self.hits.mask[rows].sum())} of {int(offered.sum())} found, {spent:.1f} s"
        )

    def _labels(self) -> int:
        for offered in self._offers():
            if not (self.hits.mask & offered).any():
                raise InputError(
                    f"every row with a {self.hits.text} is known at the start: nothing is left to find",
                    "ask for more with another --threshold or --top, or start from fewer rows",
                )
        return min(self._asked(), *(int(offered.sum()) for offered in self._offers()))

    def _asked(self) -> int:
        stop = self.spec.stop
        return self.plan.labels or stop.budget or (stop.iterations * self.batch if stop.iterations else LABELS)

    def _offers(self) -> list[np.ndarray]:
        """Return which rows may be bought with each seed, shape (n,)."""
        offers = []
        for start in self.starts.values():
            offered = self.pool.buyable.copy()
            offered[start] = False
            offers.append(offered)
        return offers

    def _limits_told(self) -> list[str]:
        """Return in words where the table is too small for what is asked, or the question too easy."""
        notes = []
        if self._asked() > self.labels:
            notes.append(f"{self.labels} labels are paid, not {self._asked()}: no more rows can be bought")
        if any(self.hits.mask[offered].all() for offered in self._offers()):
            notes.append(
                f"every row that can be bought has a {self.hits.text}: any choice finds as much; "
                "ask for more with --threshold or --top"
            )
        return notes

    def _facts(self) -> dict[str, Any]:
        """Return what decides the purchases, by the names that a refusal shows."""
        content = hashlib.sha256()
        for formula, gap, fine in zip(self.pool.formulas, self.pool.gaps, self.pool.buyable, strict=True):
            content.update(f"{formula}\t{float(gap)!r}\t{fine}\n".encode())
        first = hashlib.sha256(repr(self.starts[self.spec.seed].tolist()).encode()).hexdigest()
        return {
            "version of aldesign": __version__,
            "kind of campaign": learner_facts(self.spec),
            "features": self.space.digest,
            "table": content.hexdigest(),
            "start": {**asdict(self.plan.start), "rows": first},
            "number of labels": self.labels,
            "batch size": self.batch,
        }


def _said(courses: Sequence[Course]) -> list[str]:
    """Return what the surrogates said, and which strategies did the same with every seed."""
    notes = []
    for name in dict.fromkeys(course.strategy for course in courses):
        own = [course for course in courses if course.strategy == name]
        notes += [f"{name}: {note}" for note in own[0].notes]
        alike = all(np.array_equal(course.rows, own[0].rows) for course in own)
        if alike and len(own) > 1 and name != "best":
            notes.append(
                f"{name} bought the same with each of {len(own)} seeds: neither it nor its start is random, so that "
                "errors read 0; other start rows for each seed: --start N, or --set data.limit=N"
            )
    return notes
