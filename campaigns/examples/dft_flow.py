"""Rounds of a campaign as jobflow flows: ask, compute each CIF with GPAW, tell.

    aldesign run examples/small_cells --out runs/flow --quiet
    python -m campaigns.examples.dft_flow runs/flow --rounds 3 -n 3

A flow has a job for each CIF and a last one that writes results.csv and tells. Here it runs in this process, with its
outputs in memory; `flow_of` returns the same flow for any other manager of jobflow, whose workers see the folders. A
calculation that fails becomes an error in its row, and so does a job that ends without a result.
"""

from __future__ import annotations

import argparse
import csv
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jobflow import Flow, JobStore, OnMissing, job, run_locally
from maggma.stores import MemoryStore

from aldesign.campaign.asking import BLANK, Crystals, write_questions
from aldesign.campaign.campaign import Campaign
from aldesign.dft.jobs import Limits
from aldesign.dft.laboratory import Laboratory
from aldesign.dft.settings import Settings
from aldesign.dft.store import ResultStore
from aldesign.errors import CalculationError, StructureError
from aldesign.records import Crystal
from aldesign.structures.cif import read_cif

Row = dict[str, Any]
SECONDS = 1800.0  # that one gap may take
CRYSTALS: Crystals = "relaxed"  # by CHGNet, which is far from free but far cheaper than a gap


def gap_of(crystal: Crystal, settings: Settings, store: Path) -> tuple[float, str]:
    """Return the gap in eV and how it was computed. Raises CalculationError."""
    result = Laboratory(ResultStore(store), Limits(SECONDS)).compute(crystal, settings)
    how = f"{settings.code} {settings.level} {settings.preset}, {result.n_kpoints} k-points, {result.seconds:.0f} s"
    return result.gap_ev, how


@job
def compute(cif: str, settings: Mapping[str, Any], store: str) -> Row:
    """Return gap or error of the crystal in a CIF: the cells of its row in a table of answers."""
    try:
        crystal = next(found for _, found in read_cif(Path(cif)))
        if not isinstance(crystal, Crystal):
            raise StructureError(crystal.reason)
        gap_ev, how = gap_of(crystal, Settings.from_json(settings), Path(store))
    except (CalculationError, StructureError) as error:
        return {"error": str(error)}
    return {"gap_ev": gap_ev, "comment": how}


@job
def tell(directory: str, questions: Sequence[Row], answers: Sequence[Row | None], table: str) -> dict[str, int]:
    """Write a table of answers, a row for each question, and tell it; return the counts of what became of the rows."""
    with Path(table).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, BLANK, lineterminator="\n")
        writer.writeheader()
        for question, answer in zip(questions, answers, strict=True):
            found = answer if answer is not None else {"error": "its job ended without a result"}
            writer.writerow({**question, **found, "source": "jobflow"})
    with Campaign.open(Path(directory)) as campaign:
        return dict(campaign.tell(Path(table)).outcomes)


def flow_of(directory: Path, questions: Sequence[Row], folder: Path, settings: Settings) -> Flow:
    """Return the flow that answers questions: a job for each CIF, then one that tells.

    Args:
        directory: The run directory.
        questions: Rows of `write_questions`.
        folder: Where they were written; results.csv comes to stand there.
        settings: Of the calculations.

    """
    asked = [question for question in questions if question["cif"]]
    store = str((directory / "dft.sqlite").resolve())
    jobs = [compute(str(Path(question["cif"]).resolve()), settings.to_json(), store) for question in asked]
    for one, question in zip(jobs, asked, strict=True):
        one.name = f"gap of {question['formula']}"
    rows = [{"trial": q["trial"], "formula": q["formula"], "cif": Path(q["cif"]).name} for q in asked]
    last = tell(str(directory.resolve()), rows, [one.output for one in jobs], str((folder / "results.csv").resolve()))
    last.config.on_missing_references = OnMissing.NONE  # what crashed is told, too
    return Flow([*jobs, last], name=folder.name)


def run_round(directory: Path, n: int, settings: Settings) -> list[Row]:
    """Ask for n candidates, compute and tell them; return the rows of their questions, none where none is left."""
    with Campaign.open(directory) as campaign:
        trials = campaign.ask(n, to="jobflow", crystals=CRYSTALS)
        folder = directory / "rounds" / f"{campaign.state.iterations:03d}"
        questions = write_questions(campaign.state, [trial.number for trial in trials], folder)
    if questions:
        flow = flow_of(directory, questions, folder, settings)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "cd is deprecated", FutureWarning)  # jobflow's own call of monty
            run_locally(flow, store=JobStore(MemoryStore()), ensure_success=False, log=False)
    return questions


def main(arguments: Sequence[str] | None = None) -> None:
    """Run rounds until there are enough, or until the campaign's budget is spent."""
    parser = argparse.ArgumentParser(prog="dft_flow", description="Rounds of a campaign, computed by GPAW.")
    parser.add_argument("directory", type=Path, help="a run directory whose oracle is external")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("-n", type=int, default=3, help="candidates of a round")
    parser.add_argument("--preset", default="fast", help="fast, production or tight")
    chosen = parser.parse_args(arguments)
    settings = Settings.of(chosen.preset)
    for number in range(1, chosen.rounds + 1):
        questions = run_round(chosen.directory, chosen.n, settings)
        if not questions:
            break
        table = Path(chosen.directory) / "rounds"
        sys.stdout.write(f"round {number}: {', '.join(q['formula'] for q in questions)}; see {table}\n")


if __name__ == "__main__":
    main()
