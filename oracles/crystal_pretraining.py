"""How the shipped weights of the crystal-graph oracles are made, from crystals of the Materials Project.

The networks of an oracle's ensemble are trained one by one, in any order and at the same time if there are
processors, and put together at the end; those for gaps start from those for formation energies::

    python -m oracles.crystal_pretraining member crystal_graph_eform DATA WORK --number 0   # and 1, and 2
    python -m oracles.crystal_pretraining assemble crystal_graph_eform DATA WORK OUT
    python -m oracles.crystal_pretraining member crystal_graph DATA WORK --number 0         # and 1, and 2
    python -m oracles.crystal_pretraining assemble crystal_graph DATA WORK OUT

DATA holds ``mp/labels.csv.gz``, ``mp/structures.jsonl.gz`` and ``expt_gap/all.csv``; WORK keeps graphs, checkpoints
and finished networks, and an interrupted run goes on when started again.
"""

from __future__ import annotations

import argparse
import hashlib
import resource
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from aldesign.learning.checkpoint import load_card, load_weights, save_weights
from aldesign.learning.threads import device, pin_threads
from aldesign.learning.training import TrainingPlan
from aldesign.seeds import torch_seed
from oracles.common import Progress
from oracles.crystal_data import LICENCE, ORIGIN, PARTS, Labelled, read_labelled, stored_graphs
from oracles.crystal_domain import CrystalDomain
from oracles.crystal_graph import CrystalFormationOracle, CrystalGraphOracle, rounded
from oracles.crystal_heads import Scaling, answers
from oracles.crystal_learning import Examples, harvest, learn
from oracles.crystal_network import OUTPUTS, CrystalNetwork, NetworkSize
from oracles.metrics import error_metrics
from oracles.pretraining import SPLIT_SEED

ENERGY, GAP = "formation_energy_per_atom", "band_gap"
KINDS: dict[str, type[CrystalGraphOracle]] = {
    "crystal_graph_eform": CrystalFormationOracle,
    "crystal_graph": CrystalGraphOracle,
}
TARGETS = {"crystal_graph_eform": ENERGY, "crystal_graph": GAP}
CUTOFF, MAX_NEIGHBOURS = 6.0, 12
OUTPUTS_FILE = "outputs.safetensors"
SIZE_CLASSES = (1, 11, 31, 61, 101, 10_000)  # atoms in a cell; the test set is judged between each two
_PLAN = TrainingPlan(epochs=24, batch_size=64, learning_rate=2e-3, weight_decay=1e-2, patience=None, gradient_clip=5.0)
PLANS = {ENERGY: _PLAN, GAP: replace(_PLAN, epochs=14, learning_rate=1.5e-3)}


def train_member(
    name: str,
    data: Path,
    work: Path,
    number: int,
    *,
    plan: TrainingPlan | None = None,
    size: NetworkSize | None = None,
    processes: int = 2,
    progress: Progress | None = None,
) -> Path:
    """Train one network of an oracle's ensemble, and return the folder that holds it.

    Args:
        name: ``crystal_graph`` or ``crystal_graph_eform``; the former starts from the latter's network of the same
            number.
        data: Folder with ``mp/`` and ``expt_gap/``.
        work: Folder of graphs, checkpoints and networks.
        number: Of the network, from 0; its seed.
        plan: Length and rates; that of the shipped weights where None.
        size: Of the network, but for outputs, levels and cutoff; that of the shipped weights where None.
        processes: Workers that build neighbour lists.
        progress: Takes lines of text.

    Raises:
        CheckpointError: A network for gaps has none for formation energies to start from.

    """
    pin_threads(1)
    target = TARGETS[name]
    labelled = _labelled(data, work, target, processes)
    train, validation = labelled.parts["train"], labelled.parts["validation"]
    if progress:
        progress(f"{len(train)} examples to learn from, {len(validation)} to validate")
    where = device("auto")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed(number, 0, f"{name} weights"))
        network = CrystalNetwork(
            replace(size or NetworkSize(), outputs=OUTPUTS[target], levels=len(labelled.levels), cutoff=CUTOFF)
        )
    if target == GAP:
        network.take(load_member(work / "crystal_graph_eform" / str(number))[0])
    else:
        network.standardise(labelled.crystals.described(train.crystal))
    network.to(where)
    scaling = Scaling.of(train.label[train.level == 0], floored=target == GAP)
    folder = work / name / str(number)
    history = learn(
        network,
        labelled.crystals,
        train,
        validation[np.flatnonzero(validation.level == 0)],
        scaling,
        plan or PLANS[target],
        seed=number,
        device=where,
        checkpoint=folder / "checkpoint",
        progress=progress,
    )
    card = {
        "class": "CrystalNetwork",
        "size": asdict(network.size),
        "scaling": asdict(scaling),
        "plan": asdict(plan or PLANS[target]),
        "seed": number,
        "training_seconds": round(history.seconds, 1),
        "peak_memory_gib": _peak_memory_gib(),
    }
    save_weights(folder, {k: v.cpu() for k, v in network.state_dict().items()}, card)
    held_outputs(folder, labelled)
    return folder


def load_member(folder: Path) -> tuple[CrystalNetwork, dict[str, Any]]:
    """Return a network that `train_member` left, and what it noted."""
    tensors, card = load_weights(folder, expect_class="CrystalNetwork")
    network = CrystalNetwork(NetworkSize(**card["size"]))
    network.load_state_dict(tensors)
    return network.eval(), card


def held_outputs(folder: Path, labelled: Labelled) -> dict[str, np.ndarray]:
    """Return the outputs of a finished network for the validation and test examples, kept beside it.

    They are those of the network as it is shipped: of rounded weights, in double precision.
    """
    path = folder / OUTPUTS_FILE
    if not path.exists():
        network = rounded(load_member(folder)[0])
        cpu = torch.device("cpu")
        found = {part: harvest(network, labelled.crystals, labelled.parts[part], cpu, knot=None) for part in PARTS[1:]}
        save_file(found, path)
    kept: dict[str, np.ndarray] = load_file(path)
    return kept


def assemble(name: str, data: Path, work: Path, out: Path, *, progress: Progress | None = None) -> CrystalGraphOracle:
    """Put the trained networks of an oracle together, calibrate and judge them, save to `out`, and return the oracle.

    Args:
        name: ``crystal_graph`` or ``crystal_graph_eform``.
        data: As for `train_member`.
        work: As for `train_member`; all networks there are taken.
        out: Folder for weights and card.
        progress: Takes lines of text.

    Raises:
        CheckpointError: There is no network.

    """
    pin_threads(1)
    target = TARGETS[name]
    folders = sorted(path.parent for path in (work / name).glob("*/card.json"))
    if not folders:
        load_card(work / name / "0", "CrystalNetwork")
    members = [load_member(folder) for folder in folders]
    labelled = _labelled(data, work, target, processes=2)
    size, note = members[0][0].size, members[0][1]
    plan = PLANS[target] if "plan" not in note else TrainingPlan(**note["plan"])
    oracle = KINDS[name](
        target,
        levels=list(labelled.levels),
        members=len(members),
        max_neighbours=MAX_NEIGHBOURS,
        **{key: value for key, value in asdict(size).items() if key not in ("outputs", "levels")},
        **{key: getattr(plan, key) for key in ("epochs", "batch_size", "learning_rate", "weight_decay")},
    )
    train, validation, test = (labelled.parts[part] for part in PARTS)
    domain = CrystalDomain.fit(labelled.crystals.store, np.unique(train.crystal))
    oracle.assemble([network for network, _ in members], Scaling(**note["scaling"]), domain)
    metrics, sizes = {}, labelled.crystals.store.sizes()
    held = [held_outputs(folder, labelled) for folder in folders]
    oracle.calibrate([outputs["validation"] for outputs in held], validation)
    for part, examples in (("validation", validation), ("test", test)):
        outputs = [outputs[part] for outputs in held]
        metrics[part] = judge(oracle, outputs, examples, sizes[examples.crystal])
    rule = f"numpy default_rng({SPLIT_SEED}).permutation of the sorted formulas of the table, 80/10/10"
    oracle.describe(
        data={
            "rows": len(train) + len(validation) + len(test),
            "digest": _digest(labelled),
            "selection": "all crystals of the table, of all sizes; " + _selection(target),
        },
        split={
            **{part: len(labelled.parts[part]) for part in PARTS},
            "by": "formula",
            "rule": rule,
            "crystals": {part: len(np.unique(labelled.parts[part].crystal)) for part in PARTS},
        },
        metrics=metrics,
        training_seconds=round(sum(note["training_seconds"] for _, note in members), 1),
        peak_memory_gib=max(note["peak_memory_gib"] for _, note in members),
        origin=ORIGIN[target],
        licence=LICENCE[target],
    )
    oracle.save(out)
    if progress:
        progress(str(metrics["test"]))
    return oracle


def judge(
    oracle: CrystalGraphOracle, outputs: Sequence[np.ndarray], examples: Examples, sizes: np.ndarray
) -> dict[str, Any]:
    """Return the metrics of an oracle at its first level, by size of the cell, by network, and at the other levels.

    Args:
        oracle: Calibrated.
        outputs: Of its networks for the examples, as `CrystalGraphOracle.read` gives them.
        examples: Crystals, levels and labels.
        sizes: Atoms in the cell of each example.

    """
    found: dict[str, Any] = {}
    for k, level in enumerate(oracle.known_levels):
        rows = examples.level == k
        if not rows.any():
            continue
        label, mine, map_ = examples.label[rows], [output[rows] for output in outputs], oracle.calibrations[level]
        location, stated = answers(mine, oracle.scaling, oracle.lean)
        value, std = map_.answer(location), map_.std(location, stated)
        if k:
            found.setdefault("levels", {})[level] = error_metrics(label, value, std)
            continue
        found |= error_metrics(label, value, std)
        found["by_atoms_in_cell"] = {
            f"{low}-{high - 1}": error_metrics(label[inside], value[inside], std[inside])
            for low, high in pairwise(SIZE_CLASSES)
            if (inside := (sizes[rows] >= low) & (sizes[rows] < high)).any()
        }
        if len(mine) > 1:
            each = [map_.answer(answers([output], oracle.scaling, oracle.lean)[0]) for output in mine]
            found["single_networks"] = [error_metrics(label, values) for values in each]
    return found


def _labelled(data: Path, work: Path, target: str, processes: int) -> Labelled:
    store = stored_graphs(data, work / "graphs.safetensors", CUTOFF, MAX_NEIGHBOURS, processes)
    return read_labelled(data, store, target)


def _selection(target: str) -> str:
    if target == ENERGY:
        return "formation energies whose entry is certain"
    return "gaps of other functionals whose entry is certain; experimental ones at the formula's lowest crystal"


def _digest(labelled: Labelled) -> str:
    lines = hashlib.sha256()
    for part in PARTS:
        examples = labelled.parts[part]
        for array in (examples.crystal, examples.level, examples.label):
            lines.update(np.ascontiguousarray(array).tobytes())
    return lines.hexdigest()[:16]


def _peak_memory_gib() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)


def main() -> None:
    """Read the command line and train or assemble."""
    parser = argparse.ArgumentParser(description="Make the shipped weights of the crystal-graph oracles.")
    commands = parser.add_subparsers(dest="command", required=True)
    member, whole = commands.add_parser("member"), commands.add_parser("assemble")
    for command in (member, whole):
        command.add_argument("name", choices=sorted(TARGETS))
        command.add_argument("data", type=Path)
        command.add_argument("work", type=Path)
    member.add_argument("--number", type=int, default=0)
    whole.add_argument("out", type=Path)
    given = parser.parse_args()

    def say(line: str) -> None:
        sys.stderr.write(line + "\n")

    if given.command == "member":
        train_member(given.name, given.data, given.work, given.number, progress=say)
    else:
        assemble(given.name, given.data, given.work, given.out, progress=say)


if __name__ == "__main__":
    main()
