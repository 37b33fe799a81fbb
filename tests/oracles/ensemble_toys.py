"""Oracles whose answers are known in advance."""

from __future__ import annotations

from aldesign.chemistry.formula import canonical
from aldesign.errors import FormulaError
from aldesign.records import OracleCard, OracleIdentity, Prediction
from aldesign.testing import CRYSTALS


class Flat:
    """Says the same of every formula that it knows."""

    def __init__(self, value, std, property, level, needs, known, domain):  # noqa: A002
        unit = "eV" if property == "band_gap" else "eV/atom"
        identity = OracleIdentity("flat", "1", f"{value}{std}{property}{level}{needs}{known}")
        self.card = OracleCard(identity, property, unit, level, needs)
        self.value, self.std, self.known, self.domain = value, std, known, domain

    @classmethod
    def load(
        cls,
        directory=None,
        value=1.0,
        std=0.1,
        property="band_gap",  # noqa: A002
        level="PBE",
        needs="formula",
        known=None,
        domain=True,
    ):
        return cls(value, std, property, level, needs, known, domain)

    def predict(self, candidates):
        return [self._answer(candidate) for candidate in candidates]

    def _answer(self, candidate):
        card = self.card
        try:
            formula = canonical(candidate.formula)
        except FormulaError as error:
            return Prediction.failed(card, str(error))
        if card.needs == "structure" and candidate.crystal is None:
            return Prediction.failed(card, "no crystal")
        if card.needs == "structure" and not any(candidate.crystal is crystal for crystal in CRYSTALS.values()):
            return Prediction.failed(card, "not a crystal that it knows")
        if self.known is not None and formula not in self.known:
            return Prediction.failed(card, f"{formula} is unknown")
        inside = self.domain if "Og" not in formula else False
        return Prediction(self.value, self.std, card.unit, card.identity, card.level, inside)
