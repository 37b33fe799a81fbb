"""What is wanted of the gap, what an answer is worth, and which answers to pay for together."""

from aldesign.models.acquisition.scores import (
    ACQUISITIONS,
    KINDS,
    Acquirer,
    ExpectedImprovement,
    Objective,
    ProbabilityOfSuccess,
    RandomChoice,
    ThompsonSampling,
    UpperConfidenceBound,
    log_expected_excess,
    log_probability,
    make_acquirer,
)

__all__ = [
    "ACQUISITIONS",
    "KINDS",
    "Acquirer",
    "ExpectedImprovement",
    "Objective",
    "ProbabilityOfSuccess",
    "RandomChoice",
    "ThompsonSampling",
    "UpperConfidenceBound",
    "log_expected_excess",
    "log_probability",
    "make_acquirer",
]
