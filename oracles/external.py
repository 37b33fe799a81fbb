"""An oracle outside the program: a calculation on a cluster, or an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from aldesign.errors import InputError
from aldesign.records import Candidate, OracleCard, OracleIdentity, Prediction
from oracles.settings import UNITS

_REASON = "answers come from outside: write them to a table and give it to `aldesign tell`"


class ExternalOracle:
    """A card without a model: a campaign stops at its questions and goes on when the answers are told.

    Args:
        property: What will be answered.
        level: Level of theory of the answers to come, e.g. ``"HSE"`` or ``"experiment"``.
        needs: ``"structure"`` where the questions should come with crystals.

    Raises:
        InputError: The property or the need is unknown.

    """

    name: ClassVar[str] = "external"
    version: ClassVar[str] = "1"

    def __init__(
        self,
        property: str = "band_gap",  # noqa: A002 (the card's word)
        level: str = "PBE",
        needs: str = "formula",
    ) -> None:
        if property not in UNITS:
            raise InputError(f"external knows no property {property!r}", f"allowed: {', '.join(UNITS)}")
        if needs not in ("formula", "structure"):
            raise InputError(f"external got needs={needs!r}", "allowed: formula, structure")
        self._card = OracleCard(
            OracleIdentity(self.name, self.version),
            property,
            UNITS[property],
            level,
            "structure" if needs == "structure" else "formula",
            "tell",
            "Answers that come from outside, through `aldesign tell`",
        )

    @property
    def card(self) -> OracleCard:
        """Return what will be answered."""
        return self._card

    @classmethod
    def load(
        cls,
        directory: Path | None = None,
        property: str = "band_gap",  # noqa: A002
        level: str = "PBE",
        needs: str = "formula",
    ) -> ExternalOracle:
        """Return the oracle; arguments as in the class.

        Raises:
            InputError: A folder was named, or an option is unknown.

        """
        if directory is not None:
            raise InputError(f"external has no weights, got the folder {directory}", "leave it out")
        return cls(property, level, needs)

    def predict(self, candidates: Sequence[Candidate]) -> list[Prediction]:
        """Return one failed prediction per candidate, which says how to answer."""
        return [Prediction.failed(self._card, _REASON) for _ in candidates]
