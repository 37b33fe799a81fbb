"""What happens in a worker: drawing or reading formulas, sieving them, and asking the oracle about the survivors."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from aldesign.chemistry.formula import canonical_many
from aldesign.errors import FormulaError, InputError
from aldesign.records import Candidate, OracleIdentity
from aldesign.survey.ranking import Goal, Scored
from aldesign.survey.seen import fingerprints
from aldesign.survey.sieves import Sieves, Stage
from aldesign.tables.rawfile import clean

if TYPE_CHECKING:
    from aldesign.models.gan import FormulaGAN
    from aldesign.protocols import Oracle

LISTED = 100  # problems that one piece of work describes; the others are counted


@dataclass(frozen=True)
class Tools:
    """What a worker needs to have; small, and the same for all.

    Attributes:
        sieves: What formulas must pass.
        goal: What makes one scored formula better than another.
        top: How many are kept.
        oracle: Name of the oracle.
        model: Folder of its weights; None for the shipped ones.
        options: For the oracle's ``load``.
        generator: Folder of the generator's weights; None for the shipped ones.
        wishes: What the generator is asked for, as in `FormulaGAN.sample`.

    """

    sieves: Sieves
    goal: Goal
    top: int
    oracle: str
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    generator: str | None = None
    wishes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Job:
    """One piece of work.

    Attributes:
        kind: ``"sieve"`` rows of a file, ``"draw"`` rows and sieve them, or ``"score"`` formulas.
        number: Its place among those of its kind, from 0.
        texts: Formulas as written, or canonical ones to score.
        lines: Line number of each row of a file.
        faults: Why a row of a file is unusable, by its place among `texts`.
        draws: How many formulas to draw.
        seed: Of the draws.

    """

    kind: Literal["sieve", "draw", "score"]
    number: int
    texts: tuple[str, ...] = ()
    lines: tuple[int, ...] = ()
    faults: Mapping[int, str] = field(default_factory=dict)
    draws: int = 0
    seed: int = 0

    @property
    def rows(self) -> int:
        """How many formulas it is about."""
        return self.draws or len(self.texts)


class Introduction(NamedTuple):
    """Which oracle scores, in which unit and at which level of theory, and the digest of the generator, if any."""

    oracle: OracleIdentity
    unit: str
    level: str
    property: str
    generator: str


class Problem(NamedTuple):
    """A row that came to nothing: its line, 0 where there is none, its text, and why."""

    line: int
    text: str
    reason: str


@dataclass(frozen=True)
class Sieved:
    """What became of some rows.

    Attributes:
        rows: How many there were.
        keys: Fingerprint of each formula that could be read, uint64 (n,).
        stages: The `Stage` that holds each of them back, uint8 (n,).
        passed: The canonical formulas that passed, in order.
        bad: How many rows could not be read.
        problems: The first of these.
        seconds: Processor time.

    """

    rows: int
    keys: np.ndarray
    stages: np.ndarray
    passed: list[str]
    bad: int
    problems: list[Problem]
    seconds: float


@dataclass(frozen=True)
class Answered:
    """What the oracle said of some formulas.

    Attributes:
        rows: How many were asked about.
        best: Those worth keeping, best first.
        inside: How many lie in the oracle's domain.
        bad: How many it could not answer.
        problems: The first of these.
        seconds: Processor time.

    """

    rows: int
    best: list[Scored]
    inside: int
    bad: int
    problems: list[Problem]
    seconds: float


class _Bench:
    """The tools of this worker; what is heavy is loaded when it is first needed."""

    def __init__(self, tools: Tools) -> None:
        self.tools = tools

    @cached_property
    def oracle(self) -> Oracle:
        """The oracle."""
        from aldesign.registry import load_oracle

        tools = self.tools
        found = load_oracle(tools.oracle, None if tools.model is None else Path(tools.model), **tools.options)
        _pin()
        return found

    @cached_property
    def generator(self) -> FormulaGAN:
        """The generator of formulas."""
        from aldesign.models.gan import FormulaGAN

        folder = self.tools.generator
        found = FormulaGAN.load(None if folder is None else Path(folder))
        _pin()
        return found


def _pin() -> None:
    """Hold torch, if it is here, to one thread: with more, last digits depend on how many there are."""
    if "torch" in sys.modules:
        from aldesign.learning.threads import pin_threads

        pin_threads(1)


_bench: _Bench | None = None


def prepare(tools: Tools) -> None:
    """Make a worker ready; the initializer of every kind of execution."""
    global _bench
    _bench = _Bench(tools)


def introduce(draws: bool) -> Introduction:
    """Say which oracle this worker has, and which generator where it `draws`.

    Raises:
        InputError: The oracle cannot score formulas, or its name, folder or options are wrong.

    """
    bench = _at_work()
    card = bench.oracle.card
    if card.needs != "formula" or card.answers != "predict":
        why = "needs crystals" if card.needs != "formula" else "answers from outside"
        raise InputError(f"oracle {card.identity.name!r} {why}", "choose one that answers for formulas at once")
    return Introduction(card.identity, card.unit, card.level, card.property, bench.generator.digest if draws else "")


def do(job: Job) -> Sieved | Answered:
    """Do one piece of work with the tools of this worker."""
    bench, started = _at_work(), time.process_time()
    if job.kind == "score":
        return _score(job, bench, started)
    if job.kind == "draw":
        from aldesign.seeds import stream

        rng = stream(job.seed, job.number, "survey")
        drawn = bench.generator.sample(job.draws, rng, **bench.tools.wishes)
        return _sieve(drawn, (), {}, bench.tools.sieves, started)
    return _sieve(list(job.texts), job.lines, dict(job.faults), bench.tools.sieves, started)


def _at_work() -> _Bench:
    if _bench is None:
        raise RuntimeError("the worker was not prepared")
    return _bench


def _sieve(texts: list[str], lines: Sequence[int], faults: dict[int, str], sieves: Sieves, started: float) -> Sieved:
    spelled = canonical_many(texts)
    for place, found in enumerate(spelled):
        if isinstance(found, FormulaError):
            faults.setdefault(place, found.message)
    formulas = [found for place, found in enumerate(spelled) if isinstance(found, str) and place not in faults]
    stages = sieves.stages(formulas)
    passed = [formulas[row] for row in np.flatnonzero(stages == Stage.PASSED).tolist()]
    problems = [Problem(lines[row] if lines else 0, clean(texts[row]), faults[row]) for row in sorted(faults)[:LISTED]]
    seconds = time.process_time() - started
    return Sieved(len(texts), fingerprints(formulas), stages, passed, len(faults), problems, seconds)


def _score(job: Job, bench: _Bench, started: float) -> Answered:
    from aldesign.predict import ask

    found: list[Scored] = []
    problems: list[Problem] = []
    for formula, answer in zip(job.texts, ask(bench.oracle, list(map(Candidate, job.texts))), strict=True):
        if answer.value is None:
            problems.append(Problem(0, formula, answer.error))
        else:
            std = None if answer.std is None else round(answer.std, 6)
            found.append(Scored(formula, round(answer.value, 6), std, answer.in_domain))
    inside = sum(scored.in_domain is not False for scored in found)
    best = bench.tools.goal.best(found, bench.tools.top)
    return Answered(len(job.texts), best, inside, len(problems), problems[:LISTED], time.process_time() - started)
