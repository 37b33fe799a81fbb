"""One reproduction in its folder: what it consists of, and where each part is kept."""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from aldesign.errors import InputError, RunDirectoryError
from aldesign.files import write_json
from aldesign.reproduce.paper import EXPERIMENTS
from aldesign.reproduce.screening import FORMATION_ENERGY, MODELS, settings
from aldesign.reproduce.tables import digests, find_tables

CAMPAIGNS = ("exp2", "exp3")
"""Experiments whose labels train a screening model."""

NOTE, LOCK, POOL = "study.json", "study.lock", "pool.txt.gz"
FOLDERS = ("jobs", "oracles", "selected", "labels", "campaigns", "checkpoints", "start")


@dataclass(frozen=True)
class Job:
    """A piece of work that is done whole, and kept: a training, or a campaign.

    Attributes:
        sample: ``exp1``, ``exp2-bs``, ``exp2-al`` (the paper's own labels), ``exp2-ours`` (those of our campaign),
            ``exp2-campaign`` (that campaign), the same of ``exp3``, or ``exp4``.
        model: Entry-point name of the screening model, which is also the oracle's.
        repeat: Which of the random splits, or starts of ``exp4``.

    """

    sample: str
    model: str
    repeat: int = 0

    @property
    def experiment(self) -> str:
        """The experiment that it belongs to."""
        return self.sample.partition("-")[0]

    @property
    def name(self) -> str:
        """What it is called in files and on the screen."""
        return f"{self.sample}.{self.model}.{self.repeat + 1:02d}"


@dataclass(frozen=True)
class Study:
    """What is to be reproduced, from which tables, and where the work is kept.

    Attributes:
        out: The folder of the study.
        data: The folder of the paper's tables.
        models: Kinds of model; each is its own oracle, as in the paper.
        repeats: Random splits of each sample.
        oracle_repeats: The same of the full table, on which networks take long; None for as many as `repeats` for a
            forest and one for a network.
        pool: Generated formulas that are screened.
        seed: Of everything.
        start: What the graph starts from.
        labels: Budget of the campaigns instead of the paper's.
        oracle_epochs: Passes of a network over the full table; None for its own.

    """

    out: Path
    data: Path
    models: tuple[str, ...] = tuple(MODELS)
    repeats: int = 10
    oracle_repeats: int | None = None
    pool: int = 100_000
    seed: int = 0
    start: str = FORMATION_ENERGY
    labels: int | None = None
    oracle_epochs: int | None = None

    def options(self, model: str, *, oracle: bool) -> dict[str, Any]:
        """Return the settings of a model, as `settings` does."""
        return settings(model, oracle=oracle, start=self.start, epochs=self.oracle_epochs)

    def repeats_of(self, sample: str, model: str) -> int:
        """Return into how many splits a sample is divided."""
        if sample != "exp1":
            return self.repeats
        return self.oracle_repeats or (self.repeats if model == "random_forest" else 1)

    def record(self, job: Job) -> Path:
        """Return where a job's result is kept."""
        return self.out / "jobs" / f"{job.name}.json"

    def oracle(self, model: str) -> Path:
        """Return the folder of the oracle's weights."""
        return self.out / "oracles" / model

    def selected(self, model: str) -> Path:
        """Return the list of the oracle's candidates."""
        return self.out / "selected" / f"{model}.txt"

    def labelled(self, experiment: str, model: str) -> Path:
        """Return the table of what our campaign paid for."""
        return self.out / "labels" / f"{experiment}.{model}.csv"

    def campaign(self, job: Job) -> Path:
        """Return the run directory of a campaign."""
        return self.out / "campaigns" / job.name

    def checkpoint(self, job: Job) -> Path:
        """Return where a training that is under way keeps its state."""
        return self.out / "checkpoints" / job.name

    def read(self, job: Job) -> dict[str, Any] | None:
        """Return a job's result, None where it is not done.

        Raises:
            InputError: The file is damaged.

        """
        path = self.record(job)
        return _record(path) if path.is_file() else None

    def finished(self) -> list[dict[str, Any]]:
        """Return the result of every job that is done, of whichever call.

        Raises:
            InputError: A file is damaged.

        """
        return [_record(path) for path in sorted((self.out / "jobs").glob("*.json")) if path.name[0] != "."]

    @contextmanager
    def opened(self, force: bool = False) -> Iterator[Study]:
        """Hold the folder's lock, so that one process at a time works on it; begin the study.

        Raises:
            RunDirectoryError: Another live process holds it.
            InputError: As `begin`.

        """
        self._check()
        try:
            self.out.mkdir(parents=True, exist_ok=True)
            held = (self.out / LOCK).open("a")
        except OSError as error:
            raise InputError(f"cannot write into {self.out}: {error.strerror}", "give another --out") from error
        with held as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise RunDirectoryError(
                    f"{self.out} is being written by another process", "wait for it, or give another --out"
                ) from None
            self.begin(force)
            yield self

    def begin(self, force: bool = False) -> None:
        """Make the folder, or make sure that what it holds is of the same study.

        Raises:
            InputError: It is of another study, damaged, and `force` is False; or the tables are missing.

        """
        folder = self._check()
        fixed = asdict(self)
        for name in ("out", "data", "models", "repeats", "oracle_repeats"):  # may change from call to call
            del fixed[name]
        identity = {**fixed, "tables": digests(folder)}
        note = self.out / NOTE
        if force and note.is_file():
            for part in FOLDERS:
                shutil.rmtree(self.out / part, ignore_errors=True)
            (self.out / POOL).unlink(missing_ok=True)
            write_json(note, identity)  # replaced last: a kill before it leaves a study that may be forced again
        elif note.is_file():
            known = _identity(note)
            other = [key for key in identity if known.get(key) != identity[key]]
            if other:
                raise InputError(
                    f"{self.out} holds a study with another {', '.join(other)}",
                    "give another --out, or --force to begin anew",
                )
        else:
            write_json(note, identity)

    def _check(self) -> Path:
        """Return the folder of the tables; refuse what cannot be done before anything is written."""
        if not self.models:
            raise InputError("no screening model is named", f"allowed: {', '.join(MODELS)}")
        for model in self.models:
            self.options(model, oracle=True)
        foreign = self.out.exists() and not (self.out / NOTE).is_file()
        # a kill before the study was claimed leaves its lock, and a temporary file
        if foreign and not (self.out.is_dir() and all(_leftover(path) for path in self.out.iterdir())):
            raise InputError(f"{self.out} holds something else", "give another --out")
        return find_tables(self.data)


def _leftover(path: Path) -> bool:
    return path.name == LOCK or fnmatch(path.name, ".study.*.json")


def _identity(note: Path) -> dict[str, Any]:
    try:
        found = json.loads(note.read_bytes())
    except ValueError as error:
        raise InputError(f"{note} is damaged: {error}", "give another --out, or --force to begin anew") from error
    if not isinstance(found, dict):
        raise InputError(f"{note} is damaged: no object", "give another --out, or --force to begin anew")
    return found


def _record(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}", "remove it; its part is done again") from error
    if not isinstance(found, dict) or found.get("model") not in MODELS or not {"sample", "repeat"} <= found.keys():
        raise InputError(f"{path} is damaged: no result", "remove it; its part is done again")
    return found


def stages(study: Study, experiments: Sequence[str], model: str) -> list[list[Job]]:
    """Return the jobs of a model, in stages of which each needs those before it.

    The oracle comes first, whatever is asked for: without it nothing is recovered or labelled.

    Raises:
        InputError: There is no such experiment.

    """
    unknown = [name for name in experiments if name not in EXPERIMENTS]
    if unknown:
        raise InputError(f"no experiment is called {unknown[0]!r}", f"allowed: {', '.join(EXPERIMENTS)}")
    labelling = [Job(f"{name}-campaign", model) for name in CAMPAIGNS if name in experiments]

    def fits(samples: Sequence[str], first: int = 0) -> list[Job]:
        most = max(study.repeats_of(sample, model) for sample in samples) if samples else 0
        every = [Job(sample, model, repeat) for repeat in range(first, most) for sample in samples]
        return [job for job in every if job.repeat < study.repeats_of(job.sample, model)]

    known = [f"{name}-{kind}" for name in CAMPAIGNS if name in experiments for kind in ("bs", "al")]
    ours = [f"{name}-ours" for name in CAMPAIGNS if name in experiments]
    others = (["exp1"] if "exp1" in experiments else []), (["exp4"] if "exp4" in experiments else [])
    second = [*labelling, *fits(known), *fits(others[1]), *fits(others[0], 1)]
    return [stage for stage in ([Job("exp1", model)], second, fits(ours)) if stage]
