"""``aldesign replay``: rehearse a campaign on known gaps, beside chance and greed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aldesign.cli.campaign import Assignments, CampaignFile, shipped_or_path
from aldesign.cli.options import Negative, Threads, flowing
from aldesign.cli.output import FormulaColumn, Json, Quiet, ValueColumn, note, print_json, print_rows, report_bad

if TYPE_CHECKING:
    from aldesign.replay.rehearsal import Replayed


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=flowing(replay.__doc__))(replay)


def replay(
    campaign: CampaignFile,
    data: Annotated[Path, typer.Option(metavar="TABLE", help="Table of formulas with known gaps, in eV.")],
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder for the results and to go on after a kill.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Runs of each strategy, counting up from the campaign's seed.")] = 5,
    labels: Annotated[
        int | None, typer.Option(min=1, help="Labels that a run pays; default the campaign's own budget, or 1000.")
    ] = None,
    batch: Annotated[int | None, typer.Option(min=1, help="Labels at once; default the campaign's batch_size.")] = None,
    threshold: Annotated[
        float | None, typer.Option(metavar="EV", help="A gap this large (small, where that is wanted) is a hit.")
    ] = None,
    top: Annotated[
        float | None, typer.Option(metavar="SHARE", help="Or the best share of the table is a hit [0.01].")
    ] = None,
    start: Annotated[
        int | None, typer.Option(metavar="N", help="Begin with N random rows of the table, not the campaign's data.")
    ] = None,
    start_below: Annotated[
        float | None, typer.Option(metavar="EV", help="Draw these from the rows with smaller gaps alone.")
    ] = None,
    keep_foreign: Annotated[
        bool, typer.Option("--keep-foreign", help="Learn from data rows that are not in the table, too.")
    ] = False,
    strategies: Annotated[
        str, typer.Option(metavar="NAMES", help="Of campaign, greedy, random, best.")
    ] = "campaign,greedy,random",
    assignments: Assignments = None,
    formula_column: FormulaColumn = None,
    value_column: ValueColumn = None,
    negative: Negative = "reject",
    workers: Annotated[int, typer.Option(min=1, help="Runs at a time; results do not depend on it.")] = 1,
    threads: Threads = 1,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Rehearse a campaign on known gaps: every label that it pays for is looked up in a table.

    The campaign's surrogate, features, acquisition, batch choice and space rules buy rows of the table, batch by
    batch; nothing is generated, and no oracle is asked. Beside it buy `greedy`, the same surrogate without curiosity,
    and `random`; `best` knows every label beforehand. Stop rules other than the number of labels are not applied.

    A run begins with the campaign's data rows that are in the table, or with --start N random ones. What counts as
    found (a hit) is a gap beyond --threshold, inside the target's window, or among the best 1 % of the table.

    DIR (default runs/replay-NAME) gets replay.csv (found, best gap and EF at each number of labels), picks.csv (each
    label with what was expected of it), summary.csv, summary.json and replay.png. EF is hits found over hits found by
    chance; AF at a share of the hits is the mean number of labels by chance over that of ours, up to the hit that
    completes the share. Places of hits are those in the order of choice, and batches are paid as a whole: "its batch"
    is what had been paid when the first hit's batch was. The same command goes on after an interruption; with more
    --seeds or other --strategies, --threshold or --top it adds what is missing.
    """
    from aldesign.campaign.spec import read_spec
    from aldesign.cli.live import training_progress
    from aldesign.learning.threads import pin_threads
    from aldesign.replay.pool import read_pool_table
    from aldesign.replay.rehearsal import Replay, ReplayPlan
    from aldesign.replay.start import Start
    from aldesign.report.replay import facts, summary, write_replay

    spec = read_spec(shipped_or_path(campaign), tuple(assignments or ()))
    pin_threads(threads)
    rule = Start(start, start_below, keep_foreign)
    plan = ReplayPlan(seeds, labels, batch, strategies, rule, threshold, top, workers)
    ready = Replay(spec, read_pool_table(spec, data, formula_column, value_column, negative), plan)
    if not quiet:
        for text in ready.notes:
            note(text)
        report_bad(ready.bad)
    folder = out or Path("runs") / f"replay-{spec.name}"
    with training_progress(quiet) as progress:
        found = ready.run(folder, progress)
    written = write_replay(found, folder)
    for text in [] if quiet else found.notes[len(ready.notes) :]:
        note(text)
    if as_json:
        print_json({**facts(found), "figures": summary(found)})
    elif not quiet:
        _print_table(found)
    if not quiet:
        note(f"{', '.join(written)} in {folder}")


def _print_table(found: Replayed) -> None:
    """Print one row a strategy: mean ± standard error over the seeds."""
    from aldesign.report.replay import counts, facts, in_words, summary

    records = summary(found)
    about = facts(found)
    rows, hits = counts(found)
    seeds = len(about["seeds"])
    title = (
        f"{about['campaign']}: {in_words(hits)} of {in_words(rows)} rows with {about['wanted']}; "
        f"{about['labels']} labels in batches of {about['batch']}, "
        + (f"{seeds} seeds, ± is a standard error over seeds" if seeds > 1 else "1 seed")
    )
    print_rows(
        [head for head, *_ in _COLUMNS], [[_cell(record, *rule) for rule in _COLUMNS] for record in records], title
    )


_COLUMNS: tuple[tuple[str, str, float], ...] = (
    ("strategy", "strategy", 1),
    ("found", "found", 1),
    ("found %", "share", 100),
    ("EF", "enhancement_factor", 1),
    ("AF 10%", "acceleration_10", 1),
    ("25%", "acceleration_25", 1),
    ("50%", "acceleration_50", 1),
    ("80%", "acceleration_80", 1),
    ("first hit's place", "labels_to_first_hit", 1),
    ("its batch", "first_hit_batch_labels", 1),
    ("seconds", "seconds", 1),
)


def _cell(record: dict[str, Any], _: str, column: str, factor: float) -> str:
    """Return mean ± standard error with three digits; the error is left out where it would read as nothing."""
    value = record[column]
    if value is None or isinstance(value, str):
        return value or (f"in {count} seeds" if (count := record.get(f"{column}_seeds")) else "")
    value *= factor
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    error = f"{factor * (record.get(f'{column}_error') or 0):.{digits}f}"
    return f"{value:.{digits}f}" + (f" ± {error}" if float(error) else "")
