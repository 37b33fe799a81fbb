"""The runs of a replay, one per strategy and seed: worked off batch by batch, each batch recorded as it is bought."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, wait
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from aldesign.campaign.spec import CampaignSpec
from aldesign.errors import AldesignError
from aldesign.execution import executor
from aldesign.replay.journal import Bought, ReplayFolder
from aldesign.replay.strategies import LEARNING, Ground, Request, buy


@dataclass
class Run:
    """One strategy with one seed, as far as it has come.

    Attributes:
        strategy: Its name.
        spec: The campaign, with the seed of this run.
        start: Rows known at the start, in order.
        labels: How many it buys in all.
        batch: How many at once.
        batches: What it has bought.
    """

    strategy: str
    spec: CampaignSpec
    start: np.ndarray
    labels: int
    batch: int
    batches: list[Bought] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.strategy}-seed{self.spec.seed}"

    @property
    def rows(self) -> list[int]:
        """Rows bought, in order."""
        return [row for batch in self.batches for row in batch.rows]

    @property
    def missing(self) -> int:
        """Labels that are still to be bought."""
        return self.labels - len(self.rows)

    def request(self, buyable: np.ndarray) -> Request:
        """Return the next batch's request."""
        known = np.array([*self.start.tolist(), *self.rows], dtype=np.int64)
        left = buyable.copy()
        left[known] = False
        before = self.batches[-1].hyperparameters if self.batches else None
        n, iteration = min(self.batch, self.missing), len(self.batches) + 1
        return Request(self.strategy, self.spec, known, np.flatnonzero(left), n, iteration, before)


def work_off(
    runs: Sequence[Run],
    buyable: np.ndarray,
    gaps: np.ndarray,
    learned_from: Callable[[], Ground],
    kept: ReplayFolder,
    workers: int,
    told: Callable[[Run], None],
) -> None:
    """Buy what the runs still miss; those that learn, in worker processes where there are several.

    Args:
        runs: What is to be done; their batches grow.
        buyable: Rows that may be bought, shape (n,).
        gaps: Labels in eV, shape (n,).
        learned_from: Gives the ground of those that learn; called only if one has work left.
        kept: Where every batch is recorded.
        workers: Processes; results do not depend on their number.
        told: Called with a run that learns after each of its batches.

    Raises:
        AldesignError: A worker process died; finished batches are recorded.
    """
    for run in runs:
        while run.strategy not in LEARNING and run.missing:
            _record(run, buy(run.request(buyable), Ground(gaps)), kept)
    slow = deque(run for run in runs if run.strategy in LEARNING and run.missing)
    if not slow:
        return
    workers = min(workers, len(slow))
    with executor("processes" if workers > 1 else "serial", workers, _prepare, (learned_from(),)) as pool:
        try:
            _buy_all(pool, slow, buyable, kept, workers, told)
        except BaseException as error:
            if (kill := getattr(pool, "kill", None)) is not None:
                kill()
            if isinstance(error, BrokenExecutor):
                raise AldesignError(
                    f"a worker process died: {error}",
                    "give the same command again to go on; with fewer --workers, if memory is short",
                ) from error
            raise


def _buy_all(
    pool: Executor,
    queue: deque[Run],
    buyable: np.ndarray,
    kept: ReplayFolder,
    workers: int,
    told: Callable[[Run], None],
) -> None:
    flight: dict[Future[Bought], Run] = {}
    while queue or flight:
        while queue and len(flight) < workers:
            run = queue.popleft()
            flight[pool.submit(_buy, run.request(buyable))] = run
        done, _ = wait(flight, return_when=FIRST_COMPLETED)
        for future in done:
            run = flight.pop(future)
            _record(run, future.result(), kept)
            told(run)
            if run.missing:
                queue.appendleft(run)


def _record(run: Run, batch: Bought, kept: ReplayFolder) -> None:
    kept.append(run.name, batch)
    run.batches.append(batch)


# What follows happens inside a worker.

_grounds: dict[str, Ground] = {}


def _prepare(ground: Ground) -> None:
    if isinstance(ground.features, Path):
        # mapped, not read: workers share one copy
        mapped = np.load(ground.features, mmap_mode="r", allow_pickle=False)
        ground = replace(ground, features=np.asarray(mapped))
    _grounds["here"] = ground


def _buy(request: Request) -> Bought:
    return buy(request, _grounds["here"])
