"""The campaign in one page.

A campaign learns from the gaps it has paid for, proposes formulas, screens them, pays an oracle for the
survivors, and at the end turns the best formulas into crystals, ranked and exported.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aldesign.campaign import finishing
from aldesign.campaign.learning import learn
from aldesign.campaign.proposing import choose
from aldesign.campaign.stopping import batch_left, stop_reason

if TYPE_CHECKING:
    from aldesign.campaign.campaign import Campaign


def run(campaign: Campaign, limit: int | None = None) -> str:
    """Iterate until a stop rule holds, answers from outside are awaited, or `limit` iterations are done.

    Returns:
        Why it ended.
    """
    measure(campaign)
    begun = campaign.state.iterations
    while True:
        if campaign.awaits_answers:
            return f"{len(campaign.state.pending)} candidates wait for answers: `aldesign ask`, then `aldesign tell`"
        if reason := stop_reason(campaign.state, campaign.spec):
            campaign.stop(reason)
            return reason
        if limit is not None and campaign.state.iterations - begun >= limit:
            return f"{limit} iterations done in this call"
        iterate(campaign, batch_left(campaign.state, campaign.spec))


def iterate(campaign: Campaign, wanted: int) -> None:
    """Learn, propose, screen, write it down, and only then pay for at most `wanted` answers."""
    propose(campaign, wanted)
    measure(campaign)


def propose(campaign: Campaign, wanted: int) -> int:
    """Learn, propose, screen and write down at most `wanted` candidates; return the iteration's number."""
    seconds: dict[str, float] = {}
    iteration = campaign.state.next_iteration
    campaign.announce("learning", iteration=iteration)
    with timed(seconds, "learn"):
        learned = learn(campaign.parts, campaign.state)
    with timed(seconds, "propose"):
        batch = choose(campaign.parts, learned, campaign.state, iteration, wanted)
    campaign.record_proposal(iteration, batch, seconds)
    return iteration


def measure(campaign: Campaign) -> None:
    """Ask the oracle for every pending trial, write down each answer as it lands, and close the iteration.

    What was handed out to people or a queue is theirs to answer.
    """
    iteration = campaign.state.open_iteration
    seconds: dict[str, float] = {}
    if not campaign.awaits_answers:
        with timed(seconds, "measure"):
            for trial, prediction in campaign.answers(campaign.state.unasked):
                campaign.record_answer(trial, prediction)
    if iteration is not None:
        campaign.close(iteration, seconds)


def finish(campaign: Campaign) -> None:
    """Give the best formulas crystals until the shortlist is full or the candidates are exhausted."""
    while trials := finishing.waiting(campaign.state, campaign.parts):
        campaign.announce("structures", trials=trials)
        for payload in campaign.crystals([(trial, finishing.prepare(campaign.parts, trial)) for trial in trials]):
            campaign.record_structure(payload)


@contextmanager
def timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    """Add the wall time of the block to ``seconds[stage]``."""
    began = time.perf_counter()
    yield
    seconds[stage] = round(seconds.get(stage, 0.0) + time.perf_counter() - began, 3)
