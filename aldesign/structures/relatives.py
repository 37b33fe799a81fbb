"""Let the known crystals of kin to a formula vote for its structure type."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from aldesign.chemistry.elements import SYMBOLS
from aldesign.errors import StructureError
from aldesign.records import Crystal
from aldesign.structures.fingerprint import GRID, Fingerprint, fingerprint, likeness, primitive_sites
from aldesign.structures.hosts import Amounts, Hosts, bucket_of, find_hosts, memory_of
from aldesign.structures.kinship import facts_of, kinship
from aldesign.structures.templates import TemplateLibrary

VOTERS = 72  # crystals whose structures are compared, those with the greatest say
SAME = 0.5  # likeness from which two crystals are called of one type


@dataclass(frozen=True, eq=False)
class Relative:
    """A known crystal whose structure a formula may have.

    Attributes:
        template: The crystal.
        template_formula: Its canonical formula.
        mapping: Element of the template to element of the formula.
        emd: Distance of the formulas on the modified Pettifor scale.
        likelihood: Share of the votes for its structure type, 0 to 1; 1 for a crystal of the formula itself.
        support: How many formulas among the voters have its structure type, its own included.
        kind: Number of its structure type among the relatives.
        own: Whether it is a crystal of the formula itself.

    """

    template: Crystal
    template_formula: str
    mapping: dict[str, str]
    emd: float
    likelihood: float
    support: int
    kind: int
    own: bool


def relatives(
    formula: str,
    library: TemplateLibrary,
    amounts: Amounts,
    max_emd: float = math.inf,
    exclude: Collection[str] = (),
) -> list[Relative]:
    """Return the crystals of kin to a formula: its own, if there are any, then the likeliest type first.

    Each near crystal (see `find_hosts`) has a say by its `kinship`; a structure is as likely as the sum of the says of
    all that have it (`likeness`). What is left of the sum of one says that none of them has the right structure.

    Args:
        formula: Any formula of these amounts.
        library: Where crystals come from.
        amounts: From `amounts_of`.
        max_emd: Largest distance of the two formulas on the modified Pettifor scale.
        exclude: Canonical formulas whose crystals are left out.

    Raises:
        CheckpointError: The learnt weights cannot be read.

    """
    bucket = bucket_of(library, amounts)
    if bucket is None:
        return []
    hosts = find_hosts(formula, library, bucket, max_emd, exclude)
    if not len(hosts):
        return []
    say = _says(library, hosts, amounts)
    voters = np.concatenate([np.arange(hosts.own), np.argsort(-say[hosts.own :], kind="stable") + hosts.own])[:VOTERS]
    hosts, say = hosts.take(voters), say[voters]
    prints, sizes = _fingerprints(library, hosts)
    alike = likeness(prints, sizes)
    votes = np.minimum(alike @ say, 1.0)
    votes[: hosts.own] = 1.0
    order = np.concatenate([np.arange(hosts.own), np.argsort(-votes[hosts.own :], kind="stable") + hosts.own])
    kinds = _kinds(alike, order)
    first = {kind: place for place, kind in reversed(list(enumerate(kinds[i] for i in order.tolist())))}
    # of one type the nearest of kin comes first: its cell says most of the new one
    order = np.array(
        sorted(order.tolist(), key=lambda i: (first[kinds[i]], i >= hosts.own, -say[i] * alike[i, kinds[i]]))
    )
    return [
        Relative(
            library.crystals[hosts.positions[i]],
            bucket.formulas[hosts.rows[i]],
            {SYMBOLS[old]: SYMBOLS[new] for old, new in zip(hosts.numbers[i], hosts.guest, strict=True)},
            float(hosts.emd[i]),
            float(votes[kinds[i]]),
            len({int(hosts.rows[i]), *hosts.rows[alike[kinds[i]] > SAME].tolist()}),
            kinds[i],
            i < hosts.own,
        )
        for i in order.tolist()
    ]


def _says(library: TemplateLibrary, hosts: Hosts, amounts: Amounts) -> np.ndarray:
    """Return the share of each host in the votes, (h,); a crystal of the formula itself needs none."""
    crystals = [library.crystals[i] for i in hosts.positions]
    # where a source says nothing of stability at all, its crystals are taken for known, stable ones
    unknown = math.nan if library.stability else 0.0
    hull = np.array([library.stability.get(crystal.id, unknown) for crystal in crystals])
    sizes = memory_of(library).sizes
    for position, crystal in zip(hosts.positions.tolist(), crystals, strict=True):
        if position not in sizes:
            sizes[position] = primitive_sites(crystal)
    facts = facts_of(hull, np.array([sizes[i] for i in hosts.positions.tolist()]), sum(amounts))
    score, nothing = kinship().scores(hosts.guest, hosts.numbers, np.array(amounts) / sum(amounts), facts)
    score[: hosts.own] = -np.inf
    top = max(float(score.max()), nothing)
    say = np.exp(score - top)
    return np.asarray(say / (say.sum() + math.exp(nothing - top)))


def _fingerprints(library: TemplateLibrary, hosts: Hosts) -> tuple[np.ndarray, np.ndarray]:
    """Return fingerprints (h, b) and numbers of sites (h,); a crystal that has none is like itself alone."""
    rows = np.zeros((len(hosts), len(GRID) * len(hosts.guest) ** 2), dtype=np.float32)
    sizes = np.zeros(len(hosts), dtype=np.int64)
    for place, (position, numbers) in enumerate(zip(hosts.positions.tolist(), hosts.numbers.tolist(), strict=True)):
        found = _fingerprint(library, position)
        if found is None:
            rows[place, place % rows.shape[1]], sizes[place] = 1.0, -1 - place
        else:
            rows[place], sizes[place] = found.ordered(tuple(SYMBOLS[z] for z in numbers)), found.n_sites
    return rows, sizes


def _fingerprint(library: TemplateLibrary, position: int) -> Fingerprint | None:
    known = memory_of(library).fingerprints
    if position not in known:
        try:
            known[position] = fingerprint(library.crystals[position])
        except StructureError:
            known[position] = None
    return known[position]


def _kinds(alike: np.ndarray, order: np.ndarray) -> list[int]:
    """Return the number of the type of each crystal: the first in order founds one with all that are like it."""
    kinds = np.full(len(alike), -1)
    for i in order.tolist():
        if kinds[i] < 0:
            kinds[(alike[i] > SAME) & (kinds < 0)] = i
            kinds[i] = i
    return [int(kind) for kind in kinds]
