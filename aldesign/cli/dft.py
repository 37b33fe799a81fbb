"""``aldesign dft``: first-principles calculations of many crystals."""

from __future__ import annotations

from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Annotated

import typer

from aldesign.cli.dft_show import show
from aldesign.cli.output import Json, Quiet, note, print_json
from aldesign.errors import InputError, InterruptedRunError

if TYPE_CHECKING:
    from aldesign.dft.batch import Progress

_GO_ON = "give the same command again: it goes on from there"


def register(app: typer.Typer) -> None:
    """Add the group of commands."""
    group = typer.Typer(name="dft", help="Compute crystals from first principles.", no_args_is_help=True)
    group.command()(compute)
    group.command()(show)
    app.add_typer(group)


def compute(
    source: Annotated[
        list[Path], typer.Option("--input", metavar="FILE", help="JSON lines of crystals, CIFs or folders; repeatable.")
    ],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder for results.csv, failures.csv, results.sqlite.")],
    more: Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="More of them.")] = None,
    preset: Annotated[str, typer.Option(help="fast, production or tight.")] = "production",
    level: Annotated[str, typer.Option(help="PBE or GLLB-SC.")] = "PBE",
    code: Annotated[str, typer.Option(help="gpaw, espresso or vasp.")] = "gpaw",
    time_limit: Annotated[float, typer.Option(min=0.001, help="Seconds for one crystal.")] = 3600.0,
    memory: Annotated[
        float | None,
        typer.Option(min=0.001, help="GiB for one crystal; by default four fifths of the machine's, shared."),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Crystals at once, each on one core.")] = 1,
    retry: Annotated[bool, typer.Option("--retry", help="Try again what failed before.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Compute gap and energy of every crystal; a killed call goes on if repeated, and new lines are taken up."""
    from aldesign.dft.batch import FAILURES, RESULTS, SCRATCH, STORE, Batch
    from aldesign.dft.batch_input import read_items
    from aldesign.dft.jobs import Limits
    from aldesign.dft.laboratory import Laboratory
    from aldesign.dft.settings import Settings
    from aldesign.dft.store import ResultStore
    from aldesign.dft.watching import usual_memory_gib
    from aldesign.structures.unfinished import held

    settings = Settings.of(preset, level, code)
    items = read_items([*source, *(more or [])])
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file", "give a folder")
    limits = Limits(time_limit, memory or usual_memory_gib(workers))
    with held(out):
        for left in (out / SCRATCH).glob("aldesign-dft-*"):  # by a calculation that lost its power
            rmtree(left, ignore_errors=True)
        laboratory = Laboratory(ResultStore(out / STORE), limits, out / SCRATCH, retry)
        batch = Batch(out, settings, laboratory)
        try:
            done = batch.run(items, workers, retry, None if quiet else _tell)
        except KeyboardInterrupt as error:
            raise InterruptedRunError(f"interrupted: {out} holds what was done", _GO_ON) from error
    if as_json:
        told = {"total": done.total, "computed": done.computed, "from_store": done.found, "failed": done.failed}
        print_json({**told, "failed_before": done.failed_before})
    before = f", {done.failed_before} before (--retry tries them again)" if done.failed_before else ""
    note(
        f"{done.total} crystals: {done.computed} computed now, {done.found} found in the store, {done.failed} failed "
        f"now{before}: {out / RESULTS}, {out / FAILURES}"
    )


def _tell(progress: Progress) -> None:
    """Say after each crystal what came out and how long the rest may take."""
    row = progress.last or {}
    what = row.get("error") or f"gap {row.get('gap_ev', 0.0):.3f} eV, {row.get('seconds', 0.0):.1f} s"
    how = " from the store" if row.get("from_store") else ""
    left = progress.seconds_left()
    rest = "" if left is None or progress.done == progress.total else f"; about {_duration(left)} left"
    note(f"{progress.done} of {progress.total}: {row.get('id')} {row.get('formula')}: {what}{how}{rest}")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
