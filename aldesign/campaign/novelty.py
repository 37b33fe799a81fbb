"""How far a formula is from what was known when the campaign began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState
from aldesign.chemistry.distance import emd_matrix
from aldesign.chemistry.elements import PETTIFOR
from aldesign.chemistry.formula import Compositions, parse_many
from aldesign.errors import AldesignError
from aldesign.records import Source

SEEDS, TOLD = "seed rows", "told from outside"


@dataclass(frozen=True)
class Nearest:
    """The known formula at the smallest element mover's distance.

    Attributes:
        formula: Its canonical formula.
        emd: The distance in places of the modified Pettifor scale; 0 for the formula itself.
        origin: Who knows it: the seed rows, those who told, or the name of a file.

    """

    formula: str
    emd: float
    origin: str


@dataclass(frozen=True, eq=False)
class Known:
    """What a campaign knows from elsewhere: seed rows, told materials, and the novelty screen's files.

    What the campaign proposed by itself is not known, whatever an oracle said of it.

    Attributes:
        formulas: Canonical formulas, n of them.
        origins: Who knows each, n of them.
        compositions: The same formulas as arrays.
        notes: Which files could not be read.

    """

    formulas: tuple[str, ...]
    origins: tuple[str, ...]
    compositions: Compositions
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, state: CampaignState, spec: CampaignSpec) -> Known:
        """Return what is known to a campaign; a novelty file that is not there any more is noted, not fatal."""
        origins: dict[str, str] = {}
        origins.update(dict.fromkeys(_of_source(state, Source.SEED), SEEDS))
        notes = []
        for path in novelty_files(spec):
            try:
                listed = _formulas_in(path)
            except (AldesignError, OSError) as error:
                notes.append(f"the novelty list {path.name} was not looked at: {error}")
                continue
            for formula in listed:
                origins.setdefault(formula, path.name)
        for formula in _of_source(state, Source.USER):
            origins.setdefault(formula, TOLD)
        parsed, errors = parse_many(list(origins))
        numbers = parsed.numbers
        beyond = ((numbers > 0) & (PETTIFOR[numbers] < 0)).any(axis=1)
        usable = [e is None and bool(ok) for e, ok in zip(errors, ~beyond & (numbers > 0).any(axis=1), strict=True)]
        kept = np.flatnonzero(usable)
        names, told = list(origins), list(origins.values())
        return cls(
            tuple(names[i] for i in kept),
            tuple(told[i] for i in kept),
            parsed[kept] if len(kept) else parsed,
            tuple(notes),
        )

    def nearest(self, formulas: Sequence[str]) -> list[Nearest | None]:
        """Return the nearest known formula of each canonical formula; of several the first: seed rows, files, told.

        A material told from outside is not its own neighbour. None where nothing is known, or an element is beyond
        the modified Pettifor scale.
        """
        parsed, errors = parse_many(list(formulas))
        found: list[Nearest | None] = []
        for row, (formula, error) in enumerate(zip(formulas, errors, strict=True)):
            if (
                error is not None
                or not self.formulas
                or (PETTIFOR[parsed.numbers[row]][parsed.numbers[row] > 0] < 0).any()
            ):
                found.append(None)
                continue
            distances = emd_matrix(parsed[[row]], self.compositions)[0]
            own = [i for i in self._places(formula) if self.origins[i] == TOLD]
            distances[own] = np.inf
            place = int(np.argmin(distances))
            near = float(distances[place])
            found.append(Nearest(self.formulas[place], round(near, 4), self.origins[place]) if near < np.inf else None)
        return found

    def _places(self, formula: str) -> list[int]:
        return [self.formulas.index(formula)] if formula in self.formulas else []


def novelty_files(spec: CampaignSpec) -> list[Path]:
    """Return the files of known formulas that the campaign's novelty screens name."""
    files = []
    for entry in spec.screens:
        options = entry.get("novelty") if isinstance(entry, dict) else None
        known = options.get("known", "builtin") if isinstance(options, dict) else "builtin"
        files += [Path(k).expanduser() for k in ([known] if isinstance(known, str) else known) if k != "builtin"]
    return files


def in_sketch(formulas: Sequence[str]) -> list[bool]:
    """Return which formulas the shipped sketch of the Materials Project's formulas takes for known."""
    from aldesign.chemistry.sketch import known

    return [bool(x) for x in known().contains(list(formulas))] if formulas else []


def _of_source(state: CampaignState, source: Source) -> list[str]:
    return [t.candidate.formula for _, t in sorted(state.trials.items()) if t.candidate.source is source]


def _formulas_in(path: Path) -> tuple[str, ...]:
    status = path.stat()
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=4)
def _read(path: Path, changed_ns: int, size: int) -> tuple[str, ...]:  # noqa: ARG001 - parts of the key
    from aldesign.datasets.formulas import read_formulas

    with read_formulas(path) as file:
        return tuple(dict.fromkeys(row.formula for row in file.rows if row.formula is not None))
