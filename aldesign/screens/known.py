"""Formulas that the campaign, or the world, knows already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import numpy as np

from aldesign.chemistry import sketch
from aldesign.errors import SpecError
from aldesign.records import Verdict
from aldesign.screens.common import FormulaScreen, names


@dataclass(frozen=True)
class DuplicateScreen(FormulaScreen):
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
                verdicts.append(self.verdict(True, "new to this campaign"))
            else:
                verdicts.append(self.verdict(False, f"{formula} is already in the campaign: {first}", first=first))
        return verdicts


@dataclass(frozen=True)
class NoveltyScreen(FormulaScreen):
    """No formula that is known already.

    Attributes:
        known: ``"builtin"`` (a sketch of the Materials Project's formulas, with its rate of false alarms, and the
            built-in computed compounds), the path of a file of formulas, or a list of these.

    """

    name: ClassVar[str] = "novelty"
    known: str | Sequence[str] = "builtin"

    def __post_init__(self) -> None:
        if not names(self.known):
            raise SpecError("novelty was given no formulas", "give known: builtin, or a file of formulas")
        for name in names(self.known):
            self._sets(name)

    def judge(self, formulas: Sequence[str]) -> list[Verdict]:
        """Return one verdict per canonical formula; a reason says how sure it is."""
        lists = names(self.known)
        verdicts = [self.verdict(True, f"not known to {', '.join(lists)}")] * len(formulas)
        sets = [(name, known) for name in lists for known in self._sets(name)]
        for name, known in reversed(sets):  # the first that knows a formula is the one named
            exact = isinstance(known, frozenset)
            found = [f in known for f in formulas] if isinstance(known, frozenset) else known.contains(formulas)
            rate = 0.0 if isinstance(known, frozenset) else known.false_positive_rate
            for row in np.flatnonzero(found).tolist():
                sure = "is known already" if exact else f"may be known already (false alarms: {rate:.1%})"
                reason = f"{formulas[row]} {sure}, by {name}"
                verdicts[row] = self.verdict(False, reason, known_by=name, false_positive_rate=rate)
        return verdicts

    def _sets(self, name: str) -> list[frozenset[str] | sketch.FormulaSketch]:
        if name == "builtin":
            from aldesign.datasets.builtin import computed_formulas

            return [sketch.known(), computed_formulas()]
        return [_formulas_in(self.context.base / Path(name).expanduser())]


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
