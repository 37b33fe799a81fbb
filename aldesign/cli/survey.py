"""``aldesign survey``: from millions of formulas to a short ranked table."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aldesign.cli.options import LoadOptions, OracleName, Seed, flowing, parse_options
from aldesign.cli.output import FormulaColumn, Json, Quiet, note, print_json, print_rows
from aldesign.cli.sieves import (
    Alloys,
    Elements,
    Exclude,
    Known,
    MaxAtoms,
    MaxCount,
    MaxElements,
    MinElements,
    Require,
    rules_of,
)
from aldesign.errors import InputError

if TYPE_CHECKING:
    from aldesign.survey.tally import Tally

SHOWN = 10
TELLING = 20_000  # rows; fewer take less time than the workers' start
_SECONDS = 10.0  # between two lines of progress


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command(help=flowing(survey.__doc__))(survey)


def survey(
    source: Annotated[Path | None, typer.Option("--input", metavar="FILE", help="CSV, text or JSON lines.")] = None,
    n: Annotated[int | None, typer.Option("-n", "--number", min=1, help="So many, drawn by the generator.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="The survey's folder.")] = Path("runs/survey"),
    oracle: OracleName = "stoichiometry_graph",
    model: Annotated[Path | None, typer.Option(metavar="DIR", help="Weights of `train`; default the shipped.")] = None,
    options: LoadOptions = None,
    top: Annotated[int, typer.Option(min=1, max=100_000, help="How many of the best to keep.")] = 1000,
    rank: Annotated[Literal["largest", "smallest"], typer.Option(help="Which values are the best.")] = "largest",
    window: Annotated[
        tuple[float, float] | None, typer.Option(help="Lowest and highest value wanted; the surest come first.")
    ] = None,
    in_domain: Annotated[bool, typer.Option("--in-domain", help="Rank sure ground only: formulas in domain.")] = False,
    max_std: Annotated[float | None, typer.Option(min=0.0, help="Rank only what is as sure as this.")] = None,
    elements: Elements = None,
    exclude: Exclude = None,
    require: Require = None,
    min_elements: MinElements = 1,
    max_elements: MaxElements = None,
    max_count: MaxCount = None,
    max_atoms: MaxAtoms = None,
    alloys: Alloys = True,
    known: Known = None,
    charges: Annotated[bool, typer.Option(help="Ask for neutrality and electronegativity balance.")] = True,
    raw: Annotated[bool, typer.Option("--raw", help="With -n: also draws that SMACT's test refuses.")] = False,
    generator: Annotated[Path | None, typer.Option(metavar="DIR", help="With -n: weights of `train`.")] = None,
    seed: Seed = 0,
    execution: Annotated[
        Literal["serial", "processes", "dask"], typer.Option(help="Where the work is done.")
    ] = "processes",
    workers: Annotated[str, typer.Option(metavar="N|auto", help="How many workers; auto is one a core.")] = "auto",
    address: Annotated[str | None, typer.Option(help="Of a Dask scheduler.")] = None,
    formula_column: FormulaColumn = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Sieve formulas by the million, let an oracle score them, and rank the best.

    Repeats are told apart, the sieves are asked before the oracle, and memory does not grow but for eight bytes a
    formula. A survey that was interrupted goes on with the same command; its outcome depends neither on that nor on
    the workers.
    The folder gets ranked.csv, left_out.csv (the first thousand rows that came to nothing) and summary.json.
    """
    from functools import partial

    from aldesign.chemistry.neutrality import Options
    from aldesign.execution import Workers, executor, worker_count
    from aldesign.survey.ranking import Goal
    from aldesign.survey.results import write
    from aldesign.survey.sieves import BUILTIN, Sieves, check_lists, drawable
    from aldesign.survey.source import DrawnSource, FileSource
    from aldesign.survey.survey import run
    from aldesign.survey.work import Tools, prepare

    if (source is None) == (n is None):
        raise InputError("give formulas either as a file or as a number to draw", "--input FILE, or -n N")
    rules = rules_of(elements, exclude, require, min_elements, max_elements, max_count, max_atoms)
    check_lists(known or ())
    # workers elsewhere may have another working directory
    lists = tuple(name if name == BUILTIN else str(Path(name).absolute()) for name in known or ())
    settings = Options(include_alloys=alloys) if charges else None
    goal = Goal("window" if window else rank, window, in_domain, max_std)
    wishes: dict[str, Any] = {"distinct": True, "plausible": not raw, "alloys": alloys}
    if n is not None:
        wishes |= drawable(rules)
    tools = Tools(
        Sieves(rules, settings, lists),
        goal,
        top,
        oracle,
        None if model is None else str(model.absolute()),
        parse_options(options),
        None if generator is None else str(generator.absolute()),
        wishes if n is not None else {},
    )
    rows = FileSource(source, formula_column) if source is not None else DrawnSource(n or 0, seed)
    if source is not None and not source.exists():
        raise InputError(f"there is no file {source}", "check the path given to --input")
    number = worker_count(_workers(workers))
    factory = partial(executor, execution, number, prepare, (tools,), address)
    with Workers(factory) as crew:
        outcome = run(rows, tools, out, crew, None if quiet else _Progress(n))
    facts = write(outcome, out, 1 if execution == "serial" else None if address else number)
    if outcome.tally.rows == 0:
        raise InputError("the input has no rows", "give at least one formula")
    if as_json:
        print_json(facts)
    else:
        _show(facts, out)


class _Progress:
    """Says now and then how far a survey is."""

    def __init__(self, total: int | None) -> None:
        self._total, self._last = total, time.monotonic()

    def __call__(self, tally: Tally) -> None:
        """Write a line, if the last one is some time ago."""
        now = time.monotonic()
        if now - self._last < _SECONDS:
            return
        self._last = now
        rate = tally.rows / max(tally.seconds, 1e-9)
        of = f" of {self._total:,}" if self._total else ""
        best = f", best {tally.best[0].formula} {tally.best[0].value:.2f}" if tally.best else ""
        note(f"{tally.rows:,}{of} rows, {tally.passed:,} passed, {tally.scored:,} scored, {rate:,.0f} rows/s{best}")


def _workers(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if not text.isdigit():
        raise InputError(f"--workers is {text!r}", "give a whole number of 1 or more, or auto")
    return int(text)


def _show(facts: dict[str, Any], out: Path) -> None:
    """Print the best, and say what became of all rows."""
    import csv

    with (out / "ranked.csv").open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    print_rows(header, rows[:SHOWN])
    for name, count in facts["counts"].items():
        note(f"{name.replace('_', ' '):>26} {count:12,}")
    processor, crew = facts["processor_seconds"], facts["workers"] or "all"
    note(
        f"{facts['seconds']:,.0f} s, {facts['rows_per_second']:,.0f} rows/s with {crew} workers; processor time "
        f"{processor['reading_and_sieves']:,.0f} s for the sieves, {processor['oracle']:,.0f} s for the oracle"
    )
    doubt = " (so few rows say little: most of it was start-up)" if facts["counts"]["rows"] < TELLING else ""
    note(
        f"100 million rows at this rate: {facts['hours_for_100_million']:,.1f} h, "
        f"{facts['core_hours_for_100_million']:,.1f} core hours{doubt}"
    )
    note(f"{facts['counts']['ranked']} ranked: {out / 'ranked.csv'}")
