"""What a survey leaves behind: the ranked table, the rows that came to nothing, and the counts with their rates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aldesign.files import write_csv, write_json
from aldesign.survey.sieves import Stage
from aldesign.survey.survey import Outcome
from aldesign.survey.tally import Tally

COLUMNS = ("rank", "formula", "value", "std", "unit", "oracle", "level", "in_domain")
HUNDRED_MILLION = 100_000_000
RANKED, LEFT_OUT, SUMMARY = "ranked.csv", "left_out.csv", "summary.json"


def ranked_rows(outcome: Outcome) -> list[tuple[object, ...]]:
    """Return the rows of the ranked table, columns as in `COLUMNS`."""
    oracle = outcome.oracle
    return [
        (
            rank,
            one.formula,
            one.value,
            one.std,
            oracle.unit,
            oracle.oracle.name,
            oracle.level,
            None if one.in_domain is None else str(one.in_domain).lower(),
        )
        for rank, one in enumerate(outcome.tally.best, start=1)
    ]


def summary(outcome: Outcome, workers: int | None) -> dict[str, Any]:
    """Return counts at each sieve, rates, and what a hundred million formulas would take at the mean rate.

    Args:
        outcome: What was found.
        workers: How many did it; None where that is a cluster's business.

    """
    tally, identity = outcome.tally, outcome.oracle.oracle
    seconds = max(tally.seconds, 1e-9)
    processor = tally.sieving_seconds + tally.scoring_seconds
    return {
        "oracle": {"name": identity.name, "version": identity.version, "digest": identity.digest},
        "counts": counts(tally),
        "workers": workers,
        "seconds": round(tally.seconds, 1),
        "processor_seconds": {
            "reading_and_sieves": round(tally.sieving_seconds, 1),
            "oracle": round(tally.scoring_seconds, 1),
        },
        "rows_per_second": round(tally.rows / seconds, 1),
        "scored_per_second": round(tally.scored / seconds, 1),
        "hours_for_100_million": round(HUNDRED_MILLION / max(tally.rows, 1) * seconds / 3600, 2),
        "core_hours_for_100_million": round(HUNDRED_MILLION / max(tally.rows, 1) * processor / 3600, 2),
    }


def counts(tally: Tally) -> dict[str, int]:
    """Return what was left at, or held back by, each sieve."""
    held = {f"held_by_{stage.name.lower()}": tally.held[stage] for stage in Stage if stage is not Stage.PASSED}
    return {
        "rows": tally.rows,
        "unreadable": tally.unreadable,
        "repeats": tally.repeats,
        **held,
        "passed": tally.passed,
        "scored": tally.scored,
        "in_domain": tally.inside,
        "unanswered": tally.unanswered,
        "abandoned": tally.abandoned,
        "ranked": len(tally.best),
    }


def write(outcome: Outcome, folder: Path, workers: int | None) -> dict[str, Any]:
    """Write the ranked table, the rows that came to nothing and the summary; return the latter."""
    facts = summary(outcome, workers)
    write_csv(folder / RANKED, COLUMNS, ranked_rows(outcome))
    write_csv(folder / LEFT_OUT, ("line", "text", "reason"), [(p.line or None, *p[1:]) for p in outcome.tally.problems])
    write_json(folder / SUMMARY, facts)
    return facts
