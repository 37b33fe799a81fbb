"""Ask the oracle, one candidate at a time, in whatever process the campaign runs its work."""

from __future__ import annotations

import math
import time
from dataclasses import replace

from aldesign.campaign.parts import OracleReference
from aldesign.campaign.repair import FAILURE
from aldesign.errors import CalculationError
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
        checked = sound(prediction)
    except Exception as error:
        checked = Prediction.failed(oracle.card, f"{type(error).__name__}: {error}")
        if isinstance(error, CalculationError):
            checked = replace(checked, facts={FAILURE: error.kind})
    return replace(checked, seconds=round(time.perf_counter() - began, 4))


def sound(prediction: Prediction) -> Prediction:
    """Return a prediction of plain finite numbers.

    Models may fall below zero near metals; a gap cannot, so such a value becomes zero and keeps its uncertainty.

    Raises:
        ValueError: The value is not finite, or the uncertainty is no finite number of 0 or more.
    """
    if prediction.value is None:
        return prediction
    value = float(prediction.value)
    std = None if prediction.std is None else float(prediction.std)
    if not math.isfinite(value) or (std is not None and not (math.isfinite(std) and std >= 0)):
        raise ValueError(f"the oracle answered {value} ± {std} {prediction.unit}")
    return replace(prediction, value=max(value, 0.0), std=std, in_domain=_flag(prediction.in_domain))


def _flag(value: object) -> bool | None:
    return None if value is None else bool(value)


def lost(card: OracleCard, reason: str) -> Prediction:
    """Return the record of a candidate whose worker died each time."""
    return Prediction.failed(card, f"no answer: {reason}")
