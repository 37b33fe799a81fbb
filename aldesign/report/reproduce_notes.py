"""What the reproduced table means, and what may not be read into it, from the study's own settings and records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aldesign.reproduce.paper import CANDIDATE_ATOMS, CANDIDATE_ELEMENTS, CANDIDATE_EV, POOL, SHARES, TABLE
from aldesign.reproduce.screening import FORMATION_ENERGY
from aldesign.reproduce.study import Study
from aldesign.reproduce.tables import Tables

Records = Sequence[Mapping[str, Any]]

TITLE = (
    "ours, mean ± standard deviation over random splits of one sample (one campaign, one oracle), and the paper's in "
    "brackets"
)
CAUTION = (
    'Recovery of "our campaign" is not comparable with the paper\'s: its labels came from the oracle that sets the '
    'list of candidates, and it searched where they are; "of new ones" (recovered/unlabelled) leaves out what was '
    "labelled. Its hold-out rows are mostly that oracle's own predictions; R2 test alone has independent truth."
)
_GRAPH = "stoichiometry_graph"


def notes(lines: Records, records: Records, study: Study, tables: Tables) -> str:
    """Return the notes below the table as a Markdown list."""
    samples = {line["sample"] for line in lines}
    said = [
        (
            f"{TITLE[0].upper()}{TITLE[1:]} (Xin et al. 2021, Table 1). The spread is that of the splits: how "
            "much other campaigns, starts or oracles would scatter was not looked at."
        ),
        *_settings(records, study),
        _test(tables),
        (
            f"Recovery: share of the oracle's candidates (predicted gap of {CANDIDATE_EV:g} eV or more, fewer than "
            f"{CANDIDATE_ATOMS} atoms, fewer than {CANDIDATE_ELEMENTS} elements) that the model selects too, from "
            f"{study.pool:,} formulas of our generator; the paper screened {POOL:,} of its own, with its own oracle. "
            '"Of new ones" counts only candidates without a label in the sample, in brackets how many of how many '
            "(a mean over the repeats). False positives: what the model selects and the oracle does not."
        ),
        (
            "The oracle is the first repeat of Exp1, of the same kind as the screening model. It agrees with itself: "
            "that repeat is left out of the recovery, new ones and false positives of Exp1, which tell how well "
            "further models of the full table agree with it."
        ),
    ]
    if samples & {"exp2-ours", "exp3-ours"}:
        said += _ours(lines, records, tables)
    if samples & {"exp2-al", "exp3-al"}:
        said.append(
            '"The paper\'s labels" are its released active-learning rows. They were labelled by its oracle, whose '
            "training file holds our test rows; a part of R2 hold-out, MAE and RMSE there is on its predictions. "
            "Negative labels count as 0."
        )
    said.append(f"Tables: {'; '.join(tables.notes)}.")
    return "\n".join(f"- {text}" for text in said)


def wide_notes() -> str:
    """Return what the lines of experiment 4 mean."""
    return (
        "The gaps of Exp4 are predicted by our oracle, not measured. Means are over the starts that found one. A batch "
        "is paid whole: the first count of labels ends at the place inside the batch, the second with the batch."
    )


def _settings(records: Records, study: Study) -> list[str]:
    train, validation, hold = (f"{100 * share:.0f} %" for share in SHARES)
    models = list(dict.fromkeys(record["model"] for record in records))
    oracles = "; ".join(f"{model} {_words(study.options(model, oracle=True))}" for model in models)
    screening = "; ".join(f"{model} {_words(study.options(model, oracle=False))}" for model in models)
    said = [
        (
            f"Seed {study.seed}. Of each sample {train} train, {validation} validate, {hold} are held out; the splits "
            f"done are in the column repeats. Screening models: {screening}. Oracles: {oracles}."
        )
    ]
    if _GRAPH in models:
        begun = "The graph starts from random weights."
        if study.start == FORMATION_ENERGY:
            begun = (
                f"The graph starts from {study.start}: these weights have seen formation energies, and no gap, of "
                "formulas that may include those of the test."
            )
        said.append(f"No weights that have seen gaps are used. {begun}")
    return said


def _words(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in options.items())


def _test(tables: Tables) -> str:
    full, test = len(tables.samples["exp1"]), len(tables.test)
    return (
        f"Rows of Exp1: the paper's {TABLE['exp1'].rows:,} are {full + test:,} formulas once rows of equal formula are "
        f"merged, less {test:,} for the test: {full:,}. R2 test is on these {test:,}, which are in no other sample and "
        "which our oracle has not learnt from. The paper's test was 500 formulas that were not released apart; its "
        "oracle's value there is likely flattered, for they are inside its training file. R2 hold-out, MAE and RMSE "
        "are on the sample's own formulas."
    )


def _ours(lines: Records, records: Records, tables: Tables) -> list[str]:
    said = [
        (
            '**Recovery of "our campaign" is not comparable with the paper\'s number.** Its labels are answers of the '
            "oracle that also sets the list of candidates, its space is the filter of the candidates (at most 7 atoms "
            "and 3 elements), and its formulas come from the generator that made the pool: a good part of the list was "
            "looked up, not predicted. Only the new ones were predicted."
        ),
        (
            '**R2 hold-out, MAE and RMSE of "our campaign"** are mostly on our oracle\'s own predictions in that '
            "narrow space, not on calculated gaps. R2 test is the only column of these lines with independent truth."
        ),
    ]
    for line in lines:
        if not line["sample"].endswith("-ours"):
            continue
        experiment, model = line["sample"].partition("-")[0], line["model"]
        paid = [r for r in records if (r["sample"], r["model"]) == (f"{experiment}-campaign", model)]
        text = f"{experiment.capitalize()}, {model}: a sample of {line['rows']:,} rows"
        if paid:
            first = len(tables.samples[f"{experiment}-bs"])
            text += (
                f" from {paid[0]['labels']} labels paid in {paid[0]['iterations']} iterations ({paid[0]['wide']} of "
                f"{CANDIDATE_EV:g} eV or more) and the paper's first {first:,}; labels of test formulas and of "
                "formulas that the first rows hold are not learnt from"
            )
        if line["labelled_candidates"] is not None:
            known, new = round(line["labelled_candidates"]), round(line["new_candidates"])
            text += f". Of the oracle's {known + new} candidates the sample labels {known}; {new} are new"
        said.append(f"{text}.")
    return said
