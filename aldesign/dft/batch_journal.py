"""What a batch has answered so far: lines of JSON, each on disk before the next crystal is begun."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aldesign.dft.settings import Settings
from aldesign.errors import RunDirectoryError

Row = dict[str, Any]


def read_journal(path: Path, settings: Settings) -> dict[str, Row]:
    """Return the answers by item; begin the journal where there is none, and mend a last line cut by a kill."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        text = ""
    entries = [entry for line in text.splitlines() if (entry := _parsed(line)) is not None]
    if text and not text.endswith("\n"):
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")
    if not entries or "settings" not in entries[0]:
        append(path, {"settings": settings.to_json()})
        return {}
    before, now = entries[0]["settings"], settings.to_json()
    changed = sorted(k for k in before.keys() | now.keys() if k != "preset" and before.get(k) != now.get(k))
    if changed:
        told = ", ".join(f"{key} {before.get(key)}, now {now.get(key)}" for key in changed)
        raise RunDirectoryError(
            f"{path.parent} holds results of other settings: {told}", "give the same settings, or another --out"
        )
    return {entry["key"]: entry["row"] for entry in entries[1:] if "key" in entry}


def _parsed(line: str) -> Mapping[str, Any] | None:
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def append(path: Path, content: Mapping[str, Any]) -> None:
    """Add a line, and see it on disk. Raises OSError."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(content, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
