"""Cheap tests that a formula must pass before an oracle is paid: every verdict with its reason."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from aldesign.chemistry import sketch
from aldesign.chemistry.elements import SYMBOLS, resolve
from aldesign.chemistry.formula import canonical_many, compositions
from aldesign.chemistry.neutrality import Assessment, Options, assess
from aldesign.errors import InputError, SpecError
from aldesign.protocols import Screen
from aldesign.records import Verdict

Entry = str | Mapping[str, Any]


@dataclass(frozen=True)
class ScreenContext:
    """What a screen may know of the campaign.

    Attributes:
        seen: Canonical formulas already in the campaign, each with where, e.g. ``"trial 12, measured"``.
        expected: The surrogate's ``(mean, std)`` in eV of canonical formulas.
        base: Folder that relative paths are relative to.

    """

    seen: Mapping[str, str] = field(default_factory=dict)
    expected: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    base: Path = field(default_factory=Path)


@dataclass(frozen=True)
class _FormulaScreen(ABC):
    """A screen that judges canonical formulas; what is no formula fails with the reason.

    Fields after `context` are the options of a campaign file. Building one raises InputError for a bad value.

    Attributes:
        context: What the screen may know of the campaign.

    """

    name: ClassVar[str]
    context: ScreenContext

    @abstractmethod
    def judge(self, formulas: Sequence[str]) -> list[Verdict]:
        """Return one verdict per canonical formula, in order."""

    def check(self, formulas: Sequence[str]) -> list[Verdict]:
        """Return one verdict per formula, in any spelling, in order."""
        spelled = canonical_many(formulas)
        readable = [formula for formula in spelled if isinstance(formula, str)]
        judged = iter(self.judge(readable) if readable else [])
        return [
            next(judged) if isinstance(formula, str) else self._verdict(False, str(formula), unreadable=True)
            for formula in spelled
        ]

    def _verdict(self, passed: bool, reason: str, **evidence: Any) -> Verdict:
        return Verdict(self.name, passed, reason, evidence)


@dataclass(frozen=True)
class DuplicateScreen(_FormulaScreen):
    """No formula that the campaign already holds, and none twice in one batch (its first occurrence passes)."""

    name: ClassVar[str] = "duplicate"

    def judge(self, formulas: Sequence[str]) -> list[Verdict]:
        """Return one verdict per canonical formula; a reason names the first occurrence."""
        here: set[str] = set()
        verdicts = []
        for formula in formulas:
            first = self.context.seen.get(formula) or ("earlier in this batch" if formula in here else None)
            here.add(formula)
            if first is None:
                verdicts.append(self._verdict(True, "new to this campaign"))
            else:
                verdicts.append(self._verdict(False, f"{formula} is already in the campaign: {first}", first=first))
        return verdicts


@dataclass(frozen=True)
class ElementScreen(_FormulaScreen):
    """Allowed and excluded elements, and the size of the formula.

    Attributes:
        include: Elements or classes of elements that may occur; empty for all.
        exclude: Elements or classes that may not.
        n_elements: Least and largest number of distinct elements.
        max_count: Largest amount of one element in the reduced formula, if any.
        max_atoms: Largest number of atoms in the reduced formula, if any.

    """

    name: ClassVar[str] = "elements"
    include: str | Sequence[str] = ()
    exclude: str | Sequence[str] = ()
    n_elements: Sequence[int] = (1, len(SYMBOLS) - 1)
    max_count: float | None = None
    max_atoms: float | None = None

    def __post_init__(self) -> None:
        resolve(_names(self.include))
        resolve(_names(self.exclude))
        low, high = _range("n_elements", self.n_elements)
        if low < 1 or low != int(low) or high != int(high):
            raise SpecError(f"n_elements is {list(self.n_elements)}", "give two whole numbers of 1 or more")
        for name, limit in (("max_count", self.max_count), ("max_atoms", self.max_atoms)):
            if limit is not None and not (_is_number(limit) and limit >= 1):
                raise SpecError(f"{name} is {limit!r}", "give a number of 1 or more")

    def judge(self, formulas: Sequence[str]) -> list[Verdict]:
        """Return one verdict per canonical formula; a reason names every rule that was broken."""
        parsed = compositions(formulas)
        counts, atoms, largest = parsed.n_elements(), parsed.n_atoms(), parsed.amounts.max(axis=1)
        low, high = self.n_elements
        fine = (counts >= low) & (counts <= high) & ~self._barred()[parsed.numbers].any(axis=1)
        fine &= (largest <= (self.max_count or np.inf)) & (atoms <= (self.max_atoms or np.inf))
        verdicts = []
        for row, passed in enumerate(fine.tolist()):
            n, size, most = int(counts[row]), float(atoms[row]), float(largest[row])
            reason = f"{n} element{'s' * (n > 1)}, {size:g} atom{'s' * (size > 1)}, all within the rules"
            if not passed:
                reason = "; ".join(self._broken([SYMBOLS[z] for z in parsed.numbers[row] if z], size, most))
            verdicts.append(self._verdict(passed, reason, n_elements=n, n_atoms=size, largest_count=most))
        return verdicts

    def _barred(self) -> np.ndarray:
        """Return whether an element may not occur, by atomic number; 0 is padding."""
        barred = set(resolve(_names(self.exclude)))
        if self.include:
            barred |= set(SYMBOLS[1:]) - resolve(_names(self.include))
        return np.array([symbol in barred for symbol in SYMBOLS])

    def _broken(self, symbols: Sequence[str], atoms: float, largest: float) -> list[str]:
        broken = []
        for name in _names(self.exclude):
            if found := [symbol for symbol in symbols if symbol in resolve(name)]:
                listed = ", ".join(found)
                broken.append(f"{listed} excluded" if found == [name] else f"{listed} excluded as {name}")
        if self.include and (found := [s for s in symbols if s not in resolve(_names(self.include))]):
            broken.append(f"{', '.join(found)} not among the included elements")
        low, high = self.n_elements
        if not low <= len(symbols) <= high:
            broken.append(f"{len(symbols)} element{'s' * (len(symbols) > 1)}, allowed are {low} to {high}")
        if self.max_count is not None and largest > self.max_count:
            broken.append(f"{largest:g} of one element, at most {self.max_count:g} allowed")
        if self.max_atoms is not None and atoms > self.max_atoms:
            broken.append(f"{atoms:g} atoms, at most {self.max_atoms:g} allowed")
        return broken


@dataclass(frozen=True)
class _ChargeScreen(_FormulaScreen):
    """The two halves of SMACT's validity share options and assessment.

    Attributes:
        alloys: ``"reject"`` asks a formula of metals alone for balanced charges too; ``"accept"`` lets it pass,
            as SMACT does by default. An alloy has no gap, so that a campaign seldom wants one.
        oxidation_states: Table of states; this and the next two as in `aldesign.chemistry.neutrality.Options`.
        consensus: Reports that a state needs.
        commonality: Share of an element's reports that a state needs.

    """

    alloys: str = "reject"
    oxidation_states: str = "icsd24"
    consensus: int = 3
    commonality: str | float = "low"

    def __post_init__(self) -> None:
        if self.alloys not in ("accept", "reject"):
            raise SpecError(f"alloys is {self.alloys!r}", "allowed: accept, reject")
        if isinstance(self.consensus, bool) or not isinstance(self.consensus, int):
            raise SpecError(f"consensus is {self.consensus!r}", "give a whole number of 1 or more")
        self._options()

    def _options(self) -> Options:
        return Options(self.oxidation_states, self.consensus, self.commonality, self.alloys == "accept")

    def judge(self, formulas: Sequence[str]) -> list[Verdict]:
        """Return one verdict per canonical formula, with the oxidation states found or the nearest miss."""
        return [self._of(assessment) for assessment in assess(formulas, self._options())]

    @abstractmethod
    def _of(self, found: Assessment) -> Verdict: ...


class NeutralityScreen(_ChargeScreen):
    """Oxidation states that add up to zero."""

    name = "neutrality"

    def _of(self, found: Assessment) -> Verdict:
        if found.neutral or found.rule == "alloy":
            return self._verdict(True, found.reason, rule=found.rule, oxidation_states=found.oxidation_states)
        nearest = {} if found.nearest is None else {"nearest": found.nearest, "charge": found.charge}
        return self._verdict(False, found.reason, rule=found.rule, **nearest)


class ElectronegativityScreen(_ChargeScreen):
    """Neutral with all cations less electronegative than all anions; what is not neutral is not judged here."""

    name = "electronegativity"

    def _of(self, found: Assessment) -> Verdict:
        if found.valid or found.neutral:
            return self._verdict(found.valid, found.reason, rule=found.rule, oxidation_states=found.oxidation_states)
        return self._verdict(True, "not judged: there are no balanced charges to compare", rule=found.rule)


@dataclass(frozen=True)
class NoveltyScreen(_FormulaScreen):
    """No formula that is known already.

    Attributes:
        known: ``"builtin"`` (a sketch of the Materials Project's formulas, with its rate of false alarms), the
            path of a file of formulas, or a list of these.

    """

    name: ClassVar[str] = "novelty"
    known: str | Sequence[str] = "builtin"

    def __post_init__(self) -> None:
        if not _names(self.known):
            raise SpecError("novelty was given no formulas", "give known: builtin, or a file of formulas")
        for name in _names(self.known):
            self._list(name)

    def judge(self, formulas: Sequence[str]) -> list[Verdict]:
        """Return one verdict per canonical formula; a reason says how sure it is."""
        names = _names(self.known)
        verdicts = [self._verdict(True, f"not known to {', '.join(names)}")] * len(formulas)
        for name in reversed(names):  # the first list that knows a formula is the one named
            known = self._list(name)
            exact = isinstance(known, frozenset)
            found = [f in known for f in formulas] if isinstance(known, frozenset) else known.contains(formulas)
            rate = 0.0 if isinstance(known, frozenset) else known.false_positive_rate
            for row in np.flatnonzero(found).tolist():
                sure = "is known already" if exact else f"may be known already (false alarms: {rate:.1%})"
                reason = f"{formulas[row]} {sure}, by {name}"
                verdicts[row] = self._verdict(False, reason, known_by=name, false_positive_rate=rate)
        return verdicts

    def _list(self, name: str) -> frozenset[str] | sketch.FormulaSketch:
        return sketch.known() if name == "builtin" else _formulas_in(self.context.base / Path(name).expanduser())


@dataclass(frozen=True)
class GapWindowScreen(_FormulaScreen):
    """An expected gap near a window: the surrogate's mean ± `sigmas` standard deviations touches it.

    Attributes:
        low: Lower edge in eV.
        high: Upper edge in eV; None for none.
        sigmas: Standard deviations allowed on either side.

    """

    name: ClassVar[str] = "gap_window"
    low: float = 0.0
    high: float | None = None
    sigmas: float = 1.0

    def __post_init__(self) -> None:
        _range("the window", (self.low, np.inf if self.high is None else self.high))
        if not (_is_number(self.sigmas) and self.sigmas >= 0):
            raise SpecError(f"sigmas is {self.sigmas!r}", "give a number of 0 or more")

    def judge(self, formulas: Sequence[str]) -> list[Verdict]:
        """Return one verdict per canonical formula; one without an expected gap is not judged, and passes."""
        return [self._of(self.context.expected.get(formula)) for formula in formulas]

    def _of(self, expected: tuple[float, float] | None) -> Verdict:
        if expected is None:
            return self._verdict(True, "not judged: no gap is expected of it yet")
        mean, std = float(expected[0]), float(expected[1])
        high = np.inf if self.high is None else self.high
        passed = mean - self.sigmas * std <= high and mean + self.sigmas * std >= self.low
        reach = "reaches" if passed else "lies outside"
        reason = f"expected gap {mean:.2f} ± {std:.2f} eV {reach} [{self.low:g}, {high:g}] eV"
        return self._verdict(bool(passed), f"{reason} within {self.sigmas:g} std", mean=mean, std=std)


SCREENS: Mapping[str, type[_FormulaScreen]] = {
    kind.name: kind
    for kind in (
        DuplicateScreen,
        ElementScreen,
        NeutralityScreen,
        ElectronegativityScreen,
        NoveltyScreen,
        GapWindowScreen,
    )
}


def make_screen(entry: Entry, context: ScreenContext) -> Screen:
    """Return the screen that a campaign file names.

    Args:
        entry: A name, or a mapping of one name to its options: ``{novelty: {known: builtin}}``.
        context: What the screen may know.

    Raises:
        SpecError: Unknown screen or option, or a value that is not allowed; the message says what is.

    """
    name, options = _named(entry)
    if name not in SCREENS:
        raise SpecError(f"no screen is called {name!r}", f"{_meant(name, SCREENS)}allowed: {', '.join(SCREENS)}")
    kind = SCREENS[name]
    allowed = [option.name for option in fields(kind) if option.name != "context"]
    for option in options:
        if option not in allowed:
            hint = f"allowed: {', '.join(allowed)}" if allowed else "it has no options"
            raise SpecError(f"screen {name!r} has no option {option!r}", _meant(str(option), allowed) + hint)
    try:
        return kind(context, **options)
    except InputError as error:
        raise SpecError(f"screen {name!r}: {error.message}", error.hint) from error


def validate_screen(entry: Entry, base: Path) -> None:
    """Raise SpecError if `make_screen` would refuse `entry`; lists of formulas are looked for and read."""
    make_screen(entry, ScreenContext(base=base))


def _named(entry: Entry) -> tuple[str, Mapping[str, Any]]:
    if isinstance(entry, str):
        return entry, {}
    if isinstance(entry, Mapping) and len(entry) == 1:
        ((name, options),) = entry.items()
        if options is None:
            return str(name), {}
        if isinstance(options, Mapping):
            return str(name), options
    raise SpecError(f"{entry!r} is not a screen", "write its name, or `name: {option: value}`")


def _meant(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}? " if near else ""


def _names(value: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Sequence):
        return tuple(value)
    raise SpecError(f"{value!r} is not a list of names", "write [first, second]")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == value


def _range(name: str, value: Sequence[float]) -> tuple[float, float]:
    if isinstance(value, Sequence) and len(value) == 2 and all(map(_is_number, value)) and value[0] <= value[1]:
        return value[0], value[1]
    raise SpecError(f"{name} is {value!r}", "give two numbers, [low, high]")


def _formulas_in(path: Path) -> frozenset[str]:
    """Return the canonical formulas of a file; read again only when the file has changed."""
    try:
        status = path.stat()
    except OSError as error:
        raise SpecError(f"there is no list of known formulas at {path}", "check the path, or use builtin") from error
    return _read_formulas(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=8)
def _read_formulas(path: Path, changed_ns: int, size: int) -> frozenset[str]:  # noqa: ARG001 - parts of the key
    from aldesign.datasets.formulas import read_formulas

    with read_formulas(path) as file:
        found = frozenset(row.formula for row in file.rows if row.formula is not None)
    if not found:
        raise SpecError(f"{path} holds no formula that can be read", "one formula a line, or a CSV with a header")
    return found
