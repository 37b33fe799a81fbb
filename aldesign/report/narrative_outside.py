"""What people and queues were asked about a candidate, and what they told, in plain sentences."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from aldesign.campaign.state import CampaignState
from aldesign.records import Trial, TrialState
from aldesign.report.facts import gap_text

_HOW = {"first": "", "added": ", averaged with those before", "replaced": ", instead of what was known before"}


def outside_sentences(state: CampaignState, trial: Trial) -> Iterable[str]:
    """Yield to whom a trial was handed out, with which crystal, and every measurement that was told of it."""
    asked = state.asked.get(trial.number)
    if asked is not None:
        day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(asked.time))
        crystal = f"with the crystal of {asked.cif}" if asked.cif else "without a crystal"
        waits = "; no answer has come yet" if trial.state is TrialState.PENDING else ""
        yield f"Asked {f'of {asked.to} ' if asked.to else ''}on {day}, {crystal}{waits}."
    for told in state.told.get(trial.number, ()):
        yield _told_sentence(told)


def _told_sentence(told: Mapping[str, Any]) -> str:
    origin = f" ({told['file']}, line {told['line']})" if told["file"] else ""
    notes = "; ".join(f"{name}: {text}" for name, text in told["notes"].items())
    tail = f" {notes}." if notes else ""
    if told["value"] is None:
        return f"Told that it failed{origin}: {told['error']}.{tail}"
    written = f", written as {told['written']}" if told["written"] else ""
    return f"Told {gap_text(told['value'], told['std'])} eV{written}{_HOW[told['how']]}{origin}.{tail}"
