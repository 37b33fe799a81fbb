"""Train one network of ``aldesign.structures.kinship`` and write its tensors, to be judged by bench_substitution.py.

Run: ``python tests/benchmarks/train_kinship.py --out FILE.safetensors [--rows 30000] [--epochs 9] [--seed 0]`` with the
reference tables in $ALDESIGN_DATA. Targets are stable crystals; every entry of a formula of any part of that benchmark
is left out, as target and as template: a pair of formulas is learnt from either side, so that a formula that is judged
must be neither. Of the two shipped members one has no `cost`, 12 known traits, and neither forgetting nor noise.
"""

from __future__ import annotations

import argparse
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from bench_substitution import PARTS, SITES, STABLE, chosen_rows
from safetensors.numpy import save_file
from torch import nn

from aldesign.chemistry.elements import ELECTRONEGATIVITY, PETTIFOR, SYMBOLS
from aldesign.errors import StructureError
from aldesign.structures.fingerprint import fingerprint, likeness
from aldesign.structures.hosts import bucket_of, find_hosts, unlikeness
from aldesign.structures.kinship import facts_of
from aldesign.structures.radii import COVALENT
from aldesign.structures.templates import TemplateLibrary, amounts_of

POOL, DRAWN, BATCH, RATE, DECAY, FLOOR = 72, 44, 128, 4e-3, 0.05, 0.01
FORGOTTEN, NOISE = 0.1, 0.05  # share of elements whose learnt traits are hidden in a step; blur of the known ones


@dataclass
class Pool:
    """What may serve one crystal: elements (h, k), facts (h, 4), unlikeness and likeness to the truth (h,)."""

    guest: np.ndarray
    numbers: np.ndarray
    shares: np.ndarray
    facts: np.ndarray
    cost: np.ndarray
    right: np.ndarray


def traits() -> np.ndarray:
    """Return what is known of each element, float32 (119, 20), electronegativity second."""
    from pymatgen.core import Element

    table = np.zeros((119, 20), dtype=np.float32)
    for z in range(1, 104):
        one = Element.from_Z(z)
        pull = float(ELECTRONEGATIVITY[z])
        charges = one.common_oxidation_states or (0,)
        shells = one.full_electronic_structure
        outer = {"s": 0, "p": 0, "d": 0, "f": 0}
        for n, kind, count in shells:
            inner_d = kind == "d" and n == one.row - 1 and one.group <= 12
            if n == max(shell[0] for shell in shells) or inner_d or (kind == "f" and one.group == 3):
                outer[kind] = count
        table[z] = [
            PETTIFOR[z] / 50 - 1,
            (1.5 if math.isnan(pull) else pull) - 1.9,
            COVALENT.get(SYMBOLS[z], 1.5) - 1.5,
            (one.group - 9) / 6,
            (one.row - 4.5) / 2,
            (one.mendeleev_no or 50) / 50 - 1,
            one.is_rare_earth,
            one.is_transition_metal,
            one.is_alkali,
            one.is_alkaline,
            one.is_halogen,
            one.is_chalcogen,
            max(charges) / 3,
            min(charges) / 3,
            outer["s"] / 2,
            outer["p"] / 3,
            outer["d"] / 5,
            outer["f"] / 7,
            ((float(one.average_ionic_radius) or 0.8) - 0.8) / 0.4,
            (float(one.atomic_radius or 1.5) - 1.5) / 0.4,
        ]
    return np.nan_to_num(table)


class Network(nn.Module):
    """The torch twin of `Kinship` with one member."""

    def __init__(self, width: int = 24, hidden: int = 64) -> None:
        super().__init__()
        known = torch.tensor(traits())
        self.register_buffer("known", known)
        self.learnt = nn.Embedding(len(known), width)
        nn.init.normal_(self.learnt.weight, std=0.3)
        size = 3 * (width + known.shape[1]) + 3
        self.first, self.second, self.last = (
            nn.Linear(size, hidden),
            nn.Linear(hidden, hidden),
            nn.Linear(hidden, width),
        )
        self.bias = nn.Sequential(nn.Linear(4, 16), nn.SiLU(), nn.Linear(16, 1))
        self.nothing, self.tail = nn.Parameter(torch.tensor(-3.0)), nn.Parameter(torch.tensor(2.3))
        self.cost = nn.Parameter(torch.tensor(1.0))
        self.drop = nn.Dropout(0.05)

    def points(self, numbers: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
        """Return the points (..., k, d) of atomic numbers (..., k) with shares (..., k)."""
        learnt, known = self.learnt.weight, self.known
        if self.training:
            learnt = learnt * (torch.rand(len(learnt), 1) > FORGOTTEN) / (1 - FORGOTTEN)
            known = known + NOISE * torch.randn_like(known)
        x = torch.cat([learnt, known], dim=-1)[numbers]
        by_share = (x * shares[..., None]).sum(dim=-2, keepdim=True).expand_as(x)
        plain = x.mean(dim=-2, keepdim=True).expand_as(x)
        pull = self.known[numbers][..., 1]
        below = pull - pull.amax(dim=-1, keepdim=True)
        count = torch.full_like(shares, numbers.shape[-1] / 4)
        y = torch.cat([x, by_share, plain, shares[..., None], count[..., None], below[..., None]], dim=-1)
        y = nn.functional.silu(self.second(nn.functional.silu(self.first(y))))
        return self.last(self.drop(y))

    def forward(
        self,
        guest: torch.Tensor,
        numbers: torch.Tensor,
        shares: torch.Tensor,
        facts: torch.Tensor,
        cost: torch.Tensor,
    ) -> torch.Tensor:
        """Return the logarithm of the say of each of h hosts of n guests, (n, h)."""
        mine = self.points(guest, shares)[:, None]
        theirs = self.points(numbers, shares[:, None].expand(numbers.shape))
        tail = self.tail.exp()
        apart = ((mine - theirs) ** 2).sum(dim=(-1, -2))
        return self.bias(facts)[..., 0] - self.cost * cost - tail * torch.log1p(apart / tail)

    def tensors(self) -> dict[str, np.ndarray]:
        """Return the weights as `Kinship` names them."""
        layers = {
            "net.0": self.first,
            "net.2": self.second,
            "net.4": self.last,
            "bias.0": self.bias[0],
            "bias.2": self.bias[2],
        }
        found = {
            "elements": torch.cat([self.learnt.weight, self.known], dim=1),
            "electronegativity": self.known[:, 1],
            "nothing": self.nothing.reshape(1),
            "tail": self.tail.exp().reshape(1),
            "cost": self.cost.reshape(1),
        }
        for name, layer in layers.items():
            room, place = name.split(".")
            found[name], found[f"{room}.{int(place) + 1}"] = layer.weight.T, layer.bias
        return {f"0/{name}": np.ascontiguousarray(value.detach().numpy()) for name, value in found.items()}


def pools(folder: Path, rows: int, seed: int) -> list[Pool]:
    """Return what may serve each of so many stable crystals."""
    labels = pd.read_csv(folder / "labels.csv.gz", keep_default_na=False, na_values=[""])
    limits = {"development": len(labels), "reported": 1000, "fresh": 1000}
    judged = {name for part in PARTS for name in chosen_rows(folder, part, limits[part])}
    kept = set(labels[~labels.formula.isin(set(labels[labels.id.isin(judged)].formula))].id)
    stable = dict(zip(labels.id, labels.e_above_hull, strict=True))
    whole = TemplateLibrary.from_path(folder)
    library = TemplateLibrary(
        [crystal for crystal in whole.crystals if crystal.id in kept],
        stability={name: value for name, value in stable.items() if value == value},
    )
    small = [i for i, c in enumerate(library.crystals) if stable[c.id] < STABLE and len(c) <= SITES]
    found = []
    prints = {}

    def ordered(position: int, numbers: np.ndarray) -> np.ndarray:
        if position not in prints:
            prints[position] = fingerprint(library.crystals[position])
        return prints[position].ordered(tuple(SYMBOLS[z] for z in numbers))

    for i in np.random.default_rng(seed).permutation(small)[:rows].tolist():
        formula = library.formulas[i]
        amounts = amounts_of(formula)
        bucket = bucket_of(library, amounts)
        hosts = find_hosts(formula, library, bucket, math.inf, (formula,))
        hosts = hosts.take(np.arange(min(len(hosts), POOL)))
        if len(hosts) == 0:
            continue
        positions = hosts.positions.tolist()
        try:
            shells = [ordered(i, hosts.guest), *map(ordered, positions, hosts.numbers)]
        except StructureError:
            continue
        sizes = np.array([len(library.crystals[j]) for j in (i, *positions)])
        hull = np.array([stable[library.crystals[j].id] for j in positions])
        right = likeness(np.array(shells), sizes)[0, 1:]
        shares = np.array(amounts, dtype=np.float32) / sum(amounts)
        cost = np.minimum(unlikeness(hosts.guest, hosts.numbers, shares), 20.0).astype(np.float32)
        found.append(Pool(hosts.guest, hosts.numbers, shares, facts_of(hull, sizes[1:], sum(amounts)), cost, right))
    return found


def padded(arrays: list[np.ndarray], size: int) -> torch.Tensor:
    """Return arrays (h, ...) as one of (n, size, ...), the first row repeated where there are fewer."""
    return torch.tensor(np.stack([np.concatenate([a, np.repeat(a[:1], size - len(a), axis=0)]) for a in arrays]))


def loss_of(network: Network, batch: list[Pool]) -> torch.Tensor:
    """Return the mean of -log of the votes for the truth."""
    size = max(len(pool.right) for pool in batch)
    absent = torch.arange(size) >= torch.tensor([len(pool.right) for pool in batch])[:, None]
    guest = torch.tensor(np.stack([pool.guest for pool in batch]))
    shares = torch.tensor(np.stack([pool.shares for pool in batch]))
    right = padded([pool.right.astype(np.float32) for pool in batch], size).masked_fill(absent, 0.0)
    numbers, facts, cost = (padded([getattr(p, n) for p in batch], size) for n in ("numbers", "facts", "cost"))
    drawn = torch.randperm(size)[:DRAWN]
    absent, right = absent[:, drawn], right[:, drawn]
    say = network(guest, numbers[:, drawn], shares, facts[:, drawn], cost[:, drawn])
    say = torch.cat([say.masked_fill(absent, -1e9), network.nothing.expand(len(batch), 1)], dim=1)
    right = torch.cat([right, 1 - right.amax(dim=1, keepdim=True)], dim=1)
    return -torch.log((say.softmax(dim=1) * right).sum(dim=1) + FLOOR).mean()


def main() -> None:
    """Train and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(os.environ.get("ALDESIGN_DATA", "../shared/data")) / "mp"
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    known = pools(folder, options.rows, options.seed)
    network = Network(hidden=options.hidden)
    rng = np.random.default_rng(options.seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    steps = options.epochs * (len(known) // BATCH + 10)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    for epoch in range(options.epochs):
        groups: dict[int, list[Pool]] = {}
        for i in rng.permutation(len(known)).tolist():
            groups.setdefault(len(known[i].guest), []).append(known[i])
        batches = [group[i : i + BATCH] for group in groups.values() for i in range(0, len(group), BATCH)]
        total = 0.0
        for i in rng.permutation(len(batches)).tolist():
            loss = loss_of(network, batches[i])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += float(loss.detach()) * len(batches[i])
        print(f"epoch {epoch + 1}: {total / len(known):.4f}", flush=True)
    save_file(network.tensors(), options.out)


if __name__ == "__main__":
    main()
