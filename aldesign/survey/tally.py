"""How far a survey is: everything that it has found out, but for the memory of the formulas seen."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np

from aldesign.survey.ranking import Goal, Scored
from aldesign.survey.sieves import Stage
from aldesign.survey.work import LISTED, Answered, Problem, Sieved

MOST_LISTED = 10 * LISTED
"""So many rows that came to nothing are listed with their reasons; all are counted."""


@dataclass
class Tally:
    """Counts, the best so far, and where to go on.

    Attributes:
        jobs: Jobs of sieving that are done, in order.
        rows: Rows read or drawn.
        unreadable: Rows that are no formula.
        repeats: Formulas that had come before.
        held: Distinct formulas by the `Stage` that holds them back; the first are those that passed.
        scored: Formulas that the oracle answered for.
        inside: Those of them within its domain.
        unanswered: Formulas that it could not answer for.
        abandoned: Rows and formulas lost with work that killed its workers again and again.
        best: The best scored formulas, best first.
        unread: The first rows that are no formula, in order.
        unscored: The first formulas without an answer, each with the number of its batch, in order.
        batches: Batches for the oracle that were made.
        rest: Formulas that wait for a batch to be full.
        seconds: Wall time, over interruptions.
        sieving_seconds: Processor time of reading or drawing and sieving, all workers together.
        scoring_seconds: Processor time of the oracle.
        finished: Whether all is done.

    """

    jobs: int = 0
    rows: int = 0
    unreadable: int = 0
    repeats: int = 0
    held: list[int] = field(default_factory=lambda: [0] * len(Stage))
    scored: int = 0
    inside: int = 0
    unanswered: int = 0
    abandoned: int = 0
    best: list[Scored] = field(default_factory=list)
    unread: list[Problem] = field(default_factory=list)
    unscored: list[tuple[int, Problem]] = field(default_factory=list)
    batches: int = 0
    rest: list[str] = field(default_factory=list)
    seconds: float = 0.0
    sieving_seconds: float = 0.0
    scoring_seconds: float = 0.0
    finished: bool = False

    @property
    def passed(self) -> int:
        """Distinct formulas that passed all sieves."""
        return self.held[Stage.PASSED]

    @property
    def problems(self) -> list[Problem]:
        """The first rows that came to nothing: what is no formula, then what has no answer, whoever was faster."""
        return [*self.unread, *(problem for _, problem in self.unscored)][:MOST_LISTED]

    def sieved(self, found: Sieved, fresh: np.ndarray) -> None:
        """Enter what became of some rows, of whose formulas those that are `fresh`, bool (n,), came first."""
        self.jobs += 1
        self.rows += found.rows
        self.unreadable += found.bad
        self.repeats += int((~fresh).sum())
        counts = np.bincount(found.stages[fresh], minlength=len(Stage)).tolist()
        self.held = [before + more for before, more in zip(self.held, counts, strict=True)]
        new = fresh[found.stages == Stage.PASSED].tolist()
        self.rest += [formula for formula, first in zip(found.passed, new, strict=True) if first]
        self.sieving_seconds += found.seconds
        self._note_unread(found.problems)

    def answered(self, number: int, found: Answered, goal: Goal, top: int) -> None:
        """Enter what the oracle said of batch `number`."""
        self.scored += found.rows - found.bad
        self.inside += found.inside
        self.unanswered += found.bad
        new = found.best
        if len(self.best) == top:  # most of them cannot get in any more
            last = goal.key(self.best[-1])
            new = [scored for scored in new if goal.key(scored) < last]
        if new:
            self.best = goal.best([*self.best, *new], top)
        self.scoring_seconds += found.seconds
        self._note_unscored(number, found.problems)

    def lost_rows(self, rows: int, what: str, reason: str) -> None:
        """Enter that some rows are given up before they were sieved, and why."""
        self.jobs += 1
        self.rows += rows
        self.abandoned += rows
        self._note_unread([Problem(0, what, reason)])

    def lost_batch(self, number: int, rows: int, what: str, reason: str) -> None:
        """Enter that batch `number` is given up, and why."""
        self.abandoned += rows
        self._note_unscored(number, [Problem(0, what, reason)])

    def record(self) -> dict[str, Any]:
        """Return everything, JSON-serialisable."""
        return asdict(self) | {"best": list(self.best), "unread": list(self.unread), "unscored": list(self.unscored)}

    @classmethod
    def of(cls, record: dict[str, Any]) -> Tally:
        """Return the tally that `record` tells of."""
        known = {one.name: record[one.name] for one in fields(cls) if one.name in record}
        return cls(
            **known
            | {
                "best": [Scored(*row) for row in record["best"]],
                "unread": [Problem(*row) for row in record["unread"]],
                "unscored": [(number, Problem(*row)) for number, row in record["unscored"]],
            }
        )

    def _note_unread(self, problems: list[Problem]) -> None:
        self.unread += problems[: MOST_LISTED - len(self.unread)]

    def _note_unscored(self, number: int, problems: list[Problem]) -> None:
        if problems:  # batches come back in any order
            merged = [*self.unscored, *((number, problem) for problem in problems)]
            self.unscored = sorted(merged, key=lambda entry: entry[0])[:MOST_LISTED]
