"""Questions for somebody else: candidates, the crystals that the answers will belong to, and files of both."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from aldesign.campaign.finishing import crystal_of, prepare, recipe
from aldesign.campaign.state import Asked
from aldesign.errors import InputError, StructureError
from aldesign.execution import LostWorker
from aldesign.files import write_csv
from aldesign.records import Candidate, Trial
from aldesign.structures.assign import Assignment
from aldesign.structures.cif import overlap, write_cif
from aldesign.structures.making import Job, facts, finish, job_of, plan, work

if TYPE_CHECKING:
    from aldesign.campaign.campaign import Campaign
    from aldesign.campaign.state import CampaignState

Crystals = Literal["none", "template", "relaxed"]
INDEX_NAME = "index.csv"
BLANK = ("trial", "formula", "cif", "gap_ev", "std_ev", "level", "error", "comment", "source")
"""Columns of a table of answers to fill in."""
COLUMNS = (
    "trial",
    "formula",
    "expected_gap_ev",
    "expected_std_ev",
    "score",
    "state",
    "asked_to",
    "asked_at",
    "proposed_by",
    "iteration",
    "screens",
    "cif",
    "crystal",
    "template_id",
    "template_formula",
    "emd",
    "space_group",
    "formation_energy_ev_per_atom",
    "note",
    "campaign",
)
"""Columns of a question."""


def questions(campaign: Campaign, trials: Sequence[Trial], to: str, crystals: Crystals) -> list[Asked]:
    """Return what is to be asked about trials, each with its crystal where crystals are wanted.

    Args:
        campaign: The open campaign.
        trials: Pending trials.
        to: Who is to answer.
        crystals: ``relaxed`` by CHGNet as the campaign makes its final ones, ``template`` as substituted, or ``none``.
    """
    asked = [Asked(trial.number, to, round(time.time(), 3)) for trial in trials]
    if crystals == "none":
        return asked
    return [
        replace(
            question,
            facts=found,
            reason=reason,
            relaxed=bool(found.get("relaxed")),
            cif=cif_name(trial) if "crystal" in found else "",
        )
        for question, trial, (found, reason) in zip(
            asked, trials, _crystals(campaign, trials, crystals == "relaxed"), strict=True
        )
    ]


def _crystals(campaign: Campaign, trials: Sequence[Trial], relax: bool) -> list[tuple[dict[str, Any], str]]:
    """Return the facts of each trial's crystal, and why there is none."""
    parts = campaign.parts
    how = replace(recipe(parts.spec.structures), energy=relax, relax=relax)
    given = [trial.candidate.crystal is not None for trial in trials]
    planned = [
        prepare(parts, trial) if own else plan(trial.candidate.formula, parts.templates, how)
        for trial, own in zip(trials, given, strict=True)
    ]
    jobs = [None if own else job_of(tried, how) for tried, own in zip(planned, given, strict=True)]
    there = [i for i, job in enumerate(jobs) if job is not None]
    results = dict[int, Any]()
    for index, result in campaign.workers.run(work, [job for job in jobs if job is not None]) if there else ():
        results[there[index]] = result
    return [
        _made(campaign, trial, tried, results.get(i))
        for i, (trial, tried) in enumerate(zip(trials, planned, strict=True))
    ]


def _made(campaign: Campaign, trial: Trial, tried: Sequence[Assignment], result: Any) -> tuple[dict[str, Any], str]:
    if isinstance(result, LostWorker):
        return {}, f"no crystal: {result.reason}"
    made = finish(trial.candidate.formula, tried, result, campaign.parts.hull)
    found = facts(made)
    if made.crystal is None:
        return found, made.chosen.reason
    if fault := overlap(made.crystal):
        found.pop("crystal")
        return found, fault
    return found, str(found.get("energy_error") or "")


def assignment_of(asked: Asked, formula: str) -> Assignment | None:
    """Return the crystal that was asked about, for the campaign's final table; None where there was none."""
    if "crystal" not in asked.facts:
        return None
    found = asked.facts
    return Assignment(
        formula,
        crystal_of(dict(found)),
        found.get("template_id", ""),
        found.get("template_formula", ""),
        found.get("emd"),
        found.get("space_group", ""),
        mapping=found.get("mapping", {}),
        likelihood=found.get("likelihood"),
        support=found.get("support", 0),
        bond_valence_deviation=found.get("bond_valence_deviation"),
    )


def job_as_asked(made: Assignment) -> Job:
    """Return the energy that is left to compute of a crystal that was asked about: it must stay as it is."""
    if made.crystal is None:
        raise StructureError(f"{made.formula} was asked without a crystal")
    return Job((made.crystal,), (made.likelihood,), relax=False, steps=0)


def cif_name(trial: Trial) -> str:
    """Return the name of a question's CIF; the number keeps ``CO`` and ``Co`` apart where cases are not."""
    return f"{trial.number:05d}_{re.sub(r'[^A-Za-z0-9.]', '_', trial.candidate.formula)}.cif"


def candidate_of(state: CampaignState, number: int) -> Candidate:
    """Return the candidate of a trial with the crystal that was asked about, if there was one."""
    candidate = state.trials[number].candidate
    asked = state.asked.get(number)
    if asked is None or "crystal" not in asked.facts:
        return candidate
    crystal = crystal_of(dict(asked.facts))
    return replace(candidate, structure_id=crystal.id, crystal=crystal)


def question_rows(state: CampaignState, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Return a row per question: whose it is, what is expected (eV), how it was screened, and its crystal."""
    return [_row(state, number) for number in numbers]


def _row(state: CampaignState, number: int) -> dict[str, Any]:
    trial, asked = state.trials[number], state.asked.get(number, Asked(number))
    found = asked.facts
    mean, std = trial.expected or (None, None)
    given = trial.candidate.crystal is not None
    how = "as given" if given else "relaxed by CHGNet" if asked.relaxed else "template, not relaxed"
    notes = [asked.reason, *map(str, found.get("warnings") or ())]
    return {
        "trial": number,
        "formula": trial.candidate.formula,
        "expected_gap_ev": mean,
        "expected_std_ev": std,
        "score": trial.score,
        "state": trial.state.value,
        "asked_to": asked.to,
        "asked_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(asked.time)) if asked.time else "",
        "proposed_by": trial.candidate.source.value,
        "iteration": trial.iteration,
        "screens": "; ".join(f"{v.screen}: {v.reason}" for v in trial.verdicts),
        "cif": asked.cif,
        "crystal": how if "crystal" in found else "",
        "template_id": found.get("template_id", ""),
        "template_formula": found.get("template_formula", ""),
        "emd": found.get("emd"),
        "space_group": found.get("space_group_relaxed") or found.get("space_group", ""),
        "formation_energy_ev_per_atom": found.get("formation_energy_ev_per_atom"),
        "note": "; ".join(note for note in notes if note),
        "campaign": _name(state),
    }


def records(state: CampaignState, numbers: Sequence[int]) -> list[dict[str, Any]]:
    """Return questions for programs: rows with every screen's evidence and the crystal's lattice, species and frac."""
    return [
        {
            **_row(state, number),
            "screens": [asdict(verdict) for verdict in state.trials[number].verdicts],
            "structure": state.asked[number].facts.get("crystal") if number in state.asked else None,
        }
        for number in numbers
    ]


def write_questions(state: CampaignState, numbers: Sequence[int], folder: Path) -> list[dict[str, Any]]:
    """Write a CIF of each question that has a crystal, and add the questions to the folder's index; return the rows.

    Raises:
        InputError: The folder belongs to another campaign, holds another crystal under that name, or cannot be written.
    """
    before = indexed(folder, _name(state))
    rows = question_rows(state, numbers)
    for row in rows:
        if row["cif"]:
            row["cif"] = str(_write(state, row, folder / row["cif"]) or "")
    listed = question_rows(state, sorted(state.asked.keys() & {*before, *numbers}))
    write_csv(folder / INDEX_NAME, COLUMNS, ([row[name] for name in COLUMNS] for row in listed))
    return rows


def indexed(folder: Path, campaign: str) -> list[int]:
    """Return the trials that a folder's index lists.

    Raises:
        InputError: It lists those of another campaign, or is no such index.
    """
    path = folder / INDEX_NAME
    if not path.is_file():
        return []
    try:
        with path.open(newline="", encoding="utf-8") as stream:
            listed = [(int(row["trial"]), row["campaign"]) for row in csv.DictReader(stream)]
    except (KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{path} is no index of questions: {error!r}", "choose another folder") from error
    if others := {name for _, name in listed} - {campaign}:
        raise InputError(f"{folder} belongs to the campaign {others.pop()!r}", "choose another folder")
    return [number for number, _ in listed]


def _name(state: CampaignState) -> str:
    return str(state.created["spec"]["name"])


def _write(state: CampaignState, row: dict[str, Any], path: Path) -> Path | None:
    asked = state.asked[row["trial"]]
    crystal = crystal_of(dict(asked.facts))
    told = {
        "campaign": row["campaign"],
        "trial": row["trial"],
        "formula": row["formula"],
        "crystal": row["crystal"],
        "template": f"{row['template_id']} ({row['template_formula']})",
        "expected_gap_ev": row["expected_gap_ev"],
        "crystal_digest": _digest(asked),
    }
    _refuse_another(path, told["crystal_digest"])
    try:
        write_cif(crystal, path, told)
    except StructureError as error:
        row["note"] = "; ".join(filter(None, (str(error), row["note"])))
        return None
    return path


def _digest(asked: Asked) -> str:
    return hashlib.sha256(json.dumps(asked.facts["crystal"], sort_keys=True).encode()).hexdigest()[:16]


def _refuse_another(path: Path, digest: str) -> None:
    if path.is_file() and f"# crystal_digest: {digest}\n" not in path.read_text(encoding="utf-8", errors="replace"):
        raise InputError(f"{path} holds another crystal", "choose another folder; the questions are in the journal")


def write_blank(state: CampaignState, numbers: Sequence[int], path: Path) -> None:
    """Write a table of answers to fill in, a row per question.

    Raises:
        InputError: There is a file of that name: it may hold answers.
    """
    refuse_existing(path)
    rows = question_rows(state, numbers)
    write_csv(path, BLANK, ([row.get(name) for name in BLANK] for row in rows))


def refuse_existing(path: Path) -> None:
    """Raise InputError where a file is there already."""
    if path.exists():
        raise InputError(f"{path} is there already, and may hold answers", "name another file, or move it away")
