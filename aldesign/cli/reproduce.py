"""``aldesign reproduce``: the paper's Table 1, with ours beside it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from aldesign.cli.options import Seed, flowing
from aldesign.cli.output import Json, Quiet, note, print_json, print_rows

OUT = Path("runs") / "reproduce"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=flowing(reproduce.__doc__))(reproduce)


def reproduce(
    experiments: Annotated[
        list[str] | None, typer.Argument(metavar="[EXP]...", help="exp1, exp2, exp3, exp4; all by default.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Folder of the paper's released tables; default ALDESIGN_DATA, or data."),
    ] = None,
    models: Annotated[str, typer.Option(metavar="NAMES", help="Screening models, with commas.")] = (
        "random_forest,stoichiometry_graph"
    ),
    repeats: Annotated[int, typer.Option(min=1, help="Random 60/20/20 splits of each sample.")] = 10,
    oracle_repeats: Annotated[
        int | None, typer.Option(min=1, help="The same of the full table; default as --repeats for a forest, else 1.")
    ] = None,
    pool: Annotated[int, typer.Option(min=10, help="Generated formulas to screen; the paper had 1180000.")] = 100_000,
    start: Annotated[
        str, typer.Option(metavar="NAME", help="What the graph starts from: formation energies, or nothing.")
    ] = "stoichiometry_graph_eform",
    labels: Annotated[
        int | None, typer.Option(min=1, help="Labels of our campaigns; default the paper's 741 and 853.")
    ] = None,
    oracle_epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes of a network over the full table; default its own.")
    ] = None,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the study.")] = OUT,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; results do not depend on it. Default one per core.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Forget what an earlier study left in --out.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Repeat the experiments of the paper that this method comes from, and print its Table 1 with ours beside it.

    A screening model learns from each of the paper's samples, from its actively learned ones, and from as many
    labels of our own campaigns (campaigns/paper); it is judged on held-out rows, on rows that are in no sample, and
    by how many of the oracle's candidates it recovers from a pool of generated formulas.

    Into --out go results.json and results.csv (every repeat), table1.csv, table1.md, table1.png, exp4.csv, and each
    finished part: after Ctrl-C or a kill the same command goes on, and more repeats or models add to what is there;
    the tables tell every finished part, whichever call did it.
    """
    from aldesign.cli.live import spoken, training_progress
    from aldesign.report.reproduce import HEADER, PICTURE, cells, wide_text, write_results
    from aldesign.report.reproduce_notes import CAUTION, TITLE
    from aldesign.reproduce.paper import EXPERIMENTS
    from aldesign.reproduce.study import Study, stages
    from aldesign.reproduce.summary import first_wide, results
    from aldesign.reproduce.tables import find_tables, load_tables
    from aldesign.reproduce.work import reproduce as do
    from aldesign.reproduce.work import seconds_left

    folder = data or Path(os.environ.get("ALDESIGN_DATA", "data"))
    named = tuple(dict.fromkeys(name.strip() for name in models.split(",") if name.strip()))
    study = Study(out, folder, named, repeats, oracle_repeats, pool, seed, start, labels, oracle_epochs)
    chosen = tuple(experiments or EXPERIMENTS)
    planned = [job for model in named for stage in stages(study, chosen, model) for job in stage]
    with study.opened(force):
        tables = load_tables(find_tables(folder), seed)
        if not quiet:
            note("; ".join(tables.notes))
            left = seconds_left(study, planned, workers)
            note(f"{len(planned)} jobs, at a rough guess {spoken(left)}; an interruption costs no finished job")

        def write() -> None:
            write_results(study, tables)

        with training_progress(quiet) as progress:
            do(study, chosen, workers=workers, progress=progress, after=write)
        lines = write_results(study, tables)
        wide = first_wide(results(study))
    if not quiet:
        if any(line["sample"].endswith("-ours") for line in lines):
            note(CAUTION)
        note(f"results.json, results.csv, table1.csv, table1.md, exp4.csv and {PICTURE} in {out}")
    if as_json:
        print_json({"table": lines, "exp4": wide})
        return
    if lines:
        print_rows(HEADER, [cells(line) for line in lines], TITLE)
    for start_line in wide:
        typer.echo(wide_text(start_line))
