"""The rows that a campaign begins with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.spec.sections import DataSpec
from aldesign.errors import InputError, SpecError
from aldesign.records import Candidate, LabelledRow, OracleIdentity, Prediction, Source, Table, Trial, TrialState
from aldesign.seeds import stream


def seed_trials(spec: CampaignSpec, level: str) -> tuple[list[Trial], dict[str, Any]]:
    """Return the seed trials, iteration 0, and what is to be recorded about their source.

    Rows of a table are MEASURED, and so are the built-in computed compounds where the campaign's oracle is of their
    level of theory. For another oracle the built-in compounds are PENDING: it labels them, as it does every later
    candidate, since levels are never mixed.

    Args:
        spec: The campaign.
        level: Level of theory of the campaign's oracle.

    Raises:
        InputError: The table is missing, empty or unusable.
    """
    if spec.data.source == "builtin":
        return _builtin_trials(spec, level)
    if spec.data.source == "run":
        return _earlier_trials(spec)
    table = read_seed_table(spec)
    rows = _limited(list(table.rows), spec)
    identity = OracleIdentity(f"table:{Path(str(spec.data.path)).name}", "", "")
    trials = [_measured(number, row, identity, table.unit) for number, row in enumerate(rows)]
    bad = [{"source": b.source, "line": b.line, "text": b.text, "reason": b.reason} for b in table.bad]
    return trials, {"origin": table.origin, "rows": len(trials), "notes": list(table.notes), "bad_rows": bad}


def _builtin_trials(spec: CampaignSpec, level: str) -> tuple[list[Trial], dict[str, Any]]:
    from aldesign.datasets.builtin import NAME, builtin_card, builtin_formulas, builtin_rows, builtin_set

    card, digest = builtin_card(), builtin_set().digest
    if card["level"] == level:
        if spec.data.level not in (level, DataSpec().level):
            raise SpecError(
                f"data.level is {spec.data.level}, the built-in gaps are {level}",
                "leave data.level out: the built-in data states its own",
            )
        rows = _limited(builtin_rows(), spec)
        identity = OracleIdentity(NAME, str(card["software"].get("gpaw", "")), digest)
        trials = [_measured(number, row, identity, "eV") for number, row in enumerate(rows)]
        origin = f"the built-in data set {digest}: {level} gaps of {card['count']} crystals"
        return trials, {"origin": origin, "rows": len(trials), "notes": [], "bad_rows": []}
    formulas = _limited(builtin_formulas(), spec)
    trials = [
        Trial(number, 0, Candidate(formula, Source.SEED), TrialState.PENDING) for number, formula in enumerate(formulas)
    ]
    notes = [
        f"the built-in gaps are {card['level']}, the oracle gives {level}: the oracle labels all built-in compounds"
    ]
    origin = "the built-in compounds, labelled by the campaign's oracle"
    return trials, {"origin": origin, "rows": len(trials), "notes": notes, "bad_rows": []}


def _earlier_trials(spec: CampaignSpec) -> tuple[list[Trial], dict[str, Any]]:
    """Return the candidates of a finished run, PENDING with their crystals, and what the run said of them."""
    from aldesign.campaign.earlier import read_earlier

    found = read_earlier(Path(str(spec.data.path)), spec.data.limit)
    trials, claims = [], []
    for number, (claim, crystal) in enumerate(zip(found.claims, found.crystals, strict=True)):
        candidate = Candidate(claim.formula, Source.SEED, None, crystal.id if crystal else None, crystal)
        trials.append(Trial(number, 0, candidate, TrialState.PENDING))
        claims.append({"trial": number, **claim.to_json()})
    bad = [{"source": b.source, "line": b.line, "text": b.text, "reason": b.reason} for b in found.bad]
    facts = {"origin": found.origin, "rows": len(trials), "notes": list(found.notes), "bad_rows": bad}
    return trials, {**facts, "claims": claims}


def read_seed_table(spec: CampaignSpec) -> Table:
    """Return the labelled table that the campaign names."""
    from aldesign.datasets.table import read_table

    path = Path(str(spec.data.path))
    if path.is_dir() and spec.data.source in {"mp", "matbench"}:
        path = path / "labels.csv"
    if not path.exists():
        folder = path.parent if path.suffix else path
        made = f"download it with `aldesign data {spec.data.source} --out {folder}`"
        hint = made if spec.data.source != "table" else "give another with --set data.path=FILE"
        raise InputError(f"there is no data file at {path} (data.path)", hint)
    return read_table(
        path,
        formula_column=spec.data.formula_column,
        value_column=spec.data.value_column,
        level=spec.data.level,
    )


def _limited(rows: list[Any], spec: CampaignSpec) -> list[Any]:
    """Return at most `data.limit` rows, a random choice that the seed decides, in their first order."""
    if spec.data.limit is None or len(rows) <= spec.data.limit:
        return rows
    kept = stream(spec.seed, 0, "seed rows").choice(len(rows), spec.data.limit, replace=False)
    return [rows[i] for i in sorted(kept)]


def _measured(number: int, row: LabelledRow, identity: OracleIdentity, unit: str) -> Trial:
    prediction = Prediction(row.value, row.std, unit, identity, row.level)
    name = row.crystal.id if row.crystal is not None else None
    return Trial(
        number, 0, Candidate(row.formula, Source.SEED, structure_id=name), TrialState.MEASURED, prediction=prediction
    )
