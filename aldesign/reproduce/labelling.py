"""Our own active learning with the paper's budget: the campaigns of the experiments, run from their files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aldesign.files import write_csv
from aldesign.records import LabelledRow, TrialState
from aldesign.reproduce.paper import CANDIDATE_EV

if TYPE_CHECKING:
    from aldesign.campaign.spec import CampaignSpec
    from aldesign.campaign.state import CampaignState


def campaign_file(experiment: str) -> Path:
    """Return the shipped definition of an experiment's campaign."""
    return Path(str(files("campaigns"))) / "paper" / f"{experiment}.yaml"


def campaign_of(
    experiment: str, rows: Path, oracle: str, weights: Path, seed: int, changes: Mapping[str, Any] | None = None
) -> CampaignSpec:
    """Return an experiment's campaign with its first rows and the oracle that is paid.

    Args:
        experiment: ``exp2``, ``exp3`` or ``exp4``.
        rows: Table to begin with.
        oracle: Entry-point name of the oracle.
        weights: Folder of its weights, trained on the full table.
        seed: The campaign's.
        changes: Other values of the definition by dotted key, e.g. ``stop.budget``.

    """
    import json

    from aldesign.campaign.spec import read_spec

    given = {
        "data.path": str(rows.resolve()),
        "oracle.kind": oracle,
        "oracle.model": str(weights.resolve()),
        "seed": seed,
        "execution.kind": "serial",
        **(changes or {}),
    }
    # JSON is YAML too, and quotes what YAML would take for something else
    return read_spec(campaign_file(experiment), tuple(f"{key}={json.dumps(value)}" for key, value in given.items()))


def run_campaign(spec: CampaignSpec, directory: Path) -> CampaignState:
    """Run a campaign to its end, or on from where it was stopped; return all that is known of it.

    No crystals are made: a label is all that the experiments ask for.
    """
    from aldesign.campaign import loop
    from aldesign.campaign.campaign import SPEC_NAME, Campaign

    begun = (directory / SPEC_NAME).is_file()
    with Campaign.open(directory) if begun else Campaign.create(spec, directory) as campaign:
        loop.run(campaign)
        return campaign.state


def labels_of(state: CampaignState) -> list[LabelledRow]:
    """Return what a campaign paid for, in the order of its trials; answers without a value are left out."""
    return [
        LabelledRow(trial.candidate.formula, trial.prediction.value)
        for trial in state.measured
        if trial.iteration > 0 and trial.prediction is not None and trial.prediction.value is not None
    ]


def joined(
    base: Sequence[LabelledRow], added: Sequence[LabelledRow], test: Sequence[LabelledRow] = ()
) -> list[LabelledRow]:
    """Return the rows of both; of a formula in both the first label stands, and one of the test is left out."""
    known = {row.formula for row in (*base, *test)}
    return [*base, *(replace(row, level=base[0].level) for row in added if row.formula not in known)]


def write_rows(path: Path, rows: Sequence[LabelledRow]) -> None:
    """Write a table that a campaign or a training can read."""
    write_csv(path, ("formula", "band_gap"), ([row.formula, repr(row.value)] for row in rows))


def first_above(state: CampaignState, limit_ev: float = CANDIDATE_EV) -> dict[str, Any]:
    """Return when a campaign first paid for a gap above `limit_ev`, and how many labels it took.

    ``labels`` counts up to the place inside the batch; ``paid`` counts the batch whole, as it is bought.
    """
    asked = (TrialState.MEASURED, TrialState.FAILED, TrialState.ABANDONED)
    batches = [trial.iteration for trial in state.in_state(*asked) if trial.iteration > 0]
    paid = [t for t in state.trials.values() if t.iteration > 0 and t.state is TrialState.MEASURED]
    best = max(paid, key=lambda t: t.prediction.value if t.prediction and t.prediction.value else 0.0, default=None)
    found: dict[str, Any] = {"found": False, "iterations": state.iterations, "labels": len(paid), "paid": len(batches)}
    if best is not None and best.prediction is not None:
        found |= {"best_ev": best.prediction.value, "best_formula": best.candidate.formula}
    for count, trial in enumerate(paid, start=1):
        value = trial.prediction.value if trial.prediction else None
        if value is not None and value > limit_ev:
            whole = sum(iteration <= trial.iteration for iteration in batches)
            return found | {"found": True, "iterations": trial.iteration, "labels": count, "paid": whole}
    return found
