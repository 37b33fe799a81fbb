"""The screening models of the active-learning paper on its own samples, ours beside a forest.

For each sample (baseline and actively learned) and each repeat: 60 % of its formulas to learn from, 20 % to choose and
calibrate by, and judged on formulas of the full table that occur in none of the samples. R2, MAE and RMSE, median of
the repeats, beside what the paper states for its own fixed test set (Xin et al. 2021, Table 1).

Run ``python tests/benchmarks/bench_screening_models.py [--data DIR] [--repeats N] [--oracles NAME...]``.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table

from aldesign.chemistry.formula import canonical_many
from aldesign.datasets.cleaning import split_by_formula
from aldesign.fitting import new_oracle
from aldesign.judging import evaluate_on, figures
from aldesign.learning.threads import pin_threads
from aldesign.records import LabelledRow

PAPER_R2 = {"Exp2_BS_1k": 0.409, "Exp2_AL_1741": 0.414, "Exp3_BS_0.3k": 0.227, "Exp3_AL_1153": 0.417}
SETTINGS: dict[str, dict[str, object]] = {
    "random_forest": {"trees": 200, "min_decrease": 0.0},
    "stoichiometry_graph": {"members": 3},
}
HELD_OUT = 3000


def read(path: Path) -> list[LabelledRow]:
    """Return the rows of one of the paper's tables whose formulas can be read, the first of each formula."""
    table = pd.read_csv(path, keep_default_na=False, na_values=[""])
    rows: dict[str, LabelledRow] = {}
    for formula, gap in zip(canonical_many(table["composition"].astype(str).tolist()), table["Eg"], strict=True):
        if isinstance(formula, str):
            rows.setdefault(formula, LabelledRow(formula, float(gap)))
    return list(rows.values())


def main() -> None:
    """Read the command line, train, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("ALDESIGN_DATA", "../shared/data")))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--oracles", nargs="+", default=list(SETTINGS))
    given = parser.parse_args()
    pin_threads(1)
    samples = {name: read(given.data / "agd" / f"{name}.csv") for name in PAPER_R2}
    seen = {row.formula for rows in samples.values() for row in rows}
    others = [row for row in read(given.data / "agd" / "Exp1_42k.csv") if row.formula not in seen]
    chosen = np.random.default_rng(0).permutation(len(others))[:HELD_OUT]
    test = [others[i] for i in np.sort(chosen)]
    console = Console(width=140)
    table = Table(
        "sample", "rows", "oracle", "R2", "MAE / eV", "RMSE / eV", "coverage 68 / 95 %", "R2 of each", "paper"
    )
    for name, rows in samples.items():
        for oracle in given.oracles:
            found = []
            for repeat in range(given.repeats):
                parts = split_by_formula([row.formula for row in rows], (0.6, 0.2, 0.2), repeat)
                learn, hold = ([rows[i] for i in part] for part in parts[:2])
                model = new_oracle(oracle, SETTINGS.get(oracle))
                judged = evaluate_on(model.fit(learn, hold, seed=repeat), test)
                found.append(figures(judged.truth, judged.mean, judged.std))
            middle = {key: float(np.median([f[key] for f in found])) for key in found[0]}
            cells = [f"{middle[key]:.3f}" for key in ("r2", "mae", "rmse")]
            cover = f"{100 * middle['coverage_68']:.0f} / {100 * middle['coverage_95']:.0f}"
            each = " ".join(f"{f['r2']:.3f}" for f in found)
            table.add_row(name, str(len(rows)), oracle, *cells, cover, each, f"{PAPER_R2[name]:.3f}")
            console.print(name, oracle, cells, each)
    console.print(f"judged on {len(test)} formulas of Exp1_42k that are in none of the samples")
    console.print(table)


if __name__ == "__main__":
    main()
