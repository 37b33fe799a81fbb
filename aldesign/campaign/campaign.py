"""The only stateful class: a run directory, its journal, and what can be done with it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from aldesign import __version__
from aldesign.campaign import asking, finishing, loop, telling
from aldesign.campaign.answers import Answer
from aldesign.campaign.belongings import MODELS, adopt
from aldesign.campaign.checking import build_all
from aldesign.campaign.codec import prediction_to_json, trial_to_json
from aldesign.campaign.journal import FILE_NAME, LOCK_NAME, Journal
from aldesign.campaign.measuring import answer, lost
from aldesign.campaign.parts import Parts
from aldesign.campaign.proposing import Batch
from aldesign.campaign.ranking import Shortlist, best_first, shortlist
from aldesign.campaign.reading import holds_events, spec_of
from aldesign.campaign.repair import repairable
from aldesign.campaign.seeding import seed_trials
from aldesign.campaign.spec import CampaignSpec, ExecutionSpec, read_spec
from aldesign.campaign.state import CampaignState, fold
from aldesign.campaign.stopping import batch_left
from aldesign.errors import RunDirectoryError
from aldesign.execution import LostWorker, Workers
from aldesign.files import write_text
from aldesign.learning.threads import pin_threads
from aldesign.records import Prediction, Trial
from aldesign.structures.assign import Assignment
from aldesign.structures.making import Job, work

SPEC_NAME = "campaign.yaml"
UNBEGUN = {SPEC_NAME, FILE_NAME, f"{FILE_NAME}-wal", f"{FILE_NAME}-shm", LOCK_NAME, MODELS}
Listener = Callable[[str, Mapping[str, Any]], None]


def silent(kind: str, facts: Mapping[str, Any]) -> None:
    """Ignore an announcement."""


class Campaign:
    """A campaign in its run directory; use ``create`` or ``open``, and close it (or use ``with``).

    Args:
        directory: The run directory.
        journal: Its journal, open for writing.
        spec: The definition as recorded.
        listener: Called with every step, for progress displays.
    """

    def __init__(
        self,
        directory: Path,
        journal: Journal,
        spec: CampaignSpec,
        listener: Listener = silent,
        parts: Parts | None = None,
    ) -> None:
        # One thread in the process that decides: equal proposals everywhere, and no contention with the workers.
        pin_threads(1)
        self.directory = directory
        self.spec = spec
        self.parts = parts or Parts(spec)
        self.state: CampaignState = fold(journal.events())
        self.announce_to = listener
        self._journal = journal
        self._workers: Workers | None = None

    @classmethod
    def create(cls, spec: CampaignSpec, directory: Path, listener: Listener = silent) -> Campaign:
        """Begin a campaign in a new or empty directory, or in one whose campaign never recorded its first event.

        Raises:
            RunDirectoryError: The directory holds something already, or another process begins a campaign there.
            InputError: The seed rows or a part of the campaign cannot be used; nothing was written.
        """
        if directory.exists() and (not directory.is_dir() or {p.name for p in directory.iterdir()} - UNBEGUN):
            raise RunDirectoryError(f"{directory} is not empty", f"`aldesign resume {directory}`, or another --out")
        parts = Parts(spec)
        trials, seed = seed_trials(spec, parts.card.level)
        seed["notes"] += build_all(parts, trials)
        directory.mkdir(parents=True, exist_ok=True)
        journal = Journal(directory, write=True, create=True)
        try:
            if next(iter(journal.events()), None) is not None:
                raise RunDirectoryError(f"{directory} is not empty", f"`aldesign resume {directory}`, or another --out")
            spec = adopt(spec, directory)
            write_text(directory / SPEC_NAME, f"# as run by aldesign {__version__}\n{spec.to_yaml()}")
            created = {
                "spec": spec.model_dump(mode="json"),
                "spec_digest": spec.digest(),
                "version": __version__,
                "oracle": _card_facts(parts),
                "digests": parts.digests(),
                "seed": {key: seed[key] for key in ("origin", "rows", "notes", "claims") if key in seed},
                "bad_rows": seed["bad_rows"],
            }
            proposed = {"iteration": 0, "trials": [trial_to_json(t) for t in trials], "stats": {}, "seconds": {}}
            journal.append_all([("created", created), ("proposed", proposed)])
            return cls(directory, journal, parts.spec, listener, parts)
        except BaseException:
            journal.close()
            raise

    @classmethod
    def open(cls, directory: Path, listener: Listener = silent) -> Campaign:
        """Go on with a campaign as its one writer; one that never recorded its first event begins anew.

        Raises:
            RunDirectoryError: No run directory, another format, or another live writer.
            AldesignError: The oracle or the models are not those that the run began with.
        """
        if (directory / SPEC_NAME).is_file() and not holds_events(directory):
            return cls.create(read_spec(directory / SPEC_NAME), directory, listener)
        journal = Journal(directory, write=True)
        try:
            state = fold(journal.events())
            campaign = cls(directory, journal, spec_of(state, directory), listener)
            campaign.parts.refuse_other_weights(dict(state.created["digests"]))
        except BaseException:
            journal.close()
            raise
        return campaign

    def close_files(self, at_once: bool = False) -> None:
        """Release the journal and the worker processes; `at_once` does not wait for their work."""
        if self._workers is not None:
            self._workers.close(at_once)
            self._workers = None
        self._journal.close()

    def __enter__(self) -> Campaign:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close_files(at_once=kind is not None)

    # What people ask for

    def run(self, iterations: int | None = None, execution: ExecutionSpec | None = None) -> str:
        """Iterate to the campaign's stop rule, or by at most `iterations`; then make crystals and rank.

        Args:
            iterations: Limit of this call.
            execution: Where to run, instead of what the definition says; the results are the same.

        Returns:
            Why it ended.
        """
        if execution is not None:
            self.spec = self.parts.spec = self.spec.model_copy(update={"execution": execution})
        reason = loop.run(self, iterations)
        loop.finish(self)
        return reason

    def ask(self, n: int, to: str = "", crystals: asking.Crystals = "none", *, new: bool = False) -> list[Trial]:
        """Hand out n candidates to measure that were handed out to nobody before.

        First come those that were proposed and not asked yet, then new ones. All that is pending counts as measured
        at its expected gap, so that new ones avoid it. That they are asked is in the journal before they are returned;
        `state.waiting` lists all that are asked and not answered. There are fewer than n where the budget or the
        screens leave fewer.

        Args:
            n: How many.
            to: Who is to answer, for the record.
            crystals: Give each a crystal, kept in `state.asked`, to which its answer then belongs: ``relaxed`` by
                CHGNet, ``template`` as substituted, or ``none``.
            new: Propose all n now, leaving alone what was proposed and not asked yet.
        """
        if self.state.open_iteration is not None:
            loop.measure(self)
        free = [] if new else self.state.unasked[:n]
        missing = batch_left(self.state, self.spec, n - len(free))
        if missing > 0:
            known = self.state.trials.keys()
            iteration = loop.propose(self, missing)
            self.close(iteration, {})
            free += [trial for trial in self.state.unasked if trial.number not in known]
        return self.hand_out(free, to, crystals)

    def hand_out(self, trials: Sequence[Trial], to: str = "", crystals: asking.Crystals = "none") -> list[Trial]:
        """Write down that these pending trials are asked, with their crystals; asked before, they are asked anew."""
        if trials:
            asked = asking.questions(self, trials, to, crystals)
            self.record("asked", {"questions": [asdict(question) for question in asked]})
        return list(trials)

    def tell(
        self, answers: Path | Iterable[Answer], repeated: telling.Repeated = "refuse", *, dry: bool = False
    ) -> telling.Told:
        """Record answers, in any order, in part, also for materials never asked for.

        An answer belongs to the trial of its formula, number or CIF; a formula never asked for becomes a trial of its
        own. One with an error marks its trial as failed. What was told before changes nothing, so that a file that
        grows may be told again and again. A bad answer is refused and sinks no other.

        Args:
            answers: A file of answers (see `answers.read_answers`), or the answers themselves.
            repeated: What becomes of another value for a material that has one: ``refuse``, ``add`` (average over
                all measurements), or ``replace``.
            dry: Find out what would be recorded, and record nothing.

        Raises:
            InputError: The file cannot be read, or has no column for the material or the gap.
        """
        return telling.tell(self, answers, repeated, dry)

    def withdraw(self, wanted: Sequence[str], reason: str = "") -> list[Trial]:
        """Write down that pending trials, by number, formula or CIF, will not be measured; they cost no budget.

        They are not proposed again; an answer that comes after all still counts. Raises InputError where one of them
        does not wait for an answer: then none is withdrawn.
        """
        numbers = telling.pending_of(self.state, wanted)
        gone = Prediction.failed(self.parts.card, f"withdrawn: {reason or 'no reason was given'}")
        self.record("withdrawn", {"trials": numbers, "prediction": prediction_to_json(gone)})
        return [self.state.trials[number] for number in numbers]

    def release(self, wanted: Sequence[str]) -> list[Trial]:
        """Write down that nobody works on pending trials any more: the next `ask` may hand them out again.

        Raises InputError where one of them does not wait for an answer: then none is released.
        """
        numbers = telling.pending_of(self.state, wanted)
        self.record("released", {"trials": numbers})
        return [self.state.trials[number] for number in numbers]

    def retry(self) -> list[Trial]:
        """Let the trials wait again whose failure may be past, and return them; the next `run` asks for them."""
        trials = repairable(self.state)
        if trials:
            self.record("retried", {"trials": [trial.number for trial in trials]})
        return trials

    def best(self, n: int = 1) -> list[Trial]:
        """Return the n best measured candidates that were not seed rows."""
        return best_first(self.state, self.spec)[:n]

    def shortlist(self) -> Shortlist:
        """Return the ranked candidates with crystals, accepted and set aside."""
        return shortlist(self.state, self.spec)

    # What the loop does

    @property
    def awaits_answers(self) -> bool:
        """Whether candidates are pending whose answers come from outside."""
        return self.parts.card.answers == "tell" and bool(self.state.pending)

    def announce(self, kind: str, **facts: Any) -> None:
        """Tell the listener what is going on."""
        self.announce_to(kind, facts)

    def record(self, kind: str, payload: Mapping[str, Any]) -> None:
        """Append an event and fold it in."""
        self._journal.append(kind, payload)
        self.state = fold(self._journal.events(after=self.state.last_event), self.state)

    def record_proposal(self, iteration: int, batch: Batch, seconds: Mapping[str, float]) -> None:
        """Write down a batch before anything is paid for."""
        rows = [trial_to_json(trial) for trial in batch.trials]
        self.record("proposed", {"iteration": iteration, "trials": rows, "stats": batch.stats, "seconds": seconds})
        self.announce("proposed", iteration=iteration, stats=batch.stats)

    def record_answer(self, trial: Trial, prediction: Prediction | LostWorker) -> None:
        """Write down an oracle's answer, or that its worker died each time."""
        if isinstance(prediction, LostWorker):
            gone = lost(self.parts.card, prediction.reason)
            self.record("abandoned", {"trial": trial.number, "prediction": prediction_to_json(gone)})
        else:
            self.record("answered", {"trial": trial.number, "prediction": prediction_to_json(prediction)})
        self.announce("answered", trial=self.state.trials[trial.number])

    def record_structure(self, payload: Mapping[str, Any]) -> None:
        """Write down a crystal, or why there is none."""
        self.record("structured", payload)
        self.announce("structured", record=self.state.structures[payload["trial"]])

    def close(self, iteration: int, seconds: Mapping[str, float]) -> None:
        """Write down that an iteration has nothing more to pay for."""
        self.record("closed", {"iteration": iteration, "seconds": dict(seconds)})
        self.announce("closed", iteration=iteration)

    def stop(self, reason: str) -> None:
        """Write down why the campaign ended."""
        if self.state.stopped != reason:
            self.record("stopped", {"reason": reason})

    def answers(self, trials: Sequence[Trial]) -> Iterator[tuple[Trial, Prediction | LostWorker]]:
        """Yield the oracle's answers as they land, in any order."""
        jobs = [(self.parts.oracle, self._with_crystal(trial)) for trial in trials]
        for index, prediction in self.workers.run(answer, jobs):
            yield trials[index], prediction

    def crystals(self, planned: Sequence[tuple[Trial, Sequence[Assignment]]]) -> Iterator[dict[str, Any]]:
        """Yield the event that records each trial's crystal, as they land, in any order."""
        asked = [(trial, *self._as_asked(trial, tried)) for trial, tried in planned]
        for trial, tried, job in asked:
            if job is None:
                yield finishing.record(self.parts, trial, tried, None)
        waiting = [(trial, tried, job) for trial, tried, job in asked if job is not None]
        for index, result in self.workers.run(work, [job for _, _, job in waiting]):
            trial, tried, _ = waiting[index]
            if isinstance(result, LostWorker):
                yield finishing.lost(trial, tried, result.reason)
            else:
                yield finishing.record(self.parts, trial, tried, result)

    def _as_asked(self, trial: Trial, tried: Sequence[Assignment]) -> tuple[Sequence[Assignment], Job | None]:
        """Return the crystal that a measured gap belongs to, where one was asked about, and what is left to compute."""
        question = self.state.asked.get(trial.number)
        held = None if question is None else asking.assignment_of(question, trial.candidate.formula)
        if held is None:
            return tried, finishing.job(self.parts, trial, tried)
        return [held], asking.job_as_asked(held)

    @property
    def workers(self) -> Workers:
        """The processes that oracles and relaxations run in, started when first needed."""
        if self._workers is None:
            self._workers = Workers(self.spec.execution.executor)
        return self._workers

    def _with_crystal(self, trial: Trial) -> Any:
        candidate = trial.candidate
        if self.parts.card.needs == "formula" or candidate.crystal is not None:
            return replace(candidate, latent=None)
        from aldesign.structures.assign import assign

        section = self.spec.structures
        match = assign(candidate.formula, self.parts.templates, section.max_emd, tries=section.tries)
        return replace(candidate, latent=None, structure_id=match.template_id, crystal=match.crystal)


def _card_facts(parts: Parts) -> dict[str, Any]:
    card = parts.card
    identity = card.identity
    return {
        "name": identity.name,
        "version": identity.version,
        "digest": identity.digest,
        "property": card.property,
        "unit": card.unit,
        "level": card.level,
        "needs": card.needs,
        "answers": card.answers,
        "description": card.description,
    }
