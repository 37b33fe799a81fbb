"""The crystals that a batch is given, in order, and the reasons why some lines hold none."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aldesign.dft.store import crystal_key
from aldesign.errors import InputError
from aldesign.records import BadRow, Crystal


@dataclass(frozen=True)
class Item:
    """One crystal of the input, or the reason why it is none."""

    id: str
    crystal: Crystal | None
    fault: str = ""

    @property
    def key(self) -> str:
        """Return what tells one line of the input from another."""
        return f"{self.id}|{self.fault if self.crystal is None else crystal_key(self.crystal)}"


def read_items(paths: Sequence[Path]) -> list[Item]:
    """Return the crystals of JSON lines (``.jsonl``, ``.jsonl.gz``), CIFs and folders of CIFs, in order.

    Raises:
        InputError: A file is missing or cannot be read, or there is no crystal at all.

    """
    items = [item for path in paths for item in _read(path)]
    if not items:
        raise InputError(f"{', '.join(map(str, paths))}: no crystals", "give JSON lines or CIFs")
    return items


def _read(path: Path) -> Iterator[Item]:
    from aldesign.structures.cif import read_jsonl
    from aldesign.structures.cif.reading import read_cif

    name = path.name.lower()
    if name.endswith((".jsonl", ".jsonl.gz")):
        for found in read_jsonl(path):
            yield _item(f"{path.name}:{found.line}" if isinstance(found, BadRow) else found.id, found)
        return
    if not path.exists():
        raise InputError(f"no file at {path}", "JSON lines of crystals, CIFs, or folders of them are wanted")
    if not path.is_dir() and not name.endswith((".cif", ".cif.gz")):
        raise InputError(f"{path} is neither JSON lines (.jsonl, .jsonl.gz) nor a CIF (.cif)", "name it by its kind")
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".cif") if path.is_dir() else [path]
    for file in files:
        for id_, found in read_cif(file):
            yield _item(id_, found)


def _item(name: str, found: Crystal | BadRow) -> Item:
    return Item(name, None, found.reason) if isinstance(found, BadRow) else Item(name, found)
