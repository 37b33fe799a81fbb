"""How near two formulas are of kin: whether the one's crystal is likely to serve the other, learnt from known crystals.

Each element of a formula becomes a point that depends on the element, its share and the other elements; two formulas
are as near as the points of the elements that change places. The points are learnt so that the near relatives of a
formula vote for its structure type (neighbourhood components analysis: Goldberger et al., Adv. Neural Inf. Process.
Syst. 17, 513, 2004), the say of each being ``(1 + d^2 / t)^-t exp(-c u)`` with the distance d, the `unlikeness` u of
the elements, which is not learnt, and a learnt t and c. The card beside the weights says on what they were trained.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np

from aldesign.errors import CheckpointError
from aldesign.structures.hosts import unlikeness

FORMAT = 2
_FILE = "kinship"
_COST_CLIP = 20.0
_HULL_CLIP, _HULL_UNKNOWN, _HULL_SCALE = 0.15, 0.03, 20.0  # eV/atom, eV/atom, per eV/atom


def _silu(x: np.ndarray) -> np.ndarray:
    return np.asarray(x / (1.0 + np.exp(-np.clip(x, -60.0, 60.0))))


@dataclass(frozen=True, eq=False)
class Kinship:
    """The learnt distances.

    Attributes:
        members: Weights of each network of the ensemble, by name.
        card: What the file beside them says.

    """

    members: tuple[dict[str, np.ndarray], ...]
    card: dict[str, Any]

    def points(self, numbers: np.ndarray, fractions: np.ndarray) -> list[np.ndarray]:
        """Return the points of the elements of n formulas by each network, float32 (n, k, d).

        Args:
            numbers: Atomic numbers, int (n, k).
            fractions: Atomic fractions, (k,) or (n, k).

        """
        fractions = np.broadcast_to(fractions, numbers.shape).astype(np.float32)
        return [_points(weights, numbers, fractions) for weights in self.members]

    def scores(
        self, guest: np.ndarray, hosts: np.ndarray, fractions: np.ndarray, facts: np.ndarray
    ) -> tuple[np.ndarray, float]:
        """Return the logarithm of the say of each of n hosts in the structure of a guest, and of none of them.

        Args:
            guest: Atomic numbers of the formula, int (k,).
            hosts: Atomic numbers of the elements of known crystals that would make room for those, int (n, k).
            fractions: Atomic fraction of each, (k,).
            facts: From `facts_of`, (n, 4).

        """
        mine, theirs = self.points(guest[None], fractions), self.points(hosts, fractions)
        cost = np.minimum(unlikeness(guest, hosts, fractions), _COST_CLIP)
        total, nothing = np.zeros(len(hosts)), 0.0
        for weights, a, b in zip(self.members, mine, theirs, strict=True):
            hidden = _silu(facts @ weights["bias.0"] + weights["bias.1"])
            bias = hidden @ weights["bias.2"] + weights["bias.3"]
            tail = float(weights["tail"][0])
            total += bias[:, 0] - tail * np.log1p(((a - b) ** 2).sum(axis=(1, 2)) / tail)
            total -= float(weights["cost"][0]) * cost
            nothing += float(weights["nothing"][0])
        return total / len(self.members), nothing / len(self.members)


def facts_of(hull_ev_per_atom: np.ndarray, n_sites: np.ndarray, units: int) -> np.ndarray:
    """Return what is known of n crystals beside their formula, float32 (n, 4).

    Args:
        hull_ev_per_atom: Energy above hull, NaN where unknown, (n,).
        n_sites: Sites of the cell, (n,).
        units: Atoms of the reduced formula.

    """
    unknown = np.isnan(hull_ev_per_atom)
    energy = np.clip(np.where(unknown, _HULL_UNKNOWN, hull_ev_per_atom), 0.0, _HULL_CLIP) * _HULL_SCALE
    return np.stack([energy, unknown, np.log(n_sites / units), np.log(n_sites) / 2], axis=1).astype(np.float32)


def _points(weights: dict[str, np.ndarray], numbers: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    x = weights["elements"][numbers]
    shape = (*numbers.shape, 1)
    by_share = np.broadcast_to((x * fractions[..., None]).sum(axis=-2, keepdims=True), x.shape)
    plain = np.broadcast_to(x.mean(axis=-2, keepdims=True), x.shape)
    count = np.full(shape, numbers.shape[-1] / 4, dtype=np.float32)
    pull = weights["electronegativity"][numbers]
    below = (pull - pull.max(axis=-1, keepdims=True))[..., None]
    y = np.concatenate([x, by_share, plain, fractions[..., None], count, below], axis=-1)
    for layer in range(0, 4, 2):
        y = _silu(y @ weights[f"net.{layer}"] + weights[f"net.{layer + 1}"])
    return np.asarray(y @ weights["net.4"] + weights["net.5"])


@cache
def kinship() -> Kinship:
    """Return the distances that come with the package.

    Raises:
        CheckpointError: A file is missing or damaged.

    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    folder = resources.files("aldesign.structures")
    try:
        card = json.loads(folder.joinpath(f"{_FILE}.json").read_text(encoding="utf-8"))
        stored = folder.joinpath(f"{_FILE}.safetensors").read_bytes()
        tensors = load(stored)
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"the weights of {__name__} cannot be read: {error}", "install the package again"
        ) from error
    if card.get("format") != FORMAT or hashlib.sha256(stored).hexdigest() != card.get("sha256"):
        raise CheckpointError(f"the weights of {__name__} are not those of their card", "install the package again")
    members: dict[str, dict[str, np.ndarray]] = {}
    for name, tensor in tensors.items():
        member, _, rest = name.partition("/")
        members.setdefault(member, {})[rest] = tensor
    return Kinship(tuple(members[name] for name in sorted(members)), card)
