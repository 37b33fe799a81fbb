"""Answers from outside, in any order, in part, again, and for materials that were never asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

from aldesign.campaign.answers import Answer, read_answers, refuse_unsound
from aldesign.campaign.codec import prediction_to_json, trial_to_json
from aldesign.campaign.journal import Event
from aldesign.campaign.learning import MEASURED
from aldesign.campaign.measurements import current, key, to_json, together
from aldesign.campaign.state import CampaignState
from aldesign.chemistry.formula import canonical, compositions
from aldesign.chemistry.onehot import refusals
from aldesign.errors import FormulaError, InputError
from aldesign.records import BadRow, Candidate, OracleIdentity, Prediction, Source, Trial, TrialState

if TYPE_CHECKING:
    from aldesign.campaign.campaign import Campaign

Repeated = Literal["refuse", "add", "replace"]
_FAR = 5.0  # expected standard deviations from which on an answer is worth a second look
_LEAST_EV = 1.0  # and at least so far


@dataclass(frozen=True)
class Told:
    """What became of a table of answers.

    Attributes:
        outcomes: Counts of what was recorded: ``answered``, ``failed``, ``added`` (never asked for), ``averaged``
            (measured again), ``replaced``.
        refused: Rows that could not be used, with their reasons.
        known: Rows that had been told before.
        unanswered: Rows that are not filled in yet.
        notes: What a careful reader would want to know of what was recorded.

    """

    outcomes: Mapping[str, int]
    refused: tuple[BadRow, ...] = ()
    known: int = 0
    unanswered: int = 0
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        counts = [*self.outcomes.items(), ("known already", self.known), ("not filled in yet", self.unanswered)]
        parts = [f"{count} {what}" for what, count in counts if count]
        return ", ".join([*(parts or ["nothing recorded"]), f"{len(self.refused)} refused"])


def tell(
    campaign: Campaign, answers: Path | Iterable[Answer], repeated: Repeated = "refuse", dry: bool = False
) -> Told:
    """Record answers; see `Campaign.tell`.

    Raises:
        InputError: A file cannot be read, or has no column for the material or the gap.
    """
    if isinstance(answers, Path):
        read = read_answers(answers)
        rows, refused, unanswered, place = read.answers, list(read.refused), read.unanswered, str(answers)
    else:
        rows, refused, unanswered, place = tuple(answers), [], 0, ""
    teller = _Teller(campaign, repeated, dry)
    for answer in rows:
        try:
            teller.tell(answer, rows)
        except (FormulaError, ValueError) as error:
            refused.append(BadRow(place or answer.file, answer.line, answer.name, str(error)))
    bad = tuple(sorted(refused, key=lambda row: row.line))
    return Told(dict(teller.outcomes), bad, teller.known, unanswered, tuple(teller.notes))


def pending_of(state: CampaignState, wanted: Sequence[str]) -> list[int]:
    """Return the pending trials meant by numbers, formulas or names of CIFs.

    Raises:
        InputError: One of them is no pending trial.
    """
    found = []
    for text in wanted:
        answer = Answer(trial=int(text)) if text.isdigit() else Answer(formula=text)
        answer = Answer(cif=text) if text.lower().endswith(".cif") else answer
        try:
            formula = whose(state, answer)
        except ValueError as error:
            raise InputError(f"{text!r} is no candidate of this campaign: {error}") from error
        trial = next((t for t in state.of_formula(formula) if t.state is TrialState.PENDING), None)
        if trial is None:
            states = ", ".join(f"trial {t.number} {t.state.value}" for t in state.of_formula(formula)) or "no trial"
            raise InputError(f"{formula} waits for no answer: {states}", "see `aldesign ask DIR --pending`")
        found.append(trial.number)
    return found


def whose(state: CampaignState, answer: Answer) -> str:
    """Return the canonical formula that an answer is about.

    Raises:
        ValueError: The formula cannot be read, trial or CIF are unknown, or they contradict each other.
    """
    numbers = set() if answer.trial is None else {answer.trial}
    if answer.cif:
        numbers.add(_trial_of_cif(state, answer.cif))
    if len(numbers) > 1:
        raise ValueError(f"the CIF {answer.cif} was asked as trial {max(numbers - {answer.trial})}, not {answer.trial}")
    for number in numbers:
        if number not in state.trials:
            raise ValueError(f"there is no trial {number}; the last one is {state.next_number - 1}")
        formula = state.trials[number].candidate.formula
        if answer.formula and canonical(answer.formula) != formula:
            raise ValueError(f"trial {number} is {formula}, not {answer.formula}")
        return formula
    return canonical(answer.formula)


def _trial_of_cif(state: CampaignState, text: str) -> int:
    name = PurePath(text.replace("\\", "/")).name.lower()
    for asked in state.asked.values():
        if asked.cif and name in (asked.cif.lower(), asked.cif.lower().removesuffix(".cif")):
            return asked.trial
    raise ValueError(f"no CIF called {name} was asked; its names are those that `aldesign ask --cif` gave")


class _Teller:
    """Decide about each answer and record it, or only keep count where `dry`."""

    def __init__(self, campaign: Campaign, repeated: Repeated, dry: bool) -> None:
        self.card = campaign.parts.card
        self.repeated, self.dry = repeated, dry
        self.state = campaign.state
        self.outcomes: Counter[str] = Counter()
        self.known = 0
        self.notes: list[str] = []
        self._record: Callable[[str, Mapping[str, Any]], None] = campaign.record
        self._campaign = campaign
        self._before = {number: [self._key(one) for one in told] for number, told in campaign.state.told.items()}
        self._counting = {
            number: [self._key(one) for one in current(told)] for number, told in campaign.state.told.items()
        }
        self._seen: Counter[tuple[str, str]] = Counter()
        self._news: dict[str, bool] = {}  # by formula: whether this call corrects it, or says nothing new
        self._groups: dict[str, list[str]] | None = None

    def tell(self, answer: Answer, rows: Sequence[Answer]) -> None:
        """Record one answer of `rows`. Raises ValueError where it cannot be."""
        refuse_unsound(answer)
        formula = whose(self.state, answer)
        told = to_json(answer, self._level(answer), "first")
        trials = self.state.of_formula(formula)
        trial = next((t for t in trials if t.state is not TrialState.REJECTED), None)
        self._seen[formula, self._key(told)] += 1
        if trial is None:
            self._add(formula, answer, told, trials)
        elif self.repeated == "replace" and trial.state in (TrialState.MEASURED, TrialState.FAILED):
            self._correct(trial, answer, told, rows)
        elif trial.state is not TrialState.PENDING and self._is_known(trial, told):
            self.known += 1
        elif trial.state is TrialState.MEASURED:
            self._again(trial, answer, told)
        elif trial.state is TrialState.FAILED and answer.error:
            past = trial.prediction.error if trial.prediction else ""
            raise ValueError(f"{formula} has failed before, as trial {trial.number}: {past}; --replace corrects it")
        else:
            self._answer(trial, answer, told, "failed" if answer.error else "answered")

    def _answer(self, trial: Trial, answer: Answer, told: dict[str, Any], outcome: str) -> None:
        self._journal("answered", trial.number, self._prediction(answer, answer.value, answer.std), told)
        self.outcomes[outcome] += 1
        self._compare(trial, answer)

    def _add(self, formula: str, answer: Answer, told: dict[str, Any], rejected: Sequence[Trial]) -> None:
        if answer.error:
            raise ValueError(f"{formula} was never asked for and has no value: {answer.error}")
        for before in rejected[-1:]:
            why = "; ".join(f"{v.screen}: {v.reason}" for v in before.verdicts if not v.passed)
            self.notes.append(f"{formula} had been rejected ({why}); it counts from now on")
        if reason := refusals(compositions([formula]))[0]:
            self.notes.append(f"{formula} is kept and listed, but cannot be learned from: {reason}")
        iteration = max((p.iteration for p in self.state.proposals.values() if p.closed), default=0)
        prediction = self._prediction(answer, answer.value, answer.std)
        user, number = Candidate(formula, Source.USER), self.state.next_number
        trial = Trial(number, iteration, user, TrialState.MEASURED, prediction=prediction)
        self._append("told", {"trial": trial_to_json(trial), "told": told})
        self.outcomes["added"] += 1

    def _again(self, trial: Trial, answer: Answer, told: dict[str, Any]) -> None:
        formula, held = trial.candidate.formula, trial.prediction
        if answer.error:
            raise ValueError(f"{formula} was measured before, as trial {trial.number}; an error takes --replace")
        if self.repeated != "add":
            known = "" if held is None else f": {held.value:g} eV"
            raise ValueError(
                f"{formula} was measured before, as trial {trial.number}{known}; --add averages a second measurement, "
                "--replace corrects it"
            )
        if held is not None and not held.oracle.name.startswith(MEASURED):
            raise ValueError(f"the value of {formula} is an answer of {held.oracle.name}: it takes --replace")
        self._average(trial, answer, told)

    def _average(self, trial: Trial, answer: Answer, told: dict[str, Any]) -> None:
        past = [(one["value"], one["std"]) for one in current(self.state.told.get(trial.number, ()))]
        if not past and trial.prediction is not None:
            past = [(trial.prediction.value, trial.prediction.std)]
        value, std = together([*past, (answer.value, answer.std)])
        told["how"] = "added"
        self._journal("answered", trial.number, self._prediction(answer, value, std), told)
        self.outcomes["averaged"] += 1
        spread = f" ± {std:.2g}" if std else ""
        self.notes.append(f"{trial.candidate.formula}: {len(past) + 1} measurements, {value:.4g}{spread} eV")

    def _correct(self, trial: Trial, answer: Answer, told: dict[str, Any], rows: Sequence[Answer]) -> None:
        """Let what this call says of a formula stand instead of what was known; several rows are averaged."""
        formula, first = trial.candidate.formula, False
        if formula not in self._news:
            said, before = self._said(rows).get(formula, []), self._before.get(trial.number, [])
            held = before[-1:] if trial.state is TrialState.FAILED else self._counting.get(trial.number, [])
            self._news[formula] = first = sorted(said) != sorted(held)
        if not self._news[formula]:
            self.known += 1
        elif first:
            told["how"] = "replaced"
            self._journal("answered", trial.number, self._prediction(answer, answer.value, answer.std), told)
            self.outcomes["replaced"] += 1
        elif answer.error or trial.state is TrialState.FAILED:
            raise ValueError(f"another row has said something else of {formula}")
        else:
            self._average(trial, answer, told)

    def _said(self, rows: Sequence[Answer]) -> dict[str, list[str]]:
        """Return the measurements that rows hold of each formula; rows that cannot be used hold none."""
        if self._groups is None:
            self._groups = {}
            for row in rows:
                with suppress(ValueError, FormulaError):
                    level = self._level(row)
                    self._groups.setdefault(whose(self.state, row), []).append(self._key(to_json(row, level, "")))
        return self._groups

    def _is_known(self, trial: Trial, told: Mapping[str, Any]) -> bool:
        """Return whether a measurement was told before; where repetitions count, as often as in these rows."""
        this = self._key(told)
        if self.repeated != "add":
            return any(self._key(one) == this for one in self.state.told.get(trial.number, ()))
        return self._before.get(trial.number, []).count(this) >= self._seen[trial.candidate.formula, this]

    def _key(self, told: Mapping[str, Any]) -> str:
        """Return what makes a measurement this one; where repetitions count, comment and source tell them apart."""
        return key(told, notes=self.repeated == "add")

    def _level(self, answer: Answer) -> str:
        level = answer.level or self.card.level
        if level.casefold() != self.card.level.casefold():
            raise ValueError(f"it is a {level} gap, the campaign's are {self.card.level}: they must not be mixed")
        return self.card.level

    def _prediction(self, answer: Answer, value: float | None, std: float | None) -> Prediction:
        identity = OracleIdentity(f"told:{answer.file or 'python'}", "", "")
        return Prediction(value, std, self.card.unit, identity, self.card.level, error=answer.error)

    def _compare(self, trial: Trial, answer: Answer) -> None:
        if answer.value is None or trial.expected is None:
            return
        mean, std = trial.expected
        if abs(answer.value - mean) > max(_FAR * std, _LEAST_EV):
            said = f"{answer.value:g} eV was told where {mean:.2f} ± {std:.2f} eV was expected"
            self.notes.append(f"{trial.candidate.formula}: {said}; is its unit right?")

    def _journal(self, kind: str, trial: int, prediction: Prediction, told: Mapping[str, Any]) -> None:
        self._append(kind, {"trial": trial, "prediction": prediction_to_json(prediction), "told": told})

    def _append(self, kind: str, payload: Mapping[str, Any]) -> None:
        if self.dry:
            self.state = self.state.advance(Event(self.state.last_event + 1, self.state.ended, kind, payload))
            return
        self._record(kind, payload)
        self.state = self._campaign.state
