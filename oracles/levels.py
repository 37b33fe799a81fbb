"""The weights that come with an oracle: one folder for each level of theory."""

from __future__ import annotations

import json
from pathlib import Path

from aldesign.errors import CheckpointError, InputError

SHIPPED = Path(__file__).parent / "weights"


def shipped_levels(name: str) -> dict[str, Path]:
    """Return the folder of weights of each level of theory that oracle `name` is shipped with, the default first.

    The default lies in ``weights/NAME``, each other level in a subfolder of it; the card says which level it is. Of
    two folders of one level the first counts.

    Raises:
        CheckpointError: A card is damaged.

    """
    found: dict[str, Path] = {}
    folder = SHIPPED / name
    for path in (folder / "card.json", *sorted(folder.glob("*/card.json"))):
        if path.is_file():
            try:
                level = str(json.loads(path.read_bytes())["level"])
            except (ValueError, KeyError, TypeError) as error:
                raise CheckpointError(f"{path} is damaged: {error!r}", "copy the weights again") from error
            found.setdefault(level, path.parent)
    return found


def shipped_weights(name: str, level: str | None) -> Path:
    """Return the folder of the weights that oracle `name` is shipped with for `level`, the default where it is None.

    Raises:
        InputError: There are weights, but none of that level.

    """
    if level is None:
        return SHIPPED / name
    levels = shipped_levels(name)
    if level not in levels:
        # CheckpointError would be for a user who had named a folder
        raise InputError(f"{name} is not shipped for level {level!r}", f"allowed: {', '.join(levels) or 'none'}")
    return levels[level]
