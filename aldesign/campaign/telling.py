"""Answers from outside: a table of measured gaps, in any order, also for materials never asked for."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from aldesign.campaign.campaign import Campaign
from aldesign.campaign.codec import prediction_to_json, trial_to_json
from aldesign.chemistry.formula import canonical
from aldesign.errors import FormulaError, InputError
from aldesign.records import BadRow, Candidate, OracleIdentity, Prediction, Source, Trial, TrialState

GAP_NAMES = {"gap": "value", "band_gap": "value", "gap_ev": "value"}
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
    if level != card.level:
        raise ValueError(f"the answer is a {level} gap, the campaign's are {card.level}: they must not be mixed")
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


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Return the rows with their line numbers; blank lines are passed over."""
    hint = f"columns: {', '.join(COLUMNS)}; value and std in eV"
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            reader = csv.reader(handle)
            header = [GAP_NAMES.get(cell.strip().lower(), cell.strip().lower()) for cell in next(reader, [])]
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except FileNotFoundError:
        raise InputError(f"there is no table of answers at {path}", hint) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path} cannot be read as a CSV table: {error}", hint) from error
    missing = [name for name in ("formula", "value") if header.count(name) != 1]
    if missing:
        raise InputError(f"{path} has the columns {', '.join(header) or 'none'}; one {missing[0]} is needed", hint)
    if not rows:
        raise InputError(f"{path} holds no rows", hint)
    return [(line, dict(zip(header, [*row, *[""] * len(header)], strict=False))) for line, row in rows]
