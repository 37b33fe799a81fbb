"""Ask the oracle, one candidate at a time, in whatever process the campaign runs its work."""

from __future__ import annotations

import time
from dataclasses import replace

from aldesign.campaign.parts import OracleReference
from aldesign.protocols import Oracle
from aldesign.records import Candidate, OracleCard, Prediction

_loaded: dict[OracleReference, Oracle] = {}


def answer(job: tuple[OracleReference, Candidate]) -> Prediction:
    """Return the oracle's prediction; whatever it raises becomes the prediction's error.

    An oracle sees one candidate at a time, so that its numbers depend neither on the number of workers nor on
    where a run was interrupted.
    """
    reference, candidate = job
    oracle = _loaded.get(reference)
    if oracle is None:
        from aldesign.learning.threads import pin_threads

        pin_threads(1)
        oracle = _loaded.setdefault(reference, reference.load())
    began = time.perf_counter()
    try:
        (prediction,) = oracle.predict([candidate])
    except Exception as error:
        return Prediction.failed(oracle.card, f"{type(error).__name__}: {error}", time.perf_counter() - began)
    return replace(prediction, seconds=round(time.perf_counter() - began, 4))


def lost(card: OracleCard, reason: str) -> Prediction:
    """Return the record of a candidate whose worker died each time."""
    return Prediction.failed(card, f"no answer: {reason}")
