"""What an answer means, kept inside the weights file, so that a card cannot be edited to say something else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from aldesign.errors import CheckpointError

SEAL = "card.meaning"
# Weights written before there was a seal are of these.
UNSEALED = {"property": "band_gap", "unit": "eV", "level": "PBE"}


def seal(property: str, unit: str, level: str) -> dict[str, np.ndarray]:  # noqa: A002 (the card's word)
    """Return the array, uint8 text of a JSON object, that stores the three beside the weights."""
    text = json.dumps({"property": property, "unit": unit, "level": level}, sort_keys=True)
    return {SEAL: np.frombuffer(text.encode(), dtype=np.uint8).copy()}


def unseal(origin: str, card: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return `arrays` without the seal, which agrees with `card`.

    Args:
        origin: Where both came from, for messages.
        card: The card on disk.
        arrays: Everything in the weights file.

    Raises:
        CheckpointError: The card states another property, unit or level than the weights, or the seal is damaged.

    """
    if SEAL in arrays:
        try:
            sealed = json.loads(arrays[SEAL].tobytes())
            stated = {name: sealed[name] for name in UNSEALED}
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"the weights in {origin} have a damaged seal", "copy them again") from error
    else:
        stated = UNSEALED
    for name, value in stated.items():
        if card.get(name) != value:
            raise CheckpointError(
                f"the card in {origin} says {name} {card.get(name)!r}, its weights were trained for {value!r}",
                "restore the card, or train the weights again",
            )
    return {name: array for name, array in arrays.items() if name != SEAL}
