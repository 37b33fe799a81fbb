"""The least oracle that learns: it says the mean of its labels, and watches what it is shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.records import Candidate, LabelledRow, OracleCard, OracleIdentity, Prediction

ROWS = [LabelledRow(f"Na{i}Cl{j}", float(i)) for i in range(1, 8) for j in range(8, 12)]


class MeanOracle:
    """Learns the mean of its labels."""

    interrupt_at = 0  # the number of the fit that Ctrl-C ends; 0 for none
    fits = 0

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset
        self.card = OracleCard(OracleIdentity("mean", "1"))
        self.training: dict[str, Any] = {}

    def fit(self, train: Sequence[LabelledRow], validation: Sequence[LabelledRow] = (), **settings: Any) -> MeanOracle:
        type(self).fits += 1
        if type(self).fits == self.interrupt_at:
            if settings["checkpoint"]:
                settings["checkpoint"].mkdir(parents=True)
                (settings["checkpoint"] / "state").write_text("")
            raise KeyboardInterrupt
        self.known = {row.formula for row in [*train, *validation]}
        self.mean = float(np.mean([row.value for row in [*train, *validation]])) + self.offset
        return self

    def describe(self, **facts: Any) -> None:
        self.training |= facts

    def save(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "card.json").write_text(json.dumps(self.training))

    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        assert not self.known & {candidate.formula for candidate in candidates}
        card = self.card
        return [Prediction(self.mean, 1.0, card.unit, card.identity, card.level) for _ in candidates]
