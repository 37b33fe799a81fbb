"""``aldesign evaluate``: how wrong an oracle is, and whether it knows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aldesign.cli.options import (
    CrystalFile,
    Level,
    LoadOptions,
    Negative,
    OracleName,
    Property,
    Seed,
    Threads,
    ValidationFraction,
    parse_options,
)
from aldesign.cli.output import (
    FormulaColumn,
    Json,
    Quiet,
    ValueColumn,
    note,
    print_json,
    print_records,
    progress,
    report_table,
)
from aldesign.errors import InputError

if TYPE_CHECKING:
    from aldesign.fitting import Evaluation


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(evaluate)


def evaluate(
    oracle: OracleName,
    data: Annotated[Path, typer.Option(metavar="FILE", help="Table of formulas (or crystals) and labels.")],
    cv: Annotated[int | None, typer.Option(min=2, metavar="K", help="Cross-validate with K folds, by formula.")] = None,
    test: Annotated[Path | None, typer.Option(metavar="FILE", help="Train on --data, predict these rows.")] = None,
    model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Judge stored weights on --data as they are.")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder for figures, plots and predictions.")] = None,
    structures: CrystalFile = None,
    target: Property = "band_gap",
    level: Level = "PBE",
    negative: Negative = "reject",
    seed: Seed = 0,
    validation_fraction: ValidationFraction = 0.1,
    options: LoadOptions = None,
    threads: Threads = 1,
    formula_column: FormulaColumn = None,
    value_column: ValueColumn = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Judge an oracle: by cross-validation, on a test file, or the stored weights as they are.

    Without --cv and --test nothing is trained: the shipped weights (or --model DIR) predict the rows of --data.
    """
    if sum(x is not None for x in (cv, test, model)) > 1:
        raise InputError("--cv, --test and --model exclude each other", "give one of them")
    from aldesign.cli.tables import read_labelled
    from aldesign.files import refuse_overwriting
    from aldesign.fitting import cross_validate, evaluate_fitted, evaluate_on
    from aldesign.learning.threads import pin_threads

    for name in ("metrics.json", "predictions.csv"):
        refuse_overwriting(out and out / name, data, test, structures)
    pin_threads(threads)
    chosen = parse_options(options)
    table = read_labelled(oracle, data, structures, target, level, negative, formula_column, value_column)
    if not quiet:
        report_table(table)
    trained = chosen | ({"property": target} if target != "band_gap" else {})
    settings: dict[str, Any] = {
        "seed": seed,
        "validation_fraction": validation_fraction,
        "options": trained,
        "progress": progress(quiet),
    }
    if cv is not None:
        found, method = cross_validate(oracle, table.rows, cv, **settings), f"{cv}-fold cross-validation by formula"
    elif test is not None:
        held = read_labelled(oracle, test, structures, target, level, negative, formula_column, value_column)
        if not quiet:
            report_table(held)
        shared = {row.formula for row in table.rows} & {row.formula for row in held.rows}
        train = [row for row in table.rows if row.formula not in shared]
        if shared:
            note(f"{len(shared)} formulas stand in both files: left out of the training")
        if not train:
            raise InputError("every formula of --data stands in --test too", "give other rows to train on")
        found, method = evaluate_fitted(oracle, train, held.rows, **settings), f"trained on {data}, tested on {test}"
    else:
        from aldesign.registry import load_oracle

        ready = load_oracle(oracle, model, **chosen)
        if ready.card.property != target:
            raise InputError(f"{oracle!r} predicts {ready.card.property}, not {target}", "choose with --property")
        levels = {row.level for row in table.rows} - {ready.card.level}
        if levels:
            note(f"mind: the oracle states {ready.card.level}, the labels {', '.join(sorted(levels))}")
        note("mind: rows that these weights were trained on flatter them; --cv K does not")
        found, method = evaluate_on(ready, table.rows), f"stored weights {model or 'as shipped'} on {data}"
    figures = found.figures()
    if out is not None:
        _write(found, figures, method, oracle, out)
        note(f"metrics.json, predictions.csv, parity.png, residuals.png in {out}")
    if as_json:
        print_json({"oracle": oracle, "method": method, "unit": found.unit, "figures": figures})
    else:
        print_records(figures, as_json=False, title=f"{oracle}, {method}, {found.unit}")


def _write(found: Evaluation, figures: list[dict[str, Any]], method: str, oracle: str, out: Path) -> None:
    from aldesign.files import write_csv, write_json
    from aldesign.report.evaluation import parity_plot, residual_plot

    write_json(out / "metrics.json", {"oracle": oracle, "method": method, "unit": found.unit, "figures": figures})
    columns = ("formula", "true", "predicted", "std", "fold", "error")
    numbers = zip(found.rows, found.mean.tolist(), found.std.tolist(), found.fold.tolist(), found.errors, strict=True)
    write_csv(
        out / "predictions.csv",
        columns,
        ([row.formula, row.value, _known(mean), _known(std), fold, error] for row, mean, std, fold, error in numbers),
    )
    parity_plot(found, out / "parity.png", oracle)
    residual_plot(found, out / "residuals.png", oracle)


def _known(value: float) -> float | None:
    return round(value, 6) if value == value else None  # NaN is not itself
