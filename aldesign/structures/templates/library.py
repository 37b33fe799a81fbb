"""Crystals to substitute into, indexed by their amounts and their distance from any formula."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from aldesign.records import BadRow, Crystal
from aldesign.structures.templates.index import Preference, TemplateIndex, build_index, compositions_of
from aldesign.structures.templates.search import Match, Search
from aldesign.structures.templates.sources import read_aflow, read_builtin, read_templates

MAX_SITES = 60
SHIPPED = ("aflow", "builtin")
"""Sources of templates that are no paths."""
_CHUNK = 8192  # crystals whose sites are counted at once


class TemplateLibrary:
    """Crystals to substitute into, indexed by the multiset of their reduced amounts.

    Args:
        crystals: The templates; those with more than `max_sites` sites are left out.
        max_sites: Largest cell to keep.
        stability: Energy above hull in eV/atom by id; among polymorphs of a formula the lowest comes first,
            then those without a value, then the smaller cell, then the id.
        origin: Where they came from, for people.
        bad: Rows of the source that hold no crystal.
        notes: What else people should know of the source; `notes` adds what was left out and refused.

    """

    def __init__(
        self,
        crystals: Sequence[Crystal],
        *,
        max_sites: int = MAX_SITES,
        stability: Mapping[str, float] | None = None,
        origin: str = "",
        bad: Sequence[BadRow] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self.crystals: tuple[Crystal, ...] = tuple(c for c in crystals if len(c) <= max_sites)
        self.left_out = len(crystals) - len(self.crystals)
        self.origin = origin
        self.bad = tuple(bad)
        self.max_sites = max_sites
        self._notes = tuple(notes)
        self._stability = dict(stability or {})

    def __len__(self) -> int:
        return len(self.crystals)

    @classmethod
    def from_aflow(cls, *, max_sites: int = MAX_SITES) -> TemplateLibrary:
        """Return the 288 prototypes of the AFLOW library that ship with pymatgen.

        Ids are ``aflow/<prototype label>``, with the Strukturbericht or mineral name where a label has
        several entries. Mehl et al., Comput. Mater. Sci. 136, S1 (2017).
        """
        return cls(read_aflow(), max_sites=max_sites, origin="AFLOW prototypes of pymatgen")

    @classmethod
    def from_builtin(cls, *, max_sites: int = MAX_SITES) -> TemplateLibrary:
        """Return the built-in computed crystals, relaxed by CHGNet, and the AFLOW prototypes of other formulas.

        Ids are ``formula/family`` and as in `from_aflow`. Polymorphs come by their distance from the hull of the
        computed crystals.
        """
        read = read_builtin()
        origin = "the built-in computed crystals and AFLOW prototypes of pymatgen"
        return cls(read.crystals, max_sites=max_sites, stability=read.stability, origin=origin)

    @classmethod
    def of(cls, source: str | Path, *, max_sites: int = MAX_SITES) -> TemplateLibrary:
        """Return ``aflow``, ``builtin``, or what lies at a path; see `from_aflow`, `from_builtin`, `from_path`.

        Raises:
            InputError: Nothing is there, or nothing in it is a crystal.

        """
        if source in SHIPPED:
            return (cls.from_aflow if source == "aflow" else cls.from_builtin)(max_sites=max_sites)
        return cls.from_path(source, max_sites=max_sites)

    @classmethod
    def from_path(cls, path: Path | str, *, max_sites: int = MAX_SITES) -> TemplateLibrary:
        """Return the crystals of a user's own source; rows that hold none are listed in `bad`.

        Structures fetched from the Materials Project by ``aldesign data mp`` are read this way too. Where several
        crystals share one id, the further ones are called ``id-2`` and so on, and `notes` says so.

        Args:
            path: A ``.jsonl[.gz]`` of ``{id, lattice, species, frac}``, a CIF, a folder of CIFs, or a
                folder with ``structures.jsonl[.gz]``; a ``labels.csv[.gz]`` with columns ``id`` and
                ``e_above_hull`` (eV/atom) beside the latter says which polymorph is preferred.
            max_sites: Largest cell to keep.

        Raises:
            InputError: Nothing is there, or nothing in it is a crystal.

        """
        read = read_templates(Path(path))
        return cls(
            read.crystals,
            max_sites=max_sites,
            stability=read.stability,
            origin=str(path),
            bad=read.bad,
            notes=read.notes,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know: what was left out for its size, which rows were refused, which ids repeat."""
        told = []
        if self.left_out:
            told.append(f"left out for having more than {self.max_sites} sites: {self.left_out}")
        if self.bad:
            first = self.bad[0]
            where = f"line {first.line}" if first.line else first.text
            told.append(f"rows that hold no template: {len(self.bad)}; the first, {where}: {first.reason}")
        return (*told, *self._notes)

    @cached_property
    def formulas(self) -> tuple[str, ...]:
        """The canonical reduced formula of each crystal, in order."""
        parts = (self.crystals[i : i + _CHUNK] for i in range(0, len(self.crystals), _CHUNK))
        return tuple(formula for part in parts for formula in compositions_of(part).formulas())

    @property
    def index(self) -> TemplateIndex:
        """The distinct formulas with their crystals, bucketed by amounts."""
        return self._search.index

    @property
    def stability(self) -> Mapping[str, float]:
        """Energy above hull in eV/atom by id, where the source tells it."""
        return self._stability

    @cached_property
    def _search(self) -> Search:
        preferences = [self._preference(crystal) for crystal in self.crystals]
        return Search(build_index(self.formulas, preferences))

    def _preference(self, crystal: Crystal) -> Preference:
        return self._stability.get(crystal.id, math.inf), len(crystal), crystal.id

    @cached_property
    def digest(self) -> str:
        """First 16 hex digits of the sha256 over every crystal and the order of preference."""
        total = hashlib.sha256()
        for crystal in self.crystals:
            rank = self._stability.get(crystal.id)
            total.update(f"{crystal.id}|{crystal.lattice}|{','.join(crystal.species)}|{rank}".encode())
            total.update(np.ascontiguousarray(crystal.frac).tobytes())
        return total.hexdigest()[:16]

    def nearest(self, formula: str, k: int = 5, max_emd: float = math.inf, *, polymorphs: int = 2) -> list[Match]:
        """Return the templates nearest to a formula: `nearest_many` for one."""
        return self.nearest_many([formula], k, max_emd, polymorphs=polymorphs)[0]

    def nearest_many(
        self,
        formulas: Sequence[str],
        k: int = 5,
        max_emd: float = math.inf,
        *,
        polymorphs: int = 2,
        any_amounts: bool = False,
    ) -> list[list[Match]]:
        """Return the templates nearest to each of n formulas among those with the same multiset of amounts.

        Exact: no template is nearer than those named.

        Args:
            formulas: Any formulas.
            k: How many templates at most.
            max_emd: Largest distance.
            polymorphs: How many templates of one formula at most.
            any_amounts: Search all templates, whatever their amounts: the nearest known formula rather than one to
                substitute into.

        Returns:
            For each formula its matches by distance, then order of preference (see the class), then formula; empty
            where no template has its amounts.

        Raises:
            FormulaError: A text is no formula.

        """
        search = self._search
        found: list[list[Match]] = []
        for near in search.nearest(formulas, k, max_emd, any_amounts=any_amounts):
            matches = [
                Match(self.crystals[position], search.index.formulas[row], emd)
                for row, emd in near
                for position in search.index.members[row][:polymorphs]
            ]
            found.append(matches[:k])
        return found
