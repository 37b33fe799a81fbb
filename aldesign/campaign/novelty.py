"""How far a formula is from what was known when the campaign began."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState
from aldesign.chemistry.distance import cumulative
from aldesign.chemistry.elements import PETTIFOR
from aldesign.chemistry.formula import Compositions, parse_many
from aldesign.chemistry.nearest import Neighbourhood
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
        usable = [i for i in np.flatnonzero(_on_scale(parsed)).tolist() if errors[i] is None]
        names, told = list(origins), list(origins.values())
        kept = parsed[usable] if usable else parsed
        return cls(tuple(names[i] for i in usable), tuple(told[i] for i in usable), kept, tuple(notes))

    def nearest(self, formulas: Sequence[str]) -> list[Nearest | None]:
        """Return the nearest known formula of each canonical formula; of several the first: seed rows, files, told.

        A material told from outside is not its own neighbour. None where nothing is known, or an element is beyond
        the modified Pettifor scale.
        """
        found: list[Nearest | None] = [None] * len(formulas)
        parsed, errors = parse_many(list(formulas))
        usable = [i for i in np.flatnonzero(_on_scale(parsed)).tolist() if errors[i] is None]
        if not self.formulas or not usable:
            return found
        hits = Neighbourhood(cumulative(self.compositions)).nearest(cumulative(parsed[usable]), k=2)
        for i, (places, distances) in zip(usable, hits, strict=True):
            for place, distance in zip(places.tolist(), distances.tolist(), strict=True):
                if self.origins[place] != TOLD or self.formulas[place] != formulas[i]:
                    found[i] = Nearest(self.formulas[place], round(distance, 4), self.origins[place])
                    break
        return found


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


def _on_scale(parsed: Compositions) -> np.ndarray:
    """Return which compositions have atoms, all of them with a place on the modified Pettifor scale, bool (n,)."""
    numbers = parsed.numbers
    return np.asarray((numbers > 0).any(axis=1) & ~((numbers > 0) & (PETTIFOR[numbers] < 0)).any(axis=1))


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
