"""The commands by which people and queues measure what a campaign asks for."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from aldesign.campaign.campaign import Campaign
    from aldesign.campaign.state import CampaignState
    from aldesign.campaign.telling import Told

_POLL_SECONDS = 0.2

RunDirectory = Annotated[Path, typer.Argument(metavar="DIR", help="A run directory.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Wait = Annotated[
    float, typer.Option("--wait", min=0.0, metavar="SECONDS", help="For another writer of the run directory to end.")
]


class Crystals(StrEnum):
    """Which crystals go with questions."""

    RELAXED = "relaxed"
    TEMPLATE = "template"


def ask(
    directory: RunDirectory,
    n: Annotated[int | None, typer.Option("-n", "--number", min=1, help="How many; default batch_size.")] = None,
    cif: Annotated[
        Path | None, typer.Option(help="Folder for a CIF of each that a template fits, and index.csv.")
    ] = None,
    crystals: Annotated[
        Crystals | None, typer.Option(help="Relaxed by CHGNet, or as the template; default as structures.relax says.")
    ] = None,
    blank: Annotated[Path | None, typer.Option(help="Write a table of answers here, to be filled in and told.")] = None,
    to: Annotated[str, typer.Option(metavar="NAME", help="Who is to answer, for the record.")] = "",
    new: Annotated[
        bool, typer.Option("--new", help="Propose all of them now; leave what was proposed before.")
    ] = False,
    pending: Annotated[
        bool, typer.Option("--pending", help="Show what was asked and not answered; ask nothing.")
    ] = False,
    as_json: Json = False,
    wait: Wait = 60.0,
) -> None:
    """Say what to measure next; nothing is handed out twice, and what was asked and not told is kept away from."""
    from aldesign.campaign.asking import indexed, refuse_existing
    from aldesign.campaign.export import make_folder

    if blank is not None:
        refuse_existing(blank)
    if cif is not None:
        make_folder(cif)
    if pending and cif is None:
        from aldesign.campaign.reading import read_state

        state, _ = read_state(directory)
        numbers = [trial.number for trial in state.waiting if to in ("", state.asked[trial.number].to)][:n]
        _show(state, numbers, None, blank, as_json)
        return
    with writer(directory, wait) as opened:
        if cif is not None:
            indexed(cif, opened.spec.name)  # before anything is handed out
        wanted = _crystals(opened, cif, crystals)
        if pending:
            waiting = [t for t in opened.state.waiting if to in ("", opened.state.asked[t.number].to)][:n]
            for trial in waiting:
                question = opened.state.asked[trial.number]
                if not question.facts:  # asked without a crystal before
                    opened.hand_out([trial], question.to, wanted)
            numbers = [trial.number for trial in waiting]
        else:
            numbers = _ask(opened, n, to, wanted, new)
        _show(opened.state, numbers, cif, blank, as_json)


def _ask(opened: Campaign, n: int | None, to: str, wanted: Any, new: bool) -> list[int]:
    from aldesign.campaign.stopping import stop_reason

    if over := stop_reason(opened.state, opened.spec):
        typer.echo(f"note: by its own rules this campaign is over: {over}", err=True)
    size = n or opened.spec.batch_size
    waiting = len(opened.state.waiting)
    numbers = [trial.number for trial in opened.ask(size, to, wanted, new=new)]
    if len(numbers) < size:
        typer.echo(f"note: {len(numbers)} of {size}: {_why_fewer(opened)}", err=True)
    if waiting:
        typer.echo(f"note: {waiting} asked before wait for answers; `aldesign ask DIR --pending` lists them", err=True)
    return numbers


def _why_fewer(opened: Campaign) -> str:
    budget = opened.spec.stop.budget
    used = opened.state.paid + len(opened.state.pending)
    if budget is not None and used >= budget:
        return (
            f"the budget of {budget} answers (stop.budget) is paid or asked for; `aldesign tell --withdraw` frees some"
        )
    return "no more candidates passed the screens"


def _crystals(opened: Campaign, cif: Path | None, crystals: Crystals | None) -> Any:
    if cif is None and crystals is None and opened.parts.card.needs == "formula":
        return "none"
    if crystals is not None:
        return crystals.value
    return "relaxed" if opened.spec.structures.relax == "chgnet" else "template"


def _show(state: CampaignState, numbers: list[int], cif: Path | None, blank: Path | None, as_json: bool) -> None:
    from aldesign.campaign import asking

    if blank is not None:
        asking.write_blank(state, numbers, blank)
    rows = asking.question_rows(state, numbers)
    if cif is not None:
        rows = asking.write_questions(state, numbers, cif)
        if without := [row["formula"] for row in rows if not row["cif"]]:
            why = "a template for each comes with oracle.options: {needs: structure}"
            typer.echo(f"note: {len(without)} without a CIF ({', '.join(without)}); {why}", err=True)
    if as_json:
        details = asking.records(state, numbers)
        typer.echo(
            json.dumps([{**row, **more, "cif": row["cif"]} for row, more in zip(rows, details, strict=True)], indent=1)
        )
        return
    from aldesign.files import csv_writer

    writer = csv_writer(sys.stdout)
    writer.writerow(asking.COLUMNS)
    writer.writerows([row[column] for column in asking.COLUMNS] for row in rows)


def tell(
    directory: RunDirectory,
    results: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[RESULTS.csv...]", help="Formula, trial or cif; value; std, level, error, comment."),
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="Average over all measurements of a material.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Let these answers stand instead of earlier ones.")
    ] = False,
    withdraw: Annotated[
        list[str] | None, typer.Option(metavar="WHAT", help="Formula or trial that nobody will measure; repeatable.")
    ] = None,
    release: Annotated[
        list[str] | None, typer.Option(metavar="WHAT", help="Formula or trial that may be asked again; repeatable.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why it is withdrawn.")] = "",
    dry: Annotated[bool, typer.Option("--dry-run", help="Say what would be recorded, and record nothing.")] = False,
    as_json: Json = False,
    wait: Wait = 60.0,
) -> None:
    """Record answers from outside, in any order, in part, also for materials never asked for."""
    from aldesign.errors import InputError

    if add and replace:
        raise InputError("--add and --replace were given", "choose one")
    if not (results or withdraw or release):
        raise InputError("there is nothing to tell", "name a table of answers, --withdraw or --release")
    told: list[tuple[Path, Told]] = []
    failed: list[InputError] = []
    with writer(directory, wait) as opened:
        for path in results or ():
            try:
                told.append((path, opened.tell(path, "add" if add else "replace" if replace else "refuse", dry=dry)))
            except InputError as error:  # the other files are told all the same
                failed.append(error)
        if withdraw and not dry:
            opened.withdraw(withdraw, reason)
        if release and not dry:
            opened.release(release)
        waiting = len(opened.state.waiting)
    _report(told, waiting, as_json)
    if failed:
        raise failed[0]
    if any(one.refused for _, one in told) and not any(one.outcomes or one.known for _, one in told):
        raise typer.Exit(2)


def _report(told: list[tuple[Path, Told]], waiting: int, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        facts = [{"file": str(path), **asdict(one)} for path, one in told]
        typer.echo(json.dumps({"files": facts, "waiting": waiting}, indent=1))
        return
    for path, one in told:
        typer.echo(f"{path}: {one}")
        for row in one.refused:
            typer.echo(f"{row.source}:{row.line}: {row.reason}", err=True)
        for note in one.notes:
            typer.echo(f"note: {note}", err=True)
    typer.echo(f"{waiting} asked and not answered")


@contextmanager
def writer(directory: Path, wait_seconds: float) -> Iterator[Campaign]:
    """Open a campaign for writing; where another process writes it, wait so long for its end.

    Raises:
        HeldError: It is still held; nothing was recorded.
        RunDirectoryError: As `Campaign.open`.
    """
    from aldesign.campaign.campaign import Campaign
    from aldesign.campaign.journal import HeldError

    until = time.monotonic() + wait_seconds
    told = False
    while True:
        try:
            opened = Campaign.open(directory)
            break
        except HeldError as error:
            if time.monotonic() >= until:
                hint = "nothing was recorded; give the command again once it has ended, or wait longer with --wait 3600"
                raise HeldError(error.message, hint) from None
            if not told:
                typer.echo(f"{error.message}: waiting for {wait_seconds:g} s at most", err=True)
                told = True
            time.sleep(_POLL_SECONDS)
    with opened:
        yield opened
