"""What an answer means, kept inside the weights file, so that a card cannot be edited to say something else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from aldesign.errors import CheckpointError

SEAL = "card.meaning"
MEANING = ("property", "unit", "level")


def seal(
    property: str,  # noqa: A002 (the card's word)
    unit: str,
    level: str,
    config: Mapping[str, Any],
) -> dict[str, np.ndarray]:
    """Return the array, uint8 text of a JSON object, that stores them beside the weights.

    Args:
        property: What is predicted.
        unit: Of the answers.
        level: Level of theory.
        config: The model's settings, which say how its arrays are read.

    """
    content = {"property": property, "unit": unit, "level": level, "config": dict(config)}
    text = json.dumps(content, sort_keys=True)
    return {SEAL: np.frombuffer(text.encode(), dtype=np.uint8).copy()}


def unseal(origin: str, card: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return `arrays` without the seal, which agrees with `card`.

    Args:
        origin: Where both came from, for messages.
        card: The card on disk.
        arrays: Everything in the weights file.

    Raises:
        CheckpointError: The card states another property, unit, level or setting than the weights, or the seal is
            missing or damaged.

    """
    if SEAL not in arrays:
        raise CheckpointError(f"the weights in {origin} do not say what they were trained for", "train them again")
    try:
        sealed = json.loads(arrays[SEAL].tobytes())
        stated, config = {name: sealed[name] for name in MEANING}, dict(sealed["config"])
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"the weights in {origin} have a damaged seal", "copy them again") from error
    for name, value in stated.items():
        _same(origin, name, card.get(name), value)
    given = card.get("config")
    if not isinstance(given, dict):
        _same(origin, "config", given, config)
    else:
        for name in sorted(config.keys() | given.keys()):
            _same(origin, f"the setting {name}", given.get(name), config.get(name))
    return {name: array for name, array in arrays.items() if name != SEAL}


def _same(origin: str, name: str, given: object, sealed: object) -> None:
    if given != sealed:
        raise CheckpointError(
            f"the card in {origin} says {name} {given!r}, its weights were trained for {sealed!r}",
            "restore the card, or train the weights again",
        )
