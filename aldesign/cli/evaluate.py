"""``aldesign evaluate``: how wrong an oracle is, and whether it knows."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aldesign.cli.options import (
    CrystalFile,
    Device,
    Level,
    LoadOptions,
    Negative,
    OracleName,
    Seed,
    Target,
    Threads,
    ValidationFraction,
    flowing,
    parse_options,
)
from aldesign.cli.output import FormulaColumn, Json, Quiet, ValueColumn, note, print_json, print_records, report_table
from aldesign.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aldesign.judging import Evaluation
    from aldesign.protocols import Oracle
    from aldesign.records import LabelledRow, OracleCard

METRICS, PREDICTIONS, FOLDS = "metrics.json", "predictions.csv", "folds"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=flowing(evaluate.__doc__))(evaluate)


def evaluate(
    oracle: OracleName,
    data: Annotated[Path, typer.Option(metavar="FILE", help="Table of formulas (or crystals) and labels.")],
    cv: Annotated[int | None, typer.Option(min=2, metavar="K", help="Cross-validate with K folds, by formula.")] = None,
    test: Annotated[Path | None, typer.Option(metavar="FILE", help="Train on --data, predict these rows.")] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Judge stored weights on --data as they are.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder for figures, plots, predictions; and to go on after a kill."),
    ] = None,
    structures: CrystalFile = None,
    target: Target = None,
    level: Level = None,
    negative: Negative = "reject",
    seed: Seed = 0,
    validation_fraction: ValidationFraction = 0.1,
    options: LoadOptions = None,
    threads: Threads = 1,
    device: Device = "auto",
    force: Annotated[bool, typer.Option("--force", help="Forget what an earlier evaluation left in DIR.")] = False,
    formula_column: FormulaColumn = None,
    value_column: ValueColumn = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Judge an oracle: by cross-validation, on a test file, or the stored weights as they are.

    With --cv and --test an oracle is trained afresh, and never on a formula that it is tested on. Without them
    nothing is trained: the shipped weights (or --model DIR) predict the rows of --data. Rows that these weights
    were trained on flatter them; where the weights tell which formulas they know, those are judged apart.

    Into --out go metrics.json, predictions.csv, parity.png, residuals.png and calibration.png (of the formulas not
    learnt from, where that is known), and while it works the finished folds: the same command goes on after an
    interruption, another one is refused.
    """
    if sum(x is not None for x in (cv, test, model)) > 1:
        raise InputError("--cv, --test and --model exclude each other", "give one of them")
    from aldesign.cli.tables import read_labelled, settle
    from aldesign.files import refuse_overwriting
    from aldesign.learning.threads import pin_threads, prefer_device

    for name in (METRICS, PREDICTIONS):
        refuse_overwriting(out and out / name, data, test, structures)
    pin_threads(threads)
    prefer_device(device)
    chosen = parse_options(options)

    def read(path: Path, card: OracleCard) -> Sequence[LabelledRow]:
        table = read_labelled(card, path, structures, level or "PBE", negative, formula_column, value_column)
        if not quiet:
            report_table(table)
        return table.rows

    if cv is None and test is None:
        ready = _ready(oracle, model, level, target, chosen)
        found = _stored(oracle, ready, model, read(data, ready.card))
        method = f"stored weights {model or 'as shipped'} on {data}"
    else:
        if out is not None and force:
            shutil.rmtree(out / FOLDS, ignore_errors=True)
        new, chosen = settle(oracle, target, chosen)
        rows, held = read(data, new), read(test, new) if test else ()
        keep = out and out / FOLDS
        settings = {"seed": seed, "validation_fraction": validation_fraction, "options": chosen, "keep": keep}
        found = _trained(oracle, rows, cv, held, settings, quiet)
        method = f"{cv}-fold cross-validation by formula of {data}" if cv else f"trained on {data}, tested on {test}"
    figures = found.figures()
    if out is not None:
        plots = _write(found, figures, method, oracle, out)
        note(f"{', '.join((METRICS, PREDICTIONS, *plots))} in {out}")
    if as_json:
        print_json({"oracle": oracle, "method": method, "unit": found.unit, "figures": figures})
    else:
        print_records(figures, as_json=False, title=f"{oracle}, {method}, {found.unit}")


def _ready(name: str, model: Path | None, level: str | None, target: str | None, options: dict[str, Any]) -> Oracle:
    """Return stored weights of the level of theory that was asked for, where they have several."""
    from aldesign.registry import load_oracle
    from aldesign.tables.columns import quantity

    if target is not None:
        quantity(target)
    ready = load_oracle(name, model, **options)
    if level is not None and level != ready.card.level and "level" not in options:
        # without weights of that level, those that there are can still be held against its labels: that is told
        with suppress(InputError):
            ready = load_oracle(name, model, level=level, **options)
    if target not in (None, ready.card.property):
        raise InputError(f"{name!r} predicts {ready.card.property}, not {target}", "choose with --property")
    return ready


def _stored(name: str, ready: Oracle, model: Path | None, rows: Sequence[LabelledRow]) -> Evaluation:
    """Judge weights as they are."""
    from aldesign.cards import learnt_formulas
    from aldesign.judging import evaluate_on

    others = {row.level for row in rows} - {ready.card.level}
    if others:
        note(f"mind: the oracle states {ready.card.level}, the labels {', '.join(sorted(others))}")
    sketch = learnt_formulas(name, model, ready.card.level)
    if sketch is None:
        note("mind: rows that these weights were trained on flatter them, and nothing tells which; --cv K does not")
        return evaluate_on(ready, rows)
    learnt = sketch.contains([row.formula for row in rows])
    if learnt.any():
        note(
            f"mind: {int(learnt.sum())} of {len(rows)} rows are of formulas that these weights learnt from, "
            "which flatters them; read the group 'not learnt from', or use --cv K"
        )
    return evaluate_on(ready, rows, learnt)


def _trained(
    name: str,
    rows: Sequence[LabelledRow],
    cv: int | None,
    test: Sequence[LabelledRow],
    settings: dict[str, Any],
    quiet: bool,
) -> Evaluation:
    """Judge by training afresh: over folds, or on `test`."""
    from aldesign.cli.live import training_progress
    from aldesign.crossvalidation import cross_validate, evaluate_fitted

    with training_progress(quiet) as progress:
        if cv is not None:
            return cross_validate(name, rows, cv, progress=progress, **settings)
        shared = {row.formula for row in rows} & {row.formula for row in test}
        train = [row for row in rows if row.formula not in shared]
        if shared:
            note(f"{len(shared)} formulas stand in both files: left out of the training")
        if not train:
            raise InputError("every formula of --data stands in --test too", "give other rows to train on")
        return evaluate_fitted(name, train, test, progress=progress, **settings)


def _write(found: Evaluation, figures: list[dict[str, Any]], method: str, oracle: str, out: Path) -> list[str]:
    from aldesign.files import write_csv, write_json
    from aldesign.report.evaluation import write_plots

    write_json(out / METRICS, {"oracle": oracle, "method": method, "unit": found.unit, "figures": figures})
    rows = zip(found.rows, found.mean.tolist(), found.std.tolist(), found.fold.tolist(), found.errors, strict=True)
    learnt = [None] * len(found.rows) if found.learnt is None else [str(x).lower() for x in found.learnt.tolist()]
    cells = (
        [row.line, row.crystal and row.crystal.id, row.formula, row.value, _known(mean), _known(std), fold + 1, error]
        for row, mean, std, fold, error in rows
    )
    write_csv(
        out / PREDICTIONS,
        ("line", "id", "formula", "true", "predicted", "std", "fold", "error", "learnt"),
        ([*row, known] for row, known in zip(cells, learnt, strict=True)),
    )
    shown = found.unseen()
    return write_plots(shown, out, oracle if shown is found else f"{oracle}, formulas not learnt from")


def _known(value: float) -> float | None:
    return round(value, 6) if value == value else None  # NaN is not itself
