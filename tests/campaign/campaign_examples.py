"""Trials made by hand."""

from __future__ import annotations

from aldesign.records import Candidate, OracleIdentity, Prediction, Source, Trial, TrialState


def measured(number: int, formula: str, gap_ev: float, iteration: int, source: Source = Source.LATENT) -> Trial:
    prediction = Prediction(gap_ev, 0.1, "eV", OracleIdentity("made", "1"), "PBE")
    state = TrialState.MEASURED
    return Trial(number, iteration, Candidate(formula, source), state, prediction=prediction, expected=(1.0, 0.5))


def pending(number: int, formula: str, iteration: int) -> Trial:
    return Trial(number, iteration, Candidate(formula, Source.GAN), TrialState.PENDING, expected=(1.0, 0.5), score=2.0)
