"""What is known about a campaign: nothing but the fold of its journal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from aldesign.campaign.codec import prediction_from_json, trial_from_json
from aldesign.campaign.journal import Event
from aldesign.errors import RunDirectoryError
from aldesign.records import Prediction, Source, Trial, TrialState

ATTEMPTS = 3


@dataclass(frozen=True)
class Proposal:
    """How one iteration's pool came about.

    Attributes:
        iteration: Its number, from 1.
        stats: Counts: points searched, decoded, valid before screening, rejected, chosen.
        seconds: Wall time by stage.
        closed: Whether every answer of the iteration has been asked for.
    """

    iteration: int
    stats: Mapping[str, Any]
    seconds: Mapping[str, float]
    closed: bool = False


@dataclass(frozen=True)
class StructureRecord:
    """The crystal found for a measured trial at the end of a campaign, or why there is none.

    Attributes:
        trial: Trial number.
        accepted: Whether it may be exported.
        reason: Why it was set aside; empty when accepted.
        facts: Template, mapping, energies and the crystal, as JSON values.
    """

    trial: int
    accepted: bool
    reason: str
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Asked:
    """A question that was handed out.

    Attributes:
        trial: Trial number.
        to: Who is to answer; may be empty.
        time: Unix time of the question.
        cif: Name of its CIF; empty without a crystal.
        relaxed: Whether its crystal was relaxed.
        facts: Template, mapping, energies and the crystal itself, as JSON values; empty where none was asked for.
        reason: Why there is no crystal, or what stands against it.
    """

    trial: int
    to: str = ""
    time: float = 0.0
    cif: str = ""
    relaxed: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


@dataclass(frozen=True)
class CampaignState:
    """An immutable view of a campaign after some number of events.

    Attributes:
        created: Payload of the first event: spec, versions, digests, refused rows.
        trials: Every trial by number.
        proposals: Every iteration's proposal by number; 0 is the seed.
        structures: Crystals by trial number.
        asked: Questions handed out, by trial number; answered ones stay, released ones do not.
        told: What was told of each trial from outside, in order, as JSON values (see `telling`).
        stopped: Why the campaign ended, empty while it may go on.
        last_event: Number of the last event folded in.
        started: Unix time of the first event.
        ended: Unix time of the last event.
    """

    created: Mapping[str, Any] = field(default_factory=dict)
    trials: Mapping[int, Trial] = field(default_factory=dict)
    proposals: Mapping[int, Proposal] = field(default_factory=dict)
    structures: Mapping[int, StructureRecord] = field(default_factory=dict)
    asked: Mapping[int, Asked] = field(default_factory=dict)
    told: Mapping[int, tuple[Mapping[str, Any], ...]] = field(default_factory=dict)
    stopped: str = ""
    last_event: int = 0
    started: float = 0.0
    ended: float = 0.0

    def advance(self, event: Event) -> CampaignState:
        """Return the state after one more event.

        Raises:
            RunDirectoryError: The event is of a kind that this version does not know.
        """
        change = _CHANGES.get(event.kind)
        if change is None:
            raise RunDirectoryError(f"the journal holds an event of kind {event.kind!r}", "update aldesign")
        after = change(self, event.payload)
        return replace(after, last_event=event.number, ended=event.time, started=self.started or event.time)

    def in_state(self, *states: TrialState) -> list[Trial]:
        """Return the trials in any of `states`, by number."""
        return [trial for _, trial in sorted(self.trials.items()) if trial.state in states]

    @property
    def measured(self) -> list[Trial]:
        """Trials with a value, by number."""
        return self.in_state(TrialState.MEASURED)

    @property
    def pending(self) -> list[Trial]:
        """Trials that wait for an answer, by number."""
        return self.in_state(TrialState.PENDING)

    @property
    def unasked(self) -> list[Trial]:
        """Pending trials that were handed out to nobody, by number."""
        return [trial for trial in self.pending if trial.number not in self.asked]

    @property
    def waiting(self) -> list[Trial]:
        """Pending trials that were handed out, by number."""
        return [trial for trial in self.pending if trial.number in self.asked]

    @property
    def paid(self) -> int:
        """Answers that iterations got; seed rows, rejected and withdrawn trials are not counted."""
        states = (TrialState.MEASURED, TrialState.FAILED, TrialState.ABANDONED)
        return sum(1 for t in self.in_state(*states) if t.iteration > 0 and t.candidate.source is not Source.USER)

    @property
    def open_iteration(self) -> int | None:
        """The iteration that was proposed and not closed, if any."""
        return next((p.iteration for p in self.proposals.values() if not p.closed), None)

    @property
    def iterations(self) -> int:
        """Closed iterations, the seed not counted."""
        return sum(1 for p in self.proposals.values() if p.closed and p.iteration > 0)

    @property
    def next_iteration(self) -> int:
        """Number of the iteration that would be proposed next."""
        return max(self.proposals, default=-1) + 1

    @property
    def next_number(self) -> int:
        """Number of the next trial."""
        return max(self.trials, default=-1) + 1

    def of_formula(self, formula: str) -> list[Trial]:
        """Return every trial of a canonical formula, by number."""
        return [trial for _, trial in sorted(self.trials.items()) if trial.candidate.formula == formula]

    def _with_trials(self, trials: Iterable[Trial]) -> CampaignState:
        changed = {trial.number: trial for trial in trials}
        if isinstance(self.trials, _Growing):
            self.trials.update(changed)
            return self
        return replace(self, trials={**self.trials, **changed})

    def _with_told(self, trial: int, payload: Mapping[str, Any]) -> CampaignState:
        if "told" not in payload:
            return self
        return replace(self, told={**self.told, trial: (*self.told.get(trial, ()), payload["told"])})


class _Growing(dict[int, Trial]):
    """Trials of a state that nobody has seen yet, so that folding a long journal does not copy them at each event."""


def fold(events: Iterable[Event], state: CampaignState | None = None) -> CampaignState:
    """Return the state after `events`, starting from `state` or from nothing."""
    state = state or CampaignState()
    state = replace(state, trials=_Growing(state.trials))
    for event in events:
        state = state.advance(event)
    return replace(state, trials=dict(state.trials))


def _created(state: CampaignState, payload: Mapping[str, Any]) -> CampaignState:
    return replace(state, created=payload)


def _proposed(state: CampaignState, payload: Mapping[str, Any]) -> CampaignState:
    proposal = Proposal(payload["iteration"], payload["stats"], payload["seconds"])
    state = replace(state, stopped="", proposals={**state.proposals, proposal.iteration: proposal})
    return state._with_trials(trial_from_json(row) for row in payload["trials"])


def _answered(state: CampaignState, payload: Mapping[str, Any]) -> CampaignState:
    prediction: Prediction = prediction_from_json(payload["prediction"])
    trial = state.trials[payload["trial"]]
    outcome = TrialState.MEASURED if prediction.ok else TrialState.FAILED
    state = state._with_trials([replace(trial, state=outcome, prediction=prediction, attempts=trial.attempts + 1)])
    return state._with_told(trial.number, payload)


def _abandoned(state: CampaignState, payload: Mapping[str, Any]) -> CampaignState:
    trial = state.trials[payload["trial"]]
    prediction = prediction_from_json(payload["prediction"])
    return state._with_trials([replace(trial, state=TrialState.ABANDONED, prediction=prediction, attempts=ATTEMPTS)])


def _told(state: CampaignState, payload: Mapping[str, Any]) -> CampaignState:
    trial = trial_from_json(payload["trial"])
    return state._with_trials([trial])._with_told(trial.number, payload)


def _asked(state: CampaignState, payload: Mapping[str, Any]) -> CampaignState:
    questions = [Asked(**question) for question in payload["questions"]]
    return replace(state, asked={**state.asked, **{question.trial: question for question in questions}})


def _released(state: CampaignState, payload: Mapping[str, Any]) -> CampaignState:
    return replace(state, asked={k: v for k, v in state.asked.items() if k not in payload["trials"]})


def _withdrawn(state: CampaignState, payload: Mapping[str, Any]) -> CampaignState:
    prediction = prediction_from_json(payload["prediction"])
    trials = [state.trials[number] for number in payload["trials"]]
    return state._with_trials(replace(t, state=TrialState.WITHDRAWN, prediction=prediction) for t in trials)


def _retried(state: CampaignState, payload: Mapping[str, Any]) -> CampaignState:
    """Let trials wait again, as on the day they were proposed; only the number of attempts tells."""
    numbers = payload["trials"]
    state = replace(state, asked={k: v for k, v in state.asked.items() if k not in numbers})
    again = [replace(state.trials[number], state=TrialState.PENDING, prediction=None) for number in numbers]
    return state._with_trials(again)


def _closed(state: CampaignState, payload: Mapping[str, Any]) -> CampaignState:
    proposal = state.proposals[payload["iteration"]]
    seconds = {**proposal.seconds, **payload["seconds"]}
    closed = replace(proposal, closed=True, seconds=seconds)
    return replace(state, proposals={**state.proposals, closed.iteration: closed})


def _structured(state: CampaignState, payload: Mapping[str, Any]) -> CampaignState:
    record = StructureRecord(payload["trial"], payload["accepted"], payload["reason"], payload["facts"])
    return replace(state, structures={**state.structures, record.trial: record})


def _stopped(state: CampaignState, payload: Mapping[str, Any]) -> CampaignState:
    return replace(state, stopped=payload["reason"])


_CHANGES = {
    "created": _created,
    "proposed": _proposed,
    "answered": _answered,
    "abandoned": _abandoned,
    "told": _told,
    "asked": _asked,
    "released": _released,
    "withdrawn": _withdrawn,
    "retried": _retried,
    "closed": _closed,
    "structured": _structured,
    "stopped": _stopped,
}
