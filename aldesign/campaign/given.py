"""Candidates of a user's own list, instead of new ones: formulas, with crystals where the list has them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aldesign.chemistry.formula import compositions
from aldesign.chemistry.onehot import MAX_COUNT
from aldesign.errors import InputError
from aldesign.records import Crystal


@dataclass(frozen=True, eq=False)
class Given:
    """What a campaign may choose from.

    Attributes:
        crystals: The crystal of each canonical formula, None where the list has none; sorted by formula, so that the
            order of a file cannot matter.
        notes: What was left out, for people.

    """

    crystals: Mapping[str, Crystal | None]
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.crystals)

    @property
    def digest(self) -> str:
        """First 16 hex digits of the sha256 over formulas and crystals."""
        total = hashlib.sha256()
        for formula, crystal in self.crystals.items():
            known = [] if crystal is None else [crystal.lattice, crystal.species, crystal.frac.tolist()]
            total.update(json.dumps([formula, known]).encode())
        return total.hexdigest()[:16]


def read_given(path: Path) -> Given:
    """Return the candidates of a file: a table or text of formulas, JSON lines of crystals, CIFs or a folder of them.

    Of several rows of one formula the first with a crystal counts. Rows that cannot be read, and formulas that the
    campaign cannot learn from, are left out and counted.

    Raises:
        InputError: The file cannot be read, or holds nothing usable.
    """
    from aldesign.datasets.formulas import read_formulas

    if not path.exists():
        raise InputError(
            f"there is no file {path} (space.pool)", "name a file of formulas or crystals, or leave it out"
        )
    found: dict[str, Crystal | None] = {}
    bad: list[str] = []
    rows = 0
    with read_formulas(path) as file:
        for row in file.rows:
            rows += 1
            if row.formula is None:
                bad.append(f"line {row.line}: {row.error}" if row.line else f"{row.id or row.text}: {row.error}")
            elif found.get(row.formula) is None:
                found[row.formula] = row.crystal
    formulas = sorted(found)
    parsed = compositions(formulas)
    whole = (parsed.amounts == np.round(parsed.amounts)).all(axis=1) & (
        parsed.amounts.max(axis=1, initial=0) <= MAX_COUNT
    )
    kept = {formula: found[formula] for formula, fine in zip(formulas, whole.tolist(), strict=True) if fine}
    if not kept:
        first = f"; the first, {bad[0]}" if bad else ""
        raise InputError(
            f"{path} (space.pool) gives no candidate: {rows} rows, {len(bad)} refused{first}",
            f"give formulas of whole amounts up to {MAX_COUNT}, or crystals",
        )
    notes = [f"{len(kept)} formulas of {path.name}, {sum(c is not None for c in kept.values())} with a crystal"]
    if bad:
        notes.append(f"{len(bad)} rows left out, the first in {bad[0]}")
    if len(found) > len(kept):
        notes.append(f"{len(found) - len(kept)} formulas left out: fractional, or more than {MAX_COUNT} of an element")
    return Given(kept, tuple(notes))
