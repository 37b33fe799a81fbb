"""A second look at what a campaign found best: a model answered, and a model can be fooled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from aldesign.campaign.ranking import FEW, best_first, gap_of, objective
from aldesign.campaign.spec import CampaignSpec
from aldesign.campaign.state import CampaignState
from aldesign.chemistry.distance import emd_matrix
from aldesign.chemistry.elements import PETTIFOR
from aldesign.chemistry.formula import Compositions, compositions, parse_many
from aldesign.chemistry.neutrality import Options, valid_mask
from aldesign.errors import InputError
from aldesign.records import LabelledRow

_STRICT = Options(include_alloys=False)


@dataclass(frozen=True)
class Audited:
    """One of the best materials beside the known one that is nearest to it.

    Attributes:
        formula: What the campaign found.
        gap_ev: Its answered gap.
        std_ev: The oracle's uncertainty, if it states one.
        in_domain: Whether the oracle calls it like its training data; None where it cannot tell.
        balanced: Charges balance, cations less electronegative than anions, alloys not excused.
        n_elements: Number of elements.
        hit: Whether the gap is good enough.
        nearest: The known formula at the smallest element mover's distance; a tie goes to the first. None where
            the material has an element beyond lawrencium.
        emd: That distance, in places of the modified Pettifor scale.
        nearest_gap_ev: The known gap of that formula.
        nearest_hit: Whether that gap is good enough.
        known: Whether `formula` itself is in the table of known gaps.
    """

    formula: str
    gap_ev: float
    std_ev: float | None
    in_domain: bool | None
    balanced: bool
    n_elements: int
    hit: bool
    nearest: str | None
    emd: float | None
    nearest_gap_ev: float | None
    nearest_hit: bool | None
    known: bool


def audit(
    state: CampaignState,
    spec: CampaignSpec,
    known: Sequence[LabelledRow],
    top: int | None,
    threshold_ev: float | None = None,
) -> list[Audited]:
    """Return the `top` best materials of a campaign, or all, each beside its nearest known formula.

    Seed rows are left out; materials told from outside are not.

    Args:
        state: The campaign so far.
        spec: Its definition.
        known: Known formulas with their gaps in eV.
        top: How many; None for all.
        threshold_ev: The least gap that is good enough (maximize), the largest (minimize), or how far from the
            window it may lie; None means any gap, and inside a window.

    Raises:
        InputError: Nothing was measured yet, or no known formula lies on the Pettifor scale.
    """
    trials = best_first(state, spec)[:top]
    if not trials:
        raise InputError("the campaign has measured nothing yet", "run it first")
    parsed, errors = parse_many([row.formula for row in known])
    usable = np.flatnonzero([error is None for error in errors] & _on_scale(parsed))
    if not len(usable):
        raise InputError("the table of known gaps holds no formula of elements up to lawrencium", "give another")
    kept = [known[i] for i in usable.tolist()]
    found = compositions([trial.candidate.formula for trial in trials])
    placed = _on_scale(found)
    distances = np.full((len(found), len(kept)), np.inf)
    distances[placed] = emd_matrix(found[np.flatnonzero(placed)], parsed[usable])
    nearest = distances.argmin(axis=1)
    goal = objective(spec)

    def enough(gap_ev: float) -> bool:
        return goal.met(gap_ev, threshold_ev) if threshold_ev is not None or goal.kind == "window" else True

    balanced = valid_mask(found, _STRICT)
    names = {row.formula for row in known}
    audited = []
    for i, trial in enumerate(trials):
        prediction, row = trial.prediction, kept[nearest[i]]
        audited.append(
            Audited(
                formula=trial.candidate.formula,
                gap_ev=gap_of(trial),
                std_ev=prediction.std if prediction else None,
                in_domain=prediction.in_domain if prediction else None,
                balanced=bool(balanced[i]),
                n_elements=int(found.n_elements()[i]),
                hit=enough(gap_of(trial)),
                nearest=row.formula if placed[i] else None,
                emd=round(float(distances[i, nearest[i]]), 3) if placed[i] else None,
                nearest_gap_ev=row.value if placed[i] else None,
                nearest_hit=enough(row.value) if placed[i] else None,
                known=trial.candidate.formula in names,
            )
        )
    return audited


def summary(rows: Sequence[Audited]) -> dict[str, Any]:
    """Return counts over audited materials.

    A hit is trusted where its charges balance, it has at most five elements, is not known, and the oracle does not
    call it foreign.
    """
    hits = [row for row in rows if row.hit]
    trusted = [r for r in hits if r.balanced and r.n_elements <= FEW and not r.known and r.in_domain is not False]
    stds = [row.std_ev for row in hits if row.std_ev is not None]
    return {
        "materials": len(rows),
        "hits": len(hits),
        "trusted_hits": len(trusted),
        "balanced": sum(row.balanced for row in hits),
        "at_most_five_elements": sum(row.n_elements <= FEW for row in hits),
        "new": sum(not row.known for row in hits),
        "in_domain": sum(row.in_domain is True for row in hits),
        "mean_gap_ev": _mean([row.gap_ev for row in hits]),
        "mean_std_ev": _mean(stds),
        "mean_emd": _mean([row.emd for row in hits if row.emd is not None]),
        "mean_nearest_gap_ev": _mean([row.nearest_gap_ev for row in hits if row.nearest_gap_ev is not None]),
        "nearest_is_hit": sum(row.nearest_hit is True for row in hits),
    }


def as_records(rows: Sequence[Audited]) -> list[dict[str, Any]]:
    """Return audited materials as plain rows, ranked from 1."""
    return [{"rank": rank, **asdict(row)} for rank, row in enumerate(rows, start=1)]


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if values else None


def _on_scale(parsed: Compositions) -> np.ndarray:
    """Return which compositions have atoms, all of them of elements up to lawrencium, bool (n,)."""
    numbers = parsed.numbers
    return np.asarray((numbers > 0).any(axis=1) & ~((numbers > 0) & (PETTIFOR[numbers] < 0)).any(axis=1))
