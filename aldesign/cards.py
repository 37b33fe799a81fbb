"""The cards of stored weights, read without loading the weights."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from aldesign.chemistry.sketch import FormulaSketch
from aldesign.errors import CheckpointError
from aldesign.registry import oracle_entries

CARD = "card.json"
LEARNT = "learnt"  # a sketch of the formulas that weights were trained, stopped and calibrated on


def shipped_folder(name: str) -> Path | None:
    """Return the folder of the weights that come with an oracle, or None where it has none.

    By convention it is ``weights/NAME`` in the package that provides the oracle; nothing is imported to find it.
    """
    entry = oracle_entries().get(name)
    if entry is None:
        return None
    spec = find_spec(entry.module.partition(".")[0])
    places = list(spec.submodule_search_locations or []) if spec else []
    folders = (Path(place) / "weights" / name for place in places)
    return next((folder for folder in folders if (folder / CARD).is_file()), None)


def shipped_cards(name: str) -> list[tuple[Path, dict[str, Any]]]:
    """Return the folder and the card of each set of weights of an oracle: the usual one, then other levels' subfolders.

    Raises:
        CheckpointError: A card is damaged.

    """
    folder = shipped_folder(name)
    if folder is None:
        return []
    others = sorted(path.parent for path in folder.glob(f"*/{CARD}"))
    return [(place, read_card(place)) for place in (folder, *others)]


def read_card(folder: Path) -> dict[str, Any]:
    """Return the card in a folder of weights.

    Raises:
        CheckpointError: It is missing, or no JSON object.

    """
    path = folder / CARD
    try:
        card = json.loads(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{folder} holds no {CARD}", "name a folder written by `aldesign train`") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged: {error}", "copy or train the weights again") from error
    if not isinstance(card, dict):
        raise CheckpointError(f"{path} is no model card", "copy or train the weights again")
    return card


def learnt_formulas(name: str, folder: Path | None, level: str) -> FormulaSketch | None:
    """Return the sketch of the formulas that weights learnt from, or None where nothing tells.

    It lies beside the weights; several weights of one split share the sketch beside their folders, which says whose
    it is by the ``rule`` with which their ``split`` begins.

    Args:
        name: Of the oracle.
        folder: Of the weights; None for those shipped with the oracle.
        level: Level of theory, which chooses among the shipped ones.

    Raises:
        CheckpointError: The sketch is damaged.

    """
    if folder is None:
        folders = {card.get("level"): place for place, card in reversed(shipped_cards(name))}
        folder = folders.get(level) or shipped_folder(name)
    if folder is None:
        return None
    if (folder / f"{LEARNT}.json").is_file():
        return FormulaSketch.load(folder / LEARNT)
    for place in folder.parents[:2]:  # beside the folder, or beside the oracle's for a level of its own
        if (place / f"{LEARNT}.json").is_file():
            found = FormulaSketch.load(place / LEARNT)
            split = read_card(folder).get("split")
            rule = str(split.get("rule", "")) if isinstance(split, dict) else ""
            return found if found.card.get("rule") and rule.startswith(str(found.card["rule"])) else None
    return None
