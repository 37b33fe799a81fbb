"""What the members of an ensemble answer, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aldesign.records import Candidate
from oracles.members import Member

SILENT = -1  # in `Panel.inside`: the member cannot tell


@dataclass(frozen=True, eq=False)
class Panel:
    """The answers of m members about n candidates.

    Attributes:
        values: Shape (m, n), in the members' unit; NaN where a member has none.
        stds: Shape (m, n); NaN where a member states none.
        inside: Whether the candidate is in the member's domain, shape (m, n): 1, 0, or `SILENT`.
        errors: Of each member, why it has no value for each candidate; empty where it has one.
        kinds: Names of the members.

    """

    values: np.ndarray
    stds: np.ndarray
    inside: np.ndarray
    errors: tuple[tuple[str, ...], ...]
    kinds: tuple[str, ...]

    @classmethod
    def ask(cls, members: Sequence[Member], candidates: Sequence[Candidate]) -> Panel:
        """Return what each member says about each candidate."""
        shape = (len(members), len(candidates))
        values, stds, inside = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, SILENT)
        errors = []
        for k, member in enumerate(members):
            answers = member.ready.predict(candidates)
            for i, answer in enumerate(answers):
                if answer.value is not None and math.isfinite(answer.value):
                    values[k, i] = answer.value
                    stds[k, i] = np.nan if answer.std is None else answer.std
                    inside[k, i] = SILENT if answer.in_domain is None else int(answer.in_domain)
            errors.append(tuple(answer.error for answer in answers))
        return cls(values, stds, inside, tuple(errors), tuple(member.kind for member in members))

    @property
    def complete(self) -> np.ndarray:
        """Whether every member answered, shape (n,)."""
        found: np.ndarray = np.isfinite(self.values).all(axis=0)
        return found

    def domain(self) -> list[bool | None]:
        """Return for each candidate whether it is inside for all members; None where not one of them can tell.

        A candidate that a member has no answer for is outside.
        """
        outside = (self.inside == 0).any(axis=0) | ~self.complete
        known = (self.inside == 1).any(axis=0)
        return [False if out else True if told else None for out, told in zip(outside, known, strict=True)]

    def reason(self, i: int) -> str:
        """Return why no member has a value for candidate `i`; once, where all say the same."""
        reasons = [errors[i] or "no finite number" for errors in self.errors]
        if len(set(reasons)) == 1:
            return reasons[0]
        return "; ".join(f"{kind}: {reason}" for kind, reason in zip(self.kinds, reasons, strict=True))
