"""Answers from outside: a table of measured gaps, in any order, also for materials never asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aldesign.campaign.campaign import Campaign
from aldesign.campaign.codec import prediction_to_json, trial_to_json
from aldesign.chemistry.formula import canonical
from aldesign.errors import FormulaError, InputError
from aldesign.records import BadRow, Candidate, OracleIdentity, Prediction, Source, Trial, TrialState

COLUMNS = ("formula", "value", "std", "level", "error")


@dataclass(frozen=True)
class Told:
    """What became of a table of answers: counts by outcome, and the rows refused."""

    outcomes: Mapping[str, int]
    refused: tuple[BadRow, ...]


def tell(campaign: Campaign, path: Path) -> Told:
    """Record the answers of a CSV table with the columns formula, value and, if wanted, std, level, error.

    A row answers a pending trial of its formula; a formula never asked for becomes a trial of its own. A row with
    an error text marks the trial as failed. A formula that has a value already is refused, so telling the same
    file twice changes nothing.

    Raises:
        InputError: The file is missing, empty, or has no formula and value columns.
    """
    outcomes: Counter[str] = Counter()
    refused: list[BadRow] = []
    for line, row in _rows(path):
        try:
            outcomes[_tell_one(campaign, row, path.name)] += 1
        except (FormulaError, ValueError) as error:
            refused.append(BadRow(str(path), line, str(row), str(error)))
    return Told(dict(outcomes), tuple(refused))


def _tell_one(campaign: Campaign, row: Mapping[str, str], name: str) -> str:
    formula = canonical(row["formula"])
    prediction = _prediction(campaign, row, name)
    trials = campaign.state.of_formula(formula)
    known = next((t for t in trials if t.state is TrialState.MEASURED), None)
    if known is not None and known.prediction is not None:
        raise ValueError(f"{formula} was measured before, as trial {known.number}: {known.prediction.value} eV")
    open_ = next((t for t in trials if t.state is not TrialState.REJECTED), None)
    if open_ is not None and open_.state is TrialState.FAILED and not prediction.ok:
        raise ValueError(f"{formula} has failed before, as trial {open_.number}")
    if open_ is not None:
        campaign.record("answered", {"trial": open_.number, "prediction": prediction_to_json(prediction)})
        return "answered" if prediction.ok else "failed"
    if not prediction.ok:
        raise ValueError(f"{formula} was never asked for and has no value: {prediction.error}")
    iteration = max((p.iteration for p in campaign.state.proposals.values() if p.closed), default=0)
    trial = Trial(
        campaign.state.next_number,
        iteration,
        Candidate(formula, Source.USER),
        TrialState.MEASURED,
        prediction=prediction,
    )
    campaign.record("told", {"trial": trial_to_json(trial)})
    return "added"


def _prediction(campaign: Campaign, row: Mapping[str, str], name: str) -> Prediction:
    card = campaign.parts.card
    identity = OracleIdentity(f"told:{name}", "", "")
    level = row.get("level") or card.level
    if row.get("error"):
        return Prediction(None, None, card.unit, identity, level, error=row["error"])
    value = _number(row.get("value", ""), "value")
    std = _number(row["std"], "std") if row.get("std") else None
    return Prediction(value, std, card.unit, identity, level)


def _number(text: str, name: str) -> float:
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"{name} is {text!r}, not a number in eV") from None
    if not 0 <= number < 100:
        raise ValueError(f"{name} is {text} eV; a gap and its uncertainty lie between 0 and 100 eV")
    return number


def _rows(path: Path) -> Sequence[tuple[int, dict[str, str]]]:
    import pandas as pd

    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"there is no table of answers at {path}") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is no CSV table: {error}", f"columns: {', '.join(COLUMNS)}") from error
    frame.columns = [str(column).strip().lower() for column in frame.columns]
    renamed: dict[str, str] = {c: "value" for c in ("gap_ev", "gap", "band_gap") if c in frame.columns}
    frame = frame.rename(columns=renamed)
    missing = {"formula", "value"} - set(frame.columns)
    if missing or frame.columns.duplicated().any():
        fault = f"{', '.join(sorted(missing))} is missing" if missing else "one stands twice"
        raise InputError(
            f"{path} has the columns {', '.join(map(str, frame.columns))}; {fault}",
            f"columns: {', '.join(COLUMNS)}; value and std in eV",
        )
    if frame.empty:
        raise InputError(f"{path} holds no rows")
    records = enumerate(frame.to_dict("records"), start=2)
    return [(line, {str(key): str(value).strip() for key, value in row.items()}) for line, row in records]
