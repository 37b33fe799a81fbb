"""The best candidates of a finished run, as first rows of a campaign that checks them with another oracle."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aldesign.campaign.finishing import crystal_of
from aldesign.campaign.journal import FILE_NAME
from aldesign.campaign.ranking import best_first, shortlist
from aldesign.campaign.reading import read_state
from aldesign.chemistry.formula import canonical
from aldesign.errors import FormulaError, InputError
from aldesign.records import BadRow, Crystal, Trial

CANDIDATES = "candidates.csv"
_HINT = "name a run directory or a folder of `aldesign export`, e.g. --set data.path=runs/first"


@dataclass(frozen=True)
class Claim:
    """What a run said of a candidate, before another oracle was asked.

    Attributes:
        rank: Its place in the run's table, from 1.
        formula: Canonical formula.
        gap_ev: The gap that the run believed in.
        std_ev: Its standard deviation, if one was stated.
        oracle: Who predicted it.
        level: At which level of theory.
        formation_energy_ev_per_atom: Of the run's crystal, by `energy_method`; None where it has none.
        energy_method: Who gave that energy.
        formation_energy_graph_ev_per_atom: The second opinion, that of a crystal graph network.
        relaxed: Whether the run's crystal was relaxed; None without a crystal.

    """

    rank: int
    formula: str
    gap_ev: float
    std_ev: float | None
    oracle: str
    level: str
    formation_energy_ev_per_atom: float | None = None
    energy_method: str = ""
    formation_energy_graph_ev_per_atom: float | None = None
    relaxed: bool | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the claim for the journal."""
        return asdict(self)


@dataclass(frozen=True)
class Earlier:
    """The candidates of a run, the best first: claims, the crystals they are about, and what could not be used."""

    claims: tuple[Claim, ...]
    crystals: tuple[Crystal | None, ...]
    origin: str
    notes: tuple[str, ...] = ()
    bad: tuple[BadRow, ...] = ()


def read_earlier(path: Path, limit: int | None = None) -> Earlier:
    """Return the `limit` best candidates of a run directory, or of a folder that ``aldesign export`` wrote.

    Of a run whose table is empty, the best measured formulas are taken, without crystals.

    Raises:
        InputError: There is neither, or it holds no candidate.
    """
    if (path / FILE_NAME).is_file():
        found = _of_run(path, limit)
    elif (path / CANDIDATES).is_file():
        found = _of_export(path, limit)
    else:
        what = f"holds neither {FILE_NAME} nor {CANDIDATES}" if path.is_dir() else "is not there"
        raise InputError(f"the run to be checked, {path} (data.path), {what}", _HINT)
    if not found.claims:
        first = f"; the first, {found.bad[0].reason}" if found.bad else ""
        raise InputError(f"{path} (data.path) holds no candidate to check{first}", _HINT)
    bare = sum(crystal is None for crystal in found.crystals)
    note = (f"{bare} of {len(found.claims)} candidates have no crystal of their own",) if bare else ()
    return Earlier(found.claims, found.crystals, found.origin, (*found.notes, *note), found.bad)


def _of_run(path: Path, limit: int | None) -> Earlier:
    state, spec = read_state(path)
    listed = shortlist(state, spec).accepted
    rows: list[tuple[Trial, Mapping[str, Any]]] = [(item.trial, item.record.facts) for item in listed]
    notes = []
    if not rows:
        rows = [(trial, {}) for trial in best_first(state, spec)]
        notes = ["the run accepted no crystal: its best measured formulas are taken"] if rows else []
    rows = rows[:limit]
    if not state.stopped:
        notes.append("the run had not ended: its table may still change")
    claims = tuple(_claim(rank, trial, facts) for rank, (trial, facts) in enumerate(rows, start=1))
    crystals = tuple(crystal_of(dict(facts)) if "crystal" in facts else None for _, facts in rows)
    return Earlier(claims, crystals, f"the run {spec.name} in {path.name}", tuple(notes))


def _claim(rank: int, trial: Trial, facts: Mapping[str, Any]) -> Claim:
    answer = trial.prediction
    if answer is None or answer.value is None:
        raise ValueError(f"trial {trial.number} has no gap")
    return Claim(
        rank,
        trial.candidate.formula,
        answer.value,
        answer.std,
        f"{answer.oracle.name} {answer.oracle.version}".strip(),
        answer.level,
        facts.get("formation_energy_ev_per_atom"),
        str(facts.get("energy_method") or ""),
        facts.get("formation_energy_graph_ev_per_atom"),
        bool(facts.get("relaxed")) if "crystal" in facts else None,
    )


def _of_export(path: Path, limit: int | None) -> Earlier:
    table = path / CANDIDATES
    try:
        with table.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.DictReader(handle)
            columns = set(reader.fieldnames or ())
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table} cannot be read as a table: {error}", _HINT) from error
    missing = {"formula", "gap_ev"} - columns
    if missing:
        raise InputError(f"{table} has no column {' and '.join(sorted(missing))}", _HINT)
    claims: list[Claim] = []
    crystals: list[Crystal | None] = []
    bad: list[BadRow] = []
    for rank, (line, row) in enumerate(rows, start=1):
        if limit is not None and len(claims) == limit:
            break
        try:
            claim = _row_claim(row, rank)
            crystal = _row_crystal(path, row, claim.formula)
        except (FormulaError, ValueError, InputError) as error:
            bad.append(BadRow(str(table), line, row.get("formula") or "", str(error)))
            continue
        claims.append(claim)
        crystals.append(crystal)
    return Earlier(tuple(claims), tuple(crystals), f"the candidates exported to {path.name}", (), tuple(bad))


def _row_claim(row: Mapping[str, str], rank: int) -> Claim:
    gap = _number(row, "gap_ev")
    if gap is None:
        raise ValueError("gap_ev is empty")
    return Claim(
        rank,
        canonical(row["formula"] or ""),
        gap,
        _number(row, "gap_std_ev"),
        row.get("oracle") or "not named",
        row.get("level") or "not stated",
        _number(row, "formation_energy_ev_per_atom"),
        row.get("energy_method") or "",
        _number(row, "formation_energy_graph_ev_per_atom"),
        {"True": True, "False": False}.get(row.get("relaxed") or ""),
    )


def _row_crystal(folder: Path, row: Mapping[str, str], formula: str) -> Crystal | None:
    """Return the crystal of a row's CIF, None where it names none. Raises InputError where it cannot be used."""
    from aldesign.structures.cif import formula_of, read_cif

    name = Path(row.get("cif") or "").name
    if not name:
        return None
    items: Sequence[tuple[str, Crystal | BadRow]] = list(read_cif(folder / name)) if (folder / name).is_file() else []
    if not items:
        raise InputError(f"its crystal {name} is not in the folder", "copy the CIFs along with candidates.csv")
    crystal = items[0][1]
    if isinstance(crystal, BadRow):
        raise InputError(f"{name}: {crystal.reason}")
    if formula_of(crystal) != formula:
        raise InputError(f"{name} is a crystal of {formula_of(crystal)}, the row is {formula}")
    return crystal


def _number(row: Mapping[str, str], column: str) -> float | None:
    text = (row.get(column) or "").strip()
    try:
        value = float(text) if text else None
    except ValueError:
        value = math.nan
    if value is not None and not math.isfinite(value):
        raise ValueError(f"{column} is {text!r}, not a number")
    return value
