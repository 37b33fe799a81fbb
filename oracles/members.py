"""The members of an ensemble: how they are named, made ready, kept on disk and known again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from aldesign.errors import CheckpointError, InputError
from aldesign.protocols import Oracle, TrainableOracle
from aldesign.records import LabelledRow, OracleCard
from aldesign.registry import load_oracle, oracle_class
from oracles.common import Progress

SHIPPED_MODEL = "shipped"
FOLDER = "members"
_RESERVED = ("kind", "model", "weight")
_EXAMPLE = "e.g. members: [dense, {kind: random_forest, model: FOLDER, weight: 0.3}]"


@dataclass
class Member:
    """One oracle of an ensemble.

    Attributes:
        kind: Entry-point name.
        model: Folder of its weights, `SHIPPED_MODEL`, or None: to be trained, or where it cannot be, the shipped.
        weight: How much it counts beside the others; None where that is to be learned.
        options: For its constructor where it is trained, for its ``load`` otherwise.
        oracle: The oracle itself, once it is there.

    """

    kind: str
    model: str | None = None
    weight: float | None = None
    options: dict[str, Any] = field(default_factory=dict)
    oracle: Oracle | None = None

    @property
    def ready(self) -> Oracle:
        """Return the oracle. Raises InputError where it is neither loaded nor trained."""
        if self.oracle is None:
            raise InputError(f"member {self.kind!r} has not been loaded", "load() the ensemble, or fit() it first")
        return self.oracle

    @property
    def learns(self) -> bool:
        """Whether fitting the ensemble trains this member."""
        return self.model is None and hasattr(oracle_class(self.kind), "fit")

    def load(self, level: str | None = None) -> None:
        """Load the oracle from its folder, or the shipped one; of `level`, where it has several.

        Raises:
            InputError: It cannot be loaded with these options, or it answers from outside.

        """
        folder = None if self.model in (None, SHIPPED_MODEL) else Path(str(self.model))
        self.oracle = load_oracle(self.kind, folder, **self.options)
        if level is not None and self.ready.card.level != level and "level" not in self.options:
            try:
                self.oracle = load_oracle(self.kind, folder, level=level, **self.options)
            except InputError:
                return  # it has one level only, which `agreement` names if the others differ
            self.options = {**self.options, "level": level}

    def untrained(self, property: str) -> TrainableOracle:  # noqa: A002 (the card's word)
        """Return a new oracle that predicts `property`. Raises InputError where it refuses its options."""
        kind = cast(Callable[..., Any], oracle_class(self.kind))
        options = dict(self.options) if property == "band_gap" else {"property": property, **self.options}
        try:
            return cast(TrainableOracle, kind(**options))
        except TypeError as error:
            raise InputError(f"member {self.kind!r} refused its options {options!r}: {error}") from error

    def train(
        self,
        property: str,  # noqa: A002
        train: Sequence[LabelledRow],
        validation: Sequence[LabelledRow],
        seed: int,
        checkpoint: Path | None,
        progress: Progress | None,
    ) -> None:
        """Train a new oracle; arguments as those of `TrainableOracle.fit`."""
        oracle = self.untrained(property)
        self.oracle = oracle.fit(train, validation, seed=seed, checkpoint=checkpoint, progress=progress)

    def entry(self, weight: float) -> dict[str, Any]:
        """Return what decides the member's answers and its share in the ensemble's, JSON-serialisable."""
        identity = self.ready.card.identity
        options = {key: value for key, value in self.options.items() if key != "path"}
        return {
            "kind": self.kind,
            "digest": identity.digest,
            "options": options if self.model is not None or not self.learns else {},
            "weight": weight,
        }

    def store(self, directory: Path, number: int, weight: float) -> dict[str, Any]:
        """Keep the member under `directory`, unless it ships with its package; return its entry, with its files.

        One that neither ships nor can be saved is kept by copying the folder or the table that it was loaded from.
        """
        oracle = self.ready
        place = f"{FOLDER}/{number}_{self.kind}"
        folder, kept = directory / place, {"model": SHIPPED_MODEL}
        if self.model != SHIPPED_MODEL:
            source = self.model or self.options.get("path")
            if hasattr(oracle, "save"):
                cast(TrainableOracle, oracle).save(folder)
                kept = {"model": place}
            elif source is not None:
                target = folder if Path(source).is_dir() else folder / Path(source).name
                _copy(Path(source), target)
                kept = {"model": place} if self.model else {"path": f"{place}/{Path(source).name}"}
        entry = {**self.entry(weight), **kept}
        if entry.get("model") != SHIPPED_MODEL:
            entry["files"] = {
                path.relative_to(folder).as_posix(): _content(path)
                for path in sorted(folder.rglob("*"))
                if path.is_file()
            }
        return entry

    @classmethod
    def stored(cls, directory: Path, number: int, entry: Mapping[str, Any]) -> Member:
        """Return the member that `store` kept under `directory`, loaded and found to be the same.

        Raises:
            CheckpointError: A file is missing or was changed, or another oracle answers to the name now.

        """
        kind, options = str(entry["kind"]), dict(entry["options"])
        for name, digest in entry.get("files", {}).items():
            path = directory / FOLDER / f"{number}_{kind}" / name
            if not path.is_file() or _content(path) != digest:
                how = "was changed" if path.is_file() else "is missing"
                raise CheckpointError(f"{path} {how} since the ensemble was saved", _REFIT)
        model = entry.get("model")
        if "path" in entry:
            options["path"] = str(directory / entry["path"])
        if model not in (None, SHIPPED_MODEL):
            model = str(directory / model)
        member = cls(kind, model, None, options)
        member.load()
        now = member.ready.card.identity.digest
        if now != entry["digest"]:
            raise CheckpointError(
                f"member {number + 1} of the ensemble in {directory}, {kind!r}, is not the one that it was fitted "
                f"with: its digest is {now or 'none'}, not {entry['digest'] or 'none'}",
                _REFIT,
            )
        return member


_REFIT = "restore the member, or fit the ensemble again"


def parse(given: object) -> list[Member]:
    """Return the members that `given` lists: names, or mappings with ``kind`` and the options of that oracle.

    Raises:
        InputError: It is no such list, an oracle is unknown, or some members have a weight and others have none.

    """
    if not isinstance(given, list | tuple) or not given:
        raise InputError(f"ensemble got members={given!r}", f"allowed: a list of oracles; {_EXAMPLE}")
    members = [_member(number, item) for number, item in enumerate(given, start=1)]
    weighted = [member for member in members if member.weight is not None]
    if weighted and len(weighted) < len(members):
        without = next(member.kind for member in members if member.weight is None)
        raise InputError(f"ensemble has weights for some members and none for {without!r}", "weigh all, or none")
    return members


def _member(number: int, item: object) -> Member:
    content: dict[str, Any] = {"kind": item} if isinstance(item, str) else dict(item) if isinstance(item, dict) else {}
    kind = content.get("kind")
    if not isinstance(kind, str):
        raise InputError(f"member {number} of the ensemble is {item!r}", f"allowed: a name, or a mapping; {_EXAMPLE}")
    model, weight = content.get("model"), content.get("weight")
    if model is not None and not isinstance(model, str | Path):
        raise InputError(f"member {kind!r} got model={model!r}", f"allowed: a folder, or {SHIPPED_MODEL}")
    number_given = isinstance(weight, int | float) and not isinstance(weight, bool)
    if weight is not None and not (number_given and 0 < weight < float("inf")):
        raise InputError(f"member {kind!r} got weight={weight!r}", "allowed: a number above 0")
    oracle_class(kind)
    options = {key: value for key, value in content.items() if key not in _RESERVED}
    return Member(kind, None if model is None else str(model), None if weight is None else float(weight), options)


def agreement(members: Sequence[Member]) -> tuple[str, str]:
    """Return the property and the level of theory that all members predict.

    Raises:
        InputError: A member answers from outside, or predicts something else than the others.

    """
    cards = [member.ready.card for member in members]
    for member, card in zip(members, cards, strict=True):
        if card.answers != "predict":
            raise InputError(f"member {member.kind!r} answers from outside", "an ensemble needs answers at once")
    kinds = Counter(_meaning(card) for card in cards)
    common = max(kinds, key=lambda meaning: kinds[meaning])  # of equals, the first
    for number, (member, card) in enumerate(zip(members, cards, strict=True), start=1):
        if _meaning(card) != common:
            raise InputError(
                f"member {number} of the ensemble, {member.kind!r}, predicts {_words(_meaning(card))}, "
                f"the others {_words(common)}",
                "give it options (property, level) or a model that agree, or leave it out",
            )
    return common[0], common[2]


def _meaning(card: OracleCard) -> tuple[str, str, str]:
    return card.property, card.unit, card.level


def _words(meaning: tuple[str, str, str]) -> str:
    return f"{meaning[0]} in {meaning[1]} at level {meaning[2]}"


def _content(path: Path) -> str:
    """Return the SHA-256 of a file; of a JSON file, that of what it says, whatever the order of its keys."""
    content = path.read_bytes()
    if path.suffix == ".json":
        with suppress(ValueError):  # a damaged one is no longer what it was
            content = json.dumps(json.loads(content), sort_keys=True).encode()
    return hashlib.sha256(content).hexdigest()


def _copy(source: Path, target: Path) -> None:
    if target.exists() and target.samefile(source):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copyfile(source, target)
