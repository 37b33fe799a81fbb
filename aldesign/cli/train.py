"""``aldesign train``: one's own weights from one's own table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated

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
from aldesign.cli.output import FormulaColumn, Json, Quiet, ValueColumn, note, print_json, report_table
from aldesign.errors import InputError

GENERATIVE = ("autoencoder", "gan")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=flowing(train.__doc__))(train)


def train(
    oracle: OracleName,
    data: Annotated[Path, typer.Option(metavar="FILE", help="Table of formulas (or crystals) and labels.")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for weights and card.")],
    structures: CrystalFile = None,
    target: Target = None,
    level: Level = None,
    negative: Negative = "reject",
    seed: Seed = 0,
    validation_fraction: ValidationFraction = 0.1,
    test_fraction: Annotated[
        float, typer.Option(help="Share of formulas that are only predicted, at the end; figures go into the card.")
    ] = 0.0,
    options: LoadOptions = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the data, for networks.")] = None,
    threads: Threads = 1,
    device: Device = "auto",
    origin: Annotated[
        str, typer.Option(metavar="TEXT", help="Where the data come from, for the card; default the file.")
    ] = "",
    licence: Annotated[str, typer.Option(metavar="TEXT", help="Their licence, for the card.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace finished weights in DIR.")] = False,
    formula_column: FormulaColumn = None,
    value_column: ValueColumn = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train an oracle, the autoencoder or the generator; interrupted work goes on when started again.

    Several rows of one formula: an oracle that needs formulas learns from the one lowest above the hull where the
    table has e_above_hull, else from their mean (what was merged is told, with lines); one that needs crystals
    learns from all. Training stops early when the validation formulas get no better. After Ctrl-C, a crash or
    kill -9, the same command goes on: networks from a checkpoint at most a minute old, forests from their last
    ten trees.
    """
    from aldesign.cards import CARD
    from aldesign.cli.live import training_progress
    from aldesign.files import refuse_overwriting
    from aldesign.fitting import CHECKPOINT, refuse_finished, train_oracle

    refuse_finished(out, force)
    for file in (data, structures):
        # The checkpoint is removed at the end, with all that lies in it.
        if file is not None and (out / CHECKPOINT).resolve() in file.resolve().parents:
            raise InputError(f"{file} lies in {out / CHECKPOINT}, which training removes", "move it elsewhere")
        refuse_overwriting(out / CARD, file)
    if oracle in GENERATIVE:
        chosen = parse_options(options)
        metrics = _train_generative(oracle, data, out, formula_column, seed, epochs, threads, quiet, chosen)
    else:
        from aldesign.cli.tables import read_labelled, settle
        from aldesign.learning.threads import pin_threads, prefer_device

        pin_threads(threads)
        prefer_device(device)
        wanted = parse_options(options) | ({"epochs": epochs} if epochs else {})
        new, chosen = settle(oracle, target, wanted)
        table = read_labelled(new, data, structures, level or "PBE", negative, formula_column, value_column)
        if not quiet:
            report_table(table)
        with training_progress(quiet) as progress:
            card = train_oracle(
                oracle,
                table,
                out,
                seed=seed,
                validation_fraction=validation_fraction,
                test_fraction=test_fraction,
                options=chosen,
                origin=origin,
                licence=licence,
                force=force,
                progress=progress,
            )
        metrics = dict(card.training.get("metrics", {}))
    if as_json:
        print_json({"model": oracle, "out": str(out), "metrics": metrics})
        return
    note(f"written to {out}")
    for line in _lines(metrics):
        typer.echo(line)
    if oracle not in GENERATIVE:
        example = "FORMULA" if card.needs == "formula" else "--input FILE.cif"
        note(f"use it: aldesign predict --oracle {oracle} --model {out} {example}")


def _lines(metrics: Mapping[str, object], prefix: str = "") -> Iterator[str]:
    """Yield a line for each group of figures."""
    plain = {key: value for key, value in metrics.items() if not isinstance(value, Mapping | list)}
    if plain:
        yield f"{prefix or 'metrics'}: " + ", ".join(f"{key} {value}" for key, value in plain.items())
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{prefix} {key}".strip())


def _train_generative(
    name: str,
    data: Path,
    out: Path,
    formula_column: str | None,
    seed: int,
    epochs: int | None,
    threads: int,
    quiet: bool,
    options: Mapping[str, object],
) -> dict[str, object]:
    from aldesign.cli.live import training_progress
    from aldesign.datasets.formulas import read_formulas
    from aldesign.errors import InterruptedRunError
    from aldesign.learning.threads import pin_threads
    from aldesign.models.train import train_model

    pin_threads(threads)
    with read_formulas(data, formula_column) as file:
        rows = list(file.rows)
    bad = [row for row in rows if row.formula is None]
    if bad and not quiet:
        note(f"{data}: {len(bad)} of {len(rows)} rows left out; the first, line {bad[0].line}: {bad[0].error}")
    formulas = [row.formula for row in rows if row.formula is not None]
    try:
        with training_progress(quiet) as progress:
            metrics = train_model(
                name,
                formulas,
                out,
                seed=seed,
                epochs=epochs,
                progress=progress,
                origin=data.name,
                options=options,
            )
    except KeyboardInterrupt as error:
        kept = f"what was learnt so far is in {out / 'checkpoint'}" if (out / "checkpoint").is_dir() else "nothing kept"
        raise InterruptedRunError(
            f"training was interrupted; {kept}", "give the same command again to go on"
        ) from error
    return dict(metrics)
