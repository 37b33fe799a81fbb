"""Fit the scale ``mp2019`` of CHGNet's formation energies, and judge them and the crystal graph network on others.

Run: ``python tests/benchmarks/bench_formation_energy.py DATA [CACHE.jsonl] [--write]`` with the folder that holds
``mp/``; energies are kept in CACHE, and an interrupted run goes on. Three sets of crystals of the Materials Project
2019, disjoint in their formulas: 3,500 to fit (of those that the network was trained on), 1,200 to choose thresholds
and 500 to report (of those held back from it). ``--write`` puts the fitted terms into chgnet_mp2019.json.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import Ridge

import aldesign.structures
from aldesign.chemistry.formula import canonical_many
from aldesign.records import Candidate
from aldesign.registry import load_oracle
from aldesign.structures.cif import read_jsonl
from aldesign.structures.energy import disagreement, evaluate_many, formation_energy
from aldesign.structures.energy.references import terms
from oracles.pretraining import BASIS, parts_by_formula

PENALTY = 0.3
TABLE = Path(aldesign.structures.__file__).parent / "chgnet_mp2019.json"


def chosen(data: Path) -> pd.DataFrame:
    """Return the rows of the three sets, ``F``, ``V`` and ``T``."""
    table = pd.read_csv(data / "mp" / "labels.csv.gz", keep_default_na=False, na_values=[""])
    table["canonical"] = [str(x) for x in canonical_many(table["formula"].tolist())]
    part = table["canonical"].map(parts_by_formula(sorted(set(table["canonical"]))))
    sure = (table["e_form_basis"] == BASIS) & table["formation_energy_per_atom"].notna() & (table["nelements"] > 1)
    held = table[sure & (part == 2) & (table["nsites"] <= 200)]
    random = np.random.default_rng(20261121)
    formulas = np.array(sorted(set(held["canonical"])))
    random.shuffle(formulas)
    last = held["canonical"].isin(set(formulas[: len(formulas) // 2].tolist()))
    sets = {
        "T": held[last].sample(500, random_state=1),
        "V": held[~last & (held["nsites"] <= 60)].sample(1200, random_state=2),
        "F": table[sure & (part == 0) & (table["nsites"] <= 30)].sample(3500, random_state=3),
    }
    return pd.concat([rows.assign(set=name) for name, rows in sets.items()]).set_index("id")


def energies(data: Path, cache: Path | None) -> Iterator[dict[str, Any]]:
    """Yield a record per crystal: energies of both methods and the DFT column."""
    rows = chosen(data)
    known = {}
    if cache is not None and cache.is_file():
        known = {record["id"]: record for record in map(json.loads, cache.read_text().splitlines())}
    yield from (record for name, record in known.items() if name in rows.index)
    network = load_oracle("crystal_graph_eform")
    crystals = [c for c in read_jsonl(data / "mp" / "structures.jsonl.gz") if c.id in rows.index and c.id not in known]
    for start in range(0, len(crystals), 50):
        some = crystals[start : start + 50]
        asked = [Candidate(rows["canonical"][crystal.id], crystal=crystal) for crystal in some]
        for crystal, energy, graph in zip(some, evaluate_many(some, relax=False), network.predict(asked), strict=True):
            record = {
                "id": crystal.id,
                "set": rows["set"][crystal.id],
                "dft": float(rows["formation_energy_per_atom"][crystal.id]),
                "species": crystal.species,
                "e": energy.energy_ev_per_atom,
                "graph": graph.value,
                "gstd": graph.std,
            }
            if cache is not None:
                with cache.open("a") as stream:
                    stream.write(json.dumps(record) + "\n")
            yield record


class Composition:
    """What `formation_energy` reads of a crystal."""

    def __init__(self, species: tuple[str, ...]) -> None:
        self.species = species

    def __len__(self) -> int:
        return len(self.species)


def told(name: str, error: np.ndarray) -> None:
    size = np.abs(error)
    print(
        f"{name}: n {len(error)}, MAE {size.mean():.4f} eV/atom, median {np.median(size):.4f}, "
        f"bias {error.mean():+.4f}, above 0.1: {100 * (size > 0.1).mean():.1f} %"
    )


def main() -> None:
    write = "--write" in sys.argv
    places = [Path(word) for word in sys.argv[1:] if not word.startswith("--")]
    table = pd.DataFrame(energies(places[0], places[1] if len(places) > 1 else None)).dropna(subset="e")
    for scale in ("mp2020", "mp2019"):
        table[scale] = [formation_energy(Composition(s), e, scale) for s, e in table[["species", "e"]].to_numpy()]
    parts = [terms(Counter(species)) for species in table["species"]]
    fit = (table["set"] == "F").to_numpy()
    names = sorted({name for part in np.array(parts)[fit] for name in part})
    shares = np.array([[part.get(name, 0.0) for name in names] for part in parts])
    missing = (table["dft"] - table["mp2020"]).to_numpy()
    model = Ridge(alpha=PENALTY, fit_intercept=False).fit(shares[fit], missing[fit])
    fresh = table["mp2020"] + model.predict(shares)
    print(f"{len(names)} terms fitted; they differ from those shipped by {np.abs(fresh - table['mp2019']).max():.4f}")
    if write:
        stored = json.loads(TABLE.read_text())
        found = zip(names, model.coef_, strict=True)
        stored["terms"] = {name: round(float(value), 4) for name, value in found}
        TABLE.write_text(json.dumps(stored, indent=1, ensure_ascii=False) + "\n")
    for kind in "FVT":
        rows = table[table["set"] == kind]
        for name in ("mp2020", "mp2019", "graph"):
            if rows[name].notna().all() and not (kind == "F" and name == "graph"):
                told(f"{kind} {name}", (rows[name] - rows["dft"]).to_numpy())
        if kind != "F":
            flagged = np.array([disagreement(*row) for row in rows[["mp2019", "graph", "gstd"]].to_numpy()])
            wrong = ((rows[["mp2019", "graph"]].sub(rows["dft"], axis=0)).abs() > 0.1).any(axis=1).to_numpy()
            print(
                f"{kind} disagreement: {100 * flagged.mean():.1f} % flagged; wrong by more than 0.1 on either side: "
                f"{100 * wrong[flagged].mean():.0f} % of these, {100 * wrong[~flagged].mean():.1f} % of the others"
            )


if __name__ == "__main__":
    main()
