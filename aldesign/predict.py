"""Just predict: an oracle's answers for formulas, files or crystals, a row per input row, in order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from aldesign.datasets.formulas import InputRow, parse_texts, read_formulas
from aldesign.errors import AldesignError, InputError, OracleError
from aldesign.files import refuse_overwriting, write_csv
from aldesign.protocols import Oracle
from aldesign.records import Candidate, Prediction, Source

COLUMNS = ("formula", "value", "std", "unit", "oracle", "level", "in_domain", "error")
CHUNK = 4096


@dataclass(frozen=True)
class PredictedRow:
    """An input row and what the oracle said about it.

    Attributes:
        id: The row's own id; None where the input has no ids.
        formula: Canonical formula, or the text as given where it is none.
        prediction: A value with its uncertainty, or an error.

    """

    id: str | None
    formula: str
    prediction: Prediction

    def record(self) -> dict[str, object]:
        """Return the row for JSON: the columns of the CSV, numbers as numbers, nothing as null."""
        found = self.prediction
        values = (
            self.formula,
            None if found.value is None else round(found.value, 6),
            None if found.std is None else round(found.std, 6),
            found.unit,
            found.oracle.name,
            found.level,
            found.in_domain,
            " ".join(found.error.split()) or None,  # one line, whatever a parser said
        )
        named: dict[str, object] = dict(zip(COLUMNS, values, strict=True))
        return named if self.id is None else {"id": self.id, **named}

    def cells(self) -> list[object]:
        """Return the row for a CSV: ``id`` first where there are ids; booleans in lower case."""
        return [str(value).lower() if isinstance(value, bool) else value for value in self.record().values()]


def predict_formulas(oracle: Oracle, formulas: Sequence[str]) -> list[PredictedRow]:
    """Return one row per formula, in order; one that cannot be read carries an error."""
    return list(predict_rows(oracle, parse_texts(formulas)))


def predict_file(oracle: Oracle, source: Path | str, formula_column: str | None = None) -> Iterator[PredictedRow]:
    """Yield one row per row of a CSV, text, JSON (lines) file or CIF, in order; memory does not grow with it.

    Raises:
        InputError: The file cannot be read, or holds no formulas.

    """
    with read_formulas(source, formula_column) as file:
        yield from predict_rows(oracle, file.rows)


def predict_to_csv(oracle: Oracle, source: Path | str, output: Path, formula_column: str | None = None) -> int:
    """Write the predictions of a file to a CSV, whole or not at all; return the number of rows.

    Raises:
        InputError: `output` is `source`, or one of the two cannot be opened.

    """
    refuse_overwriting(output, Path(source))
    with read_formulas(source, formula_column) as file:
        rows = predict_rows(oracle, file.rows)
        return write_csv(output, header(file.has_ids), (row.cells() for row in rows))


def header(has_ids: bool) -> tuple[str, ...]:
    """Return the columns of the table of predictions."""
    return ("id", *COLUMNS) if has_ids else COLUMNS


def predict_rows(oracle: Oracle, rows: Iterable[InputRow]) -> Iterator[PredictedRow]:
    """Yield one predicted row per input row, in order, asking the oracle in chunks.

    Raises:
        InputError: The oracle answers from outside, later.
        OracleError: The oracle broke its contract: it raised, or gave another number of answers.

    """
    if oracle.card.answers == "tell":
        raise InputError(
            f"oracle {oracle.card.identity.name!r} answers from outside", "use `aldesign ask` and `aldesign tell`"
        )
    iterator = iter(rows)
    # A short first chunk shows the first answers soon.
    size = 256
    while chunk := list(islice(iterator, size)):
        yield from _predict_chunk(oracle, chunk)
        size = CHUNK


def ask(oracle: Oracle, candidates: Sequence[Candidate]) -> list[Prediction]:
    """Return an oracle's answers, in order; a value that is no number becomes an error.

    What an oracle that needs crystals says of a candidate without one counts only where it says itself that it was
    asked beyond its data, as an ensemble does whose other members answered.

    Raises:
        OracleError: The oracle broke its contract: it raised, or gave another number of answers.

    """
    card = oracle.card
    answers: list[Prediction] = []
    for start in range(0, len(candidates), CHUNK):
        part = candidates[start : start + CHUNK]
        try:
            given = list(oracle.predict(part))
        except AldesignError:
            raise
        except Exception as error:
            raise OracleError(
                f"oracle {card.identity.name!r} failed on a batch: {type(error).__name__}: {error}",
                "an oracle must answer with an error, not raise; report it to its author",
            ) from error
        if len(given) != len(part):
            raise OracleError(f"oracle {card.identity.name!r} gave {len(given)} answers to {len(part)} candidates")
        reason = "this oracle needs a crystal, and a formula has none: give JSON lines or CIFs"
        for candidate, answer in zip(part, given, strict=True):
            blind = card.needs == "structure" and candidate.crystal is None and answer.in_domain is not False
            answers.append(Prediction.failed(card, reason) if blind else _finite(answer))
    return answers


def _predict_chunk(oracle: Oracle, rows: Sequence[InputRow]) -> list[PredictedRow]:
    candidates = [
        Candidate(row.formula, Source.USER, structure_id=row.crystal.id if row.crystal else None, crystal=row.crystal)
        for row in rows
        if row.formula is not None
    ]
    answers = iter(ask(oracle, candidates))
    return [
        PredictedRow(row.id, row.text, Prediction.failed(oracle.card, row.error))
        if row.formula is None
        else PredictedRow(row.id, row.formula, next(answers))
        for row in rows
    ]


def _finite(answer: Prediction) -> Prediction:
    """Return the answer, or an error in place of a value that is no number."""
    numbers = [number for number in (answer.value, answer.std) if number is not None]
    if all(math.isfinite(number) for number in numbers):
        return answer
    return replace(answer, value=None, std=None, error=f"the oracle gave {answer.value} ± {answer.std}")
