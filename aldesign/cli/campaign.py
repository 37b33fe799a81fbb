"""The commands that run, resume and look into campaigns."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aldesign.cli.asking import ask, tell
from aldesign.errors import InterruptedRunError

if TYPE_CHECKING:
    from aldesign.campaign.campaign import Campaign
    from aldesign.campaign.spec import CampaignSpec, ExecutionSpec
    from aldesign.campaign.state import CampaignState

CampaignFile = Annotated[str, typer.Argument(metavar="CAMPAIGN.yaml", help="A campaign file, or a shipped one's name.")]
RunDirectory = Annotated[Path, typer.Argument(metavar="DIR", help="A run directory.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of the file, e.g. stop.iterations=3."),
]
Iterations = Annotated[int | None, typer.Option(min=1, help="At most so many iterations in this call.")]
WorkerCount = Annotated[int | None, typer.Option("--workers", min=1, help="Processes; results do not depend on it.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress display and no table.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


def register(app: typer.Typer) -> None:
    """Add the campaign commands to the command line."""
    for command in (run, resume, check, inspect, explain, export, report, ask, tell):
        app.command()(command)


def run(
    campaign: CampaignFile,
    out: Annotated[Path | None, typer.Option(help="Run directory; default runs/NAME-TIME.")] = None,
    iterations: Iterations = None,
    workers: WorkerCount = None,
    quiet: Quiet = False,
    assignments: Assignments = None,
) -> None:
    """Run a campaign: learn, propose, screen, measure; then crystals, ranked and exported."""
    from aldesign.campaign.campaign import Campaign
    from aldesign.campaign.spec import read_spec
    from aldesign.cli.progress import display

    spec = read_spec(shipped_or_path(campaign), tuple(assignments or ()))
    directory = out or Path("runs") / f"{spec.name}-{time.strftime('%Y%m%d-%H%M%S')}"
    with resumable(directory), Campaign.create(spec, directory) as begun:
        with display(spec, quiet) as listener:
            begun.announce_to = listener
            reason = begun.run(iterations, _execution(spec, workers))
        _deliver(begun, reason, quiet)


def resume(
    directory: RunDirectory,
    iterations: Iterations = None,
    workers: WorkerCount = None,
    quiet: Quiet = False,
    retry: Annotated[
        bool, typer.Option("--retry", help="Ask again for what failed, e.g. a program was missing or the disk full.")
    ] = False,
) -> None:
    """Go on with an interrupted campaign: only what is still pending is asked again."""
    from aldesign.campaign.campaign import Campaign
    from aldesign.campaign.repair import unanswered
    from aldesign.cli.progress import display

    with (
        resumable(directory),
        Campaign.open(directory) as opened,
        display(opened.spec, quiet, opened.state) as listener,
    ):
        opened.announce_to = listener
        if retry:
            failed = len(unanswered(opened.state))
            typer.echo(f"{len(opened.retry())} of {failed} candidates without a value are asked again", err=True)
        reason = opened.run(iterations, _execution(opened.spec, workers))
        _deliver(opened, reason, quiet)


def check(campaign: CampaignFile, assignments: Assignments = None, as_json: Json = False) -> None:
    """Build every part of a campaign without paying for anything; estimate answers, memory and time."""
    from aldesign.campaign.checking import check_campaign
    from aldesign.campaign.spec import read_spec

    facts = check_campaign(read_spec(shipped_or_path(campaign), tuple(assignments or ())))
    if as_json:
        typer.echo(json.dumps(facts, indent=1))
        return
    for key, value in facts.items():
        typer.echo(f"{key.replace('_', ' '):24} {value}")


def inspect(directory: RunDirectory, as_json: Json = False) -> None:
    """Show where a campaign stands, also while it runs."""
    from aldesign.campaign.reading import read_state
    from aldesign.campaign.summary import summarise

    state, spec = read_state(directory)
    if as_json:
        typer.echo(json.dumps(summarise(state, spec), indent=1))
        return
    from aldesign.campaign.ranking import shortlist
    from aldesign.report.tables import ranked_table, set_aside_table, status_table

    _show(status_table(state, spec))
    _show_checks(state)
    listed = shortlist(state, spec)
    if listed.accepted or listed.set_aside:
        _show(ranked_table(listed, spec), set_aside_table(listed, spec))


def explain(
    directory: RunDirectory,
    formula: Annotated[str, typer.Argument(help="Any spelling of a formula.")],
    as_json: Json = False,
) -> None:
    """Tell a formula's whole story: who proposed it, every verdict, answer, crystal, energies, score and rank."""
    from aldesign.campaign.reading import read_state
    from aldesign.campaign.summary import story
    from aldesign.report.narrative import narrate

    state, spec = read_state(directory)
    told = story(state, spec, formula)
    chapters = narrate(told, state, spec)
    if as_json:
        told["story"] = [{"title": chapter.title, "sentences": list(chapter.sentences)} for chapter in chapters]
        typer.echo(json.dumps(told, indent=1))
        return
    from aldesign.report.tables import explain_text

    _show(explain_text(chapters))
    typer.echo(told["conclusion"])


def export(
    directory: RunDirectory,
    out: Annotated[Path, typer.Option(help="Folder for candidates.csv and the CIFs.")],
    top: Annotated[int | None, typer.Option(min=1, help="At most so many candidates.")] = None,
) -> None:
    """Write the ranked list with a CIF for each row."""
    from aldesign.campaign.export import export as write
    from aldesign.campaign.reading import read_state

    state, spec = read_state(directory)
    done = write(state, spec, out, top)
    typer.echo(f"{done.candidates} candidates with CIFs and {done.set_aside} set aside in {done.directory}")


def report(
    directory: RunDirectory,
    out: Annotated[Path | None, typer.Option(help="The page; default DIR/report.html.")] = None,
) -> None:
    """Write one HTML page about a campaign that works offline."""
    from aldesign.report.html import write_report

    typer.echo(str(write_report(directory, out)))


@contextmanager
def resumable(directory: Path) -> Iterator[None]:
    """Turn Ctrl-C into an error that says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptedRunError(
            "interrupted: every answer so far is in the journal", f"aldesign resume {directory}"
        ) from None


def shipped_or_path(text: str) -> Path:
    """Return the campaign file meant by `text`: a path, or the name of a shipped campaign, such as ``paper/exp3``."""
    from importlib.resources import files

    path = Path(text)
    if not path.exists() and not path.is_absolute() and ".." not in path.parts:
        shipped = Path(str(files("campaigns"))) / f"{text.removesuffix('.yaml')}.yaml"
        if shipped.is_file():
            return shipped
    return path


def _execution(spec: CampaignSpec, workers: int | None) -> ExecutionSpec | None:
    """Return the campaign's execution with another number of workers; a serial one becomes processes."""
    if workers is None:
        return None
    kind = "processes" if spec.execution.kind == "serial" else spec.execution.kind
    return spec.execution.model_copy(update={"kind": kind, "workers": workers})


def _deliver(campaign: Campaign, reason: str, quiet: bool) -> None:
    from aldesign.campaign.export import export as write
    from aldesign.report.html import write_report

    campaign.announce("exporting")
    done = write(campaign.state, campaign.spec, campaign.directory / "export")
    page = write_report(campaign.directory)
    campaign.announce("finished")
    if quiet:
        return
    from aldesign.report.tables import ranked_table, set_aside_table

    listed = campaign.shortlist()
    checked = _show_checks(campaign.state)
    if listed.accepted or not checked:
        _show(ranked_table(listed, campaign.spec))
    if listed.set_aside:
        _show(set_aside_table(listed, campaign.spec))
    typer.echo(f"Ended: {reason}.")
    if checked:
        typer.echo(f"{done.checked} candidates checked: {done.directory / 'validation.csv'}")
    else:
        typer.echo(f"{done.candidates} candidates with CIFs, {done.set_aside} set aside: {done.directory}")
    typer.echo(f"Report: {page}")
    if not campaign.state.stopped:
        typer.echo(f"To go on: aldesign resume {campaign.directory}")


def _show_checks(state: CampaignState) -> bool:
    """Print predicted beside computed gaps, where the campaign began with the candidates of a run; say whether."""
    from aldesign.campaign.validation import validation
    from aldesign.report.checks import validation_table

    found = validation(state)
    if found is not None:
        _show(validation_table(found))
    return found is not None


def _show(*renderables: Any) -> None:
    from rich.console import Console

    console = Console()
    for renderable in renderables:
        console.print(renderable)
