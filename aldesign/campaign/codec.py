"""Records to JSON values and back, as they stand in the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from aldesign.dft.results import crystal_from_json, crystal_to_json
from aldesign.records import Candidate, OracleIdentity, Prediction, Source, Trial, TrialState, Verdict

_MADE = (Source.LATENT, Source.GAN, Source.MUTATION)


def prediction_to_json(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as JSON values."""
    return asdict(prediction)


def prediction_from_json(payload: Mapping[str, Any]) -> Prediction:
    """Return the prediction that `payload` holds."""
    return Prediction(**{**payload, "oracle": OracleIdentity(**payload["oracle"])})


def trial_to_json(trial: Trial) -> dict[str, Any]:
    """Return a trial as JSON values, with its crystal where that was given.

    What a template lent a new formula is not kept, for the two give it again.
    """
    candidate = trial.candidate
    kept = None if candidate.source in _MADE else candidate.crystal
    given = {} if kept is None else {"crystal": crystal_to_json(kept)}
    return {
        "number": trial.number,
        "iteration": trial.iteration,
        "formula": candidate.formula,
        "source": candidate.source.value,
        "latent": list(candidate.latent) if candidate.latent is not None else None,
        "structure_id": candidate.structure_id,
        "state": trial.state.value,
        "verdicts": [asdict(verdict) for verdict in trial.verdicts],
        "prediction": prediction_to_json(trial.prediction) if trial.prediction else None,
        "attempts": trial.attempts,
        "expected": list(trial.expected) if trial.expected else None,
        "score": trial.score,
        **given,
    }


def trial_from_json(payload: Mapping[str, Any]) -> Trial:
    """Return the trial that `payload` holds."""
    latent, expected, prediction = payload["latent"], payload["expected"], payload["prediction"]
    return Trial(
        number=payload["number"],
        iteration=payload["iteration"],
        candidate=Candidate(
            formula=payload["formula"],
            source=Source(payload["source"]),
            latent=tuple(latent) if latent is not None else None,
            structure_id=payload["structure_id"],
            crystal=crystal_from_json(payload["crystal"]) if payload.get("crystal") else None,
        ),
        state=TrialState(payload["state"]),
        verdicts=tuple(Verdict(**verdict) for verdict in payload["verdicts"]),
        prediction=prediction_from_json(prediction) if prediction else None,
        attempts=payload["attempts"],
        expected=(expected[0], expected[1]) if expected else None,
        score=payload["score"],
    )
