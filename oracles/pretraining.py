"""How the shipped weights of the composition oracles are made, from a table of Materials Project entries.

Run ``python -m oracles.pretraining NAME DATA OUT [--checkpoint DIR] [--set KEY=VALUE]...`` with NAME an oracle that
needs the formula alone and DATA a folder that holds ``labels.csv.gz``. An interrupted run goes on when started again.
``ensemble`` comes last: it weighs the shipped weights of its members, which must have been made by this command.
"""

from __future__ import annotations

import argparse
import resource
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from aldesign.chemistry.formula import canonical_many
from aldesign.learning.threads import pin_threads
from aldesign.records import LabelledRow
from aldesign.registry import oracle_class
from oracles.common import CompositionOracle, Progress, rows_digest
from oracles.ensemble import DEFAULT_MEMBERS, EnsembleOracle
from oracles.members import SHIPPED_MODEL
from oracles.networks import NetworkOracle

SPLIT_SEED = 20261120
SHARES = (0.8, 0.1, 0.1)  # train, validation, test
# A formation energy joined to its crystal by an ambiguous key may be a polymorph's.
BASIS = "composition+spg unique"
ORIGIN = "Materials Project (VASP PBE and PBE+U, 2019) via Matbench v0.1"
LICENCE = "CC BY 4.0 (Materials Project); MIT (Matbench)"


def ground_states(data: Path) -> pd.DataFrame:
    """Return the entry lowest above the hull of each formula, sorted by formula, with canonical formulas.

    Of equal energies the earlier entry wins; an unknown energy loses. Columns as in ``labels.csv.gz``.
    """
    table = pd.read_csv(data / "labels.csv.gz", keep_default_na=False, na_values=[""])
    table["formula"] = [str(formula) for formula in canonical_many(table["formula"].tolist())]
    lowest = table.sort_values("e_above_hull", kind="stable", na_position="last").drop_duplicates("formula")
    return lowest.sort_values("formula", kind="stable").reset_index(drop=True)


def parts_by_formula(formulas: list[str]) -> dict[str, int]:
    """Return 0, 1 or 2 (training, validation, test) of each of n distinct formulas."""
    names = sorted(formulas)
    ends = np.cumsum([int(share * len(names)) for share in SHARES[:2]])
    order = np.random.default_rng(SPLIT_SEED).permutation(len(names))
    return {names[i]: k for k, chosen in enumerate(np.split(order, ends)) for i in chosen.tolist()}


def split_rows(data: Path, target: str) -> tuple[list[LabelledRow], list[LabelledRow], list[LabelledRow]]:
    """Return training, validation and test rows of the ground states that have the label `target`."""
    table = ground_states(data)
    part = parts_by_formula(table["formula"].tolist())
    known = table[target].notna()
    if target == "formation_energy_per_atom":
        known &= table["e_form_basis"] == BASIS
    rows: tuple[list[LabelledRow], ...] = ([], [], [])
    for formula, value in table.loc[known, ["formula", target]].itertuples(index=False):
        rows[part[formula]].append(LabelledRow(formula, float(value)))
    return rows[0], rows[1], rows[2]


def pretrain(
    name: str,
    data: Path,
    out: Path,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    recalibrate: Path | None = None,
    progress: Progress | None = None,
    **config: Any,
) -> CompositionOracle | EnsembleOracle:
    """Train the composition oracle `name` on ground states, save it to `out`, and return it.

    Args:
        name: Of the oracle.
        data: Folder with ``labels.csv.gz``.
        out: Folder for weights and card.
        seed: Of the weights and the batches; the split has its own.
        checkpoint: Folder to go on from after an interruption.
        recalibrate: Folder of trained weights to judge and calibrate anew, without training.
        progress: Takes lines of text.
        config: Settings of the oracle; the members of an ensemble are by default the shipped ones.

    """
    pin_threads(1)
    kind = oracle_class(name)
    if not (isinstance(kind, type) and issubclass(kind, CompositionOracle | EnsembleOracle)):
        raise SystemExit(f"{name} does not learn from formulas alone")
    if issubclass(kind, EnsembleOracle):
        config = {"members": [{"kind": member, "model": SHIPPED_MODEL} for member in DEFAULT_MEMBERS], **config}
    if recalibrate is None:
        oracle = kind(**config)
        train, validation, test = split_rows(data, oracle.property)
        oracle.fit(train, validation, seed=seed, checkpoint=checkpoint, progress=progress)
    else:
        oracle = kind.load(recalibrate)
        train, validation, test = split_rows(data, oracle.property)
        oracle.recalibrate(validation)
        oracle.evaluate(validation, "validation")
    describe(oracle, [*train, *validation, *test], len(test))
    if isinstance(oracle, EnsembleOracle):
        require_same_rows(oracle)
    oracle.evaluate(test, "test")
    if isinstance(oracle, NetworkOracle):
        oracle.evaluate_members(test)
    oracle.save(out)
    if progress:
        progress(str(oracle.training["metrics"]))
    return oracle


def require_same_rows(ensemble: EnsembleOracle) -> None:
    """Raise SystemExit where a member learned from other rows, and so may know those that weigh it."""
    digest = ensemble.training["data"]["digest"]
    for member in ensemble.members:
        found = member.ready.card.training.get("data", {}).get("digest")
        if found != digest:
            raise SystemExit(f"{member.kind} was trained on the rows {found}, not on {digest}: train it again")


def describe(oracle: CompositionOracle | EnsembleOracle, rows: list[LabelledRow], test: int) -> None:
    """Write into the card where all `rows` come from, how they were split, and what the training took."""
    rule = f"numpy default_rng({SPLIT_SEED}).permutation of the sorted formulas, 80/10/10"
    peak = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    oracle.describe(
        data={
            "rows": len(rows),
            "digest": rows_digest(rows),
            "selection": "one row per formula: lowest energy above hull; metals included",
        },
        split={**oracle.training["split"], "test": test, "by": "formula", "rule": rule},
        origin=ORIGIN,
        licence=LICENCE,
        peak_memory_gib=oracle.training.get("peak_memory_gib", peak),  # what is calibrated anew took more before
    )


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(description="Train the shipped weights of a composition oracle.")
    parser.add_argument("name")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--recalibrate", type=Path, metavar="DIR", help="take trained weights, calibrate them anew")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="settings")
    given = parser.parse_args()
    config = {key: yaml.safe_load(value) for key, _, value in (text.partition("=") for text in given.settings)}
    pretrain(
        given.name,
        given.data,
        given.out,
        checkpoint=given.checkpoint,
        recalibrate=given.recalibrate,
        progress=lambda line: (sys.stderr.write(line + "\n"), None)[1],
        **config,
    )


if __name__ == "__main__":
    main()
