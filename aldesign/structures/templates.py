"""Known crystals as templates, found by amounts and by distance on the modified Pettifor scale."""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib.util
import json
import math
import zlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from aldesign.chemistry.distance import cumulative
from aldesign.chemistry.formula import canonical_many, compositions
from aldesign.errors import InputError
from aldesign.records import BadRow, Crystal
from aldesign.structures.cif import from_record, read_cifs, read_jsonl

MAX_SITES = 60
_UNKNOWN = ("", "nan", "none", "null", "na", "n/a")  # how tables spell a value left out
Amounts = tuple[int, ...]


@dataclass(frozen=True)
class Match:
    """A template near a formula.

    Attributes:
        template: The known crystal.
        template_formula: Its canonical reduced formula.
        emd: Earth mover's distance of the two formulas on the modified Pettifor scale.

    """

    template: Crystal
    template_formula: str
    emd: float


@dataclass(frozen=True)
class _Bucket:
    """The templates whose formulas share one multiset of amounts, by distinct formula."""

    formulas: tuple[str, ...]
    members: tuple[tuple[int, ...], ...]  # positions in `crystals`, the preferred polymorph first
    cumulative: np.ndarray  # (n formulas, 103)


def amounts_of(formula: str) -> Amounts:
    """Return the sorted reduced integer amounts of a formula, e.g. ``(1, 1, 5)`` for SrYF5.

    Returns an empty tuple where the amounts are not integers.

    Raises:
        FormulaError: The text is no formula.

    """
    amounts = compositions([formula]).amounts[0]
    present = amounts[amounts > 0]
    whole = np.rint(present).astype(int)
    if not np.allclose(present, whole, atol=1e-6) or (whole < 1).any():
        return ()
    divisor = math.gcd(*map(int, whole))
    return tuple(sorted(int(n) // divisor for n in whole))


class TemplateLibrary:
    """Crystals to substitute into, indexed by the multiset of their reduced amounts.

    Args:
        crystals: The templates; those with more than `max_sites` sites are left out.
        max_sites: Largest cell to keep.
        stability: Energy above hull in eV/atom by id; among polymorphs of a formula the lowest comes first,
            then those without a value, then the smaller cell, then the id.
        origin: Where they came from, for people.
        bad: Rows of the source that hold no crystal.

    """

    def __init__(
        self,
        crystals: Sequence[Crystal],
        *,
        max_sites: int = MAX_SITES,
        stability: Mapping[str, float] | None = None,
        origin: str = "",
        bad: Sequence[BadRow] = (),
    ) -> None:
        self.crystals: tuple[Crystal, ...] = tuple(c for c in crystals if len(c) <= max_sites)
        self.left_out = len(crystals) - len(self.crystals)
        self.origin = origin
        self.bad = tuple(bad)
        self._stability = dict(stability or {})
        self._buckets: dict[Amounts, _Bucket] = {}

    def __len__(self) -> int:
        return len(self.crystals)

    @classmethod
    def from_aflow(cls, *, max_sites: int = MAX_SITES) -> TemplateLibrary:
        """Return the 288 prototypes of the AFLOW library that ship with pymatgen.

        Ids are ``aflow/<prototype label>``, with the Strukturbericht or mineral name where a label has
        several entries. Mehl et al., Comput. Mater. Sci. 136, S1 (2017).
        """
        package = importlib.util.find_spec("pymatgen.analysis.prototypes")
        folder = Path(str(package.origin)).parent if package and package.origin else Path()
        path = folder / "aflow_prototypes.json.gz"
        if not path.is_file():
            raise InputError(f"pymatgen has no prototypes at {path}", "install pymatgen 2024.8 or later")
        with gzip.open(path, "rb") as file:
            entries = json.load(file)
        shared = Counter(entry["tags"]["aflow"] for entry in entries)
        seen: Counter[str] = Counter()
        crystals = []
        for entry in entries:
            name = _aflow_id(entry["tags"], shared)
            seen[name] += 1
            crystals.append(_aflow_crystal(entry["snl"], name if seen[name] == 1 else f"{name}-{seen[name]}"))
        return cls(crystals, max_sites=max_sites, origin="AFLOW prototypes of pymatgen")

    @classmethod
    def from_path(cls, path: Path | str, *, max_sites: int = MAX_SITES) -> TemplateLibrary:
        """Return the crystals of a user's own source; rows that hold none are listed in `bad`.

        Structures fetched from the Materials Project by ``aldesign data mp`` are read this way too.

        Args:
            path: A ``.jsonl[.gz]`` of ``{id, lattice, species, frac}``, a CIF, a folder of CIFs, or a
                folder with ``structures.jsonl[.gz]``; a ``labels.csv[.gz]`` with columns ``id`` and
                ``e_above_hull`` (eV/atom) beside the latter says which polymorph is preferred.
            max_sites: Largest cell to keep.

        Raises:
            InputError: Nothing is there, or nothing in it is a crystal.

        """
        path = Path(path)
        stability: dict[str, float] = {}
        if path.is_dir():
            for name in ("structures.jsonl.gz", "structures.jsonl"):
                if (path / name).is_file():
                    stability = _read_stability(path)
                    path = path / name
                    break
        crystals: list[Crystal] = []
        bad: list[BadRow] = []
        if path.is_dir() or path.suffix.lower() == ".cif":
            crystals, bad = read_cifs(path)
        else:
            for row in read_jsonl(path):
                if isinstance(row, BadRow):
                    bad.append(row)
                else:
                    crystals.append(row)
        if not crystals:
            first = f"first reason, line {bad[0].line}: {bad[0].reason}" if bad else "it is empty"
            raise InputError(f"no crystal could be read from {path}", first)
        return cls(crystals, max_sites=max_sites, stability=stability, origin=str(path), bad=bad)

    @cached_property
    def formulas(self) -> tuple[str, ...]:
        """The canonical reduced formula of each crystal, in order."""
        texts = ["".join(f"{s}{n}" for s, n in sorted(Counter(c.species).items())) for c in self.crystals]
        distinct = list(dict.fromkeys(texts))
        canonicals = dict(zip(distinct, canonical_many(distinct), strict=True))
        return tuple(str(canonicals[text]) for text in texts)

    @cached_property
    def _by_amounts(self) -> dict[Amounts, list[int]]:
        index: dict[Amounts, list[int]] = defaultdict(list)
        for position, crystal in enumerate(self.crystals):
            counts = Counter(crystal.species).values()
            divisor = math.gcd(*counts)
            index[tuple(sorted(n // divisor for n in counts))].append(position)
        return index

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of the sha256 over every crystal and the order of preference."""
        total = hashlib.sha256()
        for crystal in self.crystals:
            rank = self._stability.get(crystal.id)
            total.update(f"{crystal.id}|{crystal.lattice}|{','.join(crystal.species)}|{rank}".encode())
            total.update(np.ascontiguousarray(crystal.frac).tobytes())
        return total.hexdigest()[:16]

    def _bucket(self, amounts: Amounts) -> _Bucket | None:
        if amounts not in self._buckets:
            positions = self._by_amounts.get(amounts)
            if not positions:
                return None
            members: dict[str, list[int]] = defaultdict(list)
            for position in positions:
                members[self.formulas[position]].append(position)
            formulas = sorted(members)
            ordered = tuple(tuple(sorted(members[formula], key=self._preference)) for formula in formulas)
            table = cumulative(compositions(formulas))
            self._buckets[amounts] = _Bucket(tuple(formulas), ordered, table)
        return self._buckets[amounts]

    def _preference(self, position: int) -> tuple[float, int, str]:
        crystal = self.crystals[position]
        return self._stability.get(crystal.id, math.inf), len(crystal), crystal.id

    def nearest(self, formula: str, k: int = 5, max_emd: float = math.inf, *, polymorphs: int = 2) -> list[Match]:
        """Return the templates nearest to a formula among those with the same multiset of amounts.

        Args:
            formula: Any formula.
            k: How many at most.
            max_emd: Largest distance.
            polymorphs: How many templates of one formula at most.

        Returns:
            Matches by distance, then order of preference (see the class), then formula; empty where no template
            has these amounts.

        Raises:
            FormulaError: The text is no formula.

        """
        amounts = amounts_of(formula)
        bucket = self._bucket(amounts) if amounts else None
        if bucket is None:
            return []
        distance = np.abs(bucket.cumulative - cumulative(compositions([formula]))).sum(axis=1)
        # rounded so that equal distances tie whatever the order of summation was
        distance = np.round(distance, 9)
        order = np.argsort(distance, kind="stable")
        order = order[distance[order] <= max_emd]
        near = order[distance[order] <= distance[order[min(k, len(order)) - 1]]] if len(order) else order
        rows = sorted(near, key=lambda i: (distance[i], self._preference(bucket.members[i][0])))
        matches = [
            Match(self.crystals[position], bucket.formulas[row], float(distance[row]))
            for row in rows
            for position in bucket.members[row][:polymorphs]
        ]
        return matches[:k]


def _aflow_id(tags: Mapping[str, str], shared: Mapping[str, int]) -> str:
    label = tags["aflow"]
    if shared[label] == 1:
        return f"aflow/{label}"
    name = tags["strukturbericht"] if tags["strukturbericht"] != "None" else tags["mineral"] or "other"
    return f"aflow/{label}/{name.replace(' ', '-')}"


def _aflow_crystal(snl: Mapping[str, Any], name: str) -> Crystal:
    lattice, sites = snl["lattice"], snl["sites"]
    return from_record(
        {
            "id": name,
            "lattice": [lattice[key] for key in ("a", "b", "c", "alpha", "beta", "gamma")],
            "species": [site["species"][0]["element"] for site in sites],
            "frac": [site["abc"] for site in sites],
        }
    )


def _read_stability(folder: Path) -> dict[str, float]:
    """Return ``e_above_hull`` in eV/atom by id from ``labels.csv[.gz]`` in `folder`; empty without one.

    Raises:
        InputError: The file is damaged, or a value is neither a number nor left out.

    """
    path = next((folder / name for name in ("labels.csv.gz", "labels.csv") if (folder / name).is_file()), None)
    if path is None:
        return {}
    opener = gzip.open if path.suffix == ".gz" else open
    found: dict[str, float] = {}
    line = 1
    try:
        with opener(path, "rt", encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file, strict=True)
            if not {"id", "e_above_hull"} <= set(rows.fieldnames or ()):
                return {}
            for row in rows:
                line, text = rows.line_num, (row["e_above_hull"] or "").strip()
                if text.lower() not in _UNKNOWN:
                    found[row["id"]] = _finite(text, path, line)
    except (OSError, EOFError, zlib.error, csv.Error, UnicodeError) as error:
        raise InputError(f"{path} cannot be read after line {line}: {error}", "copy or download it again") from error
    return found


def _finite(text: str, path: Path, line: int) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"{path}, line {line}: e_above_hull is {text[:40]!r}", "a number in eV/atom, or empty where it is unknown"
        )
    return value
