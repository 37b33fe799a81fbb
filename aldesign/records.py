"""The immutable records that travel between the rooms of the engine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

import numpy as np

Level = str  # level of theory of a number: "PBE", "HSE", "GLLB-SC", "SCAN", "experiment"


class Source(StrEnum):
    """Where a candidate formula came from."""

    SEED = "seed"
    LATENT = "latent"
    GAN = "gan"
    MUTATION = "mutation"
    POOL = "pool"
    USER = "user"


class TrialState(StrEnum):
    """Life cycle of a trial: REJECTED by a screen, or PENDING until one of the last four.

    FAILED means that the oracle answered with an error; ABANDONED that no answer came in three attempts; WITHDRAWN
    that nobody will measure it.
    """

    REJECTED = "rejected"
    PENDING = "pending"
    MEASURED = "measured"
    FAILED = "failed"
    ABANDONED = "abandoned"
    WITHDRAWN = "withdrawn"

    @property
    def finished(self) -> bool:
        """Whether no answer is awaited."""
        return self is not TrialState.PENDING


@dataclass(frozen=True, eq=False)
class Crystal:
    """A fully occupied periodic crystal, as it stands in a line of JSON.

    Attributes:
        id: Identifier, e.g. a Materials Project or prototype id.
        lattice: ``(a, b, c, alpha, beta, gamma)`` in Å and degrees.
        species: Element symbol of each of the n sites.
        frac: Fractional coordinates, shape (n, 3), float64.

    """

    id: str
    lattice: tuple[float, float, float, float, float, float]
    species: tuple[str, ...]
    frac: np.ndarray

    def __len__(self) -> int:
        return len(self.species)


@dataclass(frozen=True)
class Candidate:
    """A formula that may be worth an oracle's answer.

    Attributes:
        formula: Canonical reduced formula.
        source: Where it came from.
        latent: The latent point that was decoded to it, if any.
        structure_id: Id of its crystal, if it has one.
        crystal: The crystal itself, for oracles that need one.

    """

    formula: str
    source: Source = Source.USER
    latent: tuple[float, ...] | None = None
    structure_id: str | None = None
    crystal: Crystal | None = field(default=None, compare=False)


@dataclass(frozen=True)
class OracleIdentity:
    """Which oracle gave a number: its name, version, and a digest of its weights or table."""

    name: str
    version: str
    digest: str = ""


@dataclass(frozen=True)
class OracleCard:
    """What an oracle predicts and what it needs.

    Attributes:
        identity: Name, version and digest.
        property: ``"band_gap"`` or ``"formation_energy_per_atom"``.
        unit: ``"eV"`` or ``"eV/atom"``.
        level: Level of theory of its numbers.
        needs: Whether a formula is enough or a crystal is needed.
        answers: ``"predict"`` at once, or ``"tell"``: later, from outside.
        description: One line for people.
        training: Data, split and metrics of the stored weights, as in the card on disk.

    """

    identity: OracleIdentity
    property: str = "band_gap"
    unit: str = "eV"
    level: Level = "PBE"
    needs: Literal["formula", "structure"] = "formula"
    answers: Literal["predict", "tell"] = "predict"
    description: str = ""
    training: Mapping[str, Any] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Prediction:
    """One oracle's answer about one candidate: a value with its uncertainty, or an error.

    Attributes:
        value: The property in ``unit``, or None with an error.
        std: One standard deviation in ``unit``; None where none is stated (a told or tabulated value).
        unit: Unit of value and std.
        oracle: Who answered.
        level: Level of theory.
        in_domain: False where the oracle was asked beyond its training data; None if it cannot tell.
        seconds: Wall time of the answer.
        error: Why there is no value; empty on success.
        facts: What else was found of the candidate, as JSON values with units in their names: of a first-principles
            calculation ``direct``, ``direct_gap_ev``, ``formation_energy_ev_per_atom`` and the like.

    """

    value: float | None
    std: float | None
    unit: str
    oracle: OracleIdentity
    level: Level
    in_domain: bool | None = None
    seconds: float = 0.0
    error: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def ok(self) -> bool:
        """Whether the prediction carries a value."""
        return self.value is not None

    @classmethod
    def failed(cls, card: OracleCard, error: str, seconds: float = 0.0) -> Prediction:
        """Return the prediction that says why `card`'s oracle has no value."""
        return cls(None, None, card.unit, card.identity, card.level, None, seconds, error)


@dataclass(frozen=True)
class Verdict:
    """A screen's decision about one candidate, with the evidence for it.

    Attributes:
        screen: Name of the screen.
        passed: Whether the candidate may go on.
        reason: One sentence for people; says what was missing when it did not pass.
        evidence: JSON-serialisable facts, e.g. the oxidation states found.

    """

    screen: str
    passed: bool
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """One candidate's record within a campaign.

    Attributes:
        number: Position in the campaign, from 0; also the training order.
        iteration: Iteration that proposed it; 0 for seed rows.
        candidate: The formula and its origin.
        state: Where it stands.
        verdicts: Every screen's decision, in order.
        prediction: The oracle's answer, once there is one.
        attempts: How often an answer was asked for.
        expected: The surrogate's ``(mean, std)`` in eV before the answer was known.
        score: The acquisition value that ranked it.

    """

    number: int
    iteration: int
    candidate: Candidate
    state: TrialState
    verdicts: tuple[Verdict, ...] = ()
    prediction: Prediction | None = None
    attempts: int = 0
    expected: tuple[float, float] | None = None
    score: float | None = None


@dataclass(frozen=True)
class LabelledRow:
    """One training or seed example.

    Attributes:
        formula: Canonical reduced formula.
        value: The label in the unit of the table.
        std: Its uncertainty, if the table states one.
        level: Level of theory.
        crystal: Its structure, if known.
        line: Line in the source file, 0 if none.

    """

    formula: str
    value: float
    std: float | None = None
    level: Level = "PBE"
    crystal: Crystal | None = field(default=None, compare=False)
    line: int = 0


@dataclass(frozen=True)
class BadRow:
    """A row that could not be used, and why."""

    source: str
    line: int
    text: str
    reason: str


@dataclass(frozen=True)
class Table:
    """Labelled rows of one property, and the rows that were left out.

    Attributes:
        rows: The usable rows, one per canonical formula unless `polymorphs` are kept.
        bad: Rows refused, each with its reason.
        unit: Unit of the labels.
        origin: Where the rows came from, with the database version if there is one.
        notes: What the reader guessed or merged, for people.

    """

    rows: tuple[LabelledRow, ...]
    bad: tuple[BadRow, ...] = ()
    unit: str = "eV"
    origin: str = ""
    notes: Sequence[str] = ()
